//! Labelled images from a CSV table: a header, then a path and a target on each line.

use std::path::Path;

use csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};

use super::{DatasetError, Place, Row, Rows};

/// The column of the images' files, relative to the table.
const PATH: &str = "image_path";

/// The column of the classes.
const TARGET: &str = "target";

const REMEDY: &str = "write the header image_path,target and a line for each image";

/// The rows of a table.
pub(super) fn rows(source: &Path) -> Result<Rows, DatasetError> {
    let io = |error| DatasetError::Io { path: source.to_owned(), source: error };
    let octets = std::fs::read(source).map_err(io)?;
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(octets.as_slice());
    let header = reader.headers().map_err(|error| malformed(source, error))?.clone();
    if header.is_empty() {
        return Err(DatasetError::Empty { place: Place::new(source, Some(1)), remedy: REMEDY });
    }
    let (path, target) = (column(source, &header, PATH)?, column(source, &header, TARGET)?);
    let further: Vec<usize> = (0..header.len()).filter(|index| *index != path && *index != target).collect();
    let values = |record: &StringRecord| further.iter().filter_map(|i| record.get(*i)).map(str::to_owned).collect();
    let directory = source.parent().unwrap_or(Path::new(""));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| malformed(source, error))?;
        let line = record.position().map(Position::line);
        let text = |index: usize, name: &str| match record.get(index) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(DatasetError::Malformed { place: Place::new(source, line), cause: format!("no {name}") }),
        };
        let path = directory.join(text(path, PATH)?);
        rows.push(Row { line, path, target: text(target, TARGET)?, values: values(&record) });
    }
    if rows.is_empty() {
        return Err(DatasetError::Empty { place: Place::new(source, Some(2)), remedy: REMEDY });
    }
    Ok(Rows { rows, columns: values(&header) })
}

fn column(source: &Path, header: &StringRecord, name: &str) -> Result<usize, DatasetError> {
    header.iter().position(|column| column == name).ok_or_else(|| {
        let written = header.iter().collect::<Vec<_>>().join(",");
        let cause = format!("no column {name:?} in the header {written:?}; {REMEDY}");
        DatasetError::Malformed { place: Place::new(source, Some(1)), cause }
    })
}

fn malformed(source: &Path, error: csv::Error) -> DatasetError {
    let line = error.position().map(Position::line);
    let cause = match error.into_kind() {
        ErrorKind::Io(error) => return DatasetError::Io { path: source.to_owned(), source: error },
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} values instead of {expected_len}; put values with a comma in quotation marks")
        }
        ErrorKind::Utf8 { .. } => "not UTF-8; save the table as UTF-8".to_owned(),
        _ => "not a line of a CSV table".to_owned(),
    };
    DatasetError::Malformed { place: Place::new(source, line), cause }
}
