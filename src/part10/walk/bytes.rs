//! The bytes that are walked over: those of a file, where values are passed over by seeking, or those that inflate
//! from one.

use std::io::{self, BufReader, Error, ErrorKind, Read, Seek};

use flate2::bufread::DeflateDecoder;

use crate::part10::Bounded;

/// Bytes in a row, some of which are of no interest.
pub(super) trait Bytes: Read {
    /// Passes over bytes. Whether they are there shows at the next reading, where it is not known before.
    fn skip(&mut self, length: u64) -> io::Result<()>;

    /// Fills the buffer as far as bytes are left, and says how far.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl<R: Read + Seek> Bytes for BufReader<R> {
    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.seek_relative(i64::try_from(length).map_err(|_| Error::from(ErrorKind::UnexpectedEof))?)
    }
}

/// The bytes of a deflated data set (PS3.5 A.5).
pub(super) struct Inflated<R: Read>(BufReader<Bounded<DeflateDecoder<BufReader<R>>>>);

impl<R: Read> Inflated<R> {
    /// Begins where the reader stands, and fails beyond `largest` bytes.
    pub(super) fn new(deflated: BufReader<R>, largest: u64) -> Self {
        Self(BufReader::new(Bounded { data: DeflateDecoder::new(deflated), left: largest }))
    }
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Bytes for Inflated<R> {
    fn skip(&mut self, length: u64) -> io::Result<()> {
        match io::copy(&mut self.0.by_ref().take(length), &mut io::sink())? {
            skipped if skipped == length => Ok(()),
            _ => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}
