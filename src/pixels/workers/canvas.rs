//! The memory that a worker puts its images into: as large as the largest image may be, and of that size for ever.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use memmap2::{MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::{Process, Shared};

/// A canvas of so many octets. Pages come when they are written.
pub(super) fn stretched(octets: u64) -> io::Result<File> {
    let canvas = memfd_create("auscult-canvas", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&canvas, octets)?;
    fcntl_add_seals(&canvas, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(canvas.into())
}

/// A canvas as the worker has it: its own memory, so that rows get there without a system call.
pub(super) struct Painting(MmapMut);

impl Painting {
    /// On a canvas of so many octets.
    #[allow(unsafe_code, reason = "a file is mapped")]
    pub fn on(canvas: BorrowedFd<'_>, octets: u64) -> io::Result<Self> {
        let octets = usize::try_from(octets).map_err(io::Error::other)?;
        // SAFETY: nobody but this process maps or writes the canvas: the service reads it by system calls, after the answer that it
        // is painted. It is sealed, so that it never becomes shorter than the map.
        unsafe { MmapOptions::new().len(octets).map_mut(&canvas) }.map(Self)
    }

    /// All of it, from the first octet on.
    pub fn octets(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// A decoded image on the canvas of the worker that decoded it. The worker gets its next image once this is dropped.
///
/// It is read, never mapped: whatever a worker does to its canvas meanwhile, reading gives octets.
#[derive(Debug)]
pub(in crate::pixels) struct Canvas {
    process: Option<Process>,
    workers: Arc<Shared>,
}

impl Canvas {
    pub(super) fn new(process: Process, workers: Arc<Shared>) -> Self {
        Self { process: Some(process), workers }
    }

    /// Its octets from the first on.
    pub fn octets(&self) -> Octets<'_> {
        Octets { canvas: self.process.as_ref().map(Process::canvas), at: 0 }
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            self.workers.rest(process);
        }
    }
}

/// A canvas is equal to itself only.
impl PartialEq for Canvas {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Canvas {}

/// Reads a canvas without its file offset, which the worker shares.
#[derive(Debug)]
pub(in crate::pixels) struct Octets<'a> {
    canvas: Option<&'a File>,
    at: u64,
}

impl Read for Octets<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.canvas.map_or(Ok(0), |canvas| canvas.read_at(buffer, self.at))?;
        self.at += read as u64;
        Ok(read)
    }
}
