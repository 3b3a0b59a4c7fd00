//! `model.precision`: the numbers that the model is computed with.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `model.precision`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelPrecision {
    /// bf16 where the processor or the device multiplies whole matrices of it and the package's figures allow it, else f32.
    Auto,
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point, on a device; the processor computes in f32 then.
    F16,
    /// bf16 with sums in f32, for packages in whose figures it is.
    Bf16,
    /// Eight-bit integers, for packages that were prepared for it.
    Int8,
}

impl ModelPrecision {
    /// As the file and the command line name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Whether a device computes it, too.
    pub fn is_for_devices(self) -> bool {
        self != Self::Int8
    }
}

impl FromStr for ModelPrecision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            _ => Err("write auto, f32, f16, bf16 or int8".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_takes_what_the_file_takes() {
        for (name, precision) in [
            ("auto", ModelPrecision::Auto),
            ("f32", ModelPrecision::F32),
            ("f16", ModelPrecision::F16),
            ("bf16", ModelPrecision::Bf16),
            ("int8", ModelPrecision::Int8),
        ] {
            assert_eq!(name.parse(), Ok(precision));
            assert_eq!(serde_json::to_value(precision).unwrap(), name);
        }
        assert!("f8".parse::<ModelPrecision>().unwrap_err().contains("int8"));
    }
}
