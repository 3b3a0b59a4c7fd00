//! `auscult explain`: how one image comes to its result, step by step, and what the radiologist will read.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::overrides::Overrides;
use super::{Failed, log};
use crate::config::{Config, ConfigError, Log, LogLevel};
use crate::daemon;
use crate::finding::Outcome;
use crate::heat::{Extent, HeatMap};
use crate::inference::Inference;
use crate::instance::{Header, Instance, Study};
use crate::model::{Answer, Explanation, Input, Package};
use crate::part10::Location;
use crate::pipeline::{Examination, Examiner, Foreknowledge, Foreseen, LookError, Seen, decoder};
use crate::pixels::Radiograph;
use crate::resource;
use crate::select::{self, Asked, Verdict};
use crate::sr::companion::{Caption, plate};
use crate::sr::{self, Device, Installation, Summary};
use facts::Facts;
use preprocessing::Words;

mod facts;
mod preprocessing;

/// Explain the result of one DICOM file.
///
/// Prints every selection rule that was asked with what it saw, the preprocessing, the score and the operating
/// point, where the model sees it, and the words of the report. Exits with 1 when the file could not be read or
/// decoded; a declined image is no failure.
#[derive(clap::Args)]
pub(super) struct Explain {
    /// A DICOM Part 10 file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write the heat map over the image into this PNG file
    #[arg(long, value_name = "OUT")]
    png: Option<PathBuf>,
    /// Write the picture that the preprocessing starts from, 8 bits, into this PNG file
    #[arg(long, value_name = "OUT")]
    luminance: Option<PathBuf>,
    /// Only the verdict, the picture in figures and what the plausibility gate says, as JSON on one line; no score
    #[arg(long, conflicts_with = "png")]
    json: bool,
    #[command(flatten)]
    overrides: Overrides,
}

impl Explain {
    pub(super) fn configuration(&self) -> Result<Config, ConfigError> {
        self.overrides.configuration()
    }

    pub(super) fn run(self) -> Result<()> {
        let config = self.configuration()?;
        log::start(&Log { level: LogLevel::Warn, ..config.log.clone() });
        if self.json {
            return self.facts(&config);
        }
        let instance = Instance::open(&self.file).map_err(|error| {
            let hint = "name a DICOM file; auscult import makes one of a picture";
            if self.file.is_file() { Failed(format!("{error}; {hint}")) } else { Failed(error.to_string()) }
        })?;
        let inference = daemon::start_model(&config)?;
        super::runtime()?.block_on(self.explain(&config, instance, inference))
    }

    /// The verdict and the picture, for programs.
    fn facts(&self, config: &Config) -> Result<()> {
        let header = Header::open(&self.file)?;
        let manifest = Package::manifest_in(&resource::find(&config.model.package)?)?;
        let verdict = select::judge(&header, &config.select, manifest.intended_age_years);
        let decoded = decoder(&config.select)?.decode(&self.file);
        let input = Input::new(&manifest.input);
        let mut plausibility = None;
        if let Ok(radiograph) = &decoded {
            self.picture(radiograph)?;
            if manifest.plausibility.is_some() {
                let image = input.tensor(radiograph)?.unsqueeze(0)?;
                plausibility = daemon::load_model(config)?.look(&image)?.pop().and_then(|said| said.plausibility);
            }
        }
        let facts = Facts::new(&verdict, &decoded, &input, (plausibility, &config.select))?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&facts)?)?;
        match (verdict, decoded) {
            (Verdict::Accepted(_), Err(error)) => Err(Failed(error.to_string()).into()),
            _ => Ok(()),
        }
    }

    /// Writes the picture, if that is wanted.
    fn picture(&self, radiograph: &Radiograph) -> Result<()> {
        let Some(path) = &self.luminance else { return Ok(()) };
        let levels = facts::grey_levels(radiograph)?;
        let size = (u32::try_from(radiograph.columns)?, u32::try_from(radiograph.rows)?);
        save(path, &levels, size, image::ColorType::L8)
    }

    async fn explain(&self, config: &Config, instance: Instance, inference: Inference) -> Result<()> {
        let header = Header::open(&self.file)?;
        show("file", self.file.display())?;
        let asked = select::hear(&header, &config.select, inference.intended_age());
        selection(&asked)?;
        let accepted = matches!(asked.last().and_then(|asked| asked.verdict.as_ref()), Some(Verdict::Accepted(_)));
        let mut known = Foreknowledge::new();
        let examiner = Examiner::new(config.select.clone(), inference.clone(), decoder(&config.select)?);
        let seen = if accepted { seen(&examiner, &instance.location).await? } else { None };
        if let Some(seen) = &seen {
            self.picture(&seen.radiograph)?;
            preprocessing(seen, inference.input())?;
            if let Some(verdict) = examiner.plausible(seen.explanation.plausibility) {
                show("plausibility", said_of(&verdict))?;
            }
            let Explanation { score, plausibility, .. } = seen.explanation;
            let (outcome, grounds) = match examiner.outcome(Answer { score, plausibility }) {
                Ok(outcome) => (outcome, String::new()),
                Err((reason, grounds)) => (Outcome::NotAnalysed(reason), grounds),
            };
            let foreseen = Foreseen { outcome, grounds, algorithm: examiner.algorithm() };
            known.insert(instance.location.clone(), foreseen);
        }
        let study = Study { uid: instance.study.clone(), patient: instance.patient, instances: vec![instance] };
        let Some(examination) = examiner.examine(&study, &known).await? else {
            return Err(Failed(format!("{}: the object holds no image; name an image", self.file.display())).into());
        };
        let device = Device::new(&config.report, &config.scp.ae_title, &Installation::of_this_machine());
        if let Some(seen) = &seen {
            if examination.finding.score().is_some() {
                result(seen, &inference)?;
            }
            self.heat(seen, &examination, &device)?;
        } else if self.png.is_some() {
            show("heat map", "none, because the image was not analysed")?;
        }
        if !accepted && self.luminance.is_some() {
            self.picture(&examiner.decoder().decode(&self.file)?)?;
        }
        report(&examination, &device)?;
        if accepted && seen.is_none() {
            return Err(Failed(format!("{} could not be decoded", self.file.display())).into());
        }
        Ok(())
    }

    fn heat(&self, seen: &Seen, examination: &Examination, device: &Device) -> Result<()> {
        let heat = &seen.explanation.heat;
        show("heat map", heat_in_words(heat, &seen.radiograph))?;
        let Some(path) = &self.png else { return Ok(()) };
        let plate = plate(&seen.radiograph, heat, &Caption::new(&examination.finding, device))?;
        let (columns, rows) = (u32::from(plate.columns), u32::from(plate.rows));
        save(path, &plate.rgb, (columns, rows), image::ColorType::Rgb8)?;
        show("", path.display())
    }
}

/// What the model sees in the image; `None`, with the reason on a line, when it cannot be decoded.
async fn seen(examiner: &Examiner, location: &Location) -> Result<Option<Seen>> {
    match examiner.look(location).await {
        Ok(seen) => Ok(Some(seen)),
        Err(LookError::Pixels(error)) => show("pixels", error).map(|()| None),
        Err(error) => Err(error.into()),
    }
}

fn save(path: &Path, samples: &[u8], (columns, rows): (u32, u32), colour: image::ColorType) -> Result<()> {
    image::save_buffer_with_format(path, samples, columns, rows, colour, image::ImageFormat::Png)
        .with_context(|| format!("{}: the picture cannot be written there", path.display()))
}

/// A verdict in words.
fn said_of(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted(grounds) => format!("accepted, {}", grounds.values),
        Verdict::Declined(reason, grounds) => format!("declined, {reason}: {}", grounds.values),
    }
}

/// One line: what it is about, and what is said.
fn show(about: &str, said: impl Display) -> Result<()> {
    Ok(writeln!(io::stdout(), "{about:<12} {said}")?)
}

fn selection(asked: &[Asked]) -> Result<()> {
    for (number, rule) in asked.iter().enumerate() {
        let said = match &rule.verdict {
            None => "passes".to_owned(),
            Some(Verdict::Accepted(_)) => "accepted".to_owned(),
            Some(Verdict::Declined(reason, _)) => format!("declined, {reason}"),
        };
        show(if number == 0 { "selection" } else { "" }, format_args!("{said:<9} {}", rule.grounds))?;
    }
    Ok(())
}

fn preprocessing(seen: &Seen, input: &Input) -> Result<()> {
    let Radiograph { rows, columns, rendering, .. } = &seen.radiograph;
    show("pixels", format_args!("{rows} rows x {columns} columns; {rendering}"))?;
    show("input", Words(&seen.framing, input.spec()))
}

fn result(seen: &Seen, inference: &Inference) -> Result<()> {
    let (point, algorithm) = (inference.operating_point(), inference.algorithm());
    let zone = match point.undetermined_from() {
        Some(lower) => format!("undetermined from {} %", lower.percent()),
        None => "no undetermined zone".into(),
    };
    let (score, threshold) = (sr::score_text(seen.explanation.score, &point), sr::threshold_text(&point));
    show("result", format_args!("score {score} % for pneumonia; present from {threshold} %, {zone}"))?;
    show("model", format_args!("{} {}", algorithm.name, algorithm.version_with_digest()))
}

fn heat_in_words(heat: &HeatMap, image: &Radiograph) -> String {
    let extent = Extent::of(image.rows, image.columns);
    let (Some(hottest), Some(focus)) = (heat.hottest(extent), heat.focus(extent)) else {
        return "no place speaks for pneumonia".into();
    };
    let points = focus.polyline();
    let range = |of: fn(&crate::heat::Point) -> f32| {
        let (low, high) = points.iter().map(of).fold((f32::MAX, 0.0_f32), |(low, high), v| (low.min(v), high.max(v)));
        format!("{low:.0} to {high:.0}")
    };
    format!(
        "strongest at column {:.0}, row {:.0}; at least half of that around it, columns {}, rows {}",
        hottest.column,
        hottest.row,
        range(|point| point.column),
        range(|point| point.row)
    )
}

/// The words of the report, read back from the report itself.
fn report(examination: &Examination, device: &Device) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("report.dcm");
    let reports = examination.reports(device, None)?;
    let main = reports.first().context("no report was made")?;
    write(&path, &main.bytes)?;
    let Summary { headline, conclusion, comment } = Summary::read(&path)?;
    show("report", headline)?;
    show("", format_args!("Conclusion: {conclusion}"))?;
    show("", format_args!("Comment: {comment}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}
