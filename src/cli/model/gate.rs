//! `auscult model gate`: the plausibility gate of a package, fitted anew.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::add_to_card;
use crate::cli::files;
use crate::cli::log;
use crate::cli::progress::Progress;
use crate::config::{Config, Log, LogLevel};
use crate::model::{Compute, GalleryError, Lesson, Model, ModelError, Trial, look_through, operating_point};
use crate::pipeline::decoder;
use crate::pixels::Decoder;

/// Fit a package's plausibility gate to chest radiographs.
///
/// The gate learns frontal chest radiographs, variations of them, and other pictures that are made of them; its operating
/// point is where 99.5 % of the radiographs that were held out are accepted. The package gets `gate.safetensors`; its
/// weights stay as they are. Figures go into the manifest and the card.
#[derive(clap::Args)]
pub(in crate::cli) struct Gate {
    /// Directory of the model package
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// Frontal chest radiographs to fit it to: files, or directories of them
    #[arg(required = true, value_name = "FILE|DIR")]
    chest: Vec<PathBuf>,
    /// Frontal chest radiographs of other patients, to choose the operating point on and to measure; may be repeated
    #[arg(long, required = true, value_name = "FILE|DIR")]
    held_out: Vec<PathBuf>,
    /// Images that are no chest radiographs, to measure only; may be repeated
    #[arg(long, value_name = "FILE|DIR")]
    others: Vec<PathBuf>,
    /// Threads that look at images; 0 for one a processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

impl Gate {
    pub(super) fn run(self) -> Result<()> {
        log::start(&Log { level: LogLevel::Warn, ..Log::default() });
        let model = Model::load_with(&self.model, Compute::f32(self.threads))?;
        let decoder = decoder(&Config::default().select)?;
        let chest = images(&self.chest)?;
        let (mut progress, began) = (Progress::new(), Instant::now());
        let files: Vec<&Path> = chest.iter().map(PathBuf::as_path).collect();
        let chests = |_, images: &_| model.impressions(images);
        let tell = |done| progress.images(done, files.len(), began.elapsed());
        let lesson = Lesson::of(&files, (&model, &decoder), chests, tell);
        let lesson = lesson.map_err(told)?;
        let gate = lesson.gate().context("the model gives no numbers on these images; auscult check looks at it")?;
        let model = model.gated(gate.clone(), 0.0)?;
        let of_each = |arguments: &[PathBuf]| -> Result<Vec<(String, Vec<f64>)>> {
            arguments.iter().map(|argument| Ok((name(argument), scores(&model, argument, &decoder)?))).collect()
        };
        let (held_out, others) = (of_each(&self.held_out)?, of_each(&self.others)?);
        let all: Vec<f64> = held_out.iter().flat_map(|(_, scores)| scores.iter().copied()).collect();
        let threshold = operating_point(&all);
        let trials = |sets: &[(String, Vec<f64>)]| -> Vec<Trial> {
            sets.iter().map(|(name, scores)| Trial::new(name, scores, threshold)).collect()
        };
        let account = Account {
            chest: files.len(),
            made: lesson.others.len(),
            threshold,
            held_out: trials(&held_out),
            others: trials(&others),
        };
        model.gated(gate, threshold)?.write_gate(&self.model, account.toml())?;
        add_to_card(&self.model, &account.card())?;
        Ok(writeln!(io::stdout(), "{}", account.text())?)
    }
}

/// What a file or directory is called in figures.
fn name(argument: &Path) -> String {
    argument.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Every image that arguments lead to.
fn images(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let found = files::collect(arguments);
    if let Some(fault) = found.faults.first() {
        bail!("{fault}");
    }
    let images = [found.pictures, found.dicom].concat();
    if images.is_empty() {
        let named: Vec<String> = arguments.iter().map(|path| path.display().to_string()).collect();
        bail!("{}: no DICOM file, JPEG or PNG picture there", named.join(", "));
    }
    Ok(images)
}

fn scores(model: &Model, argument: &Path, decoder: &Decoder) -> Result<Vec<f64>> {
    let files = images(std::slice::from_ref(&argument.to_owned()))?;
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut scores = Vec::with_capacity(files.len());
    let looked = look_through(&files, model.input(), decoder, |_, images| -> Result<(), ModelError> {
        let said = model.look(images)?;
        scores.extend(said.into_iter().filter_map(|said| said.plausibility).map(|plausibility| plausibility.score));
        Ok(())
    });
    looked.map_err(told).map(|()| scores)
}

fn told(error: GalleryError<ModelError>) -> anyhow::Error {
    match error {
        GalleryError::Stopped(error) => error.into(),
        GalleryError::Image { file, cause } => anyhow::anyhow!("{}: {cause}", file.display()),
    }
}

/// What the gate was fitted to, and how it does.
struct Account {
    chest: usize,
    made: usize,
    threshold: f64,
    held_out: Vec<Trial>,
    others: Vec<Trial>,
}

impl Account {
    fn toml(&self) -> toml::Table {
        let count = |count: usize| toml::Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
        let table = |trials: &[Trial]| -> toml::Table {
            trials.iter().map(|trial| (trial.name.clone(), trial.toml().into())).collect()
        };
        let mut figures = toml::Table::new();
        figures.insert("fitted_to_chest_radiographs".into(), count(self.chest));
        figures.insert("fitted_to_pictures_made_of_them".into(), count(self.made));
        figures.insert("held_out".into(), table(&self.held_out).into());
        figures.insert("others".into(), table(&self.others).into());
        figures
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, &Trial)> {
        let chest = self.held_out.iter().map(|trial| ("chest, held out", trial));
        chest.chain(self.others.iter().map(|trial| ("other", trial)))
    }

    fn text(&self) -> String {
        let head = format!(
            "gate fitted to {} chest radiographs and {} other pictures; images are accepted from {:.3} on",
            self.chest, self.made, self.threshold
        );
        let row = |(kind, trial): (&str, &Trial)| format!("{kind:<16} {:<24} {}", trial.name, trial.text());
        std::iter::once(head).chain(self.rows().map(row)).collect::<Vec<_>>().join("\n")
    }

    fn card(&self) -> String {
        let rows: String =
            self.rows().map(|(kind, trial)| format!("| {kind} | {} | {} |\n", trial.name, trial.text())).collect();
        format!(
            "\n## Plausibility gate\n\nFitted to {} chest radiographs, as many variations of them, and {} pictures that \
             are none (made of them, or drawn). Images are accepted from a score of {:.3} on. Accepted, with 95 % \
             intervals (Wilson):\n\n| kind | images | accepted |\n|---|---|---|\n{rows}",
            self.chest, self.made, self.threshold
        )
    }
}
