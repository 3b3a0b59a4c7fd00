//! NVIDIA's devices as this program uses them: how many there are, one opened, and memory that it copies images from.
#![allow(unsafe_code, reason = "what a device's memory is used for, its driver cannot know")]

use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, PinnedHostSlice, result, sys};
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CudaDevice, CudaStorage, Device, Error, Result, Storage, Tensor};

/// How many devices the driver shows this process (`CUDA_VISIBLE_DEVICES` may hide some); 0 where it cannot be asked.
pub fn count() -> usize {
    CudaContext::device_count().ok().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

/// Opens a device, on a stream of its own. Memory that a run gives back stays with the process, so that the next run has it
/// at once.
///
/// # Errors
/// There is no such device, or it cannot be used.
pub fn open(ordinal: usize) -> Result<Device> {
    let device = CudaDevice::new_with_stream(ordinal)?;
    keep_memory(&device).map_err(Error::wrap)?;
    // SAFETY: all that is done with this device's tensors is done on its one stream, in order.
    unsafe { device.disable_event_tracking() };
    Ok(Device::Cuda(device))
}

/// Memory goes back to the driver at every wait otherwise, and takes it longer to give than most operations last.
fn keep_memory(device: &CudaDevice) -> std::result::Result<(), DriverError> {
    let mut threshold = u64::MAX;
    let context = device.cuda_stream().context().clone();
    // SAFETY: the device is open, so that its pool is there; the attribute is a number of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device())?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast())
    }
}

/// Memory in pages that stay where they are, which a device copies from by itself.
pub struct Staging {
    device: CudaDevice,
    pages: Mutex<PinnedHostSlice<f32>>,
}

impl Staging {
    /// For so many values at once; None for a processor.
    ///
    /// # Errors
    /// The system has no such memory.
    pub fn new(device: &Device, values: usize) -> Result<Option<Self>> {
        let Device::Cuda(device) = device else { return Ok(None) };
        // SAFETY: nothing is read before it was written.
        let pages = unsafe { device.cuda_stream().context().alloc_pinned(values) }.map_err(Error::wrap)?;
        Ok(Some(Self { device: device.clone(), pages: Mutex::new(pages) }))
    }

    /// Images `[n, 3, h, w] f32` on the device; by way of the pages where they have room.
    ///
    /// # Errors
    /// The device failed.
    pub fn upload(&self, images: &Tensor) -> Result<Tensor> {
        let images = images.contiguous()?;
        let (storage, layout) = images.storage_and_layout();
        let values = match &*storage {
            Storage::Cpu(CpuStorage::F32(values)) => values.get(layout.start_offset()..),
            _ => None,
        };
        let values = values.and_then(|values| values.get(..images.elem_count()));
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(values) = values.filter(|values| values.len() <= pages.len()) else {
            return images.to_device(&Device::Cuda(self.device.clone()));
        };
        // The last copy may be on its way.
        self.device.cuda_stream().synchronize().map_err(Error::wrap)?;
        let room = pages.as_mut_slice().map_err(Error::wrap)?;
        let room = room.get_mut(..values.len()).ok_or_else(|| Error::msg("the pages are too few"))?;
        room.copy_from_slice(values);
        let copied = self.device.clone_htod(&*room)?;
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(copied, self.device.clone()));
        Ok(Tensor::from_storage(storage, images.shape(), BackpropOp::none(), false))
    }
}
