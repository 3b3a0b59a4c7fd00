//! `auscult model diff`: what two packages have otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use toml::{Table, Value};

use super::table;
use crate::model::{Change, Inventory, Package};
use crate::resource;

/// Show what differs between two model packages: manifest, figures, tensors.
///
/// Exits with 0 whether they differ or not.
#[derive(clap::Args)]
pub(in crate::cli) struct Diff {
    /// Directory of a model package
    #[arg(value_name = "MODEL_DIR")]
    one: PathBuf,
    /// Directory of another one
    #[arg(value_name = "OTHER_DIR")]
    other: PathBuf,
}

/// What of a package can differ.
struct Side {
    /// Each value of the manifest under its dotted key.
    values: BTreeMap<String, Value>,
    tensors: Inventory,
}

impl Side {
    fn of(directory: &Path) -> Result<Self> {
        let package = Package::open(&resource::find(directory)?)?;
        let mut values = BTreeMap::new();
        flatten("", table(package.manifest())?, &mut values);
        Ok(Self { values, tensors: package.inventory()? })
    }

    fn value(&self, key: &str) -> String {
        self.values.get(key).map_or("(none)".to_owned(), Value::to_string)
    }
}

fn flatten(path: &str, table: Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        match value {
            Value::Table(table) => flatten(&path, table, into),
            value => drop(into.insert(path, value)),
        }
    }
}

impl Diff {
    pub(super) fn run(self) -> Result<()> {
        let (one, other) = (Side::of(&self.one)?, Side::of(&self.other)?);
        let keys: BTreeSet<&String> = one.values.keys().chain(other.values.keys()).collect();
        let differing = keys.into_iter().filter(|key| one.values.get(*key) != other.values.get(*key));
        let values = differing.map(|key| format!("{key}: {} -> {}", one.value(key), other.value(key)));
        let tensors = one.tensors.changes(&other.tensors).into_iter().map(|change| match change {
            Change::Only(name) => format!("tensor {name}: only in the first"),
            Change::OnlyOther(name) => format!("tensor {name}: only in the second"),
            Change::Shape(name, own, their) => format!("tensor {name}: {own:?} -> {their:?}"),
            Change::Values { name, furthest, share } => {
                format!("tensor {name}: values differ by at most {furthest:.3e}, together by {share:.3e} of its norm")
            }
        });
        let lines: Vec<String> = values.chain(tensors).collect();
        let text = if lines.is_empty() { "no difference".to_owned() } else { lines.join("\n") };
        Ok(writeln!(io::stdout(), "{text}")?)
    }
}
