//! From labelled images to a model package: features of a frozen trunk, a head that is fitted to them, and an account of
//! both. The same data, options and processor give the same weights, bit for bit.

mod account;
mod adam;
mod card;
mod checkpoint;
mod fault;
mod features;
mod fit;
mod gate;
mod history;
mod options;
mod perceptron;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use fault::TrainError;
pub use features::Looked;
pub use history::{Epoch, Standing};
pub use options::{CalibrationMethod, ClassWeights, Options};

use account::{Account, Parts, State};
use checkpoint::{Checkpoint, Keeper};
use fit::Lessons;
use perceptron::{Sample, Shape};

use crate::dataset::{ClassNames, Dataset, Division, Part, Register, Rule, Sharing};
use crate::finding::Probability;
use crate::model::{Draft, Head, Naming, Output, PLAUSIBILITY, Package, Trunk};
use crate::performance::{Figures, Performance, Scored};
use crate::pixels::Decoder;
use crate::replace;
use crate::statistics;

/// Columns that name patients, looked for where no group is named.
const PATIENT_COLUMNS: [&str; 3] = ["patient", "patient_id", "group"];

/// Scores from here on are flagged, until an operating point is chosen.
const THRESHOLD: f64 = 0.5;

/// The label that is reported, where the data has it and none is named.
const PNEUMONIA: &str = "pneumonia";

/// What is to be trained, from what, and where.
#[derive(Debug, Clone)]
pub struct Job {
    /// A CSV table, or a directory with a folder for each class.
    pub data: PathBuf,
    /// The package's directory, made if it is missing.
    pub out: PathBuf,
    /// Where the trunk comes from: a package, or torchvision's weights.
    pub init: PathBuf,
    /// Where features are kept.
    pub cache: PathBuf,
    /// What the package is called.
    pub naming: Naming,
    /// Names of the classes; `None` for those of the data, or of the trunk's package where the data has as many numbers.
    pub labels: Option<Vec<String>>,
    /// The class whose probability is reported; `None` for `pneumonia`, or else the last one.
    pub positive: Option<String>,
    /// What reads the images.
    pub decoder: Decoder,
    /// Threads that look at images; 0 for one a processor.
    pub threads: usize,
    /// Everything else that the weights depend on.
    pub options: Options,
}

/// What happens while a model is trained.
#[derive(Debug)]
pub enum Event<'a> {
    /// The data was read and divided.
    Divided {
        /// Images of training, validation and test.
        images: [usize; 3],
        /// Who is in training and elsewhere, where that is known.
        sharing: Option<&'a Sharing>,
    },
    /// Images were looked at.
    Looked(Looked),
    /// An earlier run of the same command is gone on with.
    Resumed {
        /// Epochs that are done.
        epochs: usize,
    },
    /// An epoch is done.
    Epoch {
        /// Its number, from 1.
        number: usize,
        /// How many there will be.
        of: usize,
        /// How it went.
        epoch: &'a Epoch,
        /// Images of training.
        images: usize,
        /// How long the model saw them.
        took: Duration,
    },
}

/// A model that was trained.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Figures of each part that has images.
    pub figures: Vec<(Part, Figures)>,
}

/// Trains a model and writes its package; tells what happens.
///
/// # Errors
/// Every variant of [`TrainError`].
pub fn run(job: &Job, tell: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, TrainError> {
    if job.out.join(Package::MANIFEST).exists() {
        return Err(TrainError::Finished(job.out.clone()));
    }
    let trunk = Trunk::open(&job.init, job.threads).map_err(TrainError::Trunk)?;
    let dataset = labelled(job, &trunk)?;
    let output = output(job, &dataset)?;
    let division = Division::new(&dataset, &job.options.rule)?;
    let sharing = sharing(&dataset, &division, &job.options.rule)?;
    let images = Part::ALL.map(|part| division.of(part).len());
    tell(Event::Divided { images, sharing: sharing.as_ref() });
    let store = features::Store::new(&job.cache, &trunk.digest());
    let features = features::of(&dataset, &trunk, &store, &job.decoder, |looked| tell(Event::Looked(looked)))?;
    let account = Account {
        directory: job.out.clone(),
        name: job.naming.to_string(),
        options: &job.options,
        dataset: &dataset,
        division: &division,
        sharing,
        trunk: trunk.origin(),
        output: &output,
        gate: None,
    };
    let shape = Shape { inputs: Head::INPUTS, hidden: Head::HIDDEN, outputs: output.labels.len() };
    let keeper = Keeper::new(&job.out, &fingerprint(job, &trunk, &dataset, &division, &output), shape);
    let samples = |part| samples(&dataset, &division, &features, part);
    let lessons = Lessons {
        training: samples(Part::Training),
        validation: samples(Part::Validation),
        classes: dataset.classes().len(),
    };
    let run = fitted(job, &account, &keeper, (&lessons, shape), tell)?;
    let gate = match trunk.gate() {
        Some((gate, threshold)) => gate::Origin::Trunk(gate, threshold, &features),
        None => gate::Origin::Images,
    };
    finish((job, gate), &trunk, account, &run, &Part::ALL.map(|part| (part, samples(part))))
        .and_then(|outcome| keeper.remove().map(|()| outcome))
}

/// The data with the names of its classes.
fn labelled(job: &Job, trunk: &Trunk) -> Result<Dataset, TrainError> {
    let names = job.labels.clone().map_or(ClassNames::Found, ClassNames::Given);
    let dataset = Dataset::read(&job.data, &names)?;
    dataset.more_than_one_class()?;
    let of_trunk = trunk.output().map(|output| output.labels.clone()).unwrap_or_default();
    let numbers = dataset.classes().iter().enumerate().all(|(index, class)| *class == index.to_string());
    let fits = job.labels.is_none() && numbers && of_trunk.len() == dataset.classes().len();
    Ok(if fits { dataset.renamed(of_trunk) } else { dataset })
}

/// Labels of the outputs and the reported one.
fn output(job: &Job, dataset: &Dataset) -> Result<Output, TrainError> {
    let mut labels = dataset.classes().to_vec();
    let classes = labels.len();
    let outputs = job.options.outputs.unwrap_or(classes);
    if outputs < classes {
        return Err(TrainError::Outputs { classes, outputs });
    }
    labels.extend((classes..outputs).map(|output| format!("unused-{output}")));
    let named = |name: &str| dataset.classes().iter().find(|class| *class == name).cloned();
    let positive = match &job.positive {
        Some(name) => named(name)
            .ok_or_else(|| TrainError::Positive { name: name.clone(), known: dataset.classes().join(", ") })?,
        None => named(PNEUMONIA).or_else(|| dataset.classes().last().cloned()).unwrap_or_default(),
    };
    let threshold =
        Probability::try_from(THRESHOLD).map_err(|error| crate::model::ModelError::NotAProbability(error.0))?;
    Ok(Output { labels, positive, threshold, undetermined_from: None })
}

/// Who is in training and elsewhere, where a column tells.
fn sharing(dataset: &Dataset, division: &Division, rule: &Rule) -> Result<Option<Sharing>, TrainError> {
    let (Rule::Random { group: named, .. } | Rule::Column { group: named, .. }) = rule;
    let known = PATIENT_COLUMNS.into_iter().find(|name| dataset.columns().iter().any(|column| column == name));
    Ok(named.as_deref().or(known).map(|column| division.sharing(dataset, column)).transpose()?)
}

/// A digest of everything that the weights depend on.
fn fingerprint(job: &Job, trunk: &Trunk, dataset: &Dataset, division: &Division, output: &Output) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes()).update(trunk.digest().as_bytes());
    hasher.update(format!("{:?} {output:?}", job.options).as_bytes());
    for (example, part) in dataset.examples().iter().zip(division.parts()) {
        hasher.update(example.digest.as_bytes()).update(format!("{} {part}\n", example.class).as_bytes());
    }
    hasher.finalize()
}

fn samples<'a>(dataset: &Dataset, division: &Division, features: &'a [Vec<f32>], part: Part) -> Vec<Sample<'a>> {
    let sample = |index: usize| {
        let (example, features) = (dataset.examples().get(index)?, features.get(index)?);
        Some(Sample { features, class: example.class })
    };
    division.of(part).into_iter().filter_map(sample).collect()
}

/// The epochs, from the last checkpoint on.
fn fitted(
    job: &Job,
    account: &Account<'_>,
    keeper: &Keeper,
    (lessons, shape): (&Lessons<'_>, Shape),
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Checkpoint, TrainError> {
    let mut run = match keeper.load()? {
        Some(run) => {
            tell(Event::Resumed { epochs: run.history.len() });
            run
        }
        None => fit::begin(shape, &job.options),
    };
    let of = job.options.epochs;
    while run.history.len() < of {
        let took = fit::epoch(&mut run, lessons, &job.options);
        keeper.save(&run)?;
        let scored = |part, samples| (part, fit::scored(&run.network, samples));
        let parts = vec![scored(Part::Training, &lessons.training), scored(Part::Validation, &lessons.validation)];
        account.write(State::UnderWay, &run.history, &parts)?;
        if let Some(epoch) = run.history.last() {
            tell(Event::Epoch { number: run.history.len(), of, epoch, images: lessons.training.len(), took });
        }
    }
    Ok(run)
}

/// The package, and the figures that it gives: those of the service, to the bit.
fn finish(
    (job, gate): (&Job, gate::Origin<'_>),
    trunk: &Trunk,
    mut account: Account<'_>,
    run: &Checkpoint,
    parts: &[(Part, Vec<Sample<'_>>)],
) -> Result<Outcome, TrainError> {
    let temperature = temperature(job, run, parts);
    let ungated = Draft::new(trunk, &run.network.head(temperature), job.naming.clone(), account.output.clone())?;
    let ground = gate::Ground { dataset: account.dataset, division: account.division, decoder: &job.decoder };
    let draft;
    (draft, account.gate) = gate::gated(ungated, gate, &ground)?;
    let scored = parts.iter().map(|(part, samples)| Ok((*part, said(&draft, samples)?)));
    let scored = scored.collect::<Result<Parts, TrainError>>()?;
    let figures = |images: &[Scored]| Performance::new(account.output, images).figures();
    let sets: Vec<(Part, Figures)> =
        scored.iter().filter(|(_, images)| !images.is_empty()).map(|(part, images)| (*part, figures(images))).collect();
    account.write(State::Finished, &run.history, &scored)?;
    let register = Register::new(account.dataset, account.division).csv();
    let path = job.out.join(Register::FILE);
    replace::file(&path, register.as_bytes()).map_err(|source| TrainError::Io { path, source })?;
    let figures = sets.iter().map(|(part, figures)| (part.name().to_owned(), toml::Value::Table(figures.toml())));
    let gate = account.gate.iter().map(|gate| (PLAUSIBILITY.to_owned(), gate.toml().into()));
    let performance = figures.chain(gate).collect();
    let card = card::card(&account, draft.manifest(), &sets);
    draft.write(&job.out, performance, training(&account, temperature), &card)?;
    Ok(Outcome { figures: sets })
}

/// What the finished package says of images.
fn said(draft: &Draft, samples: &[Sample<'_>]) -> Result<Vec<Scored>, TrainError> {
    let features: Vec<f32> = samples.iter().flat_map(|sample| sample.features.iter().copied()).collect();
    let probabilities = draft.probabilities_of(&features)?;
    let image = |(sample, probabilities): (&Sample<'_>, Vec<f64>)| Scored { class: sample.class, probabilities };
    Ok(samples.iter().zip(probabilities).map(image).collect())
}

fn temperature(job: &Job, run: &Checkpoint, parts: &[(Part, Vec<Sample<'_>>)]) -> f64 {
    let CalibrationMethod::Temperature = job.options.calibration else { return 1.0 };
    let validation = parts.iter().filter(|(part, _)| *part == Part::Validation).flat_map(|(_, samples)| samples);
    let samples: Vec<Sample<'_>> = validation.copied().collect();
    let logits = run.network.logits(&samples);
    let image = |(logits, sample): (Vec<f32>, &Sample<'_>)| (logits.into_iter().map(f64::from).collect(), sample.class);
    statistics::temperature(&logits.into_iter().zip(&samples).map(image).collect::<Vec<_>>())
}

/// `[training]` of the manifest.
fn training(account: &Account<'_>, temperature: f64) -> toml::Table {
    let text = |text: &str| toml::Value::String(text.to_owned());
    let mut table = toml::Table::new();
    table.insert("framework".into(), text(&format!("Auscult {}", env!("CARGO_PKG_VERSION"))));
    table.insert("trunk".into(), text(account.trunk));
    table.insert("data_blake3".into(), text(&account.dataset.digest().to_string()));
    table.insert("images".into(), toml::Value::Integer(account.dataset.examples().len() as i64));
    table.insert("temperature".into(), toml::Value::Float(temperature));
    let options = account.options.listed().into_iter().map(|(name, value)| (name.replace(' ', "_"), value.into()));
    table.insert("options".into(), toml::Value::Table(options.collect()));
    table
}

/// The directory of features that is taken where none is named: that of the user's cached files (XDG Base Directory).
pub fn default_cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(|| Path::new("/var/tmp").to_owned()).join("auscult")
}
