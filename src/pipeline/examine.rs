//! Selection, decoding and classification: from a study to what is said of it.

use std::collections::HashMap;
use std::io;

use candle_core::Tensor;
use chrono::Local;
use tokio::task::spawn_blocking;

use super::PipelineError;
use crate::background;
use crate::config::Select;
use crate::cuda;
use crate::finding::{Finding, ImageFinding, Outcome, Reason, SopReference};
use crate::inference::{Inference, InferenceError};
use crate::instance::{Header, HeaderError, Instance, Study};
use crate::model::{Answer, Explanation, Framing, Input, InputError, Plausibility};
use crate::part10::Location;
use crate::pixels::{Bounds, Decoder, PixelError, Radiograph};
use crate::select::{self, Candidate, Selection, Verdict};
use crate::sr::{self, Device, Report, Source, SrError};

/// What is known of images before their study is examined, by file.
pub type Foreknowledge = HashMap<Location, Foreseen>;

/// What was said of an image earlier.
#[derive(Debug, Clone)]
pub struct Foreseen {
    /// Score or reason.
    pub outcome: Outcome,
    /// Rule and values of the selection: one line, no patient data.
    pub grounds: String,
    /// Name, version and digest of the model that said so ([`Examiner::algorithm`]).
    pub algorithm: String,
}

/// One image after the model, or after what kept it from the model.
#[derive(Debug)]
pub struct ExaminedImage {
    /// The image.
    pub instance: Instance,
    /// Score or reason.
    pub outcome: Outcome,
    /// Rule and values of the selection, or the decoder's message: one line, no patient data.
    pub grounds: String,
}

/// A study after the model.
#[derive(Debug)]
pub struct Examination {
    /// What is said of it.
    pub finding: Finding,
    /// The images offered, in the order of `finding.images`.
    pub images: Vec<ExaminedImage>,
    /// Their headers, in the same order, for the report to copy from.
    pub sources: Vec<Source>,
    /// The study's other images.
    pub others: Vec<(Instance, Verdict)>,
    /// Objects of the study whose header cannot be read.
    pub unreadable: Vec<(Instance, HeaderError)>,
}

impl Examination {
    /// Every document that this examination is reported in, the main one first; `earlier` is the main report that it
    /// follows, if any.
    pub fn reports(&self, device: &Device, earlier: Option<&SopReference>) -> Result<Vec<Report>, SrError> {
        let now = Local::now().fixed_offset();
        let reports = sr::documents(&self.finding, &self.sources, earlier, device, now)?;
        if let Some(report) = reports.iter().find(|report| report.language != device.language()) {
            let (study, wanted, written) = (&self.finding.study, device.language(), report.language);
            tracing::warn!(%study, wanted, written, "report in another language: a text of the images cannot be \
                changed to UTF-8 without a doubt; look at their Specific Character Set (0008,0005)");
        }
        Ok(reports)
    }
}

/// An image that the model has looked at, with where it sees what it says.
#[derive(Debug)]
pub struct Seen {
    /// The image's pixels.
    pub radiograph: Radiograph,
    /// How they lay in the model's input.
    pub framing: Framing,
    /// Score and heat map.
    pub explanation: Explanation,
}

/// Why the model could not look at an image.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It cannot be decoded.
    #[error(transparent)]
    Pixels(#[from] PixelError),
    /// It cannot be brought into the model's input.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The model failed on it, or has ended.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The decoder panicked.
    #[error("a fault of Auscult's own in the decoder; please report it")]
    Panic,
}

/// Selection, decoding and classification: what the service and `auscult classify` share.
#[derive(Clone)]
pub struct Examiner {
    select: Select,
    inference: Inference,
    decoder: Decoder,
}

impl Examiner {
    /// An examiner with the administrator's selection rules.
    pub fn new(select: Select, inference: Inference, decoder: Decoder) -> Self {
        Self { select, inference, decoder }
    }

    /// The model behind it.
    pub fn inference(&self) -> &Inference {
        &self.inference
    }

    /// What reads the images.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Name, version and digest of the model behind it.
    pub fn algorithm(&self) -> String {
        let algorithm = self.inference.algorithm();
        format!("{} {}", algorithm.name, algorithm.version_with_digest())
    }

    /// Whether an image looks like a chest radiograph; `None` where nobody asks.
    pub fn plausible(&self, plausibility: Option<Plausibility>) -> Option<Verdict> {
        let Plausibility { score, threshold } = plausibility?;
        select::looks_like_chest(score, threshold, &self.select)
    }

    /// The outcome of an image that the model has seen: its score, or the reason and the grounds of a picture that does
    /// not look like a chest radiograph.
    pub fn outcome(&self, answer: Answer) -> Result<Outcome, (Reason, String)> {
        match self.plausible(answer.plausibility) {
            Some(Verdict::Declined(reason, grounds)) => Err((reason, grounds.to_string())),
            Some(Verdict::Accepted(_)) | None => Ok(Outcome::Analysed(answer.score)),
        }
    }

    /// Examines one image of a study that is still arriving; `None` where the header says that it is none for the
    /// model, or cannot be read.
    pub async fn foresee(&self, instance: &Instance) -> Result<Option<Foreseen>, PipelineError> {
        let (location, settings) = (instance.location.clone(), self.select.clone());
        let age = self.inference.intended_age();
        let judge = move || Header::open(location).map(|header| select::judge(&header, &settings, age));
        let judged = background::run(judge).await;
        let Ok(Ok(Verdict::Accepted(grounds))) = judged else { return Ok(None) };
        let (outcome, grounds) = match self.classify(instance).await? {
            Ok(outcome) => (outcome, grounds.to_string()),
            Err((reason, message)) => (Outcome::NotAnalysed(reason), message),
        };
        Ok(Some(Foreseen { outcome, grounds, algorithm: self.algorithm() }))
    }

    /// Examines a study; of images in `known` it repeats what the same model said. `None` when the study holds no
    /// image at all (reports, key objects, presentation states).
    pub async fn examine(&self, study: &Study, known: &Foreknowledge) -> Result<Option<Examination>, PipelineError> {
        let mut selection = self.select(study).await?;
        // Whatever order they came in: the same images are the same report.
        selection.offered.sort_by(|a, b| a.instance.sop_instance.cmp(&b.instance.sop_instance));
        let (mut images, mut sources) = (Vec::new(), Vec::new());
        for candidate in selection.offered {
            images.push(self.image(&candidate, known).await?);
            sources.push(Source { reference: reference(&candidate.instance), header: candidate.header, focus: None });
        }
        if images.is_empty() {
            return match selection.unreadable.pop() {
                Some((_, error)) => Err(error.into()),
                None => Ok(None),
            };
        }
        let finding = Finding {
            study: study.uid.clone(),
            images: images
                .iter()
                .map(|image| ImageFinding { image: reference(&image.instance), outcome: image.outcome })
                .collect(),
            evidence: images
                .iter()
                .map(|image| &image.instance)
                .chain(selection.others.iter().map(|(instance, _)| instance))
                .chain(selection.unreadable.iter().map(|(instance, _)| instance))
                .map(reference)
                .collect(),
            algorithm: self.inference.algorithm().clone(),
            operating_point: self.inference.operating_point(),
        };
        let Selection { others, unreadable, .. } = Selection { offered: Vec::new(), ..selection };
        Ok(Some(Examination { finding, images, sources, others, unreadable }))
    }

    async fn select(&self, study: &Study) -> Result<Selection, PipelineError> {
        let (study, settings) = (study.clone(), self.select.clone());
        let age = self.inference.intended_age();
        let selection = spawn_blocking(move || select::frontal_chest(&study, &settings, age)).await;
        Ok(selection.map_err(|_| PipelineError::Panic("selection"))??)
    }

    async fn image(&self, candidate: &Candidate, known: &Foreknowledge) -> Result<ExaminedImage, PipelineError> {
        let foreseen =
            known.get(&candidate.instance.location).filter(|foreseen| foreseen.algorithm == self.algorithm());
        if let Some(Foreseen { outcome, grounds, .. }) = foreseen.cloned() {
            return Ok(ExaminedImage { instance: candidate.instance.clone(), outcome, grounds });
        }
        let (outcome, grounds) = match &candidate.verdict {
            Verdict::Declined(reason, grounds) => (Outcome::NotAnalysed(*reason), grounds.to_string()),
            Verdict::Accepted(grounds) => match self.classify(&candidate.instance).await? {
                Ok(outcome) => (outcome, grounds.to_string()),
                Err((reason, message)) => (Outcome::NotAnalysed(reason), message),
            },
        };
        Ok(ExaminedImage { instance: candidate.instance.clone(), outcome, grounds })
    }

    /// Decodes an image.
    pub async fn decode(&self, location: &Location) -> Result<Radiograph, LookError> {
        let (decoder, location) = (self.decoder.clone(), location.clone());
        Ok(background::run(move || decoder.decode(location)).await.map_err(|_| LookError::Panic)??)
    }

    /// Decodes an image, and asks the model where it sees what it says.
    pub async fn look(&self, location: &Location) -> Result<Seen, LookError> {
        let radiograph = self.decode(location).await?;
        let input = self.inference.input().clone();
        let prepare = move || input.framed(&radiograph).map(|framed| (radiograph, framed));
        let (radiograph, framed) = background::run(prepare).await.map_err(|_| LookError::Panic)??;
        let framing = framed.framing.clone();
        Ok(Seen { radiograph, framing, explanation: self.inference.explain(framed).await? })
    }

    async fn classify(&self, instance: &Instance) -> Result<Result<Outcome, (Reason, String)>, PipelineError> {
        let (decoder, location) = (self.decoder.clone(), instance.location.clone());
        let input = self.inference.input().clone();
        let prepared =
            background::run(move || prepare(decoder.decode_at_least(location, input.least_side()), &input)).await;
        let tensor = match prepared {
            Ok(Ok(Ok(tensor))) => tensor,
            Ok(Ok(Err(fault))) => return Ok(Err(fault)),
            Ok(Err(no_decoder)) => return Err(PipelineError::Decoder(no_decoder)),
            Err(_) => return Ok(Err((Reason::InternalError, "the decoder panicked on this image".into()))),
        };
        match self.inference.classify(tensor).await {
            Ok(answer) => Ok(self.outcome(answer)),
            Err(InferenceError::Failed(message)) => Ok(Err((Reason::InternalError, message))),
            Err(stopped) => Err(stopped.into()),
        }
    }
}

/// What reads the images of the service and of commands: with workers of this very program (or of that which gave its place
/// to it), and within what the administrator lets an image be decoded to.
///
/// # Errors
/// As [`Decoder::in_workers`].
pub fn decoder(select: &Select) -> io::Result<Decoder> {
    let bounds = Bounds { max_pixels: u64::from(select.max_megapixels) * 1_000_000 };
    Decoder::in_workers(&cuda::decoding_program()?, bounds)
}

/// The model's input, or why this image gives none; an error where no image would.
fn prepare(radiograph: Result<Radiograph, PixelError>, input: &Input) -> io::Result<Result<Tensor, (Reason, String)>> {
    Ok(match radiograph {
        Ok(radiograph) => input.tensor(&radiograph).map_err(|error| (Reason::InternalError, error.to_string())),
        Err(PixelError::NoDecoder(error)) => return Err(error),
        Err(error) => Err((reason(&error), error.to_string())),
    })
}

fn reason(error: &PixelError) -> Reason {
    match error {
        PixelError::Photometric(_) => Reason::PhotometricInterpretation,
        PixelError::TooLarge { .. } => Reason::ImageTooLarge,
        _ => Reason::PixelsNotDecodable,
    }
}

/// How a report refers to an instance.
pub(super) fn reference(instance: &Instance) -> SopReference {
    SopReference {
        series: instance.series.clone(),
        sop_class: instance.sop_class.clone(),
        sop_instance: instance.sop_instance.clone(),
    }
}
