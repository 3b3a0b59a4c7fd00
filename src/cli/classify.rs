//! `auscult classify`: the service's own path from file to finding, without a PACS.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::files::{self, Collection};
use super::overrides::Overrides;
use super::{Failed, log};
use crate::config::{Config, ConfigError, Log, LogLevel};
use crate::daemon;
use crate::finding::{Outcome, Presence, Probability, Reason};
use crate::instance::{Instance, Study};
use crate::pipeline::{self, Examination, Examiner, Foreknowledge};
use crate::pixels;
use crate::select::Verdict;
use crate::sr::{self, Device, Installation};

/// Classify DICOM files, JPEG or PNG pictures without a PACS.
///
/// Prints one line per image: label, probability, threshold, or why there is none. Exits with 1 when a file
/// could not be read; a declined image is no failure.
#[derive(clap::Args)]
pub(super) struct Classify {
    /// DICOM Part 10 files, JPEG or PNG pictures, directories of them
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    /// Write the Structured Report of each study into this directory
    #[arg(long, value_name = "DIR")]
    sr: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Classify {
    pub(super) fn configuration(&self) -> Result<Config, ConfigError> {
        self.overrides.configuration()
    }

    pub(super) fn run(self) -> Result<()> {
        let config = self.configuration()?;
        log::start(&Log { level: LogLevel::Warn, ..config.log.clone() });
        let files = files::collect(&self.files);
        if files.is_empty() {
            return Err(Failed("no DICOM file, JPEG or PNG picture there".into()).into());
        }
        let sorted = Sorted::of(files);
        let inference = daemon::start_model(&config)?;
        let session = Session {
            examiner: Examiner::new(config.select.clone(), inference.clone(), pipeline::decoder(&config.select)?),
            device: Device::new(&config.report, &config.scp.ae_title, &Installation::of_this_machine()),
            form: if self.json { Form::Json } else { Form::Text },
            reports: self.sr,
        };
        let failed = super::runtime()?.block_on(session.classify(sorted))?;
        if failed == 0 {
            Ok(())
        } else {
            Err(Failed(format!("{failed} of the files could not be read or decoded")).into())
        }
    }
}

/// How lines are written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
}

/// The inputs by what they are.
#[derive(Default)]
struct Sorted {
    studies: Vec<Study>,
    pictures: Vec<PathBuf>,
    unreadable: Vec<String>,
}

impl Sorted {
    fn of(files: Collection) -> Self {
        let mut sorted = Self { pictures: files.pictures, unreadable: files.faults, ..Self::default() };
        files.dicom.iter().for_each(|path| sorted.add(path));
        sorted
    }

    /// Puts an instance to its study; to another part of it when that SOP instance is there already, as in a folder
    /// of re-encodings of one image.
    fn add(&mut self, path: &Path) {
        let instance = match Instance::open(path) {
            Ok(instance) => instance,
            Err(error) => return self.unreadable.push(error.to_string()),
        };
        let fits = |study: &&mut Study| {
            let same = |other: &Instance| other.sop_instance == instance.sop_instance;
            study.uid == instance.study && study.patient == instance.patient && !study.instances.iter().any(same)
        };
        match self.studies.iter_mut().find(fits) {
            Some(study) => study.instances.push(instance),
            None => {
                let (uid, patient) = (instance.study.clone(), instance.patient);
                self.studies.push(Study { uid, patient, instances: vec![instance] });
            }
        }
    }
}

/// One line of output.
#[derive(Serialize)]
struct Line<'a> {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    study: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    label: &'static str,
    probability: Option<f64>,
    threshold: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    grounds: &'a str,
}

struct Session {
    examiner: Examiner,
    device: Device,
    form: Form,
    reports: Option<PathBuf>,
}

impl Session {
    /// Classifies everything and returns how many files could not be read.
    async fn classify(&self, sorted: Sorted) -> Result<usize> {
        if let Some(directory) = &self.reports {
            std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        let mut failed = sorted.unreadable.len();
        for message in &sorted.unreadable {
            writeln!(io::stderr(), "{message}")?;
        }
        for study in &sorted.studies {
            match self.examiner.examine(study, &Foreknowledge::new()).await? {
                Some(examination) => failed += self.show(&examination)?,
                None => self.show_without_images(study)?,
            }
        }
        for picture in &sorted.pictures {
            failed += self.picture(picture).await?;
        }
        Ok(failed)
    }

    fn show(&self, examination: &Examination) -> Result<usize> {
        let mut failed = 0;
        for image in &examination.images {
            failed +=
                self.line(image.instance.location.file(), Some(&image.instance), image.outcome, &image.grounds)?;
        }
        for (instance, verdict) in &examination.others {
            let (Verdict::Accepted(grounds) | Verdict::Declined(_, grounds)) = verdict;
            let reason = match verdict {
                Verdict::Declined(reason, _) => *reason,
                Verdict::Accepted(_) => Reason::NotARadiograph,
            };
            self.line(instance.location.file(), Some(instance), Outcome::NotAnalysed(reason), &grounds.to_string())?;
        }
        if let Some(directory) = &self.reports {
            for report in examination.reports(&self.device, None)? {
                let path = directory.join(format!("{}.dcm", report.sop_instance));
                std::fs::write(&path, &report.bytes).with_context(|| path.display().to_string())?;
                if let Form::Text = self.form {
                    let conclusion = sr::conclusion(&examination.finding);
                    writeln!(io::stdout(), "report         {conclusion}  {}", path.display())?;
                }
            }
        }
        Ok(failed)
    }

    fn show_without_images(&self, study: &Study) -> Result<()> {
        for instance in &study.instances {
            let outcome = Outcome::NotAnalysed(Reason::NotARadiograph);
            self.line(instance.location.file(), Some(instance), outcome, "the object holds no image")?;
        }
        Ok(())
    }

    async fn picture(&self, path: &Path) -> Result<usize> {
        let inference = self.examiner.inference();
        let tensor = pixels::picture(path, self.examiner.decoder().bounds())
            .map_err(|error| error.to_string())
            .and_then(|radiograph| inference.input().tensor(&radiograph).map_err(|error| error.to_string()));
        match tensor {
            Ok(tensor) => match self.examiner.outcome(inference.classify(tensor).await?) {
                Ok(outcome) => {
                    self.line(path, None, outcome, "a picture without a header, taken as a frontal chest radiograph")
                }
                Err((reason, grounds)) => self.line(path, None, Outcome::NotAnalysed(reason), &grounds),
            },
            Err(message) => self.line(path, None, Outcome::NotAnalysed(Reason::PixelsNotDecodable), &message),
        }
    }

    /// Writes one line; returns 1 when it reports a file that could not be read.
    fn line(&self, file: &Path, instance: Option<&Instance>, outcome: Outcome, grounds: &str) -> Result<usize> {
        let point = self.examiner.inference().operating_point();
        let (label, probability, reason) = match outcome {
            Outcome::Analysed(score) => (label(point.presence(score)), Some(score), None),
            Outcome::NotAnalysed(reason) => ("not analysed", None, Some(reason)),
        };
        let mut out = io::stdout().lock();
        match self.form {
            Form::Json => {
                let line = Line {
                    file: file.display().to_string(),
                    study: instance.map(|instance| instance.study.as_str()),
                    instance: instance.map(|instance| instance.sop_instance.as_str()),
                    label,
                    probability: probability.map(Probability::fraction),
                    threshold: point.threshold().fraction(),
                    reason,
                    grounds,
                };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            }
            Form::Text => {
                let said = match (probability, reason) {
                    (Some(score), _) => {
                        let (score, threshold) = (sr::score_text(score, &point), sr::threshold_text(&point));
                        format!("{score:>5} %  (threshold {threshold} %; {grounds})")
                    }
                    (None, reason) => {
                        format!("{} ({grounds})", reason.map(Reason::text).unwrap_or_default())
                    }
                };
                writeln!(out, "{label:<13}  {said}  {}", file.display())?;
            }
        }
        let unreadable = matches!(reason, Some(Reason::PixelsNotDecodable | Reason::InternalError));
        Ok(usize::from(unreadable))
    }
}

fn label(presence: Presence) -> &'static str {
    match presence {
        Presence::Present => "pneumonia",
        Presence::Undetermined => "undetermined",
        Presence::Absent => "normal",
    }
}
