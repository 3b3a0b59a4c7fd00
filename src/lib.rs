//! Auscult: a DICOM service that reads chest radiographs and reports possible pneumonia to the PACS.
//!
//! The house has floors. A module imports only modules on strictly lower floors; `tests/architecture.rs`
//! reads the headings below and holds every file to it. `docs/architecture.md` shows the whole house.

// Floor 0: words
pub mod ids;

// Floor 1: values
pub mod config;
pub mod finding;
pub mod instance;

// Floor 2: crafts
pub mod import;
