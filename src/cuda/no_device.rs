//! The same for a program that was built without CUDA: it has no devices.

use candle_core::{Device, Result, Tensor};

/// None.
pub fn count() -> usize {
    0
}

/// Opens nothing.
///
/// # Errors
/// Always.
pub fn open(ordinal: usize) -> Result<Device> {
    Device::new_cuda(ordinal)
}

/// Memory that no device copies from.
pub enum Staging {}

impl Staging {
    /// None.
    ///
    /// # Errors
    /// Never.
    pub fn new(_device: &Device, _values: usize) -> Result<Option<Self>> {
        Ok(None)
    }

    /// Images on no device.
    ///
    /// # Errors
    /// Never.
    pub fn upload(&self, _images: &Tensor) -> Result<Tensor> {
        match *self {}
    }
}
