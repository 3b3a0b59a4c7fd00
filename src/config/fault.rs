//! What is wrong with a configuration.

use std::path::PathBuf;

/// A configuration that cannot be used: where it is wrong and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {path}: {source}; name a readable TOML file with --config, or none for the defaults")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is no TOML, has an unknown key or a value of another type than the key's.
    #[error("configuration {path}: {cause}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, column, key and what was expected.
        cause: String,
    },
    /// An environment variable `AUSCULT__...` names no key or holds no value for it.
    #[error("environment variable {name}: {cause}; an override is AUSCULT__SECTION__KEY, see config/auscult.toml")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A value is of the right type but cannot be used.
    #[error("configuration: {key} = {value}: {remedy}")]
    Value {
        /// The key, dotted.
        key: String,
        /// The value found.
        value: String,
        /// What to write instead.
        remedy: String,
    },
}
