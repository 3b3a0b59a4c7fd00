//! `model.precision`: the numbers that the model is computed with.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `model.precision`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelPrecision {
    /// The fastest that gives what f32 gives: f32.
    Auto,
    /// 32-bit floating point.
    F32,
    /// Eight-bit integers, for packages that were prepared for it.
    Int8,
}

impl FromStr for ModelPrecision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "int8" => Ok(Self::Int8),
            _ => Err("write auto, f32 or int8".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_takes_what_the_file_takes() {
        for (name, precision) in
            [("auto", ModelPrecision::Auto), ("f32", ModelPrecision::F32), ("int8", ModelPrecision::Int8)]
        {
            assert_eq!(name.parse(), Ok(precision));
            assert_eq!(serde_json::to_value(precision).unwrap(), name);
        }
        assert!("bf16".parse::<ModelPrecision>().unwrap_err().contains("int8"));
    }
}
