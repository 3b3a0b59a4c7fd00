//! What can be wrong with labelled images, said with the line of the table.

use std::fmt;
use std::path::{Path, PathBuf};

/// A line of a table, or the folder of a dataset without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    source: PathBuf,
    line: Option<u64>,
}

impl Place {
    /// A line, from 1, of a source.
    pub fn new(source: &Path, line: Option<u64>) -> Self {
        Self { source: source.to_owned(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}", self.source.display()),
            None => write!(f, "{}", self.source.display()),
        }
    }
}

/// Labelled images that cannot be used. Messages name files and lines, which the reader's own table holds.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The table or directory cannot be read.
    #[error("{path}: {source}; name a CSV file or a directory with a folder for each class", path = path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line is no row of the table.
    #[error("{place}: {cause}")]
    Malformed {
        /// Where.
        place: Place,
        /// What is wrong, and what is expected.
        cause: String,
    },
    /// There is nothing to learn from.
    #[error("{place}: no image; {remedy}")]
    Empty {
        /// Where images were expected.
        place: Place,
        /// What to do.
        remedy: &'static str,
    },
    /// A target that is no class.
    #[error("{place}: unknown class {target:?}; the classes are {known}")]
    UnknownClass {
        /// Where.
        place: Place,
        /// What is written there.
        target: String,
        /// The classes.
        known: String,
    },
    /// All images are of one class.
    #[error("{place}: all {images} images up to here are of class {class:?}; training needs images of two classes")]
    OneClass {
        /// The last image.
        place: Place,
        /// How many there are.
        images: usize,
        /// Their class.
        class: String,
    },
    /// A class that cannot be in every part of the data.
    #[error(
        "{place}: class {class:?} has {images} of the images only; a class needs at least {needed}, \
         so that training, validation and test have one each: add images, or mend the target"
    )]
    RareClass {
        /// The first image of the class.
        place: Place,
        /// The class.
        class: String,
        /// How many images it has.
        images: usize,
        /// How many it needs.
        needed: usize,
    },
    /// An image that is missing or cannot be decoded.
    #[error("{place}: {path}: {cause}{}", also(*others), path = path.display())]
    Image {
        /// Where it is listed.
        place: Place,
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
        /// Images with a fault of the same kind.
        others: usize,
    },
    /// A file that is listed twice.
    #[error("{place}: {path} is listed already: {first}; remove one of the lines", path = path.display())]
    Twice {
        /// The second one.
        place: Place,
        /// The file.
        path: PathBuf,
        /// The first one.
        first: Place,
    },
    /// One image with two targets.
    #[error("{place}: {path} is the same image as that of {first}, with another target; correct one", path = path.display())]
    Contradiction {
        /// The second one.
        place: Place,
        /// The file.
        path: PathBuf,
        /// The first one.
        first: Place,
    },
    /// One image in two parts of the data.
    #[error(
        "{place}: {path} is the same image as that of {first}, which is in another part of the data; \
         a model must not be tested on what it was trained on: remove one, or put both into one part",
        path = path.display()
    )]
    Leak {
        /// The second one.
        place: Place,
        /// The file.
        path: PathBuf,
        /// The first one.
        first: Place,
    },
    /// The table has no such column.
    #[error("{place}: no column {name:?}; the further columns are: {known}")]
    Column {
        /// The header.
        place: Place,
        /// The column that was asked for.
        name: String,
        /// The columns there are.
        known: String,
    },
    /// A part of the data without images, or a training part without one of the classes.
    #[error("{place}: {cause}")]
    Part {
        /// The table.
        place: Place,
        /// What is missing.
        cause: String,
    },
}

fn also(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more like it)") }
}
