//! `auscult train`: a model package from labelled images.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::progress::{Progress, time};
use super::{log, naming};
use crate::config::{Config, Log, LogLevel};
use crate::cuda;
use crate::dataset::{Part, Rule, Sharing};
use crate::model::Precision;
use crate::performance::{Figures, Value};
use crate::pipeline::decoder;
use crate::resource;
use crate::train::{
    self, Arithmetic, Augmentation, CalibrationMethod, Change, ClassWeights, Event, Job, Keep, Looked, Options,
    Outcome, Schedule, TrunkPart,
};

/// Train a model on labelled images.
///
/// Writes a model package that serves as it is, its card, metrics.json, history.csv, plots and report.html. What the
/// frozen part of the trunk makes of the images is computed once and kept; the rest of it and a head of two Dense layers
/// are fitted to that. After a kill the same command goes on where it was. The same data, options and kind of processor give the same weights.
#[derive(clap::Args)]
pub(super) struct Train {
    /// CSV table with the columns image_path and target, or a directory with a folder for each class
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Directory for the model package and the account of its training
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where the trunk comes from: a model package, or a safetensors file with torchvision's or Keras' names
    #[arg(long, value_name = "DIR|FILE", default_value = "models/cxr-pneumonia-reference")]
    init: PathBuf,
    /// Which part of the trunk is trained along with the head
    #[arg(long, value_enum, default_value = "none")]
    train_trunk: TrainTrunk,
    /// What the trunk is computed on; on a device the same run need not give the same bits
    #[arg(long, value_enum, default_value = "cpu")]
    device: TrainDevice,
    /// Numbers of the device's convolutions; weights, normalisation and the head stay in f32
    #[arg(long, value_enum, default_value = "f32")]
    precision: Numbers,
    #[command(flatten)]
    division: DivisionArguments,
    #[command(flatten)]
    fitting: FittingArguments,
    /// Names of the classes, in the order of their numbers [default: those of the data]
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME,...")]
    labels: Option<Vec<String>>,
    /// The class whose probability is reported [default: pneumonia, else the last one]
    #[arg(long, value_name = "CLASS")]
    positive: Option<String>,
    /// Name of the model in reports [default: the name of the --out directory]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Version of the model in reports
    #[arg(long, value_name = "VERSION", default_value = "0.1.0")]
    model_version: String,
    /// Directory where features are kept for the next run [default: the user's cache directory]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Threads that look at images and learn from them; 0 for one a processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// How the images are divided.
#[derive(clap::Args)]
#[command(next_help_heading = "Division of the images")]
struct DivisionArguments {
    /// Of the division, the initial weights and the order of images
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Column whose equal values stay in one part: the patient
    #[arg(long, value_name = "COLUMN")]
    group: Option<String>,
    /// Divide every class by itself
    #[arg(long, conflicts_with = "split")]
    stratify: bool,
    /// Train N times more first, each time with another of N shares of the images for the test, and tell mean and spread
    #[arg(long, value_name = "N", conflicts_with = "split", value_parser = clap::value_parser!(u8).range(3..=20))]
    folds: Option<u8>,
    /// Column that says train, validation or test, instead of 70, 20 and 10 % by chance
    #[arg(long, value_name = "COLUMN")]
    split: Option<String>,
}

/// How the head is fitted.
#[derive(clap::Args)]
#[command(next_help_heading = "Fitting")]
struct FittingArguments {
    /// Times that the model sees all images of training
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    epochs: u16,
    /// Images of a step
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Learning rate of Adam
    #[arg(long, value_name = "RATE", default_value_t = 1e-4, value_parser = rate)]
    learning_rate: f32,
    /// How the learning rate changes from epoch to epoch
    #[arg(long, value_enum, default_value = "constant")]
    schedule: RateSchedule,
    /// End when the loss on validation has not fallen for N epochs [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    early_stopping: Option<u16>,
    /// Which epoch's weights become the model
    #[arg(long, value_enum, default_value = "last")]
    keep: KeptEpoch,
    /// Outputs of the network, at least one a class [default: one a class]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    outputs: Option<u16>,
    /// Share of the truth that is spread over all outputs
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    label_smoothing: f64,
    /// What classes count in the loss
    #[arg(long, value_enum, default_value = "equal")]
    class_weights: Weights,
    /// Changes of the images of training, `--augment=rotation,crop,tone` [default: none; without a list these three]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CHANGE,...", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_values = ["rotation", "crop", "tone"])]
    augment: Vec<ImageChange>,
    /// Changed copies of each image of training that are looked at; an epoch takes one, or the image as it is
    #[arg(long, value_name = "N", default_value_t = 4, requires = "augment")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=100))]
    copies: u8,
    /// Divide the logits by the temperature that suits the validation images best
    #[arg(long)]
    temperature_scaling: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum TrainTrunk {
    /// Nothing: features are computed once
    None,
    /// The last stage: three of the sixteen blocks
    LastStage,
    /// Everything
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TrainDevice {
    /// The processor
    Cpu,
    /// The first NVIDIA device
    Cuda,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Numbers {
    /// 32 bits
    F32,
    /// 16 bits with the range of 32, on a device only
    Bf16,
}

#[derive(Clone, Copy, ValueEnum)]
enum ImageChange {
    /// Turned by up to 10 degrees
    Rotation,
    /// Cut to 85 to 100 % of each side
    Crop,
    /// Brightness and contrast changed by up to 10 %
    Tone,
    /// Left for right, half of the copies; the heart is then on the wrong side
    HorizontalFlip,
}

#[derive(Clone, Copy, ValueEnum)]
enum RateSchedule {
    /// Not at all
    Constant,
    /// It falls to zero along half a cosine
    Cosine,
    /// A tenth from half of the epochs on, a hundredth from three quarters on
    Step,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeptEpoch {
    /// Those of the last one
    Last,
    /// Those of the highest accuracy on validation
    Best,
}

#[derive(Clone, Copy, ValueEnum)]
enum Weights {
    /// Every image counts once
    Equal,
    /// Every class counts alike
    Balanced,
}

fn rate(text: &str) -> Result<f32, String> {
    let fits = |rate: &f32| *rate > 0.0 && *rate <= 1.0;
    text.parse().ok().filter(fits).ok_or_else(|| "write a number above 0, at most 1".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let fits = |share: &f64| *share >= 0.0 && *share < 1.0;
    text.parse().ok().filter(fits).ok_or_else(|| "write a number from 0 to below 1".to_owned())
}

impl Train {
    /// Whether it computes on a device.
    pub(super) fn wants_device(&self) -> bool {
        self.device == TrainDevice::Cuda
    }

    pub(super) fn run(self) -> Result<()> {
        log::start(&Log { level: LogLevel::Warn, ..Log::default() });
        if let Some(obstacle) = cuda::obstacle().filter(|_| self.wants_device()) {
            bail!("--device cuda: {obstacle}; --device cpu trains on the processor");
        }
        rayon::ThreadPoolBuilder::new().num_threads(self.threads).build_global()?;
        let job = self.job()?;
        let mut progress = Progress::new();
        let outcome = train::run(&job, &mut |event| show(&mut progress, &event))?;
        summarise(&outcome, &job)?;
        Ok(())
    }

    fn job(self) -> Result<Job> {
        let trunk = match self.train_trunk {
            TrainTrunk::None => TrunkPart::None,
            TrainTrunk::LastStage => TrunkPart::LastStage,
            TrainTrunk::All => TrunkPart::All,
        };
        let init = resource::find(&self.init).context("name a model package or a safetensors file with --init")?;
        let out = std::path::absolute(&self.out)?;
        let naming = naming(self.name.as_deref(), &self.model_version, &out)?;
        let folds = self.division.folds.map(usize::from);
        let arithmetic = match (self.device, self.precision) {
            (TrainDevice::Cpu, Numbers::F32) => Arithmetic::Processor,
            (TrainDevice::Cpu, Numbers::Bf16) => bail!("--precision bf16 is for devices: add --device cuda"),
            (TrainDevice::Cuda, Numbers::F32) => Arithmetic::Device(Precision::F32),
            (TrainDevice::Cuda, Numbers::Bf16) => Arithmetic::Device(Precision::Bf16),
        };
        let options = self.fitting.options(self.division, (trunk, arithmetic));
        Ok(Job {
            data: self.data,
            out,
            init,
            cache: self.cache.unwrap_or_else(train::default_cache),
            naming,
            labels: self.labels,
            positive: self.positive,
            decoder: decoder(&Config::default().select)?,
            threads: self.threads,
            folds,
            options,
        })
    }
}

impl FittingArguments {
    fn options(self, division: DivisionArguments, (trunk, arithmetic): (TrunkPart, Arithmetic)) -> Options {
        let DivisionArguments { seed, group, stratify: stratified, split, .. } = division;
        let change = |change: &ImageChange| match change {
            ImageChange::Rotation => Change::Rotation,
            ImageChange::Crop => Change::Crop,
            ImageChange::Tone => Change::Tone,
            ImageChange::HorizontalFlip => Change::HorizontalFlip,
        };
        let changes = self.augment.iter().map(change).collect();
        let augmentation = Augmentation { changes, copies: self.copies.into(), seed };
        Options {
            augmentation: Some(augmentation).filter(|augmentation| !augmentation.changes.is_empty()),
            trunk,
            arithmetic,
            epochs: self.epochs.into(),
            batch: self.batch.into(),
            learning_rate: self.learning_rate,
            schedule: match self.schedule {
                RateSchedule::Constant => Schedule::Constant,
                RateSchedule::Cosine => Schedule::Cosine,
                RateSchedule::Step => Schedule::Step,
            },
            patience: self.early_stopping.map(usize::from),
            keep: match self.keep {
                KeptEpoch::Last => Keep::Last,
                KeptEpoch::Best => Keep::Best,
            },
            outputs: self.outputs.map(usize::from),
            seed,
            rule: match split {
                Some(split) => Rule::Column { split, group },
                None => Rule::Random { seed, group, stratified },
            },
            label_smoothing: self.label_smoothing,
            class_weights: match self.class_weights {
                Weights::Equal => ClassWeights::Equal,
                Weights::Balanced => ClassWeights::Balanced,
            },
            calibration: if self.temperature_scaling {
                CalibrationMethod::Temperature
            } else {
                CalibrationMethod::None
            },
        }
    }
}

fn show(progress: &mut Progress, event: &Event<'_>) {
    match event {
        Event::Fold { number, of } => progress.say(&format!("training {number} of {of} of cross-validation")),
        Event::Divided { images: [training, validation, test], sharing } => {
            progress.say(&format!("{training} images for training, {validation} for validation, {test} for the test"));
            if let Some(Sharing { column, shared, of }) = sharing.filter(|sharing| sharing.shared > 0) {
                progress.say(&format!(
                    "warning: {shared} of {of} images of validation and test share their {column} with training; \
                     --group {column} keeps them apart"
                ));
            }
        }
        Event::Looked(Looked { done: 0, of: 0, known, .. }) => {
            progress.say(&format!("{known} images are known from an earlier run"));
        }
        Event::Looked(Looked { done: 0, of, known, octets, .. }) => {
            let known = if *known > 0 { format!("; {known} are known from an earlier run") } else { String::new() };
            let room = octets.div_ceil(1_000_000);
            progress.say(&format!("looking at {of} images, of which {room} MB are kept{known}"));
        }
        Event::Looked(Looked { done, of, elapsed, .. }) => progress.images(*done, *of, *elapsed),
        Event::Learned { done, of, elapsed, .. } => progress.images(*done, *of, *elapsed),
        Event::Resumed { epochs } => progress.say(&format!("going on after epoch {epochs} of an earlier run")),
        Event::Epoch { number, of, epoch, images, took } => {
            let rate = *images as f64 / took.as_secs_f64().max(1e-6);
            let left = took.mul_f64(of.saturating_sub(*number) as f64);
            progress.say(&format!(
                "epoch {number}/{of}: loss {:.4}, accuracy {:.4}; validation: loss {:.4}, accuracy {:.4}; \
                 {rate:.0} images/s, {} left",
                epoch.training.loss,
                epoch.training.accuracy,
                epoch.validation.loss,
                epoch.validation.accuracy,
                time(left),
            ));
        }
    }
}

/// The figures that matter most, part by part.
fn summarise(outcome: &Outcome, job: &Job) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<12} {:>6} {:>9} {:>24} {:>12} {:>12}",
        "", "images", "accuracy", "AUC (95 % interval)", "sensitivity", "specificity"
    )?;
    for (part, figures) in &outcome.figures {
        writeln!(out, "{}", row(*part, figures))?;
    }
    if let Some(folds) = &outcome.folds {
        writeln!(out, "\n{}", folds.text())?;
        for row in folds.rows() {
            writeln!(out, "{}", row.join("  "))?;
        }
    }
    writeln!(out)?;
    let package = job.out.display();
    writeln!(out, "package   {package}  (auscult classify --model {package} FILE, or model.package of the service)")?;
    writeln!(out, "report    {}", job.out.join("report.html").display())
}

fn row(part: Part, figures: &Figures) -> String {
    let entries = figures.entries();
    let value = |key: &str| entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.value);
    let number = |key: &str| match value(key) {
        Some(Value::Share(estimate)) => format!("{:.4}", estimate.value),
        _ => "-".to_owned(),
    };
    let auc = match value("auc") {
        Some(Value::Share(auc)) => format!("{:.4} ({:.4}-{:.4})", auc.value, auc.low, auc.high),
        _ => "-".to_owned(),
    };
    format!(
        "{:<12} {:>6} {:>9} {auc:>24} {:>12} {:>12}",
        part.name(),
        figures.images,
        number("accuracy"),
        number("sensitivity"),
        number("specificity")
    )
}
