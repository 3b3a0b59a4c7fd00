//! Why an image gives no luminance.

use crate::part10::Location;

/// Why a file gives no [`Radiograph`](super::Radiograph). No message carries a value of the file that could
/// name a patient.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// The file is not there or cannot be read.
    #[error("{location}: {source}")]
    Io {
        /// The file.
        location: Location,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file or its code stream is broken, or has a form that no decoder here reads.
    #[error("{0}; ask the sender for it again, or for another transfer syntax")]
    NotDecodable(String),
    /// Attributes of the header contradict each other or the code stream.
    #[error("the image header is contradictory: {0}; have the sending system's service check it with `dciodvfy`")]
    Contradictory(String),
    /// Neither MONOCHROME1 nor MONOCHROME2.
    #[error(
        "photometric interpretation {0} is not supported; send the original MONOCHROME1 or MONOCHROME2 image, \
         not a capture of it"
    )]
    Photometric(&'static str),
    /// More pixels than [`Bounds::max_pixels`](super::Bounds::max_pixels).
    #[error(
        "image too large: {rows} x {columns} pixels, at most {max_pixels} are allowed; raise the limit if it is genuine"
    )]
    TooLarge {
        /// Rows of the image.
        rows: u64,
        /// Columns of the image.
        columns: u64,
        /// The bound.
        max_pixels: u64,
    },
    /// The image may be sound, but nothing can decode it now.
    #[error("no decoder can be started: {0}; raise the limit on processes or memory")]
    NoDecoder(std::io::Error),
    /// A DICOM object without Pixel Data (7FE0,0010).
    #[error("the object has no pixel data; it is no image, leave it out of what is sent here")]
    NoPixelData,
}
