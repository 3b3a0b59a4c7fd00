//! The code elements of PS3.3 tables C.12-2 to C.12-4: what their octets stand for.

use encoding::all::{
    EUC_JP, GBK, ISO_8859_1, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8,
    ISO_8859_15, WINDOWS_874, WINDOWS_949, WINDOWS_1254,
};
use encoding::{DecoderTrap, EncoderTrap, EncodingRef};

/// One code element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repertoire {
    /// ISO-IR 6.
    Ascii,
    /// ISO-IR 14: ASCII but for two signs.
    Romaji,
    /// ISO-IR 13: halfwidth katakana.
    Katakana,
    /// ISO 8859-1.
    Latin1,
    /// ISO 8859-2.
    Latin2,
    /// ISO 8859-3.
    Latin3,
    /// ISO 8859-4.
    Latin4,
    /// ISO 8859-9.
    Latin5,
    /// ISO 8859-15.
    Latin9,
    /// ISO 8859-5.
    Cyrillic,
    /// ISO 8859-6.
    Arabic,
    /// ISO 8859-7.
    Greek,
    /// ISO 8859-8.
    Hebrew,
    /// TIS 620.
    Thai,
    /// ISO-IR 87: JIS X 0208, two octets.
    Kanji,
    /// ISO-IR 159: JIS X 0212, two octets.
    SupplementaryKanji,
    /// ISO-IR 149: KS X 1001, two octets.
    Korean,
    /// ISO-IR 58: GB 2312, two octets.
    Chinese,
}

use Repertoire::*;

/// A code element put into the lower or the upper half of the octets (G0, G1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Designation {
    Low(Repertoire),
    High(Repertoire),
}

use Designation::{High, Low};

impl Designation {
    pub fn repertoire(self) -> Repertoire {
        match self {
            Low(repertoire) | High(repertoire) => repertoire,
        }
    }

    /// What a defined term of Specific Character Set designates.
    pub fn of_term(term: &str) -> Option<&'static [Self]> {
        let number = term.strip_prefix("ISO_IR ").or_else(|| term.strip_prefix("ISO 2022 IR "))?;
        let designations: &[Self] = match number {
            "6" => &[Low(Ascii)],
            "13" => &[Low(Romaji), High(Katakana)],
            "100" => &[High(Latin1)],
            "101" => &[High(Latin2)],
            "109" => &[High(Latin3)],
            "110" => &[High(Latin4)],
            "148" => &[High(Latin5)],
            "203" => &[High(Latin9)],
            "144" => &[High(Cyrillic)],
            "127" => &[High(Arabic)],
            "126" => &[High(Greek)],
            "138" => &[High(Hebrew)],
            "166" => &[High(Thai)],
            "87" => &[Low(Kanji)],
            "159" => &[Low(SupplementaryKanji)],
            "149" => &[High(Korean)],
            "58" => &[High(Chinese)],
            _ => return None,
        };
        Some(designations)
    }

    /// What an escape sequence designates, read after its ESC, and what follows it.
    pub fn of_escape(rest: &[u8]) -> Option<(Self, &[u8])> {
        const SEQUENCES: [(&[u8], Designation); 18] = [
            (b"(B", Low(Ascii)),
            (b"(J", Low(Romaji)),
            (b")I", High(Katakana)),
            (b"-A", High(Latin1)),
            (b"-B", High(Latin2)),
            (b"-C", High(Latin3)),
            (b"-D", High(Latin4)),
            (b"-M", High(Latin5)),
            (b"-b", High(Latin9)),
            (b"-L", High(Cyrillic)),
            (b"-G", High(Arabic)),
            (b"-F", High(Greek)),
            (b"-H", High(Hebrew)),
            (b"-T", High(Thai)),
            (b"$B", Low(Kanji)),
            (b"$(D", Low(SupplementaryKanji)),
            (b"$)C", High(Korean)),
            (b"$)A", High(Chinese)),
        ];
        SEQUENCES.iter().find_map(|(sequence, designation)| Some((*designation, rest.strip_prefix(*sequence)?)))
    }
}

impl Repertoire {
    /// Does a character take two octets?
    pub fn is_multiple(self) -> bool {
        matches!(self, Kanji | SupplementaryKanji | Korean | Chinese)
    }

    /// The first character of `octets`, and what follows it.
    pub fn decode(self, octets: &[u8]) -> Option<(char, &[u8])> {
        let (&first, rest) = octets.split_first()?;
        if !self.is_multiple() {
            return Some((self.decode_single(first)?, rest));
        }
        let (&second, rest) = rest.split_first()?;
        Some((self.decode_pair(first, second)?, rest))
    }

    fn decode_single(self, octet: u8) -> Option<char> {
        match self {
            Ascii => (0x21..0x7f).contains(&octet).then(|| char::from(octet)),
            // Yen sign and overline, which senders mean as backslash and tilde as often as not.
            Romaji if matches!(octet, b'\\' | b'~') => None,
            Romaji => Ascii.decode_single(octet),
            Katakana if (0xa1..=0xdf).contains(&octet) => char::from_u32(0xff61 + u32::from(octet - 0xa1)),
            _ if octet >= 0xa0 => only(&self.table()?.decode(&[octet], DecoderTrap::Strict).ok()?),
            _ => None,
        }
    }

    fn decode_pair(self, first: u8, second: u8) -> Option<char> {
        const HIGH: u8 = 0x80;
        let within = |octet: u8| (0xa1..=0xfe).contains(&octet);
        let decoded = match self {
            // Rows 9 to 15 and those above 84 are makers' own.
            Kanji if !matches!(first, 0x21..=0x28 | 0x30..=0x74) => return None,
            Kanji => EUC_JP_PAIRS.decode(&[first | HIGH, second | HIGH], DecoderTrap::Strict),
            SupplementaryKanji => EUC_JP_PAIRS.decode(&[0x8f, first | HIGH, second | HIGH], DecoderTrap::Strict),
            Korean if within(first) && within(second) => {
                (WINDOWS_949 as EncodingRef).decode(&[first, second], DecoderTrap::Strict)
            }
            Chinese if within(first) && within(second) => {
                (GBK as EncodingRef).decode(&[first, second], DecoderTrap::Strict)
            }
            _ => return None,
        };
        let c = only(&decoded.ok()?)?;
        let private = ('\u{e000}'..='\u{f8ff}').contains(&c);
        (!private).then(|| if self == Kanji { as_standardised(c) } else { c })
    }

    /// The octet of a character in an element of one octet.
    pub fn encode(self, c: char) -> Option<u8> {
        match self {
            Romaji if matches!(c, '\\' | '~') => None,
            Ascii | Romaji => u8::try_from(c).ok().filter(|octet| (0x20..0x7f).contains(octet)),
            Katakana => None,
            _ => {
                let octets = self.table()?.encode(&c.to_string(), EncoderTrap::Strict).ok()?;
                octets.first().copied().filter(|octet| *octet >= 0xa0 && octets.len() == 1)
            }
        }
    }

    /// The table of an element of one octet; beside ISO 8859 stands the code page that has all of it from 0xA0 on.
    fn table(self) -> Option<EncodingRef> {
        let table: EncodingRef = match self {
            Latin1 => ISO_8859_1,
            Latin2 => ISO_8859_2,
            Latin3 => ISO_8859_3,
            Latin4 => ISO_8859_4,
            Latin5 => WINDOWS_1254,
            Latin9 => ISO_8859_15,
            Cyrillic => ISO_8859_5,
            Arabic => ISO_8859_6,
            Greek => ISO_8859_7,
            Hebrew => ISO_8859_8,
            Thai => WINDOWS_874,
            _ => return None,
        };
        Some(table)
    }
}

const EUC_JP_PAIRS: EncodingRef = EUC_JP;

fn only(text: &str) -> Option<char> {
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}

/// The signs of JIS X 0208 that the table gives as a vendor's code page does, as the standard names them.
fn as_standardised(c: char) -> char {
    match c {
        '\u{ff5e}' => '\u{301c}',
        '\u{2225}' => '\u{2016}',
        '\u{ff0d}' => '\u{2212}',
        '\u{ffe0}' => '\u{a2}',
        '\u{ffe1}' => '\u{a3}',
        '\u{ffe2}' => '\u{ac}',
        other => other,
    }
}
