//! Reads a JPEG scan bit by bit: a byte 0xFF of the data is followed by 0x00 (T.81 B.1.1.5).

use super::super::Broken;

/// The entropy-coded bits of one restart interval.
#[derive(Clone, Copy)]
pub(in super::super) struct Bits<'a> {
    rest: &'a [u8],
    /// The next `count` bits of the data, from the most significant one on. Below them come bits that follow in the data,
    /// or zeros.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// Reads from the first byte after a scan header or a restart marker.
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data, held: 0, count: 0 }
    }

    /// The next 16 bits without taking them; zeros beyond the end.
    #[inline(always)]
    pub fn peek(&mut self) -> u16 {
        if self.count < 16 {
            self.refill();
        }
        (self.held >> 48) as u16
    }

    /// Takes `n` bits, at most 16.
    #[inline(always)]
    pub fn skip(&mut self, n: u32) -> Result<(), Broken> {
        self.count = self.count.checked_sub(n).ok_or(Broken::EndsEarly)?;
        self.held <<= n;
        Ok(())
    }

    /// The next value of `size` bits, at most 16, with the sign convention of T.81 F.2.2.1 (EXTEND).
    #[inline]
    pub fn signed(&mut self, size: u8) -> Result<i32, Broken> {
        if size == 0 {
            return Ok(0);
        }
        if size > 16 {
            return Err(Broken::Coefficient);
        }
        let value = extended(self.peek(), size);
        self.skip(size.into())?;
        Ok(value)
    }

    /// Leaves the interval: drops the padding bits and passes the restart marker.
    pub fn restart(&self) -> Result<Self, Broken> {
        let at = self.rest.windows(2).position(|pair| matches!(pair, [0xff, 0xd0..=0xd7]));
        let after = at.and_then(|at| self.rest.get(at + 2..));
        after.map(Self::new).ok_or(Broken::NoRestartMarker)
    }

    #[inline]
    fn refill(&mut self) {
        if let Some(eight) = self.rest.first_chunk::<8>() {
            let eight = u64::from_be_bytes(*eight);
            if !has_ff(eight) {
                self.held |= eight >> self.count;
                let bytes = (64 - self.count) / 8;
                self.count += 8 * bytes;
                self.rest = self.rest.get(bytes as usize..).unwrap_or_default();
                return;
            }
        }
        self.refill_by_bytes();
    }

    #[inline(never)]
    fn refill_by_bytes(&mut self) {
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

/// The value of the first `size` of 16 bits, 1..=16, with the sign convention of T.81 F.2.2.1 (EXTEND).
pub(in super::super) fn extended(bits: u16, size: u8) -> i32 {
    let value = i32::from(bits) >> (16 - size);
    let half = 1 << (size - 1);
    if value < half { value - 2 * half + 1 } else { value }
}

/// Whether one of eight bytes is 0xFF.
pub(in super::super) fn has_ff(bytes: u64) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    (!bytes).wrapping_sub(LOW) & bytes & (LOW << 7) != 0
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
    fn eight_bytes_at_once_and_one_by_one_are_the_same_bits() {
        // Stuffed bytes at all distances.
        let plain: Vec<u8> = (0..400_u32).map(|at| if at % 23 == 0 { 0xff } else { (at * 37) as u8 & 0x7f }).collect();
        let stuffed: Vec<u8> =
            plain.iter().flat_map(|byte| [*byte, 0].into_iter().take(1 + usize::from(*byte == 0xff))).collect();
        for size in [1, 5, 8, 13, 16] {
            let mut bits = Bits::new(&stuffed);
            for at in (0..plain.len() as u32 * 8 / size).map(|code| code * size) {
                let from = plain.iter().skip(at as usize / 8).chain(&[0; 3]).take(3);
                let three = from.fold(0_u32, |three, byte| three << 8 | u32::from(*byte));
                assert_eq!(u32::from(bits.peek()), three >> (8 - at % 8) & 0xffff, "{size} {at}");
                bits.skip(size).unwrap();
            }
        }
    }

    #[test]
    fn values_are_extended_by_their_first_bit() {
        let mut bits = Bits::new(&[0b0110_0111, 0b0100_0000]);
        assert_eq!([0, 1, 2, 2, 3, 3].map(|size| bits.signed(size).unwrap()), [0, -1, 3, -3, 7, -5]);
    }
}
