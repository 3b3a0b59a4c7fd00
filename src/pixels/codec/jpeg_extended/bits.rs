//! Reads a JPEG scan bit by bit: a byte 0xFF of the data is followed by 0x00 (T.81 B.1.1.5).

use super::super::Broken;

/// The entropy-coded bits of one restart interval.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// Bits read from `rest` but not yet taken, from the most significant one on; zeros below them.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// Reads from the first byte after a scan header or a restart marker.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data, held: 0, count: 0 }
    }

    /// The next 16 bits without taking them; zeros beyond the end.
    pub fn peek(&mut self) -> u16 {
        if self.count < 16 {
            self.refill();
        }
        (self.held >> 48) as u16
    }

    /// Takes `n` bits, at most 16.
    pub fn skip(&mut self, n: u32) -> Result<(), Broken> {
        self.count = self.count.checked_sub(n).ok_or(Broken::EndsEarly)?;
        self.held <<= n;
        Ok(())
    }

    /// The next value of `size` bits, at most 16, with the sign convention of T.81 F.2.2.1 (EXTEND).
    pub fn signed(&mut self, size: u8) -> Result<i32, Broken> {
        if size == 0 {
            return Ok(0);
        }
        if size > 16 {
            return Err(Broken::Coefficient);
        }
        let value = i32::from(self.peek()) >> (16 - size);
        self.skip(size.into())?;
        let half = 1 << (size - 1);
        Ok(if value < half { value - 2 * half + 1 } else { value })
    }

    /// Leaves the interval: drops the padding bits and passes the restart marker.
    pub fn restart(&self) -> Result<Self, Broken> {
        let at = self.rest.windows(2).position(|pair| matches!(pair, [0xff, 0xd0..=0xd7]));
        let after = at.and_then(|at| self.rest.get(at + 2..));
        after.map(Self::new).ok_or(Broken::NoRestartMarker)
    }

    fn refill(&mut self) {
        while self.count <= 56 {
            let (byte, rest) = match self.rest {
                [0xff, 0x00, rest @ ..] => (0xff, rest),
                [0xff, ..] | [] => return,
                [byte, rest @ ..] => (*byte, rest),
            };
            self.held |= u64::from(byte) << 56 >> self.count;
            self.count += 8;
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffed_bytes_are_dropped_and_markers_end_the_data() {
        let mut bits = Bits::new(&[0xff, 0x00, 0x80, 0xff, 0xd9]);
        assert_eq!(bits.peek(), 0xff80);
        assert_eq!(bits.skip(16), Ok(()));
        assert!(bits.skip(1).is_err());
    }

    #[test]
    fn values_are_extended_by_their_first_bit() {
        let mut bits = Bits::new(&[0b0110_0111, 0b0100_0000]);
        assert_eq!([0, 1, 2, 2, 3, 3].map(|size| bits.signed(size).unwrap()), [0, -1, 3, -3, 7, -5]);
    }
}
