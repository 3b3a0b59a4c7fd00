//! Auscult: a DICOM service that reads chest radiographs and reports possible pneumonia to the PACS.
//!
//! The house has floors. A module imports only modules on strictly lower floors; `tests/architecture.rs`
//! reads the headings below and holds every file to it. `docs/architecture.md` shows the whole house.

// Floor 0: words
pub mod background;
pub mod cuda;
pub mod digest;
pub mod ids;
pub mod part10;
pub mod replace;
pub mod stop;

// Floor 1: values
pub mod commitment;
pub mod config;
pub mod dimse;
pub mod finding;
pub mod heat;
pub mod instance;
pub mod pixels;
pub mod plot;
pub mod resource;
pub mod statistics;

// Floor 2: memory
pub mod ledger;

// Floor 3: crafts
pub mod assemble;
pub mod dataset;
pub mod hl7;
pub mod import;
pub mod model;
pub mod scu;
pub mod select;
pub mod spool;
pub mod sr;

// Floor 4: stations
pub mod delivery;
pub mod health;
pub mod inference;
pub mod performance;
pub mod scp;

// Floor 5: line
pub mod pipeline;

// Floor 6: programs
pub mod daemon;
pub mod evaluate;
pub mod train;

// Floor 7: door
pub mod cli;
