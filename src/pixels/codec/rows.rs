//! Where decoded cells go, row by row from the top: into memory, or onto the canvas of a worker.

use super::{Broken, Cells};

/// Takes the cells of an image as they are decoded, so that none of them lies in memory twice.
pub(in crate::pixels) trait Rows {
    /// Takes whole rows of cells of one octet.
    fn bytes(&mut self, cells: &[u8]) -> Result<(), Broken>;
    /// Takes whole rows of cells of two octets.
    fn words(&mut self, cells: &[u16]) -> Result<(), Broken>;
}

/// Keeps the cells of an image of so many pixels in memory.
pub(in crate::pixels) struct Kept {
    pixels: usize,
    cells: Option<Cells>,
}

impl Kept {
    pub fn new(pixels: usize) -> Self {
        Self { pixels, cells: None }
    }

    /// The cells that came.
    pub fn cells(self) -> Cells {
        self.cells.unwrap_or(Cells::Bytes(Vec::new()))
    }
}

impl Rows for Kept {
    fn bytes(&mut self, cells: &[u8]) -> Result<(), Broken> {
        match self.cells.get_or_insert_with(|| Cells::Bytes(Vec::with_capacity(self.pixels))) {
            Cells::Bytes(kept) => kept.extend_from_slice(cells),
            Cells::Words(_) => return Err(Broken::GaveUp),
        }
        Ok(())
    }

    fn words(&mut self, cells: &[u16]) -> Result<(), Broken> {
        match self.cells.get_or_insert_with(|| Cells::Words(Vec::with_capacity(self.pixels))) {
            Cells::Words(kept) => kept.extend_from_slice(cells),
            Cells::Bytes(_) => return Err(Broken::GaveUp),
        }
        Ok(())
    }
}

/// Lets at most the image's number of cells through, and counts them.
pub(super) struct Exactly<'a> {
    rows: &'a mut dyn Rows,
    most: usize,
    came: usize,
}

impl<'a> Exactly<'a> {
    pub fn new(rows: &'a mut dyn Rows, pixels: usize) -> Self {
        Self { rows, most: pixels, came: 0 }
    }

    /// Whether exactly so many came.
    pub fn finish(self, cells: usize) -> Result<(), Broken> {
        if self.came == cells { Ok(()) } else { Err(Broken::PixelCount) }
    }

    fn count(&mut self, cells: usize) -> Result<(), Broken> {
        self.came = self.came.checked_add(cells).filter(|came| *came <= self.most).ok_or(Broken::PixelCount)?;
        Ok(())
    }
}

impl Rows for Exactly<'_> {
    fn bytes(&mut self, cells: &[u8]) -> Result<(), Broken> {
        self.count(cells.len())?;
        self.rows.bytes(cells)
    }

    fn words(&mut self, cells: &[u16]) -> Result<(), Broken> {
        self.count(cells.len())?;
        self.rows.words(cells)
    }
}
