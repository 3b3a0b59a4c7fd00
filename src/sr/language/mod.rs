//! The languages that a report can be written in, a file each. The compiler holds every language to completeness: a
//! concept, a reason or a phrase without words does not build.
//!
//! Code values stay the same in every language, as does what identifies (tracking identifiers, algorithm parameters).

mod chinese;
mod dutch;
mod english;
mod french;
mod german;
mod italian;
mod japanese;
mod portuguese;
mod spanish;

use std::borrow::Cow;

use super::codes::{Code, Concept};
use crate::config;
use crate::finding::{Presence, Reason};

/// The words of one language.
pub(super) struct Language {
    /// Its RFC 5646 tag, as the report codes it.
    pub tag: &'static str,
    /// What it calls itself: the meaning of that code.
    pub name: &'static str,
    /// What stands between the whole part of a number and its decimals.
    pub decimal_sign: &'static str,
    /// Code Meaning (0008,0104), VR LO, of every concept.
    pub meaning: fn(Concept) -> &'static str,
    /// Why an image was not analysed. The shortest form that is clear: it must fit into VR LO after `completion`.
    pub reason: fn(Reason) -> &'static str,
    /// Whole sentences.
    pub phrases: Phrases,
}

/// Sentences, with names in braces for what is put into them.
pub(super) struct Phrases {
    /// Series Description: at most 22 characters, which is where lists cut.
    pub flagged_label: &'static str,
    pub clear_label: &'static str,
    pub undetermined_label: &'static str,
    pub not_analysed_label: &'static str,
    /// The verdict, before the score.
    pub present: &'static str,
    pub absent: &'static str,
    pub undetermined: &'static str,
    /// `{verdict}`, `{score}`, `{threshold}`
    pub scored: &'static str,
    /// After `scored`: `{k}` of `{n}` images, and `{reasons}`.
    pub partly: &'static str,
    /// Instead of `scored`: `{reasons}`
    pub not_analysed: &'static str,
    /// Between two reasons.
    pub separator: &'static str,
    /// What every report says of itself, and what one for research adds.
    pub comment: &'static str,
    pub research: &'static str,
    /// Completion Flag Description: `{reasons}`
    pub completion: &'static str,
    /// One image: `{number}`, and `{score}` or `{reasons}`.
    pub image_scored: &'static str,
    pub image_not_analysed: &'static str,
}

impl Phrases {
    fn all(&self) -> [&'static str; 16] {
        // Without `..`: a further phrase has to come in here.
        let Self {
            flagged_label,
            clear_label,
            undetermined_label,
            not_analysed_label,
            present,
            absent,
            undetermined,
            scored,
            partly,
            not_analysed,
            separator,
            comment,
            research,
            completion,
            image_scored,
            image_not_analysed,
        } = self;
        [
            flagged_label,
            clear_label,
            undetermined_label,
            not_analysed_label,
            present,
            absent,
            undetermined,
            scored,
            partly,
            not_analysed,
            separator,
            comment,
            research,
            completion,
            image_scored,
            image_not_analysed,
        ]
    }

    /// Series Description (0008,103E), VR LO: the verdict in a few words.
    pub fn label(&self, presence: Option<Presence>) -> &'static str {
        match presence {
            Some(Presence::Present) => self.flagged_label,
            Some(Presence::Absent) => self.clear_label,
            Some(Presence::Undetermined) => self.undetermined_label,
            None => self.not_analysed_label,
        }
    }

    /// The verdict as a sentence.
    pub fn verdict(&self, presence: Presence) -> &'static str {
        match presence {
            Presence::Present => self.present,
            Presence::Absent => self.absent,
            Presence::Undetermined => self.undetermined,
        }
    }
}

impl Language {
    /// English: what a report is written in when another language cannot be.
    pub const ENGLISH: &'static Self = &english::ENGLISH;

    /// The language of a configuration.
    pub fn of(configured: config::Language) -> &'static Self {
        match configured {
            config::Language::En => &english::ENGLISH,
            config::Language::De => &german::GERMAN,
            config::Language::Fr => &french::FRENCH,
            config::Language::Es => &spanish::SPANISH,
            config::Language::Nl => &dutch::DUTCH,
            config::Language::It => &italian::ITALIAN,
            config::Language::Pt => &portuguese::PORTUGUESE,
            config::Language::Ja => &japanese::JAPANESE,
            config::Language::Zh => &chinese::CHINESE,
        }
    }

    /// A number as its readers write it.
    pub fn number(&self, decimal: &str) -> String {
        decimal.replace('.', self.decimal_sign)
    }

    /// The language itself as a code (RFC 5646).
    pub fn code(&self, name: Cow<'static, [u8]>) -> Code {
        Code {
            value: Cow::Borrowed(self.tag.as_bytes()),
            scheme: Cow::Borrowed(b"RFC5646"),
            version: None,
            meaning: name,
        }
    }

    /// Every word that the language may put into a report.
    pub fn vocabulary(&self) -> impl Iterator<Item = &'static str> {
        let meanings = Concept::ALL.iter().map(|concept| (self.meaning)(*concept));
        let reasons = Reason::ALL.iter().map(|reason| (self.reason)(*reason));
        meanings.chain(reasons).chain(self.phrases.all()).chain([self.name, self.decimal_sign])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Language as Configured;
    use crate::finding::Finding;
    use crate::sr::testimony::{failed, finding, scored};

    fn all() -> impl Iterator<Item = &'static Language> {
        Configured::ALL.into_iter().map(Language::of)
    }

    #[test]
    fn every_text_fits_its_value_representation_and_none_is_empty() {
        for language in all() {
            let labels = [Some(Presence::Present), Some(Presence::Absent), Some(Presence::Undetermined), None]
                .map(|presence| language.phrases.label(presence));
            for label in labels {
                assert!(label.chars().count() <= 22, "{}: lists cut {label:?}", language.tag);
            }
            let meanings = Concept::ALL.iter().map(|concept| (language.meaning)(*concept));
            for text in meanings.chain([language.name]).chain(labels) {
                // Octets, because some receivers count them, and UTF-8 has the most.
                assert!(text.len() <= 64 && !text.contains('\\'), "{}: {text}", language.tag);
            }
            for text in language.vocabulary() {
                assert!(!text.trim().is_empty(), "{}", language.tag);
            }
            for reason in Reason::ALL {
                let whole = language.phrases.completion.replace("{reasons}", (language.reason)(reason)) + " +12";
                assert!(whole.len() <= 64, "{}: {whole}", language.tag);
            }
        }
    }

    #[test]
    fn every_sentence_has_the_places_that_are_filled() {
        let places = |text: &str| {
            let names = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
            names.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>()
        };
        let english: Vec<_> = Language::ENGLISH.phrases.all().into_iter().map(places).collect();
        for language in all() {
            let here: Vec<_> = language.phrases.all().into_iter().map(places).collect();
            assert_eq!(here, english, "{}", language.tag);
        }
    }

    #[test]
    fn words_that_must_not_be_confused_differ() {
        for language in all() {
            let phrases = &language.phrases;
            let verdicts: BTreeSet<_> = [phrases.present, phrases.absent, phrases.undetermined].into();
            let labels: BTreeSet<_> =
                [phrases.flagged_label, phrases.clear_label, phrases.undetermined_label, phrases.not_analysed_label]
                    .into();
            let presence = [Concept::Present, Concept::Absent, Concept::Undetermined];
            let presence: BTreeSet<_> = presence.map(|concept| (language.meaning)(concept)).into();
            let reasons: BTreeSet<_> = Reason::ALL.map(|reason| (language.reason)(reason)).into();
            assert_eq!((verdicts.len(), labels.len(), presence.len()), (3, 4, 3), "{}", language.tag);
            assert_eq!(reasons.len(), Reason::ALL.len(), "{}", language.tag);
        }
        let tags: BTreeSet<_> = all().map(|language| language.tag).collect();
        assert_eq!(tags.len(), Configured::ALL.len());
    }

    #[test]
    fn english_is_what_terminal_and_log_say() {
        let label = |finding: &Finding| Language::ENGLISH.phrases.label(finding.presence());
        for outcome in [scored(0.7), scored(0.2), failed(Reason::LateralView)] {
            let finding = finding(vec![outcome]);
            assert_eq!(label(&finding), finding.headline());
        }
        assert!(Language::ENGLISH.vocabulary().all(str::is_ascii));
    }
}
