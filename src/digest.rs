//! Which content it is: data sets are told apart by digests.

use std::fmt;
use std::io::{self, Read};

use twox_hash::XxHash3_128;

/// Octets read at once.
const READ_BYTES: usize = 64 * 1024;

/// XXH3 (128 bits, <https://github.com/Cyan4973/xxHash>) of a data set, octet by octet as it was received, without the file
/// meta information before it. Two contents share one by chance once in 2^128; somebody who means to can make two of
/// his own that do, and gains that the second of them counts as the first sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

impl Digest {
    /// That of octets in memory.
    pub fn of(octets: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(octets).to_be_bytes())
    }

    /// As it is recorded.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// Its 32 hexadecimal digits, which is what file names carry.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// A digest in the making, of octets as they come.
#[derive(Default)]
pub struct Digester(Box<XxHash3_128>);

impl Digester {
    /// Takes the next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.write(octets);
    }

    /// Takes all that a reader gives.
    pub fn read(mut self, mut reader: impl Read) -> io::Result<Self> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(self),
                count => self.update(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    /// The digest of all of them.
    pub fn finish(&self) -> Digest {
        Digest(self.0.finish_128().to_be_bytes())
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Digester").field(&self.finish()).finish()
    }
}

/// BLAKE3 of a data set: what ledgers and file names carry that were written before schema 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierDigest([u8; EarlierDigest::OCTETS]);

impl EarlierDigest {
    /// How long it is.
    pub const OCTETS: usize = 32;

    /// That of all that a reader gives.
    pub fn read(reader: impl Read) -> io::Result<Self> {
        Ok(Self(blake3::Hasher::new().update_reader(reader)?.finalize().into()))
    }

    /// As it is recorded.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// The first 32 of its hexadecimal digits.
impl fmt::Display for EarlierDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(16).try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_xxhash_however_the_octets_come() {
        // xxhsum -H2 of nothing, and of "abc".
        assert_eq!(Digest::of(b"").to_string(), "99aa06d3014798d86001c324468d497f");
        assert_eq!(Digest::of(b"abc").to_string(), "06b05ab6733a618578af5f94892f3950");
        let octets: Vec<u8> = (0..200_000_u32).map(|place| (place % 251) as u8).collect();
        let whole = Digest::of(&octets);
        assert_eq!(Digester::default().read(octets.as_slice()).unwrap().finish(), whole);
        let mut pieces = Digester::default();
        octets.chunks(777).for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.finish(), whole);
        assert_ne!(Digest::of(&octets[1..]), whole);
    }

    #[test]
    fn an_earlier_digest_is_that_of_blake3() {
        let earlier = EarlierDigest::read(b"abc".as_slice()).unwrap();
        assert_eq!(earlier.to_string(), "6437b3ac38465133ffb63b75273a8db5");
    }
}
