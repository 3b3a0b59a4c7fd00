//! Elements of VR UN and undefined length: sequences that some archive could not name. They are implicit whatever the
//! data set is (PS3.5 6.2.2), which the parser does not know. It is told their length, and takes them as bytes.

use std::io::{self, Read};
use std::vec::IntoIter;

use super::encoding::Encoding;

/// Where the undefined length of an element stands, and what it would be.
#[derive(Debug, Clone, Copy)]
pub(in crate::part10) struct Unknown {
    at: u64,
    length: [u8; 4],
}

impl Unknown {
    /// One whose value lies between two places; none where no length can say so.
    pub(super) fn new(begin: u64, end: u64, encoding: Encoding) -> Option<Self> {
        let length = u32::try_from(end.checked_sub(begin)?).ok().filter(|length| *length < super::UNDEFINED)?;
        let length = match encoding {
            Encoding::ExplicitBig => length.to_be_bytes(),
            Encoding::ImplicitLittle | Encoding::ExplicitLittle => length.to_le_bytes(),
        };
        Some(Self { at: begin.checked_sub(4)?, length })
    }
}

/// A data set in which such elements have a length.
pub(in crate::part10) struct Defined<R> {
    data: R,
    at: u64,
    unknown: IntoIter<Unknown>,
    next: Option<Unknown>,
}

impl<R: Read> Defined<R> {
    /// Begins with the byte that lies at a place.
    pub(in crate::part10) fn new(data: R, at: u64, unknown: Vec<Unknown>) -> Self {
        let mut unknown = unknown.into_iter();
        let next = unknown.next();
        Self { data, at, unknown, next }
    }
}

impl<R: Read> Read for Defined<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.data.read(buffer)?;
        let (begin, end) = (self.at, self.at + read as u64);
        self.at = end;
        while let Some(unknown) = self.next.filter(|unknown| unknown.at < end) {
            for (octet, at) in unknown.length.iter().zip(unknown.at..) {
                let place = at.checked_sub(begin).and_then(|place| usize::try_from(place).ok());
                if let Some(place) = place.and_then(|place| buffer.get_mut(..read)?.get_mut(place)) {
                    *place = *octet;
                }
            }
            if unknown.at + 4 > end {
                break;
            }
            self.next = self.unknown.next();
        }
        Ok(read)
    }
}
