//! Specific Character Set (0008,0005; PS3.3 C.12.1.1.2, PS3.5 6.1), strictly: a text is decoded as the standard says, or
//! not at all. A report quotes names of patients; half a name, or one with a sign guessed, is another patient's.
//!
//! `dicom` decodes code extensions by their first value only and ISO_IR 148 as Latin-1, so this is done here.

mod repertoire;
mod transcode;

use encoding::all::{GB18030, GBK};
use encoding::{DecoderTrap, EncoderTrap, EncodingRef};

pub(super) use transcode::{in_ascii, in_unicode, readable_in_unicode};

use repertoire::{Designation, Repertoire};

const ESC: u8 = 0x1b;

/// How the texts of a data set are written.
#[derive(Clone)]
pub(super) enum CharacterSet {
    /// ISO_IR 192: UTF-8.
    Unicode,
    /// GB18030 or GBK.
    Chinese(EncodingRef),
    /// Sets of ISO/IEC 2022 in its two halves, with or without escape sequences that change them.
    Halves { initial: Halves, extensions: Extensions },
}

/// What octets below and above 0x80 mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Halves {
    low: Repertoire,
    high: Option<Repertoire>,
}

/// Whether escape sequences may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extensions {
    None,
    Allowed,
}

impl CharacterSet {
    /// The set of a data set that names none.
    pub const ASCII: Self =
        Self::Halves { initial: Halves { low: Repertoire::Ascii, high: None }, extensions: Extensions::None };

    /// The set that the attribute's value names, which is ASCII where it names none; `None` when it is unknown.
    pub fn parse(value: Option<&[u8]>) -> Option<Self> {
        let text = std::str::from_utf8(value.unwrap_or_default()).ok()?;
        let terms: Vec<&str> = text.split('\\').map(str::trim).collect();
        match terms.as_slice() {
            ["ISO_IR 192"] => return Some(Self::Unicode),
            ["GB18030"] => return Some(Self::Chinese(GB18030)),
            ["GBK"] => return Some(Self::Chinese(GBK)),
            _ => {}
        }
        let mut initial = Halves { low: Repertoire::Ascii, high: None };
        for (position, term) in terms.iter().enumerate().filter(|(_, term)| !term.is_empty()) {
            let designations = Designation::of_term(term)?;
            // A set of several octets to a character comes by its escape sequence, even as the first value.
            let single = designations.iter().filter(|designation| !designation.repertoire().is_multiple());
            single.filter(|_| position == 0).for_each(|designation| initial.designate(*designation));
        }
        let extended = terms.len() > 1 || terms.iter().any(|term| term.starts_with("ISO 2022"));
        let extensions = if extended { Extensions::Allowed } else { Extensions::None };
        Some(Self::Halves { initial, extensions })
    }

    /// The text that octets stand for, `delimiters` being those of its value representation (PS3.5 6.1.2.5.3);
    /// `None` when they are not a text of this set.
    pub fn decode(&self, octets: &[u8], delimiters: &[u8]) -> Option<String> {
        let text = match self {
            Self::Unicode => String::from_utf8(octets.to_vec()).ok()?,
            Self::Chinese(encoding) => {
                let text = encoding.decode(octets, DecoderTrap::Strict).ok()?;
                // Octets that stand for a character in a way of their own do not come back.
                let again = encoding.encode(&text, EncoderTrap::Strict).ok()?;
                (again == octets).then_some(text)?
            }
            Self::Halves { initial, extensions } => decode_halves(*initial, *extensions, octets, delimiters)?,
        };
        let readable = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}');
        text.chars().all(readable).then_some(text)
    }

    /// The octets of a text that this set can write without an escape sequence; `None` when it cannot, or when a
    /// reader that looks for backslashes would find one in the middle of a character.
    pub fn encode(&self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Unicode => Some(text.as_bytes().to_vec()),
            Self::Chinese(encoding) => {
                let octets = encoding.encode(text, EncoderTrap::Strict).ok()?;
                (text.contains('\\') || !octets.contains(&b'\\')).then_some(octets)
            }
            Self::Halves { initial, .. } => text.chars().map(|c| initial.encode(c)).collect(),
        }
    }
}

impl Halves {
    fn designate(&mut self, designation: Designation) {
        match designation {
            Designation::Low(repertoire) => self.low = repertoire,
            Designation::High(repertoire) => self.high = Some(repertoire),
        }
    }

    fn encode(&self, c: char) -> Option<u8> {
        self.low.encode(c).or_else(|| self.high?.encode(c))
    }
}

fn decode_halves(initial: Halves, extensions: Extensions, octets: &[u8], delimiters: &[u8]) -> Option<String> {
    let (mut halves, mut rest, mut text) = (initial, octets, String::new());
    while let Some((&octet, after)) = rest.split_first() {
        if octet == ESC {
            let (designation, after) = Designation::of_escape(after).filter(|_| extensions == Extensions::Allowed)?;
            halves.designate(designation);
            rest = after;
            continue;
        }
        if octet <= b' ' {
            text.push(char::from(octet));
            rest = after;
            if octet < b' ' {
                halves = initial;
            }
            continue;
        }
        let repertoire = if octet < 0x80 { halves.low } else { halves.high? };
        if delimiters.contains(&octet) && !repertoire.is_multiple() {
            text.push(char::from(octet));
            rest = after;
            halves = initial;
            continue;
        }
        let (c, after) = repertoire.decode(rest)?;
        text.push(c);
        rest = after;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PN: &[u8] = b"^=\\";

    fn decoded(set: &str, octets: &[u8]) -> Option<String> {
        CharacterSet::parse(Some(set.as_bytes()))?.decode(octets, PN)
    }

    /// The examples of PS3.5 annexes H, I, J and K, and names in the single-octet sets.
    #[test]
    fn names_decode_as_the_standard_shows_them() {
        for (set, octets, name) in [
            ("", b"Smith^John".as_slice(), "Smith^John"),
            ("ISO_IR 6", b"Smith^John", "Smith^John"),
            ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
            ("ISO_IR 101", b"W\xb1s^J\xf3zef", "Wąs^Józef"),
            ("ISO_IR 109", b"\xa6a^\xf8o", "Ĥa^ĝo"),
            ("ISO_IR 110", b"\xb9\xaa", "šĒ"),
            ("ISO_IR 144", b"\xbb\xee\xda^\xbb\xee\xda", "Люк^Люк"),
            ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea", "قباني"),
            ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
            ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
            ("ISO_IR 148", b"\xddnce^\xdeule", "İnce^Şule"),
            ("ISO_IR 166", b"\xb9\xd2\xc2", "นาย"),
            ("ISO_IR 203", b"\xa4\xbd", "€œ"),
            ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
            ("ISO_IR 192", "Wang^XiaoDong=王^小东".as_bytes(), "Wang^XiaoDong=王^小东"),
            ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
            ("GBK", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
            (
                "\\ISO 2022 IR 87",
                b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
                "Yamada^Tarou=山田^太郎=やまだ^たろう",
            ),
            (
                "ISO 2022 IR 13\\ISO 2022 IR 87",
                b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
                "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
            ),
            (
                "\\ISO 2022 IR 149",
                b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
                "Hong^Gildong=洪^吉洞=홍^길동",
            ),
            ("\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东"),
            ("ISO 2022 IR 100\\ISO 2022 IR 144", b"Buc^J\xe9r\xf4me=\x1b-L\xbb\xee\xda^J\xe9", "Buc^Jérôme=Люк^Jé"),
            ("ISO 2022 IR 6\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B", "丂"),
        ] {
            assert_eq!(decoded(set, octets).as_deref(), Some(name), "{set}");
        }
    }

    #[test]
    fn what_is_no_text_of_its_set_is_refused() {
        for (set, octets) in [
            ("", b"M\xfcller".as_slice()),
            ("ISO_IR 6", b"M\xfcller"),
            ("ISO_IR 100", b"M\x80ller"),
            ("ISO_IR 100", b"A\x1b$B;3\x1b(B"),
            ("ISO_IR 126", b"\xff"),
            ("ISO_IR 192", b"M\xfcller"),
            ("GB18030", b"\xcd"),
            ("GB18030", b"\x80"),
            ("\\ISO 2022 IR 87", b"\x1b$B;"),
            ("\\ISO 2022 IR 87", b"\x1b$B;\x1b(B"),
            ("\\ISO 2022 IR 87", b"\x1b$B-!\x1b(B"),
            ("\\ISO 2022 IR 87", b"\x1b"),
            ("\\ISO 2022 IR 87", b"\x1b$Z;3"),
            ("\\ISO 2022 IR 149", b"\xfb\xf3"),
            ("\\ISO 2022 IR 149", b"\x1b$)C\xfb\xf3^\xd1\xce"),
            ("ISO_IR 13", b"A~"),
            ("ISO_IR 100", b"A\0B"),
            ("ISO_IR 999", b"A"),
            ("ISO_IR 100\\nonsense", b"A"),
            ("ISO_IR 192\\ISO 2022 IR 87", b"A"),
        ] {
            assert_eq!(decoded(set, octets), None, "{set} {octets:x?}");
        }
    }

    #[test]
    fn a_text_is_written_in_a_set_or_not_at_all() {
        let written = |set: &str, text: &str| CharacterSet::parse(Some(set.as_bytes())).unwrap().encode(text);
        assert_eq!(written("ISO_IR 100", "möglich").as_deref(), Some(b"m\xf6glich".as_slice()));
        assert_eq!(written("ISO 2022 IR 100\\ISO 2022 IR 87", "é").as_deref(), Some(b"\xe9".as_slice()));
        assert_eq!(written("ISO_IR 101", "möglich").as_deref(), Some(b"m\xf6glich".as_slice()));
        assert_eq!(written("ISO_IR 101", "não"), None);
        assert_eq!(written("", "möglich"), None);
        assert_eq!(written("", "possible").as_deref(), Some(b"possible".as_slice()));
        assert_eq!(written("GB18030", "肺炎").as_deref(), Some(b"\xb7\xce\xd1\xd7".as_slice()));
        assert_eq!(written("GBK", "\u{4e57}"), None, "its second octet is a backslash");
        assert_eq!(written("\\ISO 2022 IR 87", "肺炎"), None);
    }

    proptest! {
        #[test]
        fn whatever_octets_come_nothing_panics(octets: Vec<u8>, which in 0_usize..6) {
            let sets = ["", "ISO_IR 100", "ISO 2022 IR 13\\ISO 2022 IR 87", "\\ISO 2022 IR 149", "GB18030", "ISO_IR 192"];
            let _ = decoded(sets[which], &octets);
        }

        #[test]
        fn what_is_written_is_read_again(text in "[ -\\[\\]-~À-ÿ]*") {
            let set = CharacterSet::parse(Some(b"ISO_IR 100")).unwrap();
            prop_assert_eq!(set.decode(&set.encode(&text).unwrap(), PN), Some(text));
        }
    }
}
