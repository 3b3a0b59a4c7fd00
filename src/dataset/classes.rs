//! The classes of a dataset: given, or found in its targets.

use std::collections::BTreeSet;
use std::path::Path;

use super::{DatasetError, Place, Row};

/// Where the names of the classes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassNames {
    /// The targets themselves: numbers in their order, or names in the order of the alphabet; at least two.
    Found,
    /// These; a target is a name, or the number of one from 0.
    Given(Vec<String>),
}

impl ClassNames {
    /// The names of the classes.
    pub(super) fn of(&self, source: &Path, rows: &[Row]) -> Result<Vec<String>, DatasetError> {
        match self {
            Self::Given(names) => Ok(names.clone()),
            Self::Found => found(source, rows),
        }
    }
}

fn found(source: &Path, rows: &[Row]) -> Result<Vec<String>, DatasetError> {
    let place = |row: &Row| Place::new(source, row.line);
    let numbers: BTreeSet<u32> = rows.iter().filter_map(|row| number(&row.target)).collect();
    let names: BTreeSet<&str> =
        rows.iter().filter(|row| number(&row.target).is_none()).map(|row| row.target.as_str()).collect();
    let numbered = rows.iter().filter(|row| number(&row.target).is_some()).count();
    let mostly_numbers = 2 * numbered >= rows.len();
    let odd = rows.iter().find(|row| number(&row.target).is_some() != mostly_numbers);
    if let Some(row) = odd {
        let known = if mostly_numbers { list(numbers.iter()) } else { list(names.iter()) };
        return Err(DatasetError::UnknownClass { place: place(row), target: row.target.clone(), known });
    }
    let classes: Vec<String> = if mostly_numbers {
        numbers.iter().map(ToString::to_string).collect()
    } else {
        names.iter().map(ToString::to_string).collect()
    };
    match (classes.as_slice(), rows.last()) {
        ([class], Some(last)) => {
            Err(DatasetError::OneClass { place: place(last), images: rows.len(), class: class.clone() })
        }
        _ => Ok(classes),
    }
}

fn list<T: ToString>(classes: impl Iterator<Item = T>) -> String {
    classes.map(|class| class.to_string()).collect::<Vec<_>>().join(", ")
}

/// The index of the class that a target means: a name, or else the number of one.
pub(super) fn index(classes: &[String], target: &str) -> Option<usize> {
    let named = classes.iter().position(|class| class == target);
    named.or_else(|| number(target).map(|number| number as usize).filter(|index| *index < classes.len()))
}

fn number(target: &str) -> Option<u32> {
    target.parse().ok()
}
