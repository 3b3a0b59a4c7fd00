//! Differences between samples and their predictions, as the stream has them (T.81 H.1.2.2).

use super::super::huffman::{Bits, Table, extended};
use super::Broken;

/// Bits of a look-up.
const WIDTH: u32 = 12;

/// A difference, modulo 65536, and the bits that it takes in the stream; no bits where the look-up is too short for it.
#[derive(Debug, Clone, Copy, Default)]
struct Difference {
    value: u16,
    length: u8,
}

/// Reads differences: those of few bits, which most are, by one look-up for code and value.
pub(super) struct Differences<'a> {
    short: Box<[Difference; 1 << WIDTH]>,
    table: &'a Table,
}

impl<'a> Differences<'a> {
    pub fn of(table: &'a Table) -> Self {
        let mut short = Box::new([Difference::default(); 1 << WIDTH]);
        for (beginning, difference) in short.iter_mut().enumerate() {
            let next = (beginning << (16 - WIDTH)) as u16;
            let code = table.code(next);
            let length = code.length + code.symbol.min(16);
            if code.length > 0 && code.symbol < 16 && u32::from(length) <= WIDTH {
                let value = if code.symbol == 0 { 0 } else { extended(next << code.length, code.symbol) };
                *difference = Difference { value: value as u16, length };
            }
        }
        Self { short, table }
    }

    /// Takes the next difference.
    #[inline(always)]
    pub fn next(&self, bits: &mut Bits<'_>) -> Result<u16, Broken> {
        match self.short.get(usize::from(bits.peek() >> (16 - WIDTH))) {
            Some(Difference { value, length }) if *length > 0 => {
                bits.skip((*length).into())?;
                Ok(*value)
            }
            _ => self.long(bits),
        }
    }

    #[inline(never)]
    fn long(&self, bits: &mut Bits<'_>) -> Result<u16, Broken> {
        match self.table.symbol(bits)? {
            // 32768 has no bits of its own.
            16 => Ok(1 << 15),
            size @ 0..16 => Ok(bits.signed(size)? as u16),
            _ => Err(Broken::ErrorValue),
        }
    }

    /// The first line of an interval: each sample is predicted by the one to its left (H.1.2.1).
    pub fn first_line(&self, bits: &mut Bits<'_>, middle: u16, line: &mut [u16]) -> Result<(), Broken> {
        let mut left = middle;
        for sample in line {
            left = left.wrapping_add(self.next(bits)?);
            *sample = left;
        }
        Ok(())
    }
}
