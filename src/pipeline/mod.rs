//! One study from spool to outbox: the only file that knows the order.

pub mod line;

use std::sync::Arc;

use candle_core::Tensor;
use chrono::Local;
use tokio::task::spawn_blocking;

use crate::config::{NotAnalysed, Select};
use crate::delivery::{Delivery, OutboxError};
use crate::finding::{Finding, ImageFinding, Outcome, Reason, SopReference};
use crate::inference::{Inference, InferenceError};
use crate::instance::{HeaderError, Instance, Study};
use crate::model::Input;
use crate::pixels::{self, Bounds, PixelError};
use crate::select::{self, Candidate, Selection, Verdict};
use crate::spool::{Spool, SpoolError};
use crate::sr::{self, Device, Report, Source, SrError};

/// A study that did not become a report.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A spooled file cannot be read any more.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The report could not be written.
    #[error(transparent)]
    Report(#[from] SrError),
    /// The model has ended.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The report could not be queued.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The study could not be taken out of the spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A worker thread panicked.
    #[error("a fault of Auscult's own in {0}; please report it")]
    Panic(&'static str),
}

impl PipelineError {
    /// Whether the same study may well succeed later, without anybody mending the study itself.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Inference(_) | Self::Outbox(_) | Self::Spool(_))
    }
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
}

impl Examination {
    /// The report of this examination; `earlier` is the one that it follows, if any.
    pub fn report(&self, device: &Device, earlier: Option<&SopReference>) -> Result<Report, SrError> {
        sr::document(&self.finding, &self.sources, earlier, device, Local::now().fixed_offset())
    }
}

/// Selection, decoding and classification: what the service and `auscult classify` share.
#[derive(Clone)]
pub struct Examiner {
    select: Select,
    inference: Inference,
}

impl Examiner {
    /// An examiner with the administrator's selection rules.
    pub fn new(select: Select, inference: Inference) -> Self {
        Self { select, inference }
    }

    /// The model behind it.
    pub fn inference(&self) -> &Inference {
        &self.inference
    }

    /// Examines a study. `None` when it holds no image at all (reports, key objects, presentation states).
    pub async fn examine(&self, study: &Study) -> Result<Option<Examination>, PipelineError> {
        let selection = self.select(study).await?;
        let (mut images, mut sources) = (Vec::new(), Vec::new());
        for candidate in selection.offered {
            images.push(self.image(&candidate).await?);
            sources.push(Source { reference: reference(&candidate.instance), header: candidate.header });
        }
        if images.is_empty() {
            return Ok(None);
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
                .map(reference)
                .collect(),
            algorithm: self.inference.algorithm().clone(),
            operating_point: self.inference.operating_point(),
        };
        Ok(Some(Examination { finding, images, sources, others: selection.others }))
    }

    async fn select(&self, study: &Study) -> Result<Selection, PipelineError> {
        let (study, settings) = (study.clone(), self.select.clone());
        let selection = spawn_blocking(move || select::frontal_chest(&study, &settings)).await;
        Ok(selection.map_err(|_| PipelineError::Panic("selection"))??)
    }

    async fn image(&self, candidate: &Candidate) -> Result<ExaminedImage, PipelineError> {
        let (outcome, grounds) = match &candidate.verdict {
            Verdict::Declined(reason, grounds) => (Outcome::NotAnalysed(*reason), grounds.to_string()),
            Verdict::Accepted(grounds) => match self.classify(&candidate.instance).await? {
                Ok(outcome) => (outcome, grounds.to_string()),
                Err((reason, message)) => (Outcome::NotAnalysed(reason), message),
            },
        };
        Ok(ExaminedImage { instance: candidate.instance.clone(), outcome, grounds })
    }

    async fn classify(&self, instance: &Instance) -> Result<Result<Outcome, (Reason, String)>, PipelineError> {
        let path = instance.path.clone();
        let bounds = Bounds { max_pixels: u64::from(self.select.max_megapixels) * 1_000_000 };
        let input = self.inference.input().clone();
        let prepared = spawn_blocking(move || prepare(&pixels::decode(&path, &bounds), &input)).await;
        let tensor = match prepared {
            Ok(Ok(tensor)) => tensor,
            Ok(Err(fault)) => return Ok(Err(fault)),
            Err(_) => return Ok(Err((Reason::InternalError, "the decoder panicked on this image".into()))),
        };
        match self.inference.classify(tensor).await {
            Ok(score) => Ok(Ok(Outcome::Analysed(score))),
            Err(InferenceError::Failed(message)) => Ok(Err((Reason::InternalError, message))),
            Err(stopped) => Err(stopped.into()),
        }
    }
}

fn prepare(radiograph: &Result<pixels::Radiograph, PixelError>, input: &Input) -> Result<Tensor, (Reason, String)> {
    let radiograph = radiograph.as_ref().map_err(|error| (reason(error), error.to_string()))?;
    input.tensor(radiograph).map_err(|error| (Reason::InternalError, error.to_string()))
}

fn reason(error: &PixelError) -> Reason {
    match error {
        PixelError::Photometric(_) => Reason::PhotometricInterpretation,
        PixelError::TooLarge { .. } => Reason::ImageTooLarge,
        _ => Reason::PixelsNotDecodable,
    }
}

fn reference(instance: &Instance) -> SopReference {
    SopReference {
        series: instance.series.clone(),
        sop_class: instance.sop_class.clone(),
        sop_instance: instance.sop_instance.clone(),
    }
}

/// The line from spool to outbox.
#[derive(Clone)]
pub struct Pipeline {
    /// Selection to classification.
    pub examiner: Examiner,
    /// Who signs the report.
    pub device: Arc<Device>,
    /// Whether a study without an analysed image gets a report.
    pub not_analysed: NotAnalysed,
    /// Where the images lie.
    pub spool: Spool,
    /// Where the reports go.
    pub delivery: Delivery,
}

impl Pipeline {
    /// Brings one complete study to the outbox and takes it out of the spool. On an error the study stays in the
    /// spool.
    pub async fn process(&self, study: &Study) -> Result<(), PipelineError> {
        match self.examiner.examine(study).await? {
            None => tracing::info!(study = %study.uid, instances = study.instances.len(), "no image, no report"),
            Some(examination) => {
                log(&examination);
                self.answer(study, examination).await?;
            }
        }
        Ok(self.spool.finish(study).await?)
    }

    /// Reports what there is to report. A late image that cannot be analysed does not take back what an earlier
    /// report says of its study; one that can leads to a report that names the earlier one.
    async fn answer(&self, study: &Study, examination: Examination) -> Result<(), PipelineError> {
        let earlier = self.spool.last_report(study).await?;
        match (examination.finding.presence(), &earlier) {
            (None, _) if self.not_analysed == NotAnalysed::LogOnly => {
                tracing::info!(study = %study.uid, "no report: report.not_analysed is log-only");
            }
            (None, Some(earlier)) => {
                tracing::info!(study = %study.uid, report = %earlier.sop_instance, "late images; the report stands");
            }
            _ => {
                let report = self.queue(examination, earlier).await?;
                self.spool.remember(study, report).await?;
            }
        }
        Ok(())
    }

    async fn queue(
        &self,
        examination: Examination,
        earlier: Option<SopReference>,
    ) -> Result<SopReference, PipelineError> {
        let (device, delivery) = (self.device.clone(), self.delivery.clone());
        let queued = spawn_blocking(move || {
            let report = examination.report(&device, earlier.as_ref())?;
            delivery.enqueue(&report)?;
            tracing::info!(study = %report.study, report = %report.sop_instance, "report queued");
            Ok(report.reference())
        });
        queued.await.map_err(|_| PipelineError::Panic("the report"))?
    }
}

fn log(examination: &Examination) {
    let finding = &examination.finding;
    for image in &examination.images {
        let instance = &image.instance.sop_instance;
        match image.outcome {
            Outcome::Analysed(score) => {
                let score = sr::score_text(score, &finding.operating_point);
                tracing::info!(study = %finding.study, %instance, score_percent = %score, "image analysed");
            }
            Outcome::NotAnalysed(reason) => {
                let (reason, grounds) = (reason.text(), image.grounds.as_str());
                tracing::info!(study = %finding.study, %instance, reason, grounds, "image not analysed");
            }
        }
    }
    let analysed = finding.analysed().count();
    tracing::info!(study = %finding.study, images = finding.images.len(), analysed, "{}", finding.headline());
}
