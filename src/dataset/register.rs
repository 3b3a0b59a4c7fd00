//! Which images a model was trained, validated and tested on: kept with the model by digest, without a path or a name.

use std::collections::HashMap;
use std::path::Path;

use blake3::Hash;

use super::{Dataset, DatasetError, Division, Example, Part, Place};

/// The part that each image had, by its digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register(HashMap<Hash, Part>);

impl Register {
    /// The file in a model's directory.
    pub const FILE: &str = "split.csv";

    /// The images of a dataset that was divided.
    pub fn new(dataset: &Dataset, division: &Division) -> Self {
        let parts = dataset.examples().iter().zip(division.parts());
        Self(parts.map(|(example, part)| (example.digest, *part)).collect())
    }

    /// As a CSV table with the columns `blake3` and `split`, in the order of the digests.
    pub fn csv(&self) -> String {
        let mut lines: Vec<String> = self.0.iter().map(|(digest, part)| format!("{digest},{part}\n")).collect();
        lines.sort_unstable();
        format!("blake3,split\n{}", lines.concat())
    }

    /// Reads the register of a model; one without the file knows no image.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is none of a register.
    pub fn read(model: &Path) -> Result<Self, DatasetError> {
        let path = model.join(Self::FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(DatasetError::Io { path, source }),
        };
        let entry = |line: &str| {
            let (digest, part) = line.split_once(',')?;
            Some((Hash::from_hex(digest).ok()?, Part::of(part)?))
        };
        let damaged = |number| DatasetError::Malformed {
            place: Place::new(&path, Some(number)),
            cause: "not a digest and its part; the file is damaged".to_owned(),
        };
        let lines = (1..).zip(text.lines()).skip(1);
        let entries = lines.map(|(number, line)| entry(line).ok_or_else(|| damaged(number)));
        Ok(Self(entries.collect::<Result<_, _>>()?))
    }

    /// The part that an image had, if it is known.
    pub fn part(&self, example: &Example) -> Option<Part> {
        self.0.get(&example.digest).copied()
    }
}
