//! From labelled images to a model package: what the frozen part of a trunk makes of them, the rest and a head that are
//! fitted to it, and an account of all that. The same data, options and processor give the same weights, bit for bit.

mod account;
mod adam;
mod augmentation;
mod card;
mod checkpoint;
mod fault;
mod finish;
mod fit;
mod folds;
mod gate;
mod history;
mod inputs;
mod layers;
mod network;
mod options;
mod perceptron;
mod stage;
mod worst;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use augmentation::{Augmentation, Change};
pub use fault::TrainError;
pub use folds::Folds;
pub use history::{Epoch, Standing};
pub use inputs::Looked;
pub use options::{Arithmetic, CalibrationMethod, ClassWeights, Keep, Options, Schedule, TrunkPart};

use account::{Account, State};
use checkpoint::{Checkpoint, Keeper};
use finish::{Aim, Material, finish};
use fit::{Lessons, Passed};
use inputs::{Image, Inputs, Wanted};
use perceptron::Shape;
use stage::Place;

use crate::cuda;
use crate::dataset::{ClassNames, Dataset, Division, Part, Rule, Sharing};
use crate::finding::Probability;
use crate::model::{Head, Naming, Output, Package, Trunk};
use crate::performance::Figures;
use crate::pixels::Decoder;

/// Columns that name patients, looked for where no group is named.
const PATIENT_COLUMNS: [&str; 3] = ["patient", "patient_id", "group"];

/// Images that a finished package is asked about together.
const TOGETHER: usize = 16;

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
    /// How many further trainings say how well such a model does on images that it has not seen; at least 3.
    pub folds: Option<usize>,
    /// Everything else that the weights depend on.
    pub options: Options,
}

/// What happens while a model is trained.
#[derive(Debug)]
pub enum Event<'a> {
    /// A training of cross-validation begins.
    Fold {
        /// Its number, from 1.
        number: usize,
        /// How many there will be.
        of: usize,
    },
    /// The data was read and divided.
    Divided {
        /// Images of training, validation and test.
        images: [usize; 3],
        /// Who is in training and elsewhere, where that is known.
        sharing: Option<&'a Sharing>,
    },
    /// Images were looked at.
    Looked(Looked),
    /// Images of an epoch were learned from.
    Learned {
        /// The epoch's number, from 1.
        epoch: usize,
        /// Images so far.
        done: usize,
        /// Images of training.
        of: usize,
        /// Time since the epoch began.
        elapsed: Duration,
    },
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
    /// What cross-validation said of trainings like this one, where it was asked for.
    pub folds: Option<Folds>,
}

/// Trains a model and writes its package; tells what happens.
///
/// # Errors
/// Every variant of [`TrainError`].
pub fn run(job: &Job, tell: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, TrainError> {
    if job.out.join(Package::MANIFEST).exists() {
        return Err(TrainError::Finished(job.out.clone()));
    }
    let mut trunk = Trunk::open(&job.init, job.threads).map_err(TrainError::Trunk)?;
    let place = place(job.options.arithmetic)?;
    if let Some(place) = &place {
        trunk = trunk.on(&place.device, place.precision).map_err(TrainError::Layers)?;
    }
    let dataset = labelled(job, &trunk)?;
    let output = output(job, &dataset)?;
    let ground = Ground { trunk: &trunk, place: place.as_ref(), dataset: &dataset, output: &output };
    let folds = job.folds.map(|count| folds::validated(job, &ground, count, tell)).transpose()?;
    let figures = one(job, &ground, (Aim::Package, folds.as_ref()), tell)?;
    Ok(Outcome { figures, folds })
}

/// What every training of a job begins with.
#[derive(Clone, Copy)]
struct Ground<'a> {
    trunk: &'a Trunk,
    place: Option<&'a Place>,
    dataset: &'a Dataset,
    output: &'a Output,
}

/// Where the trunk computes, if not on the processor.
fn place(arithmetic: Arithmetic) -> Result<Option<Place>, TrainError> {
    let Arithmetic::Device(precision) = arithmetic else { return Ok(None) };
    let device = cuda::device::open(0).map_err(TrainError::on_device)?;
    Ok(Some(Place { device, precision }))
}

/// One training, from its division to its account; `folds` are of those before it.
fn one(
    job: &Job,
    &Ground { trunk, place, dataset, output }: &Ground<'_>,
    (aim, folds): (Aim, Option<&Folds>),
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<(Part, Figures)>, TrainError> {
    let division = Division::new(dataset, &job.options.rule)?;
    let sharing = sharing(dataset, &division, &job.options.rule)?;
    let counts = Part::ALL.map(|part| division.of(part).len());
    tell(Event::Divided { images: counts, sharing: sharing.as_ref() });
    let depth = job.options.trunk.depth();
    let wanted =
        Wanted { dataset, augmented: &division.of(Part::Training), augmentation: job.options.augmentation.as_ref() };
    let looked = |looked| tell(Event::Looked(looked));
    let inputs = Inputs::of(&wanted, (trunk, depth), &job.cache, &job.decoder, looked)?;
    let unfolded = trunk.unfolded(depth).map_err(TrainError::Layers)?;
    let run = fingerprint(job, trunk, dataset, &division, output);
    let account = Account {
        directory: job.out.clone(),
        name: job.naming.to_string(),
        options: &job.options,
        run,
        dataset,
        division: &division,
        sharing,
        trunk: trunk.origin(),
        output,
        gate: None,
        worst: None,
        folds,
    };
    let shape = Shape { inputs: Head::INPUTS, hidden: Head::HIDDEN, outputs: output.labels.len() };
    let mut keeper = Keeper::new(&job.out, &run);
    let lessons = Lessons {
        inputs: &inputs,
        place,
        training: images(dataset, &division, Part::Training),
        validation: images(dataset, &division, Part::Validation),
        classes: dataset.classes().len(),
    };
    let trained = (job.options.trunk != TrunkPart::None).then_some(&unfolded);
    let run = fitted(job, &account, &mut keeper, &lessons, fit::begin(trained, shape, &job.options), tell)?;
    let material = Material { trunk, unfolded: &unfolded, inputs: &inputs };
    let figures = finish((job, aim), account, &run, material)?;
    keeper.remove()?;
    Ok(figures)
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
    let classes = dataset.classes().len();
    let outputs = job.options.outputs.unwrap_or(classes);
    if outputs < classes {
        return Err(TrainError::Outputs { classes, outputs });
    }
    let named = |name: &str| dataset.classes().iter().find(|class| *class == name).cloned();
    let positive = match &job.positive {
        Some(name) => named(name)
            .ok_or_else(|| TrainError::Positive { name: name.clone(), known: dataset.classes().join(", ") })?,
        None => named(PNEUMONIA).or_else(|| dataset.classes().last().cloned()).unwrap_or_default(),
    };
    let threshold =
        Probability::try_from(THRESHOLD).map_err(|error| crate::model::ModelError::NotAProbability(error.0))?;
    Ok(Output::of(dataset.classes(), outputs, positive, threshold))
}

/// Who is in training and elsewhere, where a column tells.
fn sharing(dataset: &Dataset, division: &Division, rule: &Rule) -> Result<Option<Sharing>, TrainError> {
    let (Rule::Random { group: named, .. } | Rule::Fold { group: named, .. } | Rule::Column { group: named, .. }) =
        rule;
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

/// The same of a job that has not been divided yet.
fn fingerprint_of(job: &Job, ground: &Ground<'_>) -> Result<blake3::Hash, TrainError> {
    let division = Division::new(ground.dataset, &job.options.rule)?;
    Ok(fingerprint(job, ground.trunk, ground.dataset, &division, ground.output))
}

fn images(dataset: &Dataset, division: &Division, part: Part) -> Vec<Image> {
    let image = |index: usize| Some(Image { index, class: dataset.examples().get(index)?.class, copy: 0 });
    division.of(part).into_iter().filter_map(image).collect()
}

/// The epochs, from the last checkpoint on.
fn fitted(
    job: &Job,
    account: &Account<'_>,
    keeper: &mut Keeper,
    lessons: &Lessons<'_>,
    begun: Checkpoint,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Checkpoint, TrainError> {
    let mut run = match keeper.load(&begun)? {
        Some(run) => {
            tell(Event::Resumed { epochs: run.history.len() });
            run
        }
        None => begun,
    };
    let (of, images) = (job.options.epochs, lessons.training.len());
    let enough = |run: &Checkpoint| {
        let stopped = job.options.patience.is_some_and(|epochs| history::since_lowest_loss(&run.history) >= epochs);
        stopped || run.history.len() >= of
    };
    while !enough(&run) {
        let number = run.history.len() + 1;
        let mut learned = |done, elapsed| tell(Event::Learned { epoch: number, done, of: images, elapsed });
        let Passed { training, validation, took } = fit::epoch(&mut run, lessons, &job.options, &mut learned)?;
        keeper.save_if_due(&run)?;
        account.write(
            State::UnderWay,
            &run.history,
            &vec![(Part::Training, training), (Part::Validation, validation)],
        )?;
        if let Some(epoch) = run.history.last() {
            tell(Event::Epoch { number, of, epoch, images, took });
        }
    }
    Ok(run)
}

/// The directory of features that is taken where none is named: that of the user's cached files (XDG Base Directory).
pub fn default_cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(|| Path::new("/var/tmp").to_owned()).join("auscult")
}
