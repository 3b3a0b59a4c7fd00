//! Who writes: a language in a character set. The set is the image's where it has every word of the language, so that
//! what is copied stays as it is; else it is Unicode, and what is copied changes with it.

use std::borrow::Cow;

use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::attribute::verbatim;
use super::character_set::{CharacterSet, in_ascii, in_unicode, readable_in_unicode};
use super::codes::{Code, Concept};
use super::document::Source;
use super::identity;
use super::language::Language;
use crate::config;
use crate::finding::SopReference;
use crate::heat::Region;
use crate::instance::Header;

/// A language in a character set that has all its words.
#[derive(Clone)]
pub(super) struct Scribe {
    /// The language.
    pub language: &'static Language,
    set: CharacterSet,
}

/// One image as a report quotes it: its octets are in the report's character set.
pub(super) struct Quoted<'a> {
    pub reference: &'a SopReference,
    pub header: &'a Header,
    pub focus: Option<&'a Region>,
    pub octets: Cow<'a, InMemDicomObject>,
}

impl Scribe {
    /// English, whose words every character set has.
    pub fn english() -> Self {
        Self { language: Language::ENGLISH, set: CharacterSet::ASCII }
    }

    /// The scribe for a report of these images, and the images as it quotes them: the first one's octets, and of images
    /// in another character set what is ASCII, or all of them in Unicode. Where the language's words are not in the set of
    /// the first image, and a text of one of the images cannot be brought into Unicode without a doubt, it writes English.
    pub fn for_images<'a>(configured: config::Language, sources: &'a [Source]) -> (Self, Vec<Quoted<'a>>) {
        let language = Language::of(configured);
        let quoted = |source: &'a Source, octets| Quoted {
            reference: &source.reference,
            header: &source.header,
            focus: source.focus.as_ref(),
            octets,
        };
        let set_of = |source: &Source| {
            let named = verbatim(source.header.octets(), tags::SPECIFIC_CHARACTER_SET);
            named.map(|set| set.trim_ascii_end().to_owned())
        };
        let named = sources.first().and_then(set_of);
        let as_they_are = || {
            let octets = |source: &'a Source| match source.header.octets() {
                octets if set_of(source) == named => Cow::Borrowed(octets),
                octets => Cow::Owned(in_ascii(octets, identity::is_quoted)),
            };
            sources.iter().map(|source| quoted(source, octets(source))).collect()
        };
        if language.vocabulary().all(str::is_ascii) {
            return (Self { language, ..Self::english() }, as_they_are());
        }
        if let Some(set) = CharacterSet::parse(named.as_deref())
            && language.vocabulary().all(|text| set.encode(text).is_some())
        {
            return (Self { language, set }, as_they_are());
        }
        let unicode = |source: &'a Source| in_unicode(source.header.octets(), identity::is_quoted);
        let in_unicode: Option<Vec<_>> =
            sources.iter().map(|source| Some(quoted(source, Cow::Owned(unicode(source)?)))).collect();
        match in_unicode {
            Some(images) => (Self { language, set: CharacterSet::Unicode }, images),
            None => (Self::english(), as_they_are()),
        }
    }

    /// A text of the language's own words, of numbers and of ASCII, in the report's character set.
    pub fn octets(&self, text: &str) -> Vec<u8> {
        let one = |c: char| self.set.encode(c.encode_utf8(&mut [0; 4])).unwrap_or_else(|| vec![b'?']);
        self.set.encode(text).unwrap_or_else(|| text.chars().flat_map(one).collect())
    }

    /// A concept with its meaning in the language.
    pub fn code(&self, concept: Concept) -> Code {
        Code {
            value: Cow::Borrowed(concept.value().as_bytes()),
            scheme: Cow::Borrowed(concept.scheme().as_bytes()),
            version: None,
            meaning: Cow::Owned(self.octets((self.language.meaning)(concept))),
        }
    }

    /// The language as a code.
    pub fn language_code(&self) -> Code {
        self.language.code(Cow::Owned(self.octets(self.language.name)))
    }

    /// The text that octets of the report stand for.
    pub fn read(&self, octets: &[u8]) -> Option<String> {
        self.set.decode(octets, b"\\")
    }
}

/// An image's header with every text that a report quotes in UTF-8, without those that cannot be brought there without a
/// doubt.
pub fn header_in_unicode(header: &Header) -> InMemDicomObject {
    readable_in_unicode(header.octets(), identity::is_quoted)
}

#[cfg(test)]
mod tests {
    use dicom::core::VR;

    use super::*;
    use crate::config::Language as Configured;
    use crate::sr::attribute::element;
    use crate::sr::testimony::source;

    /// Language, character set and patient name of a report in `language` for an image with `name` in `set`.
    fn chosen(language: Configured, set: &str, name: &[u8]) -> (&'static str, String, Vec<u8>) {
        let mut image = vec![element(tags::PATIENT_NAME, VR::PN, name)];
        if !set.is_empty() {
            image.push(element(tags::SPECIFIC_CHARACTER_SET, VR::CS, set));
        }
        let sources = [source(image)];
        let (scribe, images) = Scribe::for_images(language, &sources);
        let set = verbatim(&images[0].octets, tags::SPECIFIC_CHARACTER_SET).unwrap_or_default();
        let name = verbatim(&images[0].octets, tags::PATIENT_NAME).unwrap();
        (scribe.language.tag, String::from_utf8(set).unwrap().trim().to_owned(), name.trim_ascii_end().to_vec())
    }

    #[test]
    fn the_images_set_stays_where_it_has_the_words() {
        let muller = b"M\xfcller^J".as_slice();
        for (language, set, name, tag) in [
            (Configured::De, "ISO_IR 100", muller, "de-DE"),
            (Configured::Pt, "ISO_IR 100", muller, "pt-PT"),
            (Configured::Fr, "ISO 2022 IR 100\\ISO 2022 IR 87", b"A\x1b$B;3\x1b(B", "fr-FR"),
            (Configured::De, "ISO_IR 101", muller, "de-DE"),
            (Configured::Zh, "GB18030", b"\xcd\xf5", "zh-CN"),
            (Configured::Ja, "GB18030", b"\xcd", "ja-JP"),
            (Configured::De, "GB18030", b"\xcd", "de-DE"),
            (Configured::Ja, "ISO_IR 192", b"M\xfcller^J", "ja-JP"),
            (Configured::En, "ISO_IR 999", muller, "en-US"),
            (Configured::En, "", muller, "en-US"),
        ] {
            assert_eq!(chosen(language, set, name), (tag, set.to_owned(), name.to_vec()));
        }
    }

    #[test]
    fn an_image_in_another_set_is_quoted_in_what_both_have() {
        let view = |meaning: &[u8]| {
            let code = InMemDicomObject::from_element_iter([
                element(tags::CODE_VALUE, VR::SH, "1"),
                element(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "99X"),
                element(tags::CODE_MEANING, VR::LO, meaning),
            ]);
            crate::sr::content::sequence(tags::VIEW_CODE_SEQUENCE, vec![code])
        };
        let image =
            |set: &str, meaning: &[u8]| source(vec![element(tags::SPECIFIC_CHARACTER_SET, VR::CS, set), view(meaning)]);
        let sources =
            [image("ISO_IR 100", b"Sch\xe4del"), image("ISO_IR 144", b"\xbb\xee"), image("ISO_IR 144", b"PA")];
        let views = |language| {
            let (_, images) = Scribe::for_images(language, &sources);
            let codes = images.iter().map(|image| crate::sr::attribute::codes(&image.octets, tags::VIEW_CODE_SEQUENCE));
            codes.map(|codes| codes.first().map(|code| code.meaning.to_vec())).collect::<Vec<_>>()
        };
        for language in [Configured::En, Configured::De] {
            assert_eq!(views(language), [Some(b"Sch\xe4del".to_vec()), None, Some(b"PA".to_vec())]);
        }
        let unicode = ["Schädel", "Лю", "PA"].map(|meaning| Some(meaning.as_bytes().to_vec()));
        assert_eq!(views(Configured::Ja), unicode);
    }

    #[test]
    fn else_the_report_is_in_unicode_with_every_name_as_it_was() {
        for (language, set, name, text) in [
            (Configured::De, "", b"Muller^J".as_slice(), "Muller^J"),
            (Configured::Pt, "ISO_IR 101", b"W\xb1s", "Wąs"),
            (Configured::Ja, "ISO_IR 100", b"M\xfcller^J", "Müller^J"),
            (Configured::Ja, "\\ISO 2022 IR 87", b"Y^T=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Y^T=山田^太郎"),
            (Configured::De, "GBK", b"\xcd\xf5^\xd0\xa1", "王^小"),
            (Configured::Zh, "ISO_IR 148", b"\xddnce", "İnce"),
        ] {
            let (tag, set_now, name_now) = chosen(language, set, name);
            assert_eq!((tag, set_now.as_str()), (Language::of(language).tag, "ISO_IR 192"), "{set}");
            assert_eq!(name_now, text.as_bytes());
        }
    }

    #[test]
    fn a_name_in_doubt_stays_as_it_is_and_the_report_is_in_english() {
        for (set, name) in [
            ("", b"M\xfcller^J".as_slice()),
            ("ISO_IR 999", b"A\xe4"),
            ("\\ISO 2022 IR 87", b"\x1b$B;"),
            ("ISO_IR 100", b"M\x80ller"),
        ] {
            assert_eq!(chosen(Configured::Ja, set, name), ("en-US", set.to_owned(), name.to_vec()));
        }
    }
}
