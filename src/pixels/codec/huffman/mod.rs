//! Huffman coding (T.81 annex C), as sequential and lossless JPEG have it: tables, each one look-up of 16 bits.

mod bits;

use super::Broken;

pub(super) use bits::{Bits, extended, has_ff};

/// A code: how long it is, and what it stands for; length 0 where there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code {
    pub length: u8,
    pub symbol: u8,
}

/// Bits of the look-up that finds most codes, and stays in the processor's first cache.
const SHORT: u32 = 10;

/// One table.
pub(super) struct Table {
    /// Indexed by the next 16 bits.
    all: Vec<Code>,
    /// The codes that the next [`SHORT`] bits are enough for, indexed by these.
    short: Box<[Code; 1 << SHORT]>,
}

/// The tables that the marker segments before a scan set up, by their destinations.
#[derive(Default)]
pub(super) struct Tables {
    /// Class 0: for DC coefficients, and for lossless coding.
    pub dc: [Option<Table>; 4],
    /// Class 1: for AC coefficients.
    pub ac: [Option<Table>; 4],
}

impl Tables {
    /// Takes over a DHT segment (T.81 B.2.4.2).
    pub fn set(&mut self, mut body: &[u8]) -> Result<(), Broken> {
        while let [head, rest @ ..] = body {
            let (table, rest) = Table::parse(rest)?;
            let class = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *slot(class, head & 15)? = Some(table);
            body = rest;
        }
        Ok(())
    }
}

/// One of four table destinations.
pub(super) fn slot<T>(tables: &mut [T; 4], destination: u8) -> Result<&mut T, Broken> {
    tables.get_mut(usize::from(destination)).ok_or(Broken::TableDestination)
}

/// The table at a destination that a scan names.
pub(super) fn find<T>(tables: &[Option<T>; 4], destination: u8) -> Result<&T, Broken> {
    tables.get(usize::from(destination)).and_then(Option::as_ref).ok_or(Broken::NoTable)
}

impl Table {
    /// Parses BITS and HUFFVAL (B.2.4.2); also what follows them.
    fn parse(body: &[u8]) -> Result<(Self, &[u8]), Broken> {
        let cut = Broken::HuffmanTableCut;
        let (lengths, rest) = body.split_first_chunk::<16>().ok_or(cut)?;
        let symbols = lengths.iter().map(|count| usize::from(*count)).sum();
        let (symbols, rest) = rest.split_at_checked(symbols).ok_or(cut)?;
        let of_each_code = (1_u8..).zip(lengths).flat_map(|(length, count)| (0..*count).map(move |_| length));
        let mut table = Vec::with_capacity(1 << 16);
        for (length, symbol) in of_each_code.zip(symbols) {
            let end = table.len() + (1 << (16 - length));
            if end > 1 << 16 {
                return Err(Broken::HuffmanTableTooLong);
            }
            table.resize(end, Code { length, symbol: *symbol });
        }
        table.resize(1 << 16, Code::default());
        let mut short = Box::new([Code::default(); 1 << SHORT]);
        for (slot, code) in short.iter_mut().zip(table.iter().step_by(1 << (16 - SHORT))) {
            if u32::from(code.length) <= SHORT {
                *slot = *code;
            }
        }
        Ok((Self { all: table, short }, rest))
    }

    /// The code that the next 16 bits begin with.
    pub fn code(&self, next: u16) -> Code {
        match self.short.get(usize::from(next >> (16 - SHORT))) {
            Some(code) if code.length > 0 => *code,
            _ => self.all.get(usize::from(next)).copied().unwrap_or_default(),
        }
    }

    /// Takes the next code: what it stands for.
    #[inline]
    pub fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, Broken> {
        let code = self.code(bits.peek());
        if code.length == 0 {
            return Err(Broken::NoSuchCode);
        }
        bits.skip(code.length.into())?;
        Ok(code.symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lengths: &[u8], symbols: &[u8]) -> Vec<u8> {
        let mut body = lengths.to_vec();
        body.resize(16, 0);
        body.extend(symbols);
        body
    }

    #[test]
    fn codes_are_numbered_from_the_shortest_on() {
        // 0 -> 5, 10 -> 6, 110 -> 7
        let body = table(&[1, 1, 1], &[5, 6, 7]);
        let (table, rest) = Table::parse(&body).unwrap();
        assert!(rest.is_empty());
        let mut bits = Bits::new(&[0b1101_0011]);
        assert_eq!([7, 6, 0].map(|_| table.symbol(&mut bits).ok()), [Some(7), Some(6), Some(5)]);
        assert!(table.symbol(&mut Bits::new(&[0b1110_0000])).is_err());
    }

    #[test]
    fn too_many_codes_are_refused() {
        assert!(Table::parse(&table(&[3], &[1, 2, 3])).is_err());
        assert!(Table::parse(&table(&[1], &[])).is_err());
    }
}
