//! Values of the house as columns of a row.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;

use super::Ledger;
use crate::finding::{Outcome, Probability, Reason, SopReference};
use crate::instance::{Instance, Urgency};

/// The columns that [`instance`] reads, of `instance` as i and `study` as s.
pub(super) const INSTANCE: &str = "s.uid, s.patient, i.series, i.sop_class, i.sop_instance, i.transfer_syntax, i.file";

/// How many they are.
pub(super) const INSTANCE_COLUMNS: usize = 7;

/// A text column as a value that is checked when it is read.
pub(super) fn parsed<T>(row: &Row, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// The columns of [`INSTANCE`], which come first.
pub(super) fn instance(ledger: &Ledger, row: &Row) -> rusqlite::Result<Instance> {
    Ok(Instance {
        study: parsed(row, 0)?,
        patient: parsed(row, 1)?,
        series: parsed(row, 2)?,
        sop_class: parsed(row, 3)?,
        sop_instance: parsed(row, 4)?,
        transfer_syntax: parsed(row, 5)?,
        location: ledger.location(&row.get::<_, String>(6)?),
    })
}

/// Three columns: series, SOP class, SOP instance.
pub(super) fn reference(row: &Row, first: usize) -> rusqlite::Result<SopReference> {
    Ok(SopReference {
        series: parsed(row, first)?,
        sop_class: parsed(row, first + 1)?,
        sop_instance: parsed(row, first + 2)?,
    })
}

/// Two columns: score, declined. None of both: an image that was not offered to the model.
pub(super) fn outcome(row: &Row, first: usize) -> rusqlite::Result<Option<Outcome>> {
    if let Some(score) = row.get::<_, Option<f64>>(first)? {
        let score = Probability::try_from(score)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(first, Type::Real, Box::new(error)))?;
        return Ok(Some(Outcome::Analysed(score)));
    }
    let declined: Option<String> = row.get(first + 1)?;
    let reason = declined.map(|word| serde_json::from_value::<Reason>(word.into())).transpose();
    let reason =
        reason.map_err(|error| rusqlite::Error::FromSqlConversionFailure(first + 1, Type::Text, Box::new(error)))?;
    Ok(reason.map(Outcome::NotAnalysed))
}

/// An outcome as its two columns.
pub(super) fn outcome_columns(outcome: Option<Outcome>) -> (Option<f64>, Option<String>) {
    match outcome {
        Some(Outcome::Analysed(score)) => (Some(score.fraction()), None),
        Some(Outcome::NotAnalysed(reason)) => {
            let word = serde_json::to_value(reason).ok();
            (None, word.and_then(|word| word.as_str().map(str::to_owned)))
        }
        None => (None, None),
    }
}

pub(super) fn urgency(row: &Row, column: usize) -> rusqlite::Result<Urgency> {
    Ok(match row.get::<_, i64>(column)? {
        0 => Urgency::Routine,
        _ => Urgency::Urgent,
    })
}

pub(super) fn urgency_column(urgency: Urgency) -> i64 {
    match urgency {
        Urgency::Routine => 0,
        Urgency::Urgent => 1,
    }
}

/// An unsigned number in a database that has none.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn natural(row: &Row, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}
