//! Reads a JPEG-LS scan bit by bit: after a byte 0xFF the next one holds seven bits (T.87 A.1).

use super::super::Broken;
use super::super::huffman::has_ff;

/// The entropy-coded bits of one restart interval.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// Bits read from `rest` but not yet taken, from the most significant one on; zeros below them.
    held: u64,
    /// How many bits `held` has.
    count: u32,
    after_ff: bool,
}

impl<'a> Bits<'a> {
    /// Reads from the first byte after a scan header or a restart marker.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data, held: 0, count: 0, after_ff: false }
    }

    /// The next bit.
    pub fn bit(&mut self) -> Result<bool, Broken> {
        Ok(self.bits(1)? == 1)
    }

    /// The next `n` bits, at most 32, as a number.
    pub fn bits(&mut self, n: u32) -> Result<u32, Broken> {
        if n == 0 {
            return Ok(0);
        }
        if self.count < n {
            self.refill();
            if self.count < n {
                return Err(Broken::EndsEarly);
            }
        }
        let taken = (self.held >> (64 - n)) as u32;
        self.held <<= n;
        self.count -= n;
        Ok(taken)
    }

    /// Passes zeros up to a one, and the one: how many zeros, at most `most`.
    pub fn zeros(&mut self, most: u32) -> Result<u32, Broken> {
        if self.count < 32 {
            self.refill();
        }
        let zeros = self.held.leading_zeros();
        if zeros < self.count && zeros <= most {
            self.held = (self.held << zeros) << 1;
            self.count -= zeros + 1;
            return Ok(zeros);
        }
        self.zeros_bitwise(most)
    }

    #[cold]
    fn zeros_bitwise(&mut self, most: u32) -> Result<u32, Broken> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > most {
                return Err(Broken::CodeTooLong);
            }
        }
        Ok(zeros)
    }

    /// Leaves the interval: drops the padding bits and passes the restart marker.
    pub fn restart(self) -> Result<Self, Broken> {
        let at = self.rest.windows(2).position(|pair| matches!(pair, [0xff, 0xd0..=0xd7]));
        let after = at.and_then(|at| self.rest.get(at + 2..));
        after.map(Self::new).ok_or(Broken::NoRestartMarker)
    }

    fn refill(&mut self) {
        if let Some(eight) = self.rest.first_chunk::<8>().filter(|_| !self.after_ff) {
            let eight = u64::from_be_bytes(*eight);
            if !has_ff(eight) {
                let bytes = (64 - self.count) / 8;
                // Nothing is held below the bits that are counted.
                self.held |= eight >> self.count & (u64::MAX << (64 - self.count - 8 * bytes));
                self.count += 8 * bytes;
                self.rest = self.rest.get(bytes as usize..).unwrap_or_default();
                return;
            }
        }
        while self.count <= 56 {
            let [byte, rest @ ..] = self.rest else { return };
            let is_ff = *byte == 0xff;
            if is_ff && rest.first().is_none_or(|next| *next >= 0x80) {
                return;
            }
            let width = if self.after_ff { 7 } else { 8 };
            self.held |= u64::from(*byte) << (64 - width) >> self.count;
            self.count += width;
            self.after_ff = is_ff;
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_after_ff_has_seven_bits() {
        let mut bits = Bits::new(&[0xff, 0x7f, 0x80, 0xff, 0xd9]);
        assert_eq!(bits.bits(15), Ok(0x7fff));
        assert_eq!(bits.bits(8), Ok(0x80));
        assert_eq!(bits.bit(), Err(Broken::EndsEarly));
    }

    #[test]
    fn zeros_are_counted_up_to_the_limit() {
        assert_eq!(Bits::new(&[0b0001_0000]).zeros(3), Ok(3));
        assert!(Bits::new(&[0b0000_1000]).zeros(3).is_err());
        assert_eq!(Bits::new(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]).zeros(100), Ok(72));
    }

    #[test]
    fn restart_markers_are_found() {
        let mut bits = Bits::new(&[0x12, 0xff, 0xd3, 0x34]);
        assert_eq!(bits.bits(4), Ok(1));
        assert_eq!(bits.restart().unwrap().bits(8), Ok(0x34));
    }
}
