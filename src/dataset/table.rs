//! Labelled images from a CSV table: a header, then a path and a target on each line.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{DatasetError, Place, Row, Rows};

/// The column of the images' files, relative to the table.
const PATH: &str = "image_path";

/// The column of the classes.
const TARGET: &str = "target";

const REMEDY: &str = "write the header image_path,target and a line for each image";

/// The rows of a table.
pub(super) fn rows(source: &Path) -> Result<Rows, DatasetError> {
    let text = text(source)?;
    // A row of another length is told below, with the line that it really stands in.
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(text.as_bytes());
    let malformed = |line, cause| DatasetError::Malformed { place: Place::new(source, Some(line)), cause };
    let header = reader.headers().map_err(|error| malformed(1, error.to_string()))?.clone();
    if header.is_empty() {
        return Err(DatasetError::Empty { place: Place::new(source, Some(1)), remedy: REMEDY });
    }
    let (path, target) = (column(source, &header, PATH)?, column(source, &header, TARGET)?);
    let further: Vec<usize> = (0..header.len()).filter(|index| *index != path && *index != target).collect();
    let values = |record: &StringRecord| further.iter().filter_map(|i| record.get(*i)).map(str::to_owned).collect();
    let directory = source.parent().unwrap_or(Path::new(""));
    let (mut rows, mut record) = (Vec::new(), StringRecord::new());
    while reader.read_record(&mut record).map_err(|error| malformed(1, error.to_string()))? {
        // The reader stands at the beginning of the next line.
        let line = reader.position().line() - 1;
        if record.len() != header.len() {
            let (found, expected) = (record.len(), header.len());
            let remedy = "put values with a comma in quotation marks";
            return Err(malformed(line, format!("{found} values instead of {expected}; {remedy}")));
        }
        let text = |index: usize, name: &str| match record.get(index) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(malformed(line, format!("no {name}"))),
        };
        let path = directory.join(text(path, PATH)?);
        rows.push(Row { line: Some(line), path, target: text(target, TARGET)?, values: values(&record) });
    }
    if rows.is_empty() {
        return Err(DatasetError::Empty { place: Place::new(source, Some(2)), remedy: REMEDY });
    }
    Ok(Rows { rows, columns: values(&header) })
}

/// The table's text, every line of it ended by a line feed alone.
fn text(source: &Path) -> Result<String, DatasetError> {
    let octets = std::fs::read(source).map_err(|error| DatasetError::Io { path: source.to_owned(), source: error })?;
    let text = String::from_utf8(octets).map_err(|error| {
        let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = 1 + valid.filter(|octet| **octet == b'\n').count() as u64;
        let cause = "not UTF-8; save the table as UTF-8".to_owned();
        DatasetError::Malformed { place: Place::new(source, Some(line)), cause }
    })?;
    Ok(text.replace("\r\n", "\n").replace('\r', "\n") + "\n")
}

fn column(source: &Path, header: &StringRecord, name: &str) -> Result<usize, DatasetError> {
    header.iter().position(|column| column == name).ok_or_else(|| {
        let written = header.iter().collect::<Vec<_>>().join(",");
        let cause = format!("no column {name:?} in the header {written:?}; {REMEDY}");
        DatasetError::Malformed { place: Place::new(source, Some(1)), cause }
    })
}
