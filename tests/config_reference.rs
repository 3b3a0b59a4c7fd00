//! Holds `config/auscult.toml` against the code: it states every key with its default, and no key that does not exist.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use auscult::config::Config;

const REFERENCE: &str = include_str!("../config/auscult.toml");

/// Keys that default to nothing and so are not in a serialised default; the file shows them as comments.
const OPTIONAL: [(&str, &str); 3] =
    [("report", "device_uid"), ("report", "station_name"), ("report", "institution_name")];

/// Keys of a DICOM destination, shown as a comment.
const OTHER_DESTINATIONS: [&str; 11] = [
    "kind",
    "name",
    "host",
    "port",
    "ae_title",
    "storage_commitment",
    "associations",
    "companions",
    "sending_facility",
    "receiving_application",
    "receiving_facility",
];

type Keys = BTreeMap<String, BTreeSet<String>>;

fn keys(table: &toml::Table) -> Keys {
    let names = |table: &toml::Table| table.keys().cloned().collect::<BTreeSet<_>>();
    let of = |value: &toml::Value| match value {
        toml::Value::Table(table) => names(table),
        toml::Value::Array(tables) => tables.iter().filter_map(toml::Value::as_table).flat_map(names).collect(),
        _ => BTreeSet::new(),
    };
    table.iter().map(|(section, value)| (section.clone(), of(value))).collect()
}

/// The file with its commented-out keys and tables switched on: a comment that reads `# key = value` or `# [[table]]`.
fn with_examples(text: &str) -> String {
    let example = |line: &str| {
        let Some(rest) = line.strip_prefix("# ") else { return line.to_owned() };
        let key = rest.split_once(" = ").map_or("", |(key, _)| key);
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if is_key || rest.starts_with("[[") { rest.to_owned() } else { line.to_owned() }
    };
    text.lines().map(example).collect::<Vec<_>>().join("\n")
}

fn parse(text: &str) -> Config {
    Config::from_toml(text, Path::new("config/auscult.toml"), Default::default()).unwrap()
}

#[test]
fn the_file_is_the_default() {
    assert_eq!(parse(REFERENCE), Config::default());
}

#[test]
fn every_key_is_written_out_and_none_is_invented() {
    let written = keys(&REFERENCE.parse().unwrap());
    let existing = keys(&toml::Table::try_from(Config::default()).unwrap());
    assert_eq!(written, existing, "left: config/auscult.toml, right: the code");
}

#[test]
fn every_optional_key_has_an_example_that_is_accepted() {
    let text = with_examples(REFERENCE);
    let mut expected = keys(&toml::Table::try_from(Config::default()).unwrap());
    for (section, key) in OPTIONAL {
        expected.get_mut(section).unwrap().insert(key.to_owned());
    }
    expected.get_mut("destination").unwrap().extend(OTHER_DESTINATIONS.map(String::from));
    assert_eq!(keys(&text.parse().unwrap()), expected, "left: config/auscult.toml with its examples, right: the code");
    let config = parse(&text);
    let shown = keys(&toml::Table::try_from(&config).unwrap());
    assert_eq!(shown, expected, "left: what the code takes from the examples, right: what it knows");
    assert_eq!(config.destination.len(), 3);
}

#[test]
fn the_list_of_optional_keys_is_complete() {
    let source = include_str!("../src/config/mod.rs");
    let optional: Vec<&str> = source
        .lines()
        .filter(|line| line.contains(": Option<"))
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(optional, OPTIONAL.map(|(_, key)| key), "left: src/config/mod.rs, right: this test");
}

#[test]
fn every_key_has_a_comment_above_it() {
    let lines: Vec<&str> = REFERENCE.lines().collect();
    let mut bare = Vec::new();
    for (above, line) in lines.iter().zip(lines.iter().skip(1)) {
        let is_key = line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ");
        let explained = above.starts_with('#') || above.starts_with("[[") || above.contains(" = ");
        if is_key && !explained {
            bare.push(*line);
        }
    }
    assert!(bare.is_empty(), "keys without a comment directly above: {bare:?}");
}
