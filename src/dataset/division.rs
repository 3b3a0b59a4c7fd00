//! Which images are for training, which for validation, and which for the test.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use fastrand::Rng;

use super::{Dataset, DatasetError, Example, Place};

/// What images are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The weights are fitted to them.
    Training,
    /// Looked at after every epoch.
    Validation,
    /// Looked at once, at the end.
    Test,
}

impl Part {
    /// All parts, in order.
    pub const ALL: [Self; 3] = [Self::Training, Self::Validation, Self::Test];

    /// As keys and columns name it: `train`, `validation`, `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// Share of the images in a random division: 70, 20 and 10 %.
    fn share(self) -> f64 {
        match self {
            Self::Training => 0.7,
            Self::Validation => 0.2,
            Self::Test => 0.1,
        }
    }

    /// The part that a value of a split column means.
    pub fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Training),
            "val" | "valid" | "validation" => Some(Self::Validation),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How images are divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// 70, 20 and 10 % by chance; copies of an image stay together.
    Random {
        /// The same seed divides the same images alike.
        seed: u64,
        /// Images with the same value of this column stay together: those of one patient.
        group: Option<String>,
        /// Every class is divided by itself.
        stratified: bool,
    },
    /// One of several divisions, each of which has another of as many equal shares of the images for the test, and the
    /// next one for validation; copies of an image stay together.
    Fold {
        /// The same seed cuts the same images into the same shares.
        seed: u64,
        /// As in [`Rule::Random`].
        group: Option<String>,
        /// As in [`Rule::Random`].
        stratified: bool,
        /// Which division, from 0.
        fold: usize,
        /// How many shares; at least 3.
        of: usize,
    },
    /// By a column.
    Column {
        /// The column that says `train`, `validation` or `test`.
        split: String,
        /// The column of groups, such as patients, that should be in one part each.
        group: Option<String>,
    },
}

/// A part for every image of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division(Vec<Part>);

/// How many images of validation and test share a group, such as a patient, with training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// The column of the groups.
    pub column: String,
    /// Images of validation and test that have a relative in training.
    pub shared: usize,
    /// Images of validation and test.
    pub of: usize,
}

impl Division {
    /// Divides a dataset.
    ///
    /// # Errors
    /// A column that is missing or says something else, the same image in two parts, a class or a part with too few
    /// images.
    pub fn new(dataset: &Dataset, rule: &Rule) -> Result<Self, DatasetError> {
        no_rare_class(dataset)?;
        let division = match rule {
            Rule::Random { seed, group, stratified } => {
                let shares = Part::ALL.map(Part::share);
                let of = shares_of(dataset, (*seed, group.as_deref(), *stratified), &shares)?;
                Self(of.into_iter().map(|share| Part::ALL.get(share).copied().unwrap_or(Part::Training)).collect())
            }
            Rule::Fold { seed, group, stratified, fold, of } => {
                let shares = vec![1.0 / *of as f64; *of];
                let part = |share: usize| match (share + of - fold) % of {
                    0 => Part::Test,
                    1 => Part::Validation,
                    _ => Part::Training,
                };
                let shares = shares_of(dataset, (*seed, group.as_deref(), *stratified), &shares)?;
                Self(shares.into_iter().map(part).collect())
            }
            Rule::Column { split, .. } => Self::by_column(dataset, split)?,
        };
        division.no_leak(dataset)?;
        division.nothing_empty(dataset)?;
        Ok(division)
    }

    /// The part of each image.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The indices of the images of a part.
    pub fn of(&self, part: Part) -> Vec<usize> {
        let is = |(index, of): (usize, &Part)| (*of == part).then_some(index);
        self.0.iter().enumerate().filter_map(is).collect()
    }

    /// How many images of validation and test share a value of a column with training.
    ///
    /// # Errors
    /// The table has no such column.
    pub fn sharing(&self, dataset: &Dataset, column: &str) -> Result<Sharing, DatasetError> {
        let groups = dataset.column(column)?;
        let of = |training: bool| {
            let fits = move |part: &Part| (*part == Part::Training) == training;
            self.0.iter().zip(&groups).filter(move |(part, _)| fits(part)).map(|(_, group)| *group)
        };
        let trained: HashSet<&str> = of(true).filter(|group| !group.is_empty()).collect();
        let shared = of(false).filter(|group| trained.contains(group)).count();
        Ok(Sharing { column: column.to_owned(), shared, of: of(false).count() })
    }

    fn by_column(dataset: &Dataset, column: &str) -> Result<Self, DatasetError> {
        let part = |(example, value): (&Example, &str)| {
            Part::of(value).ok_or_else(|| DatasetError::Malformed {
                place: dataset.place(example),
                cause: format!("{column} is {value:?}; write train, validation or test"),
            })
        };
        let values = dataset.column(column)?;
        Ok(Self(dataset.examples().iter().zip(values).map(part).collect::<Result<_, _>>()?))
    }

    fn no_leak(&self, dataset: &Dataset) -> Result<(), DatasetError> {
        let mut seen = HashMap::new();
        for (example, part) in dataset.examples().iter().zip(&self.0) {
            let (first, of) = *seen.entry(example.digest).or_insert((example, *part));
            if of != *part {
                let (place, path) = (dataset.place(example), example.path.clone());
                return Err(DatasetError::Leak { place, path, first: dataset.place(first) });
            }
        }
        Ok(())
    }

    fn nothing_empty(&self, dataset: &Dataset) -> Result<(), DatasetError> {
        let fault = |cause| Err(DatasetError::Part { place: Place::new(dataset.source(), None), cause });
        for part in [Part::Training, Part::Validation] {
            if self.of(part).is_empty() {
                return fault(format!("no image is for {part}; there are too few images or groups to divide"));
            }
        }
        let trained = self.of(Part::Training);
        let classes: HashSet<usize> =
            trained.iter().filter_map(|index| dataset.examples().get(*index)).map(|example| example.class).collect();
        for example in dataset.examples() {
            if !classes.contains(&example.class) {
                let class = dataset.classes().get(example.class).map_or("", String::as_str);
                return fault(format!("no image of class {class:?} is for training; take another seed or --stratify"));
            }
        }
        Ok(())
    }
}

fn no_rare_class(dataset: &Dataset) -> Result<(), DatasetError> {
    let needed = Part::ALL.len();
    for (class, name) in dataset.classes().iter().enumerate() {
        let mut members = dataset.examples().iter().filter(|example| example.class == class);
        let Some(first) = members.next() else { continue };
        let images = 1 + members.count();
        if images < needed {
            return Err(DatasetError::RareClass { place: dataset.place(first), class: name.clone(), images, needed });
        }
    }
    Ok(())
}

/// Images that must stay together, as indices: copies, and those of one group. An empty value is a group of its own.
fn families(dataset: &Dataset, group: Option<&str>) -> Result<Vec<Vec<usize>>, DatasetError> {
    let groups = group.map(|column| dataset.column(column)).transpose()?;
    let mut families: Vec<Vec<usize>> = Vec::new();
    let (mut by_digest, mut by_group) = (HashMap::new(), HashMap::new());
    for (index, example) in dataset.examples().iter().enumerate() {
        let group = groups.as_ref().and_then(|groups| groups.get(index)).filter(|group| !group.is_empty());
        let known = group.and_then(|group| by_group.get(group)).or_else(|| by_digest.get(&example.digest)).copied();
        let family = known.unwrap_or(families.len());
        match families.get_mut(family) {
            Some(members) => members.push(index),
            None => families.push(vec![index]),
        }
        by_digest.insert(example.digest, family);
        group.map(|group| by_group.insert(*group, family));
    }
    Ok(families)
}

/// For each image which of some shares of the dataset, as fractions of it, it belongs to.
fn shares_of(
    dataset: &Dataset,
    (seed, group, stratified): (u64, Option<&str>, bool),
    shares: &[f64],
) -> Result<Vec<usize>, DatasetError> {
    let (examples, mut random) = (dataset.examples(), Rng::with_seed(seed));
    let mut found = vec![0; examples.len()];
    let mut strata: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
    for family in families(dataset, group)? {
        let class = family.first().and_then(|index| examples.get(*index)).map_or(0, |example| example.class);
        strata.entry(if stratified { class } else { 0 }).or_default().push(family);
    }
    for mut families in strata.into_values() {
        random.shuffle(&mut families);
        for (family, share) in families.iter().zip(shared_out(&families, shares)) {
            for index in family {
                if let Some(of) = found.get_mut(*index) {
                    *of = share;
                }
            }
        }
    }
    Ok(found)
}

/// A share for each family: always that which lacks most.
fn shared_out(families: &[Vec<usize>], shares: &[f64]) -> Vec<usize> {
    let images: usize = families.iter().map(Vec::len).sum();
    let mut lacking: Vec<_> = shares.iter().enumerate().map(|(at, share)| (at, share * images as f64, 0.0)).collect();
    let mut found = Vec::with_capacity(families.len());
    for family in families {
        let lack = |(_, share, has): &(usize, f64, f64)| (share - has) / share;
        let most = lacking.iter_mut().max_by(|a, b| lack(a).total_cmp(&lack(b)).then(b.0.cmp(&a.0)));
        if let Some((share, _, has)) = most {
            *has += family.len() as f64;
            found.push(*share);
        }
    }
    found
}
