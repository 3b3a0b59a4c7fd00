//! What a run leaves beside the model: `metrics.json`, `history.csv`, drawings and one page that shows it all.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::folds::{self, Folds};
use super::gate::GateAccount;
use super::history::{self, Epoch};
use super::{Keep, Options, TrainError, TrunkPart};
use crate::dataset::{Dataset, Division, Part, Sharing};
use crate::model::{Output, PLAUSIBILITY};
use crate::performance::{Drawing, Figures, Page, Performance, Scored};
use crate::replace;

/// How often a browser reads the page again while training goes on.
const REFRESH_SECONDS: u32 = 5;

/// What there is to say of a run beside its figures.
pub(super) struct Account<'a> {
    pub(super) directory: PathBuf,
    pub(super) name: String,
    pub(super) options: &'a Options,
    /// A digest of everything that the weights depend on.
    pub(super) run: blake3::Hash,
    pub(super) dataset: &'a Dataset,
    pub(super) division: &'a Division,
    pub(super) sharing: Option<Sharing>,
    pub(super) trunk: &'a str,
    pub(super) output: &'a Output,
    /// How the plausibility gate does, once there is one.
    pub(super) gate: Option<GateAccount>,
    /// The sheet of the worst errors, once the model is finished and where it errs.
    pub(super) worst: Option<Drawing>,
    /// What cross-validation said before.
    pub(super) folds: Option<&'a Folds>,
}

/// What a model says of the parts of the data.
pub(super) type Parts = Vec<(Part, Vec<Scored>)>;

/// Whether training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    UnderWay,
    Finished,
}

impl Account<'_> {
    /// Writes everything anew; parts without images are left out.
    pub(super) fn write(&self, state: State, history: &[Epoch], parts: &Parts) -> Result<(), TrainError> {
        let parts: Vec<_> = parts.iter().filter(|(_, images)| !images.is_empty()).collect();
        let sets: Vec<(Part, Figures)> =
            parts.iter().map(|(part, images)| (*part, Performance::new(self.output, images).figures())).collect();
        self.file("history.csv", history::csv(history).as_bytes())?;
        let metrics = serde_json::to_string_pretty(&self.metrics(state, history, &sets)).unwrap_or_default();
        self.file("metrics.json", format!("{metrics}\n").as_bytes())?;
        let curves = history::drawings(history, self.options.epochs);
        for Drawing { name, svg } in &curves {
            self.file(&format!("plots/{name}.svg"), svg.as_bytes())?;
        }
        let mut drawings = Vec::new();
        for (part, images) in parts.iter().filter(|(part, _)| *part != Part::Training) {
            let of = Performance::new(self.output, images).drawings(part.name());
            for Drawing { name, svg } in &of {
                self.file(&format!("plots/{part}-{name}.svg"), svg.as_bytes())?;
            }
            drawings.push((*part, of));
        }
        if let Some(Drawing { name, svg }) = &self.worst {
            self.file(&format!("plots/{name}.svg"), svg.as_bytes())?;
        }
        self.file("report.html", self.page(state, history, &sets, &curves, &drawings).as_bytes())
    }

    fn file(&self, name: &str, octets: &[u8]) -> Result<(), TrainError> {
        let path = self.directory.join(name);
        replace::view(&path, octets).map_err(|source| TrainError::Io { path, source })
    }

    fn metrics(&self, state: State, history: &[Epoch], sets: &[(Part, Figures)]) -> Value {
        let mut metrics: Map<String, Value> =
            sets.iter().map(|(part, figures)| (part.name().to_owned(), figures.json())).collect();
        let options = self.options.listed().into_iter().map(|(name, value)| (name.to_owned(), Value::String(value)));
        let sharing = self.sharing.as_ref();
        metrics.extend(
            [
                ("epochs", json!(history.len())),
                ("kept_epoch", json!(kept(self.options, history).map(|(number, _)| number))),
                ("finished", json!(state == State::Finished)),
                ("options", Value::Object(options.collect())),
                ("trunk", json!(self.trunk)),
                (
                    "data",
                    json!({ "blake3": self.dataset.digest().to_string(), "images": self.dataset.examples().len() }),
                ),
                (
                    "sharing",
                    sharing.map_or(
                        Value::Null,
                        |Sharing { column, shared, of }| json!({ "column": column, "shared": shared, "of": of }),
                    ),
                ),
                (PLAUSIBILITY, self.gate.as_ref().map_or(Value::Null, GateAccount::json)),
                (folds::KEY, self.folds.map_or(Value::Null, Folds::json)),
                (folds::RUN, json!(self.run.to_string())),
                ("version", json!(env!("CARGO_PKG_VERSION"))),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        Value::Object(metrics)
    }

    fn page(
        &self,
        state: State,
        history: &[Epoch],
        sets: &[(Part, Figures)],
        curves: &[Drawing],
        drawings: &[(Part, Vec<Drawing>)],
    ) -> String {
        let mut page = Page::new(&format!("Training of {}", self.name));
        if state == State::UnderWay {
            page = page.refreshed_after(REFRESH_SECONDS);
            page.notice(&format!("Under way: epoch {} of {}.", history.len(), self.options.epochs));
        }
        page.paragraph("Research use. These figures tell how the model does on images like these, and of no others.");
        if let Some((told, said)) = self.sharing.as_ref().map(|sharing| (sharing.shared > 0, sharing_text(sharing))) {
            if told { page.notice(&said) } else { page.paragraph(&said) }
        }
        page.heading("Figures");
        let named: Vec<_> = sets.iter().map(|(part, figures)| (part.name().to_owned(), figures.clone())).collect();
        page.figures(&named);
        let said = kept(self.options, history).filter(|_| state == State::Finished);
        said.iter().for_each(|(_, said)| page.paragraph(said));
        if let Some(folds) = self.folds {
            page.heading("Cross-validation");
            page.paragraph(&folds.text());
            page.table(&Folds::HEAD, &folds.rows());
        }
        page.heading("Epochs");
        if self.options.trunk != TrunkPart::None {
            page.paragraph(
                "Training: on the way through the epoch, normalised by batch. Validation: after the epoch, as in service.",
            );
        }
        page.drawings(curves);
        for (part, drawings) in drawings {
            page.heading(&format!("Images of {part}"));
            page.drawings(drawings);
        }
        if let Some(sheet) = &self.worst {
            page.heading("Worst errors");
            page.sheet(sheet);
        }
        page.heading("Data");
        let digest = self.dataset.digest();
        page.paragraph(&format!(
            "{} images, BLAKE3 of images and classes {digest}; {} of them are copies of others, which stay in one part.",
            self.dataset.examples().len(),
            self.dataset.copies(),
        ));
        page.table(&["class", "train", "validation", "test"], &self.counts());
        page.heading("How it was trained");
        let mut rows = vec![vec!["Auscult".to_owned(), env!("CARGO_PKG_VERSION").to_owned()]];
        rows.push(vec!["trunk from".to_owned(), self.trunk.to_owned()]);
        rows.extend(self.options.listed().into_iter().map(|(name, value)| vec![name.to_owned(), value]));
        page.table(&["option", "value"], &rows);
        page.finish()
    }

    /// How many images of each class are in each part.
    pub(super) fn counts(&self) -> Vec<Vec<String>> {
        let of = |class: usize, part: Part| {
            let both = self.dataset.examples().iter().zip(self.division.parts());
            both.filter(|(example, own)| example.class == class && **own == part).count().to_string()
        };
        let row = |(class, name): (usize, &String)| {
            std::iter::once(name.clone()).chain(Part::ALL.map(|part| of(class, part))).collect()
        };
        self.dataset.classes().iter().enumerate().map(row).collect()
    }
}

/// Number of the epoch that the weights are of, from 1, and what has to be said of that.
pub(super) fn kept(options: &Options, history: &[Epoch]) -> Option<(usize, String)> {
    let (number, of) = (history::best(history)? + 1, history.len());
    match options.keep {
        Keep::Last => Some((of, format!("The weights are those of the last epoch, number {of}."))),
        Keep::Best => {
            let said = format!(
                "The weights are those of epoch {number}, which did best of {of} on validation: figures on validation \
                 are the best of several, and so better than on other images. Those of the test were not looked at."
            );
            Some((number, said))
        }
    }
}

/// Whether groups, such as patients, are in training and elsewhere.
pub(super) fn sharing_text(Sharing { column, shared, of }: &Sharing) -> String {
    if *shared == 0 {
        return format!("No image of validation or test shares its {column} with training.");
    }
    let percent = 100.0 * *shared as f64 / (*of).max(1) as f64;
    format!(
        "{shared} of {of} images of validation and test ({percent:.1} %) share their {column} with an image of \
         training: figures on them are better than on others. --group {column} keeps each in one part."
    )
}
