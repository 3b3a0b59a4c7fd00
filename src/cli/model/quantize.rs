//! `auscult model quantize`: a package prepared to be computed in eight bits, in bf16 and in f16.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::add_to_card;
use crate::cli::log;
use crate::cli::progress::Progress;
use crate::config::{Config, Log, LogLevel};
use crate::cuda;
use crate::dataset::{ClassNames, Dataset, Example};
use crate::evaluate::{Drift, Evaluation};
use crate::model::{Calibration, Compute, GalleryError, Model, ModelError, Quantised, look_through};
use crate::pipeline::decoder;
use crate::pixels::Decoder;

/// Fewest images to measure on.
const LEAST: usize = 20;

/// Prepare a package to be computed in eight bits and in bf16, or in f16.
///
/// Looks at some of the images in f32 and notes the ranges of all activations; then compares what the package says of the other
/// images in eight bits, in bf16 and in f32. The package gets `int8.safetensors`, for both an answer to the self-test, and the
/// figures, which the card tells, too; its weights stay as they are. Numbers with which the area under the ROC curve moves
/// by more than 0.002, or more than 1 % of the probabilities by more than 0.02, are refused: nothing is written of them.
#[derive(clap::Args)]
pub(in crate::cli) struct Quantize {
    /// Directory of the model package
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// CSV table with the columns image_path and target, or a directory with a folder for each class
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Numbers to prepare for: int8, bf16, or f16, which takes an NVIDIA device [default: int8 and bf16]
    #[arg(long, value_name = "NUMBERS")]
    to: Option<Numbers>,
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

/// `--to`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Numbers {
    /// Eight bits.
    Int8,
    /// bf16.
    Bf16,
    /// f16, on a device.
    F16,
}

impl Quantize {
    /// Whether it computes on a device.
    pub(super) fn wants_device(&self) -> bool {
        self.to == Some(Numbers::F16)
    }

    pub(super) fn run(self) -> Result<()> {
        log::start(&Log { level: LogLevel::Warn, ..Log::default() });
        if let Some(obstacle) = cuda::obstacle().filter(|_| self.wants_device()) {
            bail!("f16 is computed on an NVIDIA device only: {obstacle}");
        }
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
        let mut prepared = Vec::new();
        if self.wants_device() {
            prepared.push((Numbers::F16, Quantised::f16(&self.model)?));
        }
        if self.wants(Numbers::Bf16) {
            prepared.push((Numbers::Bf16, Quantised::bf16(&self.model, self.threads)?));
        }
        if self.wants(Numbers::Int8) {
            let calibration = calibrated(&f32, &chosen, &dataset, &decoder)?;
            prepared.push((Numbers::Int8, Quantised::int8(&self.model, &calibration, self.threads)?));
        }
        let others = dataset.only(|example| !chosen.contains(example));
        let evaluated = |model: &Model| -> Result<Evaluation<'_>> {
            let (mut progress, images) = (Progress::new(), others.examples().len());
            Ok(Evaluation::new(model, &others, &decoder, |done, elapsed| progress.images(done, images, elapsed))?)
        };
        let in_f32 = evaluated(&f32)?;
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        for (numbers, quantised) in prepared {
            let name = quantised.model().precision().name();
            let drift = Drift::new(&evaluated(quantised.model())?, &in_f32)?;
            writeln!(io::stdout(), "{name} beside f32 on {}", drift.text())?;
            if drift.is_small() {
                accepted.push((numbers, quantised, drift));
            } else {
                refused.push(name);
            }
        }
        self.write(&accepted, chosen.len())?;
        if !refused.is_empty() {
            bail!(
                "{}: {} moves too far; nothing is written of it. Try other images, more of them, or more with --calibrate",
                self.model.display(),
                refused.join(" and ")
            );
        }
        Ok(())
    }

    fn wants(&self, numbers: Numbers) -> bool {
        self.to.is_none_or(|to| to == numbers)
    }

    /// Puts numbers and their figures into the package, and tells of them in its card.
    fn write(&self, accepted: &[(Numbers, Quantised, Drift)], calibrated_on: usize) -> Result<()> {
        let directory = match &self.out {
            Some(out) if !accepted.is_empty() => copied(&self.model, out)?,
            _ => &self.model,
        };
        for (numbers, quantised, drift) in accepted {
            let mut figures = drift.toml();
            let (title, before) = match numbers {
                Numbers::Bf16 => ("In bf16", String::new()),
                Numbers::F16 => ("In f16", String::new()),
                Numbers::Int8 => {
                    figures.insert("calibrated_on".into(), toml::Value::Integer(i64::try_from(calibrated_on)?));
                    ("In eight bits", format!("Ranges from {calibrated_on} images. "))
                }
            };
            quantised.write(directory, figures)?;
            let beside = drift.text();
            let text =
                format!("\n## {title}\n\n{before}Beside f32 on {beside}. The self-test holds it to its own answer.\n");
            add_to_card(directory, &text)?;
        }
        Ok(())
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
