//! `auscult model quantize`: a package prepared to be computed in eight bits.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::add_to_card;
use crate::cli::log;
use crate::cli::progress::Progress;
use crate::config::{Config, Log, LogLevel};
use crate::dataset::{ClassNames, Dataset, Example};
use crate::evaluate::{Drift, Evaluation};
use crate::model::{Calibration, Compute, GalleryError, Model, ModelError, Quantised, look_through};
use crate::pipeline::decoder;
use crate::pixels::Decoder;

/// Fewest images to measure on.
const LEAST: usize = 20;

/// Prepare a package to be computed in eight bits.
///
/// Looks at some of the images in f32 and notes the ranges of all activations; then compares what the package says of the other
/// images in eight bits and in f32. The package gets `int8.safetensors`, an answer to the self-test and the figures, which
/// the card tells, too; its weights stay as they are. Nothing is written where the area under the ROC curve moves by more
/// than 0.002, or more than 1 % of the probabilities by more than 0.02.
#[derive(clap::Args)]
pub(in crate::cli) struct Quantize {
    /// Directory of the model package
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// CSV table with the columns image_path and target, or a directory with a folder for each class
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Most images that the ranges are taken from; the others are for measuring
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    calibrate: u16,
    /// Write the package into this directory, and leave the one that is read as it is
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads that look at images; 0 for one a processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

impl Quantize {
    pub(super) fn run(self) -> Result<()> {
        log::start(&Log { level: LogLevel::Warn, ..Log::default() });
        let f32 = Model::load_with(&self.model, Compute::f32(self.threads))?;
        let labels = ClassNames::Given(f32.manifest().output.labels.clone());
        let dataset = Dataset::read(&self.data, &labels)?;
        dataset.more_than_one_class()?;
        let images = dataset.examples().len();
        let step = (images / usize::from(self.calibrate)).max(2);
        if images / 2 < LEAST {
            bail!("{}: {images} images; at least {} are needed", self.data.display(), 2 * LEAST);
        }
        let chosen: Vec<Example> = dataset.examples().iter().step_by(step).cloned().collect();
        let decoder = decoder(&Config::default().select)?;
        let calibration = calibrated(&f32, &chosen, &dataset, &decoder)?;
        let others = dataset.only(|example| !chosen.contains(example));
        let quantised = Quantised::new(&self.model, &calibration, self.threads)?;
        let evaluated = |model: &Model| -> Result<Evaluation<'_>> {
            let (mut progress, images) = (Progress::new(), others.examples().len());
            Ok(Evaluation::new(model, &others, &decoder, |done, elapsed| progress.images(done, images, elapsed))?)
        };
        let drift = Drift::new(&evaluated(quantised.model())?, &evaluated(&f32)?)?;
        writeln!(io::stdout(), "int8 beside f32 on {}", drift.text())?;
        if !drift.is_small() {
            bail!(
                "{}: int8 moves too far; nothing is written. Try other images, more of them, or more with --calibrate",
                self.model.display()
            );
        }
        let directory = match &self.out {
            Some(out) => copied(&self.model, out)?,
            None => self.model.as_path(),
        };
        let mut figures = drift.toml();
        figures.insert("calibrated_on".into(), toml::Value::Integer(i64::try_from(chosen.len())?));
        quantised.write(directory, figures)?;
        let text = format!(
            "\n## In eight bits\n\nRanges from {} images; beside f32 on {}. The self-test holds int8 to its own answer.\n",
            chosen.len(),
            drift.text()
        );
        add_to_card(directory, &text)
    }
}

fn calibrated(model: &Model, chosen: &[Example], dataset: &Dataset, decoder: &Decoder) -> Result<Calibration> {
    let (mut progress, began) = (Progress::new(), Instant::now());
    let files: Vec<&Path> = chosen.iter().map(|example| example.path.as_path()).collect();
    let mut calibration = Calibration::of(model);
    let seen = look_through(&files, model.input(), decoder, |range, images| -> Result<(), ModelError> {
        calibration.add(model, images)?;
        progress.images(range.end, files.len(), began.elapsed());
        Ok(())
    });
    match seen {
        Ok(()) => Ok(calibration),
        Err(GalleryError::Stopped(error)) => Err(error.into()),
        Err(GalleryError::Image { file, cause }) => Err(dataset.undecodable(file, &cause).into()),
    }
}

/// The files of a package in another directory, which is made where it is not there.
fn copied<'a>(from: &Path, to: &'a Path) -> Result<&'a Path> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))
                .with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(to)
}
