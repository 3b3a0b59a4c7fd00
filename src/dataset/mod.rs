//! Labelled images: read from a table or from a folder for each class, checked, and divided into training, validation
//! and test.

mod classes;
mod division;
mod fault;
mod folder;
mod register;
mod table;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use blake3::Hash;
use rayon::prelude::*;

pub use classes::ClassNames;
pub use division::{Division, Part, Rule, Sharing};
pub use fault::{DatasetError, Place};
pub use register::Register;

/// One labelled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Line of the table, from 1 for the header; `None` in a folder.
    pub line: Option<u64>,
    /// The image's file.
    pub path: PathBuf,
    /// Index of its class.
    pub class: usize,
    /// BLAKE3 of the file: what the image is known by.
    pub digest: Hash,
    /// Values of the table's further columns.
    values: Vec<String>,
}

/// Labelled images that are there; whether they can be decoded shows when they are.
#[derive(Debug, Clone)]
pub struct Dataset {
    source: PathBuf,
    classes: Vec<String>,
    columns: Vec<String>,
    examples: Vec<Example>,
}

/// A labelled image before it is looked at.
struct Row {
    line: Option<u64>,
    path: PathBuf,
    target: String,
    values: Vec<String>,
}

/// What a source holds before its images are looked at.
struct Rows {
    rows: Vec<Row>,
    columns: Vec<String>,
}

impl Dataset {
    /// Reads a CSV table with the columns `image_path` (relative to the table) and `target`, or a directory with a
    /// folder for each class, and takes the digest of every image.
    ///
    /// # Errors
    /// Every fault names the table and the line: no image at all, a file that is missing or listed twice, a target that
    /// is no class, the same image with two targets.
    pub fn read(source: &Path, names: &ClassNames) -> Result<Self, DatasetError> {
        let Rows { rows, columns } = if source.is_dir() { folder::rows(source) } else { table::rows(source) }?;
        let classes = names.of(source, &rows)?;
        let class = |row: &Row| {
            classes::index(&classes, &row.target).ok_or_else(|| {
                let (target, known) = (row.target.clone(), classes.join(", "));
                DatasetError::UnknownClass { place: Place::new(source, row.line), target, known }
            })
        };
        let indices = rows.iter().map(class).collect::<Result<Vec<_>, _>>()?;
        once_each(source, &rows)?;
        let digests: Vec<_> = rows.par_iter().map(|row| digest(&row.path)).collect();
        let missing = digests.iter().filter(|digest| digest.is_err()).count();
        let mut examples = Vec::with_capacity(rows.len());
        for ((Row { line, path, values, .. }, class), digest) in rows.into_iter().zip(indices).zip(digests) {
            match digest {
                Ok(digest) => examples.push(Example { line, path, class, digest, values }),
                Err(cause) => {
                    let (place, others) = (Place::new(source, line), missing - 1);
                    return Err(DatasetError::Image { place, path, cause: cause.to_string(), others });
                }
            }
        }
        let dataset = Self { source: source.to_owned(), classes, columns, examples };
        dataset.no_contradiction()?;
        Ok(dataset)
    }

    /// The table or directory that it was read from.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Names of the classes, by index.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The table's columns beside path and target.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The images, in the order of the source.
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// Where an image is listed, for messages.
    pub fn place(&self, example: &Example) -> Place {
        Place::new(&self.source, example.line)
    }

    /// That a file of its images cannot be decoded, with its line.
    pub fn undecodable(&self, path: PathBuf, cause: &dyn std::fmt::Display) -> DatasetError {
        let line = self.examples.iter().find(|example| example.path == path).and_then(|example| example.line);
        DatasetError::Image { place: Place::new(&self.source, line), path, cause: cause.to_string(), others: 0 }
    }

    /// The value of a column for each image.
    ///
    /// # Errors
    /// The table has no such column.
    pub fn column(&self, name: &str) -> Result<Vec<&str>, DatasetError> {
        let Some(index) = self.columns.iter().position(|column| column == name) else {
            let known = if self.columns.is_empty() { "none".to_owned() } else { self.columns.join(", ") };
            let place = Place::new(&self.source, Some(1));
            return Err(DatasetError::Column { place, name: name.to_owned(), known });
        };
        Ok(self.examples.iter().map(|example| example.values.get(index).map_or("", String::as_str)).collect())
    }

    /// BLAKE3 over the digest and the class of every image, whatever their order and wherever they lie.
    pub fn digest(&self) -> Hash {
        let line = |example: &Example| {
            format!("{} {}\n", example.digest, self.classes.get(example.class).map_or("", String::as_str))
        };
        let mut lines: Vec<String> = self.examples.iter().map(line).collect();
        lines.sort_unstable();
        blake3::hash(lines.concat().as_bytes())
    }

    /// That there is something to tell apart.
    ///
    /// # Errors
    /// All images are of one class.
    pub fn more_than_one_class(&self) -> Result<(), DatasetError> {
        match (self.examples.first(), self.examples.last()) {
            (Some(first), Some(last)) if self.examples.iter().all(|example| example.class == first.class) => {
                let class = self.classes.get(first.class).cloned().unwrap_or_default();
                Err(DatasetError::OneClass { place: self.place(last), images: self.examples.len(), class })
            }
            _ => Ok(()),
        }
    }

    /// How many images are copies of earlier ones.
    pub fn copies(&self) -> usize {
        self.examples.len() - self.examples.iter().map(|example| example.digest).collect::<HashSet<_>>().len()
    }

    /// The images that `keep` says yes to.
    pub fn only(mut self, keep: impl Fn(&Example) -> bool) -> Self {
        self.examples.retain(keep);
        self
    }

    /// Gives the classes other names, as many.
    pub fn renamed(mut self, classes: Vec<String>) -> Self {
        self.classes = classes;
        self
    }

    fn no_contradiction(&self) -> Result<(), DatasetError> {
        let mut seen: HashMap<Hash, &Example> = HashMap::new();
        for example in &self.examples {
            let first = *seen.entry(example.digest).or_insert(example);
            if first.class != example.class {
                let (place, path) = (self.place(example), example.path.clone());
                return Err(DatasetError::Contradiction { place, path, first: self.place(first) });
            }
        }
        Ok(())
    }
}

fn once_each(source: &Path, rows: &[Row]) -> Result<(), DatasetError> {
    let mut seen = HashMap::new();
    for row in rows {
        if let Some(first) = seen.insert(&row.path, row.line) {
            let (place, first) = (Place::new(source, row.line), Place::new(source, first));
            return Err(DatasetError::Twice { place, path: row.path.clone(), first });
        }
    }
    Ok(())
}

fn digest(path: &Path) -> std::io::Result<Hash> {
    if path.is_dir() {
        return Err(std::io::Error::other("is a directory"));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests;
