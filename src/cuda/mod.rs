//! Whether the model can be computed on an NVIDIA device here, and the program that does it.
//!
//! A program that is linked with CUDA does not start without NVIDIA's driver. So there are two: `auscult`, which runs
//! anywhere, and `auscult-cuda`, the same crate built with the feature `cuda`. The first gives its place to the second
//! ([`hand_over`]) where that can start, and goes on by itself where not.

#[cfg_attr(not(feature = "cuda"), path = "no_device.rs")]
pub mod device;
mod driver;
mod executable;

use std::path::PathBuf;
use std::sync::OnceLock;

pub use executable::{HANDED_OVER, decoding_program};

/// Why the model is computed on the processor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The library of the driver cannot be loaded.
    #[error("NVIDIA driver not found")]
    NoDriver,
    /// There is a driver, and no program that uses it.
    #[error("{} not found in {looked_in}", executable::NAME)]
    NoProgram {
        /// The directories searched, separated by commas.
        looked_in: String,
    },
    /// Such a program ends at once, for want of a library of CUDA for example.
    #[error("{path} does not start: {cause}", path = path.display())]
    DoesNotStart {
        /// The program.
        path: PathBuf,
        /// What it said, or the operating system.
        cause: String,
    },
    /// Such a program is of another version.
    #[error("{path} is {found}, this is {own}; install both of one version", path = path.display())]
    OtherVersion {
        /// The program.
        path: PathBuf,
        /// What it says that it is.
        found: String,
        /// What this program is.
        own: &'static str,
    },
    /// This program cannot use a device, and did not look for one that can.
    #[error("this program was built without CUDA")]
    BuiltWithout,
    /// The configuration asks for what the device is not used for.
    #[error("model.precision = \"{0}\" is computed on the processor only")]
    OnProcessor(&'static str),
    /// The driver has no device, or none that can be used.
    #[error("no NVIDIA device can be used: {0}")]
    NoDevice(String),
    /// The device computes something else than the processor.
    #[error("the device failed the self-test of the model package: {0}")]
    SelfTest(String),
}

/// Why this process did not give its place away.
static FOUND: OnceLock<Obstacle> = OnceLock::new();

/// Gives this process's place to the program that computes on a device, with the same arguments; number, descriptors and
/// environment stay, and so does what systemd knows of it. Returns where that cannot be; [`obstacle`] then says why. To be
/// called before anything is opened or started. The program that is built with CUDA never goes on to another one.
pub fn hand_over() {
    if cfg!(not(feature = "cuda")) && !executable::is_successor() {
        FOUND.get_or_init(executable::take_place);
    }
}

/// What keeps this process from a device, as far as can be told without one.
pub fn obstacle() -> Option<Obstacle> {
    match cfg!(feature = "cuda") {
        true => None,
        false => Some(FOUND.get().cloned().unwrap_or(Obstacle::BuiltWithout)),
    }
}
