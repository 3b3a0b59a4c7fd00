//! `select.plausibility`: from where on an image looks enough like a chest radiograph.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `select.plausibility`
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PlausibilityRule {
    /// What the model package says.
    Package,
    /// Everything that its header calls a chest radiograph is analysed.
    Off,
    /// Images are analysed from this score on.
    From(f64),
}

impl PlausibilityRule {
    /// From which score on images are accepted, where the package accepts them from `package` on; `None` for all.
    pub fn threshold(self, package: f64) -> Option<f64> {
        match self {
            Self::Package => Some(package),
            Self::Off => None,
            Self::From(score) => Some(score),
        }
    }
}

impl Serialize for PlausibilityRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Package => serializer.serialize_str("package"),
            Self::Off => serializer.serialize_str("off"),
            Self::From(score) => serializer.serialize_f64(*score),
        }
    }
}

impl<'de> Deserialize<'de> for PlausibilityRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = PlausibilityRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"package\", \"off\" or a score")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PlausibilityRule, E> {
        match text {
            "package" => Ok(PlausibilityRule::Package),
            "off" => Ok(PlausibilityRule::Off),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }

    fn visit_f64<E: Error>(self, score: f64) -> Result<PlausibilityRule, E> {
        Ok(PlausibilityRule::From(score))
    }

    fn visit_i64<E: Error>(self, score: i64) -> Result<PlausibilityRule, E> {
        Ok(PlausibilityRule::From(score as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(value: &str) -> Result<PlausibilityRule, String> {
        let text = format!("[select]\nplausibility = {value}\n");
        let config = Config::from_toml(&text, std::path::Path::new("auscult.toml"), Default::default());
        config.map(|config| config.select.plausibility).map_err(|error| error.to_string())
    }

    #[test]
    fn a_word_or_a_score_is_taken_and_anything_else_named() {
        assert_eq!(read("\"package\""), Ok(PlausibilityRule::Package));
        assert_eq!(read("\"off\""), Ok(PlausibilityRule::Off));
        assert_eq!(read("-0.25"), Ok(PlausibilityRule::From(-0.25)));
        assert_eq!(read("0"), Ok(PlausibilityRule::From(0.0)));
        for (value, expected) in [
            ("\"on\"", "\"package\", \"off\" or a score"),
            ("true", "\"package\", \"off\" or a score"),
            ("50", "select.plausibility"),
            ("nan", "select.plausibility"),
        ] {
            let fault = read(value).unwrap_err();
            assert!(fault.contains(expected), "{value}: {fault}");
        }
        let thresholds = [PlausibilityRule::Package, PlausibilityRule::Off, PlausibilityRule::From(0.3)];
        assert_eq!(thresholds.map(|rule| rule.threshold(-0.1)), [Some(-0.1), None, Some(0.3)]);
    }
}
