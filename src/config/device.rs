//! `model.device`: what the model is computed on.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `model.device`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelDevice {
    /// An NVIDIA device where there is one that gives what the processor gives, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA device; without one nothing starts.
    Cuda,
}

impl FromStr for ModelDevice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err("write auto, cpu or cuda".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_takes_what_the_file_takes() {
        for (name, device) in [("auto", ModelDevice::Auto), ("cpu", ModelDevice::Cpu), ("cuda", ModelDevice::Cuda)] {
            assert_eq!(name.parse(), Ok(device));
            assert_eq!(serde_json::to_value(device).unwrap(), name);
        }
        assert!("gpu".parse::<ModelDevice>().unwrap_err().contains("cuda"));
    }
}
