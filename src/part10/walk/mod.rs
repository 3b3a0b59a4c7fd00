//! A walk over a whole data set before any parser sees it: without recursion, in constant memory, believing no
//! length. What passes has the structure of PS3.5 chapter 7, and is read by [`super::read`] within its bounds.
//!
//! Liberal where real files are odd but harmless: text of odd length, Pixel Data of odd length, NULs behind the data
//! set, group lengths that lie, tags out of order, groups that do not exist.

use std::io::{self, BufReader, Cursor, ErrorKind, Read, Seek};

use dicom::core::{Tag, VR};
use dicom::dictionary_std::tags;

use super::{DEEPEST, DEFLATED, Location, Order, Pixels, ReadError, Stretch};

mod bytes;
mod container;
mod encoding;
mod fault;
mod identity;
mod unknown;

pub use fault::{Fault, WalkError};
pub use identity::Outline;
pub(super) use unknown::{Defined, Unknown};

use bytes::{Bytes, Inflated};
use container::{Closing, Container, Inside};
use encoding::{Encoding, ITEM, ITEM_END, ITEMS, SEQUENCE_END};
use identity::IDENTITY;

/// Elements and items of one data set. A parsed one takes up to a hundred times its bytes in memory; an enhanced
/// multi-frame image has about 50 a frame.
const MOST_ELEMENTS: u32 = 250_000;
/// The length that says: up to a delimiter (PS3.5 7.5).
const UNDEFINED: u32 = u32::MAX;
const BUFFER_BYTES: usize = 16 * 1024;

/// What a walk found.
#[derive(Debug)]
pub struct Walked {
    /// What the data set says of itself, as far as it is sound.
    pub outline: Outline,
    /// The elements of VR UN and undefined length, as far as it is sound.
    pub(super) unknown: Vec<Unknown>,
    /// Whether it is sound to its last byte.
    pub soundness: Result<(), WalkError>,
}

/// Walks over the data set of a file. A deflated one may inflate to `largest_inflated` bytes.
pub fn walk(location: &Location, largest_inflated: u64) -> Result<Walked, ReadError> {
    let file = location.open().map_err(ReadError::Io)?;
    let size = file.length();
    over(BufReader::with_capacity(BUFFER_BYTES, file), size, largest_inflated)
}

/// The same, over the octets of a file.
pub fn walk_octets(file: &[u8], largest_inflated: u64) -> Result<Walked, ReadError> {
    over(BufReader::with_capacity(BUFFER_BYTES, Cursor::new(file)), file.len() as u64, largest_inflated)
}

fn over<R: Read + Seek>(mut file: BufReader<R>, size: u64, largest_inflated: u64) -> Result<Walked, ReadError> {
    let transfer_syntax = super::transfer_syntax(&mut file).map_err(|error| super::not_dicom(&error))?;
    let at = file.stream_position().map_err(ReadError::Io)?;
    let mut walked = match transfer_syntax == DEFLATED {
        true => Walk::new(Inflated::new(file, largest_inflated), 0, u64::MAX, Encoding::ExplicitLittle).run(),
        false => Walk::new(file, at, size, Encoding::of(&transfer_syntax)).run(),
    };
    walked.outline.transfer_syntax = transfer_syntax;
    Ok(walked)
}

/// Walks over a data set that was inflated into memory.
pub(super) fn over_inflated(data_set: &[u8]) -> Walked {
    let bytes = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(data_set));
    Walk::new(bytes, 0, data_set.len() as u64, Encoding::ExplicitLittle).run()
}

/// Walks over a data set in memory; the elements of VR UN and undefined length in it.
pub(super) fn over_received(data_set: &[u8], transfer_syntax: &str) -> Result<Vec<Unknown>, WalkError> {
    let bytes = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(data_set));
    let walked = Walk::new(bytes, 0, data_set.len() as u64, Encoding::of(transfer_syntax)).run();
    walked.soundness.map(|()| walked.unknown)
}

struct Walk<B> {
    bytes: B,
    encoding: Encoding,
    at: u64,
    end: u64,
    open: Vec<Container>,
    outline: Outline,
    unknown: Vec<Unknown>,
    elements: u32,
    /// The element or item in hand: where it begins, and its tag once that is read.
    start: u64,
    tag: Option<Tag>,
}

impl<B: Bytes> Walk<B> {
    fn new(bytes: B, at: u64, end: u64, encoding: Encoding) -> Self {
        let (open, outline) = (Vec::with_capacity(2 * DEEPEST + 1), Outline::default());
        Self { bytes, encoding, at, end, open, outline, unknown: Vec::new(), elements: 0, start: at, tag: None }
    }

    fn run(mut self) -> Walked {
        let soundness = self.take_steps();
        Walked { outline: self.outline, unknown: self.unknown, soundness }
    }

    fn take_steps(&mut self) -> Result<(), WalkError> {
        loop {
            self.leave_full();
            self.start = self.at;
            match self.open.last().map(|last| last.inside) {
                None => match self.outermost_tag()? {
                    Some(tag) => self.element(tag)?,
                    None => return Ok(()),
                },
                Some(Inside::Elements) => {
                    let tag = self.next_tag()?;
                    self.element(tag)?;
                }
                Some(Inside::Items) => self.item()?,
                Some(Inside::OffsetTable) => self.offset_table()?,
                Some(Inside::Fragments) => self.item_header().and_then(|header| self.fragment(header))?,
            }
        }
    }

    /// The tag of the data set's next element; none at its end, which may be padded with NULs.
    fn outermost_tag(&mut self) -> Result<Option<Tag>, WalkError> {
        let mut octets = [0; 4];
        let filled = self.fill(&mut octets)?;
        if octets == [0; 4] {
            return self.padding().map(|()| None);
        }
        let tag = self.encoding.tag(octets);
        match (filled, tag.group()) {
            (4, 0x0000 | 0x0002) => {
                self.tag = Some(tag);
                Err(self.fault(Fault::Misplaced))
            }
            (4, _) => Ok(Some(tag)),
            _ => Err(self.fault(Fault::Cut)),
        }
    }

    fn padding(&mut self) -> Result<(), WalkError> {
        let mut octets = [0; 512];
        loop {
            match self.fill(&mut octets)? {
                0 => return Ok(()),
                _ if octets.iter().any(|octet| *octet != 0) => return Err(self.fault(Fault::Misplaced)),
                _ => {}
            }
        }
    }

    /// An element of a data set or an item, up to its value's end or its first item.
    fn element(&mut self, tag: Tag) -> Result<(), WalkError> {
        self.tag = Some(tag);
        self.count()?;
        if self.open.is_empty() && tag == tags::PIXEL_DATA {
            self.outline.pixel_data.get_or_insert(self.start);
        }
        if tag.group() == ITEMS {
            return self.item_end(tag);
        }
        let (vr, length) = self.vr_and_length(tag)?;
        if length == UNDEFINED {
            return self.undefined(tag, vr);
        }
        self.require(length)?;
        match vr {
            VR::SQ => self.sequence(length, self.encoding),
            _ if self.open.is_empty() && tag == tags::PIXEL_DATA => self.native_pixels(vr, length),
            _ if length % encoding::unit(vr) != 0 => Err(self.fault(Fault::NotMultiple)),
            _ if self.open.is_empty() && IDENTITY.contains(&tag) => self.identity(tag, length),
            _ => self.asked_for(tag, length).unwrap_or_else(|| self.skip(length)),
        }
    }

    fn native_pixels(&mut self, vr: VR, length: u32) -> Result<(), WalkError> {
        let stretch = Stretch { begin: self.at, length: length.into() };
        self.outline.pixels.get_or_insert(match (vr, self.encoding) {
            (VR::OW, Encoding::ExplicitBig) => Pixels::Native(stretch, Order::BigEnd),
            (VR::OB | VR::OW | VR::UN, _) => Pixels::Native(stretch, Order::LittleEnd),
            _ => Pixels::Foreign,
        });
        self.skip(length)
    }

    fn vr_and_length(&mut self, tag: Tag) -> Result<(VR, u32), WalkError> {
        let octets = self.take()?;
        if self.encoding == Encoding::ImplicitLittle {
            return Ok((encoding::implied_vr(tag), self.encoding.u32(octets)));
        }
        let [v0, v1, l0, l1] = octets;
        let vr = VR::from_binary([v0, v1]).ok_or_else(|| self.fault(Fault::UnknownVr))?;
        let length = match encoding::has_long_length(vr) {
            true => self.take().map(|octets| self.encoding.u32(octets))?,
            false => self.encoding.u16([l0, l1]).into(),
        };
        Ok((vr, length))
    }

    /// A value of undefined length: fragments, or a sequence, which under UN is implicit (PS3.5 6.2.2).
    fn undefined(&mut self, tag: Tag, vr: VR) -> Result<(), WalkError> {
        match (vr, tag) {
            (VR::OB | VR::OW | VR::UN, tags::PIXEL_DATA) => {
                self.enter(Inside::OffsetTable, UNDEFINED, self.encoding);
                Ok(())
            }
            (VR::SQ, _) => self.sequence(UNDEFINED, self.encoding),
            (VR::UN, _) => self.sequence(UNDEFINED, Encoding::ImplicitLittle),
            _ if self.encoding == Encoding::ImplicitLittle => self.sequence(UNDEFINED, self.encoding),
            _ => Err(self.fault(Fault::UndefinedLength)),
        }
    }

    fn sequence(&mut self, length: u32, encoding: Encoding) -> Result<(), WalkError> {
        if self.open.len() >= 2 * DEEPEST {
            return Err(self.fault(Fault::TooDeep));
        }
        self.enter(Inside::Items, length, encoding);
        Ok(())
    }

    /// The next item of a sequence, or the sequence's end (PS3.5 7.5).
    fn item(&mut self) -> Result<(), WalkError> {
        self.count()?;
        match self.item_header()? {
            (ITEM, length) => {
                if length != UNDEFINED {
                    self.require(length)?;
                }
                self.enter(Inside::Elements, length, self.encoding);
                Ok(())
            }
            (SEQUENCE_END, 0) => self.leave(),
            _ => Err(self.fault(Fault::Misplaced)),
        }
    }

    fn item_end(&mut self, tag: Tag) -> Result<(), WalkError> {
        match (tag, self.take()?) {
            (ITEM_END, [0, 0, 0, 0]) => self.leave(),
            _ => Err(self.fault(Fault::Misplaced)),
        }
    }

    fn offset_table(&mut self) -> Result<(), WalkError> {
        let header = self.item_header()?;
        if matches!(header, (ITEM, length) if length % 4 != 0) {
            return Err(self.fault(Fault::NotMultiple));
        }
        if let Some(last) = self.open.last_mut() {
            last.inside = Inside::Fragments;
        }
        self.fragment(header)
    }

    fn fragment(&mut self, header: (Tag, u32)) -> Result<(), WalkError> {
        match header {
            (ITEM, length) => {
                self.require(length)?;
                self.skip(length)
            }
            (SEQUENCE_END, 0) => self.fragments_end(),
            _ => Err(self.fault(Fault::Misplaced)),
        }
    }

    fn fragments_end(&mut self) -> Result<(), WalkError> {
        if let [fragments] = self.open.as_slice() {
            let items = Stretch { begin: fragments.begin, length: self.start - fragments.begin };
            self.outline.pixels.get_or_insert(Pixels::Fragments(items));
        }
        self.leave()
    }

    fn item_header(&mut self) -> Result<(Tag, u32), WalkError> {
        let tag = self.next_tag()?;
        self.tag = Some(tag);
        let octets = self.take()?;
        Ok((tag, self.encoding.u32(octets)))
    }

    /// Opens a container in the one that is open.
    fn enter(&mut self, inside: Inside, length: u32, encoding: Encoding) {
        let (closing, limit) = match length {
            UNDEFINED => (Closing::Delimiter, self.limit()),
            _ => (Closing::Length, self.at + u64::from(length)),
        };
        self.open.push(Container { inside, closing, limit, begin: self.at, outside: self.encoding });
        self.encoding = encoding;
    }

    /// Closes a container by its delimiter.
    fn leave(&mut self) -> Result<(), WalkError> {
        match self.open.pop() {
            Some(Container { closing: Closing::Delimiter, begin, outside, .. }) => {
                if outside != self.encoding {
                    self.unknown.extend(Unknown::new(begin, self.at, outside));
                }
                self.encoding = outside;
                Ok(())
            }
            _ => Err(self.fault(Fault::Misplaced)),
        }
    }

    /// Closes the containers whose length is used up.
    fn leave_full(&mut self) {
        let at = self.at;
        while let Some(full) = self.open.pop_if(|last| last.closing == Closing::Length && last.limit == at) {
            self.encoding = full.outside;
        }
    }

    fn count(&mut self) -> Result<(), WalkError> {
        self.elements += 1;
        match self.elements {
            ..=MOST_ELEMENTS => Ok(()),
            _ => Err(self.fault(Fault::TooMany)),
        }
    }

    fn limit(&self) -> u64 {
        self.open.last().map_or(self.end, |last| last.limit)
    }

    /// Makes sure that a value has its bytes.
    fn require(&self, length: u32) -> Result<(), WalkError> {
        match u64::from(length) <= self.limit().saturating_sub(self.at) {
            true => Ok(()),
            false => Err(self.fault(Fault::Beyond)),
        }
    }

    fn skip(&mut self, length: u32) -> Result<(), WalkError> {
        self.at += u64::from(length);
        self.bytes.skip(length.into()).map_err(|error| self.failed(error))
    }

    fn next_tag(&mut self) -> Result<Tag, WalkError> {
        self.take().map(|octets| self.encoding.tag(octets))
    }

    fn take(&mut self) -> Result<[u8; 4], WalkError> {
        let mut octets = [0; 4];
        match self.fill(&mut octets)? {
            4 => Ok(octets),
            _ => Err(self.fault(Fault::Cut)),
        }
    }

    /// Fills the buffer as far as the bytes go, and no further than the container in hand.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, WalkError> {
        let room = usize::try_from(self.limit().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = room.min(buffer.len());
        let filled = self.bytes.fill(buffer.get_mut(..room).unwrap_or_default()).map_err(|error| self.failed(error))?;
        self.at += filled as u64;
        Ok(filled)
    }

    fn failed(&self, error: io::Error) -> WalkError {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.fault(Fault::Cut),
            ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::Other => super::not_dicom(&error).into(),
            _ => ReadError::Io(error).into(),
        }
    }

    fn fault(&self, fault: Fault) -> WalkError {
        WalkError::Malformed { fault, offset: self.start, tag: self.tag }
    }
}

#[cfg(test)]
mod tests;
