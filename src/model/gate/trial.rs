//! How a gate does on images that it was not fitted to.

use serde_json::{Value, json};

use crate::statistics::Estimate;

/// Images of one kind, and how many of them the gate accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What they are.
    pub name: String,
    /// How many.
    pub images: usize,
    /// How many of them are accepted.
    pub accepted: usize,
}

impl Trial {
    /// Holds scores against a threshold.
    pub fn new(name: impl Into<String>, scores: &[f64], threshold: f64) -> Self {
        let accepted = scores.iter().filter(|score| **score >= threshold).count();
        Self { name: name.into(), images: scores.len(), accepted }
    }

    fn share(&self) -> Option<Estimate> {
        Estimate::proportion(self.accepted, self.images)
    }

    /// The share that is accepted, with its 95 % interval (Wilson): `99.5 % (98.1 to 99.9 %), 423 of 425`.
    pub fn text(&self) -> String {
        let percent = self.share().map_or_else(
            || "no images".to_owned(),
            |Estimate { value, low, high }| {
                format!("{:.1} % ({:.1} to {:.1} %)", 100.0 * value, 100.0 * low, 100.0 * high)
            },
        );
        format!("{percent}, {} of {}", self.accepted, self.images)
    }

    /// The same as a table of a manifest.
    pub fn toml(&self) -> toml::Table {
        let count = |count: usize| toml::Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
        let mut table = toml::Table::new();
        table.insert("images".into(), count(self.images));
        table.insert("accepted".into(), count(self.accepted));
        for (key, value) in self.figures() {
            table.insert(key.into(), value.into());
        }
        table
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let figures = self.figures().into_iter().map(|(key, value)| (key.to_owned(), json!(value)));
        let counts = [("images", self.images), ("accepted", self.accepted)];
        Value::Object(counts.map(|(key, count)| (key.to_owned(), json!(count))).into_iter().chain(figures).collect())
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        let rounded = |value: f64| (value * 1e4).round() / 1e4;
        let of = |Estimate { value, low, high }: Estimate| {
            vec![("share", rounded(value)), ("share_low", rounded(low)), ("share_high", rounded(high))]
        };
        self.share().map(of).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_with_their_interval() {
        let trial = Trial::new("held out", &[0.4, -0.1, -0.11, 0.9], -0.1);
        // Wilson by statsmodels: proportion_confint(3, 4, method="wilson")
        assert_eq!(trial.text(), "75.0 % (30.1 to 95.4 %), 3 of 4");
        assert_eq!(trial.json()["share_low"], 0.3006);
        assert_eq!(trial.toml()["accepted"].as_integer(), Some(3));
        assert_eq!(Trial::new("none", &[], 0.0).text(), "no images, 0 of 0");
    }
}
