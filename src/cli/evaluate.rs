//! `auscult evaluate`: what a model is worth on labelled images.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::log;
use super::overrides::{Computing, Threads};
use super::progress::Progress;
use crate::config::{Config, ConfigError, Log, LogLevel};
use crate::daemon;
use crate::dataset::{ClassNames, Dataset, Part, Register};
use crate::evaluate::{Comparison, Evaluation, OperatingChoice};
use crate::model::{Manifest, Model, PLAUSIBILITY, Package, Trial};
use crate::performance::Figures;
use crate::pipeline::decoder;
use crate::pixels::Decoder;
use crate::replace;
use crate::resource;
use crate::statistics::Aim;

/// Measure a model on labelled images.
///
/// Prints accuracy, area under the ROC curve, sensitivity, specificity, predictive values and calibration with 95 %
/// intervals. Scores are those of the service, to the bit.
#[derive(clap::Args)]
pub(super) struct Evaluate {
    /// Directory of the model package
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// CSV table with the columns image_path and target, or a directory with a folder for each class
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Only images that training put into this part: train, validation or test
    #[arg(long, value_name = "PART", value_parser = part)]
    part: Option<Part>,
    /// Figures for each value of a column, too; may be repeated
    #[arg(long, value_name = "COLUMN")]
    by: Vec<String>,
    /// Compare with another model on the same images (paired, DeLong)
    #[arg(long, value_name = "MODEL_DIR")]
    against: Option<PathBuf>,
    /// Choose the threshold that reaches sensitivity=SHARE or specificity=SHARE on these images, and write it into the
    /// package
    #[arg(long, value_name = "AIM")]
    threshold_for: Option<Aim>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Write report.html with the drawings, and scores.csv, into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    computing: Computing,
}

fn part(text: &str) -> Result<Part, String> {
    Part::of(text).ok_or_else(|| "write train, validation or test".to_owned())
}

/// What was found.
struct Findings<'a> {
    model: &'a Model,
    dataset: &'a Dataset,
    figures: Figures,
    accepted: Option<&'a Trial>,
    subgroups: Vec<(String, Vec<(String, Figures)>)>,
    comparison: Option<(Manifest, Comparison)>,
    choice: Option<OperatingChoice>,
    trained_on: usize,
}

impl Evaluate {
    /// The configuration with what the arguments override.
    pub(super) fn configuration(&self) -> Result<Config, ConfigError> {
        self.configuration_of(&self.model)
    }

    fn configuration_of(&self, package: &Path) -> Result<Config, ConfigError> {
        self.threads.set_in(self.computing.configuration(Some(package))?)
    }

    pub(super) fn run(self) -> Result<()> {
        let config = self.configuration()?;
        log::start(&Log { level: LogLevel::Warn, ..config.log.clone() });
        let directory = resource::find(&self.model).context("name the directory of a model package")?;
        let model = daemon::load_model(&config)?;
        let register = Register::read(&directory)?;
        let labels = ClassNames::Given(model.manifest().output.labels.clone());
        let mut dataset = Dataset::read(&self.data, &labels)?;
        if let Some(part) = self.part {
            dataset = dataset.only(|example| register.part(example) == Some(part));
            if dataset.examples().is_empty() {
                bail!("{}: none of its images was for {part} when this model was trained", self.data.display());
            }
        }
        // A column that is missing is told before the model is asked.
        self.by.iter().try_for_each(|column| dataset.column(column).map(drop))?;
        let in_training = |example: &&_| register.part(example) == Some(Part::Training);
        let trained_on = dataset.examples().iter().filter(in_training).count();
        let decoder = decoder(&config.select)?;
        let evaluation = looked_at(&model, &dataset, &decoder)?;
        let comparison =
            self.against.as_deref().map(|other| compared(&evaluation, &self.other(other)?, &dataset, &decoder));
        let subgroups = self.by.iter().map(|column| Ok((column.clone(), evaluation.by(column)?)));
        let findings = Findings {
            model: &model,
            dataset: &dataset,
            figures: evaluation.figures(),
            accepted: evaluation.accepted(),
            subgroups: subgroups.collect::<Result<_>>()?,
            comparison: comparison.transpose()?,
            choice: self.threshold_for.map(|aim| evaluation.threshold_for(aim)).transpose()?,
            trained_on,
        };
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&findings.json())?)?;
        } else {
            findings.print(self.part)?;
        }
        if let Some(out) = &self.out {
            write_account(out, &evaluation, &findings)?;
        }
        match &findings.choice {
            Some(choice) => write_choice(choice, &directory, &findings),
            None => Ok(()),
        }
    }

    /// Another package, computed in the same way.
    fn other(&self, package: &Path) -> Result<Model> {
        resource::find(package).context("name the directory of a model package with --against")?;
        Ok(daemon::load_model(&self.configuration_of(package)?)?)
    }
}

fn looked_at<'a>(model: &Model, dataset: &'a Dataset, decoder: &Decoder) -> Result<Evaluation<'a>> {
    let (mut progress, images) = (Progress::new(), dataset.examples().len());
    Ok(Evaluation::new(model, dataset, decoder, |done, elapsed| progress.images(done, images, elapsed))?)
}

fn compared(
    own: &Evaluation<'_>,
    other: &Model,
    dataset: &Dataset,
    decoder: &Decoder,
) -> Result<(Manifest, Comparison)> {
    let comparison = own.against(&looked_at(other, dataset, decoder)?)?;
    Ok((other.manifest().clone(), comparison))
}

impl Findings<'_> {
    fn json(&self) -> Value {
        let Manifest { name, version, sha256, .. } = self.model.manifest();
        let mut object = self.figures.json();
        let mut add = |key: &str, value: Value| {
            if let Some(object) = object.as_object_mut() {
                object.insert(key.to_owned(), value);
            }
        };
        add("model", json!({ "name": name, "version": version, "sha256": sha256 }));
        add("computed", computed(self.model));
        add("data", json!({ "blake3": self.dataset.digest().to_string(), "images_of_training": self.trained_on }));
        let groups = |groups: &[(String, Figures)]| -> Map<String, Value> {
            groups.iter().map(|(value, figures)| (value.clone(), figures.json())).collect()
        };
        add(PLAUSIBILITY, self.accepted.map_or(Value::Null, Trial::json));
        let by = self.subgroups.iter().map(|(column, values)| (column.clone(), Value::Object(groups(values))));
        add("by", Value::Object(by.collect()));
        if let Some((manifest, Comparison { other, auc })) = &self.comparison {
            let difference = auc.map_or(Value::Null, |difference| {
                json!({
                    "value": difference.value, "low": difference.low, "high": difference.high, "p": difference.p,
                })
            });
            let other = json!({
                "name": manifest.name, "version": manifest.version, "sha256": manifest.sha256, "figures": other.json(),
            });
            add("against", json!({ "model": other, "auc_difference": difference }));
        }
        if let Some(choice) = &self.choice {
            add("operating_point", choice.json());
        }
        object
    }

    fn print(&self, part: Option<Part>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let Manifest { name, version, .. } = self.model.manifest();
        let of = part.map(|part| format!(" of {part}")).unwrap_or_default();
        let (precision, device) = (self.model.precision().name(), self.model.device());
        writeln!(out, "{name} {version} on {} images{of}, in {precision} on {device}", self.figures.images)?;
        if self.trained_on > 0 && part != Some(Part::Training) {
            let remedy = "figures on them are better than on others; --part test leaves them out";
            writeln!(out, "warning: the model was trained on {} of these images; {remedy}", self.trained_on)?;
        }
        if let Some(accepted) = self.accepted {
            writeln!(out, "plausibility gate accepts {}", accepted.text())?;
        }
        figures(&mut out, &[("", &self.figures)])?;
        for (column, groups) in &self.subgroups {
            writeln!(out, "\nby {column}")?;
            let groups: Vec<_> = groups.iter().map(|(value, figures)| (value.as_str(), figures)).collect();
            figures(&mut out, &groups)?;
        }
        if let Some((manifest, Comparison { other, auc })) = &self.comparison {
            writeln!(out, "\nagainst {} {}", manifest.name, manifest.version)?;
            figures(&mut out, &[(name, &self.figures), (&manifest.name, other)])?;
            if let Some(difference) = auc {
                let (value, low, high) = (difference.value, difference.low, difference.high);
                writeln!(out, "AUC differs by {value:+.4} ({low:+.4} to {high:+.4}), p = {:.4}", difference.p)?;
            }
        }
        if let Some(choice) = &self.choice {
            writeln!(out, "\nthreshold for {}: {:.6}", choice.aim, choice.threshold.fraction())?;
            figures(&mut out, &[("", &choice.figures)])?;
        }
        Ok(())
    }
}

/// How a model computes, as `auscult bench` says it.
fn computed(model: &Model) -> Value {
    json!({
        "device": model.device(), "precision": model.precision().name(), "instructions": model.isa().name(),
    })
}

/// Figures beside each other.
fn figures(out: &mut impl Write, sets: &[(&str, &Figures)]) -> io::Result<()> {
    let columns: Vec<_> = sets.iter().map(|(_, figures)| figures.entries()).collect();
    if sets.iter().any(|(name, _)| !name.is_empty()) {
        let names: String = sets.iter().map(|(name, _)| format!("  {name:<26}")).collect();
        writeln!(out, "{:<28}{}", "", names.trim_end())?;
    }
    for (row, entry) in columns.first().into_iter().flatten().enumerate() {
        let values = columns.iter().filter_map(|column| column.get(row));
        let values: String = values.map(|entry| format!("  {:<26}", entry.text())).collect();
        writeln!(out, "{:<28}{}", entry.label, values.trim_end())?;
    }
    Ok(())
}

/// The page, and what the model said of each image.
fn write_account(out: &Path, evaluation: &Evaluation<'_>, findings: &Findings<'_>) -> Result<()> {
    let page = evaluation.page(findings.model.manifest(), &findings.subgroups);
    let labels = &findings.model.manifest().output.labels;
    let mut scores = format!("blake3,target,{}\n", labels.join(","));
    for (example, image) in findings.dataset.examples().iter().zip(evaluation.images()) {
        let target = labels.get(image.class).map_or("", String::as_str);
        let probabilities: Vec<String> = image.probabilities.iter().map(ToString::to_string).collect();
        scores += &format!("{},{target},{}\n", example.digest, probabilities.join(","));
    }
    for (name, octets) in [("report.html", page), ("scores.csv", scores)] {
        let path = out.join(name);
        replace::file(&path, octets.as_bytes()).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Writes a threshold into the manifest, and how it was chosen into the card.
fn write_choice(choice: &OperatingChoice, directory: &Path, findings: &Findings<'_>) -> Result<()> {
    choice.written_into(findings.model.manifest().clone()).write(directory)?;
    let path = directory.join(Package::CARD);
    let text = format!(
        "\n## Operating point\n\nThreshold {:.6}, chosen for {} on {} images, in {} (BLAKE3 of images and classes `{}`).\n",
        choice.threshold.fraction(),
        choice.aim,
        findings.figures.images,
        findings.model.precision().name(),
        findings.dataset.digest(),
    );
    let card = OpenOptions::new().append(true).create(true).open(&path);
    card.and_then(|mut card| card.write_all(text.as_bytes())).with_context(|| path.display().to_string())?;
    Ok(())
}
