//! What the model says about a study, in clinical words: the value that the report is built from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid};

/// A model's score for *pneumonia*: a softmax output, 0..=1, not a calibrated probability.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

/// The number was not a probability.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not between 0 and 1")]
pub struct NotAProbability(pub f64);

impl Probability {
    /// The score as a fraction, 0..=1.
    pub fn fraction(self) -> f64 {
        self.0
    }

    /// The score in percent, 0..=100.
    pub fn percent(self) -> f64 {
        self.0 * 100.0
    }
}

impl TryFrom<f64> for Probability {
    type Error = NotAProbability;

    fn try_from(value: f64) -> Result<Self, NotAProbability> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(NotAProbability(value)) }
    }
}

impl From<Probability> for f64 {
    fn from(p: Probability) -> f64 {
        p.0
    }
}

/// Where a score turns into a statement: at or above `threshold` is [`Presence::Present`]; below it, at or
/// above `undetermined_from` (where a model package has one) is [`Presence::Undetermined`]; else
/// [`Presence::Absent`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    threshold: Probability,
    undetermined_from: Option<Probability>,
}

impl OperatingPoint {
    /// An operating point; `undetermined_from` must lie below `threshold`, else it has no effect.
    pub fn new(threshold: Probability, undetermined_from: Option<Probability>) -> Self {
        Self { threshold, undetermined_from: undetermined_from.filter(|lower| *lower < threshold) }
    }

    /// The score from which the finding counts as present.
    pub fn threshold(&self) -> Probability {
        self.threshold
    }

    /// The score from which the finding counts as undetermined, if the model has such a zone.
    pub fn undetermined_from(&self) -> Option<Probability> {
        self.undetermined_from
    }

    /// What a score says.
    pub fn presence(&self, score: Probability) -> Presence {
        match self.undetermined_from {
            _ if score >= self.threshold => Presence::Present,
            Some(lower) if score >= lower => Presence::Undetermined,
            _ => Presence::Absent,
        }
    }
}

/// Is there pneumonia? CID 240 (PS3.16). Ordered by how much it asks of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// (272519000, SCT, "Absent")
    Absent,
    /// (373068000, SCT, "Undetermined")
    Undetermined,
    /// (52101004, SCT, "Present")
    Present,
}

macro_rules! reasons {
    ($(#[$of_all:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $reason:ident = $text:literal,)* }) => {
        $(#[$of_all])*
        $vis enum $name {
            $($(#[$doc])* $reason,)*
        }

        impl $name {
            /// Every reason, once.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$reason),*];

            /// The words of the report, in ASCII English.
            pub fn text(self) -> &'static str {
                match self { $(Self::$reason => $text,)* }
            }
        }
    };
}

reasons! {
    /// Why an image was not analysed: a fixed list, so that a report never carries an error text, a path or
    /// patient data.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Reason {
        /// The object is no projection radiograph (CT, MR, ultrasound, ...).
        NotARadiograph = "not a projection radiograph",
        /// A radiograph of another body part.
        NotAChestImage = "not a chest image",
        /// A lateral view.
        LateralView = "lateral view is not supported",
        /// An oblique, lordotic, decubitus or other view.
        ViewNotSupported = "view not supported",
        /// The header says a chest radiograph, and the picture looks like something else.
        DoesNotLookLikeChest = "does not look like a chest image",
        /// A DX image FOR PROCESSING.
        ForProcessing = "image is for processing, not for presentation",
        /// A derived, post-processed or captured image.
        NotAnOriginalImage = "not an original image",
        /// Colour, palette or another photometric interpretation than MONOCHROME1 and MONOCHROME2.
        PhotometricInterpretation = "photometric interpretation not supported",
        /// Fewer rows or columns than the model can be expected to read.
        ImageTooSmall = "image too small",
        /// More pixels than the configuration allows to be decoded.
        ImageTooLarge = "image too large",
        /// The header or the pixel data is broken, contradictory or in a form that no decoder here reads.
        PixelsNotDecodable = "pixel data could not be decoded",
        /// The patient is younger or older than those whom the model is made for.
        AgeOutsideIntendedRange = "patient age outside the model's intended range",
        /// No model could be run.
        ModelNotAvailable = "model not available",
        /// A fault of Auscult's own.
        InternalError = "internal error",
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The ages, in completed years, both ends included, that a model is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u32; 2]", into = "[u32; 2]")]
pub struct AgeRange {
    youngest: u32,
    oldest: u32,
}

/// The numbers were no range of ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} to {1} is no range of ages in years; write the lower one first, and none above {OLDEST}")]
pub struct NotAnAgeRange(pub u32, pub u32);

/// No patient is older, in years.
pub const OLDEST: u32 = 130;

impl AgeRange {
    /// The lowest age.
    pub fn youngest(&self) -> u32 {
        self.youngest
    }

    /// The highest age.
    pub fn oldest(&self) -> u32 {
        self.oldest
    }
}

impl TryFrom<[u32; 2]> for AgeRange {
    type Error = NotAnAgeRange;

    fn try_from([youngest, oldest]: [u32; 2]) -> Result<Self, NotAnAgeRange> {
        if youngest <= oldest && oldest <= OLDEST {
            Ok(Self { youngest, oldest })
        } else {
            Err(NotAnAgeRange(youngest, oldest))
        }
    }
}

impl From<AgeRange> for [u32; 2] {
    fn from(range: AgeRange) -> Self {
        [range.youngest, range.oldest]
    }
}

/// A reference to one received SOP instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SopReference {
    /// Series the instance belongs to.
    pub series: SeriesInstanceUid,
    /// SOP Class of the instance.
    pub sop_class: SopClassUid,
    /// The instance.
    pub sop_instance: SopInstanceUid,
}

/// What became of one image that was offered to the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The model gave this score for *pneumonia*.
    Analysed(Probability),
    /// The image got no score.
    NotAnalysed(Reason),
}

/// One image offered to the model, with its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageFinding {
    /// The image.
    pub image: SopReference,
    /// Score, or why there is none.
    pub outcome: Outcome,
}

/// Who computed the score: what a report must say of the algorithm (TID 4019 items).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Algorithm {
    /// Name of the model package.
    pub name: String,
    /// Version of the model package.
    pub version: String,
    /// SHA-256 of the weights, 64 lower-case hexadecimal digits.
    pub weights_sha256: String,
    /// Further parameters as `key=value`, ASCII, no paths.
    pub parameters: Vec<String>,
}

impl Algorithm {
    /// Version with the weights' digest: `0.1.0+sha256:<16 hex digits>`.
    pub fn version_with_digest(&self) -> String {
        let digest: String = self.weights_sha256.chars().take(16).collect();
        format!("{}+sha256:{digest}", self.version)
    }
}

/// Everything that Auscult says about one study.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The study.
    pub study: StudyInstanceUid,
    /// Images offered to the model, ordered by SOP Instance UID; never empty.
    pub images: Vec<ImageFinding>,
    /// Every instance received of the study, `images` among them.
    pub evidence: Vec<SopReference>,
    /// The algorithm that ran or would have run.
    pub algorithm: Algorithm,
    /// The operating point in force.
    pub operating_point: OperatingPoint,
}

impl Finding {
    /// The images that got a score, in order.
    pub fn analysed(&self) -> impl Iterator<Item = (&SopReference, Probability)> {
        self.images.iter().filter_map(|i| match i.outcome {
            Outcome::Analysed(score) => Some((&i.image, score)),
            Outcome::NotAnalysed(_) => None,
        })
    }

    /// The reasons of the images that got none, in order.
    pub fn declined(&self) -> impl Iterator<Item = Reason> {
        self.images.iter().filter_map(|i| match i.outcome {
            Outcome::Analysed(_) => None,
            Outcome::NotAnalysed(reason) => Some(reason),
        })
    }

    /// The highest score of the study; `None` when no image was analysed.
    pub fn score(&self) -> Option<Probability> {
        self.analysed().map(|(_, score)| score).max_by(|a, b| a.fraction().total_cmp(&b.fraction()))
    }

    /// The study's answer: that of its highest score; `None` when no image was analysed.
    pub fn presence(&self) -> Option<Presence> {
        self.score().map(|score| self.operating_point.presence(score))
    }

    /// The answer in a few words, as a worklist or a terminal shows it: also the report's Series Description.
    pub fn headline(&self) -> &'static str {
        match self.presence() {
            Some(Presence::Present) => "AI: possible pneumonia",
            Some(Presence::Absent) => "AI: nothing flagged",
            Some(Presence::Undetermined) => "AI: undetermined",
            None => "AI: not analysed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(value: f64) -> Probability {
        Probability::try_from(value).unwrap()
    }

    #[test]
    fn the_threshold_itself_is_present() {
        let point = OperatingPoint::new(p(0.5), Some(p(0.3)));
        let of = |v| point.presence(p(v));
        assert_eq!(
            [of(0.5), of(0.499), of(0.3), of(0.29)],
            [Presence::Present, Presence::Undetermined, Presence::Undetermined, Presence::Absent]
        );
        assert_eq!(OperatingPoint::new(p(0.5), Some(p(0.6))).undetermined_from(), None);
    }

    #[test]
    fn only_fractions_are_probabilities() {
        for bad in [-0.1, 1.01, f64::NAN, f64::INFINITY] {
            assert!(Probability::try_from(bad).is_err());
        }
    }

    #[test]
    fn reasons_fit_the_completion_flag_description() {
        for reason in Reason::ALL {
            assert!(format!("Not analysed: {reason}").len() <= 64 && reason.text().is_ascii());
        }
    }
}
