//! From a file and the environment to a checked [`Config`].

use std::collections::HashMap;
use std::path::Path;

use config::{Environment, File, FileFormat};

use super::{Config, ConfigError};
use crate::cuda;

const PREFIX: &str = "AUSCULT";
const SEPARATOR: &str = "__";

impl Config {
    /// Reads the file, or takes the defaults where there is none, applies the environment and checks every value.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?,
            None => String::new(),
        };
        let name = path.unwrap_or(Path::new("(defaults)"));
        Self::from_toml(&text, name, std::env::vars().collect())
    }

    /// The same configuration, if it can be used: for one that was changed since it was loaded.
    pub fn checked(self) -> Result<Self, ConfigError> {
        self.check()?;
        Ok(self)
    }

    /// The same from text; `name` is what messages call the file, `environment` holds name and value of variables.
    pub fn from_toml(text: &str, name: &Path, environment: HashMap<String, String>) -> Result<Self, ConfigError> {
        // The file alone, strictly: the layered reader below would take "45" and 1.9 for whole numbers.
        toml::from_str::<Self>(text).map_err(|error| malformed(name, text, &error))?;
        let config = layered(text, environment.clone()).map_err(|error| {
            // Each variable alone tells which one it is.
            let faulty =
                |(name, value): &(String, String)| layered(text, [(name.clone(), value.clone())].into()).is_err();
            let name = environment.into_iter().find(faulty).map(|(name, _)| name);
            ConfigError::Environment { name: name.unwrap_or_else(|| "AUSCULT__...".into()), cause: error.to_string() }
        })?;
        config.checked()
    }
}

/// The file's values, overridden by the environment's.
fn layered(text: &str, environment: HashMap<String, String>) -> Result<Config, config::ConfigError> {
    let environment =
        Environment::with_prefix(PREFIX).prefix_separator(SEPARATOR).separator(SEPARATOR).source(Some(environment));
    let layers = config::Config::builder().add_source(File::from_str(text, FileFormat::Toml)).add_source(environment);
    layers.build()?.try_deserialize()
}

/// Variables that are no keys of the configuration: which vector instructions the model is computed with, for tests and
/// diagnosis, and what one program says to the next one.
const OTHERS: [&str; 2] = ["AUSCULT_ISA", cuda::HANDED_OVER];

/// Names in the environment that look like overrides but are none: `AUSCULT_SCP_PORT` instead of `AUSCULT__SCP__PORT`.
pub fn suspicious_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let looks_like_one = |name: &String| name.starts_with("AUSCULT_") && !name.starts_with("AUSCULT__");
    names.filter(|name| looks_like_one(name) && !OTHERS.contains(&name.as_str())).collect()
}

fn malformed(name: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let cause = format!("{}; see config/auscult.toml for every key", toml_fault(text, error));
    ConfigError::Malformed { path: name.to_owned(), cause }
}

/// What is wrong with a TOML text, and on which line, in one line.
pub fn toml_fault(text: &str, error: &toml::de::Error) -> String {
    let number = error.span().map_or(0, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count());
    let line: String = text.lines().nth(number).unwrap_or_default().trim().chars().take(80).collect();
    format!("line {} ({line}): {}", number + 1, error.message().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        with_environment(text, &[])
    }

    fn with_environment(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Config::from_toml(text, Path::new("auscult.toml"), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn no_file_means_the_defaults() {
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named_with_their_line() {
        let message = parse("[scp]\nprot = 104\n").unwrap_err();
        assert!(message.contains("line 2") && message.contains("prot"), "{message}");
        for wrong in
            ["[scp]\nport = \"104\"\n", "[scp]\nport = 104.0\n", "[scp]\nport = 70000\n", "[scp]\nae_title = 7\n"]
        {
            assert!(parse(wrong).unwrap_err().contains("line 2"), "{wrong}");
        }
        assert!(parse("[[destination]]\nkind = \"dicom\"\nname = \"pacs\"\n").unwrap_err().contains("host"));
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = with_environment(
            "[scp]\nport = 104\n",
            &[("AUSCULT__SCP__PORT", "11113"), ("AUSCULT__SCP__AE_TITLE", "007")],
        )
        .unwrap();
        assert_eq!((config.scp.port, config.scp.ae_title.as_str()), (11113, "007"));
        let message = with_environment("", &[("AUSCULT__SCP__PROT", "1")]).unwrap_err();
        assert!(message.contains("AUSCULT__SCP__PROT") && message.contains("prot"), "{message}");
    }

    #[test]
    fn a_variable_with_one_underscore_is_suspicious() {
        let names =
            ["AUSCULT_SCP_PORT", "AUSCULT__SCP__PORT", "AUSCULT_ISA", "AUSCULT_HANDED_OVER", "HOME"].map(String::from);
        assert_eq!(suspicious_variables(names.into_iter()), ["AUSCULT_SCP_PORT"]);
    }
}
