//! The end of a training: the figures of the model in service, and its package.

use super::account::{Account, Parts, State};
use super::checkpoint::Checkpoint;
use super::inputs::Inputs;
use super::network::{Batch, Network};
use super::worst::worst_errors;
use super::{CalibrationMethod, Image, Job, TOGETHER, TrainError, TrunkPart, card, fit, gate, images};
use crate::dataset::{Part, Register};
use crate::model::{Draft, Glance, PLAUSIBILITY, Trunk, Unfolded};
use crate::performance::{Figures, Performance, Scored};
use crate::replace;
use crate::statistics;

/// What a training is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// A package and the account of its training.
    Package,
    /// The account only.
    Figures,
}

/// What a package is made of, and what it is asked about.
pub(super) struct Material<'a> {
    pub(super) trunk: &'a Trunk,
    pub(super) unfolded: &'a Unfolded,
    pub(super) inputs: &'a Inputs,
}

/// The figures that the model gives: those of the service, to the bit; and its package, where that is the aim.
pub(super) fn finish(
    (job, aim): (&Job, Aim),
    mut account: Account<'_>,
    run: &Checkpoint,
    Material { trunk, unfolded, inputs }: Material<'_>,
) -> Result<Vec<(Part, Figures)>, TrainError> {
    let network = run.best.as_ref().unwrap_or(&run.network);
    let images = |part| images(account.dataset, account.division, part);
    let temperature = temperature(job, network, inputs, &images(Part::Validation))?;
    let trained = network.trunk.as_ref().map(|stage| stage.trained(unfolded)).unwrap_or_default();
    let head = network.head.head(temperature);
    let draft = Draft::new(trunk, &trained, &head, job.naming.clone(), account.output.clone())?;
    let scored = Part::ALL.map(|part| Ok((part, said(&draft, (inputs, job.options.trunk), &images(part))?)));
    let scored = scored.into_iter().collect::<Result<Parts, TrainError>>()?;
    let figures = |images: &[Scored]| Performance::new(account.output, images).figures();
    let sets: Vec<(Part, Figures)> =
        scored.iter().filter(|(_, images)| !images.is_empty()).map(|(part, images)| (*part, figures(images))).collect();
    let worst = worst_errors(&account, (&scored, images), draft.model(), &job.decoder)?;
    account.worst = worst;
    if aim == Aim::Figures {
        account.write(State::Finished, &run.history, &scored)?;
        return Ok(sets);
    }
    let origin = match (trunk.gate(), network.trunk.is_none()) {
        (Some((gate, threshold)), true) => gate::Origin::Trunk(gate, threshold),
        _ => gate::Origin::Images,
    };
    let ground = gate::Ground {
        dataset: account.dataset,
        division: account.division,
        decoder: &job.decoder,
        inputs,
        depth: job.options.trunk.depth(),
    };
    let (draft, gate) = gate::gated(draft, origin, &ground)?;
    account.gate = gate;
    account.write(State::Finished, &run.history, &scored)?;
    let register = Register::new(account.dataset, account.division).csv();
    let path = job.out.join(Register::FILE);
    replace::file(&path, register.as_bytes()).map_err(|source| TrainError::Io { path, source })?;
    let figures = sets.iter().map(|(part, figures)| (part.name().to_owned(), figures.toml().into()));
    let gate = account.gate.iter().map(|gate| (PLAUSIBILITY.to_owned(), gate.toml().into()));
    let performance = figures.chain(gate).collect();
    let card = card::card(&account, draft.manifest(), &run.history, &sets);
    draft.write(&job.out, performance, training(&account, temperature), &card)?;
    Ok(sets)
}

/// What the finished package says of images.
fn said(draft: &Draft, (inputs, trunk): (&Inputs, TrunkPart), images: &[Image]) -> Result<Vec<Scored>, TrainError> {
    let mut said = Vec::with_capacity(images.len());
    for images in images.chunks(TOGETHER) {
        let Batch { volume, classes } = inputs.batch(images)?;
        let glances = draft.glances(trunk.depth(), &volume.values, images.len())?;
        let image = |(class, Glance { probabilities, .. }): (usize, Glance)| Scored { class, probabilities };
        said.extend(classes.into_iter().zip(glances).map(image));
    }
    Ok(said)
}

fn temperature(job: &Job, network: &Network, inputs: &Inputs, images: &[Image]) -> Result<f64, TrainError> {
    match job.options.calibration {
        CalibrationMethod::None => Ok(1.0),
        CalibrationMethod::Temperature => Ok(statistics::temperature(&fit::logits(network, inputs, images)?)),
    }
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
