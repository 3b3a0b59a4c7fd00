//! A finished model on labelled images: what it says of each, to the bit what the service says, and what that is worth.

mod drift;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::dataset::{Dataset, DatasetError};
use crate::finding::Probability;
use crate::model::{GalleryError, Manifest, Model, ModelError, Output, PLAUSIBILITY, Trial, look_through};
use crate::performance::{Figures, Page, Performance, Scored};
use crate::pixels::Decoder;
use crate::statistics::{Aim, Counts, Difference};

pub use drift::Drift;

/// Why images are not evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The images cannot be used.
    #[error(transparent)]
    Data(#[from] DatasetError),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Models that answer different questions cannot be compared.
    #[error("the models have different labels: {0} and {1}; only models with the same labels can be compared")]
    Labels(String, String),
    /// No threshold reaches the aim.
    #[error("no threshold reaches {0}: the images have no positives or no negatives")]
    Unreachable(Aim),
}

/// What a model said of a dataset.
pub struct Evaluation<'a> {
    output: Output,
    dataset: &'a Dataset,
    images: Vec<Scored>,
    accepted: Option<Trial>,
}

/// Two models on the same images.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Figures of the other model.
    pub other: Figures,
    /// Area under the ROC curve of this model less that of the other; `None` without positives and negatives.
    pub auc: Option<Difference>,
}

impl<'a> Evaluation<'a> {
    /// Shows every image to a model; `tell` gets how many were seen, and in what time.
    ///
    /// # Errors
    /// The first image that cannot be decoded, with its line; or the model failed.
    pub fn new(
        model: &Model,
        dataset: &'a Dataset,
        decoder: &Decoder,
        mut tell: impl FnMut(usize, Duration),
    ) -> Result<Self, EvaluateError> {
        let files: Vec<&Path> = dataset.examples().iter().map(|example| example.path.as_path()).collect();
        let (mut images, began) = (Vec::with_capacity(files.len()), Instant::now());
        let mut plausibility = Vec::new();
        let seen = look_through(&files, model.input(), decoder, |range, tensors| -> Result<(), ModelError> {
            let examples = dataset.examples().get(range.clone()).unwrap_or_default();
            for (example, said) in examples.iter().zip(model.look(tensors)?) {
                images.push(Scored { class: example.class, probabilities: said.probabilities });
                plausibility.extend(said.plausibility);
            }
            tell(range.end, began.elapsed());
            Ok(())
        });
        seen.map_err(|error| match error {
            GalleryError::Stopped(error) => EvaluateError::Model(error),
            GalleryError::Image { file, cause } => dataset.undecodable(file, &cause).into(),
        })?;
        let threshold = plausibility.first().map(|plausibility| plausibility.threshold);
        let scores: Vec<f64> = plausibility.iter().map(|plausibility| plausibility.score).collect();
        let accepted = threshold.map(|threshold| Trial::new(PLAUSIBILITY, &scores, threshold));
        Ok(Self { output: model.manifest().output.clone(), dataset, images, accepted })
    }

    /// What the model said of each image, in the order of the dataset.
    pub fn images(&self) -> &[Scored] {
        &self.images
    }

    /// How many images the package's plausibility gate accepts; `None` without a gate. All of them are in the figures.
    pub fn accepted(&self) -> Option<&Trial> {
        self.accepted.as_ref()
    }

    fn performance(&self) -> Performance<'_> {
        Performance::new(&self.output, &self.images)
    }

    /// Figures of all images.
    pub fn figures(&self) -> Figures {
        self.performance().figures()
    }

    /// Figures of the images with each value of a column, by value.
    ///
    /// # Errors
    /// The table has no such column.
    pub fn by(&self, column: &str) -> Result<Vec<(String, Figures)>, EvaluateError> {
        let mut groups: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
        for (value, image) in self.dataset.column(column)?.into_iter().zip(&self.images) {
            groups.entry(value).or_default().push(image.clone());
        }
        let figures = |(value, images): (&str, Vec<Scored>)| {
            (value.to_owned(), Performance::new(&self.output, &images).figures())
        };
        Ok(groups.into_iter().map(figures).collect())
    }

    /// This model beside another one on the same images.
    ///
    /// # Errors
    /// The other one has other labels.
    pub fn against(&self, other: &Self) -> Result<Comparison, EvaluateError> {
        let labels = |evaluation: &Self| evaluation.output.labels.join(", ");
        if (&self.output.labels, &self.output.positive) != (&other.output.labels, &other.output.positive) {
            return Err(EvaluateError::Labels(labels(self), labels(other)));
        }
        let both = self.performance().discrimination().zip(other.performance().discrimination());
        Ok(Comparison { other: other.figures(), auc: both.and_then(|(own, other)| own.less(&other)) })
    }

    /// The threshold that reaches an aim on these images, and what becomes of them there.
    ///
    /// # Errors
    /// Nothing reaches it.
    pub fn threshold_for(&self, aim: Aim) -> Result<OperatingChoice, EvaluateError> {
        let unreachable = || EvaluateError::Unreachable(aim);
        let found = self.performance().cuts().threshold_for(aim).ok_or_else(unreachable)?;
        let threshold = Probability::try_from(found).map_err(|_| unreachable())?;
        let output = Output { threshold, ..self.output.clone() };
        let figures = Performance::new(&output, &self.images).figures();
        Ok(OperatingChoice { aim, threshold, figures })
    }

    /// Everything as one page.
    pub fn page(&self, manifest: &Manifest, subgroups: &[(String, Vec<(String, Figures)>)]) -> String {
        let Manifest { name, version, sha256, .. } = manifest;
        let mut page = Page::new(&format!("Evaluation of {name} {version}"));
        page.paragraph(&format!(
            "Research use. {} images, BLAKE3 of images and classes {}; weights SHA-256 {sha256}.",
            self.images.len(),
            self.dataset.digest(),
        ));
        if let Some(accepted) = &self.accepted {
            page.paragraph(&format!("The plausibility gate accepts {}; all are in the figures.", accepted.text()));
        }
        page.heading("Figures");
        page.figures(&[("all images".to_owned(), self.figures())]);
        page.drawings(&self.performance().drawings("all images"));
        for (column, groups) in subgroups {
            page.heading(&format!("By {column}"));
            page.figures(groups);
        }
        page.finish()
    }
}

/// A threshold chosen on labelled images.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatingChoice {
    /// What it was chosen for.
    pub aim: Aim,
    /// The threshold.
    pub threshold: Probability,
    /// Figures of the images it was chosen on.
    pub figures: Figures,
}

impl OperatingChoice {
    /// A manifest with this threshold, which keeps how it was chosen.
    pub fn written_into(&self, mut manifest: Manifest) -> Manifest {
        manifest.output.threshold = self.threshold;
        manifest.output.undetermined_from = manifest.output.undetermined_from.filter(|lower| *lower < self.threshold);
        let mut figures = self.figures.toml();
        figures.insert("chosen_for".into(), self.aim.to_string().into());
        manifest.performance.insert("operating_point".into(), figures.into());
        manifest
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let Counts { true_positives, false_positives, true_negatives, false_negatives } = self.figures.present.counts;
        let mut object = self.figures.json();
        if let Some(object) = object.as_object_mut() {
            object.insert("chosen_for".into(), self.aim.to_string().into());
            object.insert(
                "counts".into(),
                json!({
                    "true_positives": true_positives, "false_positives": false_positives,
                    "true_negatives": true_negatives, "false_negatives": false_negatives,
                }),
            );
        }
        object
    }
}
