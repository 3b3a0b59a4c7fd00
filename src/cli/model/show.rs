//! `auscult model show`: what a package says of itself.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use toml::{Table, Value};

use super::table;
use crate::model::{Manifest, Package, SelfTest};
use crate::resource;

/// Show what a model package says of itself: manifest, figures, digests, model card.
///
/// Nothing is checked; `auscult model verify` does that.
#[derive(clap::Args)]
pub(in crate::cli) struct Show {
    /// Directory of the model package
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// One JSON object: the manifest, and the card's text
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> Result<()> {
        let directory = resource::find(&self.model)?;
        let manifest = Package::manifest_in(&directory)?;
        let card = std::fs::read_to_string(directory.join(Package::CARD)).ok();
        let mut out = io::stdout().lock();
        if self.json {
            return Ok(writeln!(out, "{}", json!({ "manifest": table(&manifest)?, "card": card }))?);
        }
        for (about, said) in rows(&manifest, &table(&manifest)?) {
            writeln!(out, "{}", format!("{about:<13} {said}").trim_end())?;
        }
        Ok(writeln!(out, "\n{}", card.as_deref().unwrap_or("There is no model card."))?)
    }
}

/// What a manifest says, and the same as it is written.
fn rows(manifest: &Manifest, written: &Table) -> Vec<(&'static str, String)> {
    let Manifest { name, version, architecture, sha256, output, .. } = manifest;
    let use_for = written.get("qualification").and_then(Value::as_str).unwrap_or_default();
    let point = output.operating_point();
    let zone = point.undetermined_from().map(|lower| format!(", undetermined from {}", lower.fraction()));
    let ages = manifest.intended_age_years.map(|age| format!("{} to {} years", age.youngest(), age.oldest()));
    let gate = manifest.plausibility.as_ref();
    let int8 = manifest.int8.as_ref();
    let prepared = |test: Option<&SelfTest>| {
        test.map_or("not prepared".to_owned(), |test| format!("self-test {}", self_test(test)))
    };
    let mut rows = vec![
        ("model", format!("{name} {version}, {architecture}, {use_for}")),
        ("labels", output.labels.join(", ")),
        (
            "reports",
            format!("{}, present from {}{}", output.positive, point.threshold().fraction(), zone.unwrap_or_default()),
        ),
        ("patients", ages.unwrap_or_else(|| "of all ages".to_owned())),
        ("self-test", self_test(&manifest.self_test)),
        (
            "plausibility",
            gate.map_or("no gate".to_owned(), |gate| format!("accepts images from {} on", gate.threshold)),
        ),
        ("bf16", prepared(manifest.bf16.as_ref().map(|bf16| &bf16.self_test))),
        ("f16", prepared(manifest.f16.as_ref().map(|f16| &f16.self_test))),
        ("int8", prepared(int8.map(|int8| &int8.self_test))),
        ("SHA-256", format!("{sha256} {}", Package::WEIGHTS)),
    ];
    rows.extend(gate.map(|gate| ("", format!("{} {}", gate.sha256, Package::GATE))));
    rows.extend(int8.map(|int8| ("", format!("{} {}", int8.sha256, Package::INT8))));
    for (about, key) in [("input", "input"), ("figures", "performance"), ("training", "training")] {
        let said = written.get(key).and_then(Value::as_table).map(|of| lines("", of)).unwrap_or_default();
        rows.extend(std::iter::once(about).chain(std::iter::repeat("")).zip(said));
    }
    rows
}

fn self_test(SelfTest { probabilities, tolerance, .. }: &SelfTest) -> String {
    let probabilities: Vec<String> = probabilities.iter().map(|value| format!("{value:.6}")).collect();
    format!("gives {} within {tolerance}", probabilities.join(", "))
}

/// A line for each table that has values: its path, then the values, intervals in brackets behind theirs.
fn lines(path: &str, of: &Table) -> Vec<String> {
    let values: Vec<String> = of.iter().filter_map(|(key, value)| entry(key, value, of)).collect();
    let of_values = (!values.is_empty()).then(|| match path {
        "" => values.join(", "),
        path => format!("{path}: {}", values.join(", ")),
    });
    let tables = of.iter().filter_map(|(key, value)| Some((key, value.as_table()?)));
    let below = tables.flat_map(|(key, table)| {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        lines(&path, table)
    });
    of_values.into_iter().chain(below).collect()
}

/// A value; `None` for tables and for the ends of another value's interval.
fn entry(key: &str, value: &Value, of: &Table) -> Option<String> {
    let end_of = |end: &str| key.strip_suffix(end).is_some_and(|name| of.contains_key(name));
    if value.is_table() || end_of("_low") || end_of("_high") {
        return None;
    }
    let said = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let ends = of.get(&format!("{key}_low")).zip(of.get(&format!("{key}_high")));
    let interval = ends.map(|(low, high)| format!(" ({low} to {high})")).unwrap_or_default();
    Some(format!("{key} {said}{interval}"))
}
