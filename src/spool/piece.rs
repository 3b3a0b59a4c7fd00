//! What of an object is gathered in memory before it goes to the disk at once.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};

use crate::digest::Digester;

/// Fragments from here on are kept as they came, shorter ones are copied together: a handle costs more than they do.
const LONG_BYTES: usize = 8 * 1024;

/// Octets in their order, in as few runs as their fragments allow without copying the long ones.
#[derive(Debug, Default)]
pub(super) struct Piece {
    runs: Vec<Bytes>,
    short: BytesMut,
    length: usize,
}

impl Piece {
    /// Takes a fragment.
    pub(super) fn push(&mut self, fragment: Bytes) {
        self.length += fragment.len();
        if fragment.len() < LONG_BYTES {
            self.short.extend_from_slice(&fragment);
        } else {
            self.end_short();
            self.runs.push(fragment);
        }
    }

    /// Octets in all.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Writes all of it, and adds all but the first `head` octets to the digest while they are at hand.
    pub(super) fn write(mut self, file: &mut impl Write, digest: &mut Digester, head: usize) -> io::Result<()> {
        self.end_short();
        let mut head = head;
        for run in &self.runs {
            file.write_all(run)?;
            digest.update(run.get(head..).unwrap_or_default());
            head = head.saturating_sub(run.len());
        }
        Ok(())
    }

    /// All of it in one run.
    pub(super) fn into_octets(mut self) -> Vec<u8> {
        self.end_short();
        self.runs.concat()
    }

    fn end_short(&mut self) {
        if !self.short.is_empty() {
            self.runs.push(self.short.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::Digest;

    proptest! {
        #[test]
        fn fragments_of_any_length_stay_in_order(
            lengths in prop::collection::vec(0..3 * LONG_BYTES, 0..8), head in 0..3 * LONG_BYTES,
        ) {
            let octets: Vec<u8> = (0..lengths.iter().sum()).map(|place: usize| (place % 251) as u8).collect();
            let piece = || {
                let (mut piece, mut rest) = (Piece::default(), octets.as_slice());
                for length in &lengths {
                    let (fragment, others) = rest.split_at(*length);
                    piece.push(Bytes::copy_from_slice(fragment));
                    rest = others;
                }
                piece
            };
            prop_assert_eq!(piece().length(), octets.len());
            prop_assert_eq!(piece().into_octets(), octets.clone());
            let (mut file, mut digest) = (Vec::new(), Digester::default());
            piece().write(&mut file, &mut digest, head).unwrap();
            prop_assert_eq!(&file, &octets);
            prop_assert_eq!(digest.finish(), Digest::of(octets.get(head..).unwrap_or_default()));
        }
    }
}
