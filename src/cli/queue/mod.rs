//! `auscult queue`: what waits, what failed, and a word to it; beside the running service as without it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;
use serde::Serialize;

use super::Failed;
use crate::config::Config;
use crate::ids::StudyInstanceUid;
use crate::ledger::{Ledger, StudyDetail, StudyLine};

mod shown;

use shown::{Detail, Image, Study};

/// Show what waits and what failed; try it again, or discard it.
///
/// Works while the service runs and while it is stopped. A study is named by its Study Instance UID; no patient is
/// named anywhere.
#[derive(clap::Args)]
pub(super) struct Queue {
    #[command(subcommand)]
    command: Command,
    /// Configuration file of the service; without one the documented defaults hold
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Studies without a report, or whose report has not arrived everywhere
    List {
        /// All studies that are remembered, latest first
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100)]
        most: usize,
    },
    /// Everything about one study: images, reports, deliveries
    Show {
        /// Study Instance UID
        study: StudyInstanceUid,
    },
    /// Try a study's failed images and undelivered reports again, now
    Retry {
        /// Study Instance UID
        study: StudyInstanceUid,
    },
    /// End all work on a study: its images are deleted, undelivered reports are not sent
    Discard {
        /// Study Instance UID
        study: StudyInstanceUid,
        /// Why; it is kept in the ledger
        #[arg(long)]
        reason: String,
    },
}

impl Queue {
    pub(super) fn run(self) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let ledger = Ledger::beside(&config.state.resolved())?;
        let form = if self.json { Form::Json } else { Form::Text };
        match self.command {
            Command::List { all, most } => {
                let lines = if all { ledger.latest(most)? } else { ledger.at_work(most)? };
                list(&lines, form)
            }
            Command::Show { study } => match ledger.details(&study)? {
                details if details.is_empty() => Err(unknown(&study)),
                details => show(&details, form),
            },
            Command::Retry { study } => {
                let (images, deliveries) = ledger.retry(&study, SystemTime::now())?;
                told(&ledger, form, &Told { study, what: "to be tried again", images, deliveries })
            }
            Command::Discard { study, reason } => {
                let (images, deliveries) = ledger.discard(&study, reason.trim(), SystemTime::now())?;
                told(&ledger, form, &Told { study, what: "discarded", images, deliveries })
            }
        }
    }
}

/// How it is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
}

impl Form {
    /// Writes one JSON value on one line, or whatever `text` writes.
    fn write(
        self,
        value: &impl Serialize,
        text: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>,
    ) -> Result<()> {
        let mut out = io::stdout().lock();
        match self {
            Self::Json => writeln!(out, "{}", serde_json::to_string(value)?)?,
            Self::Text => text(&mut out)?,
        }
        Ok(())
    }
}

fn unknown(study: &StudyInstanceUid) -> anyhow::Error {
    Failed(format!("the ledger knows no study {study}; see `auscult queue list --all`")).into()
}

/// How much of a study a word to the queue meant.
#[derive(Serialize)]
struct Told {
    study: StudyInstanceUid,
    #[serde(skip)]
    what: &'static str,
    images: usize,
    deliveries: usize,
}

/// Says so; it is an error when the study is not known, or nothing of it was meant.
fn told(ledger: &Ledger, form: Form, told: &Told) -> Result<()> {
    let Told { study, what, images, deliveries } = told;
    match images + deliveries {
        0 if ledger.details(study)?.is_empty() => Err(unknown(study)),
        0 => Err(Failed(format!("nothing of study {study} waits or failed; see `auscult queue show {study}`")).into()),
        _ => form.write(told, |out| writeln!(out, "study {study}: {what}: images {images}, deliveries {deliveries}")),
    }
}

fn list(lines: &[StudyLine], form: Form) -> Result<()> {
    let studies: Vec<Study> = lines.iter().map(Study::of).collect();
    form.write(&studies, |out| {
        if studies.is_empty() {
            return writeln!(out, "nothing waits and nothing failed");
        }
        writeln!(out, "state        urgency  images  waiting  to send  since                      study")?;
        for study in &studies {
            let Study { state, urgency, images, waiting, to_deliver, since, study, reason, .. } = study;
            writeln!(out, "{state:<11}  {urgency:<7}  {images:>6}  {waiting:>7}  {to_deliver:>7}  {since}  {study}")?;
            if let Some(reason) = reason {
                writeln!(out, "             {reason}")?;
            }
        }
        Ok(())
    })
}

fn show(details: &[StudyDetail], form: Form) -> Result<()> {
    let details: Vec<Detail> = details.iter().map(Detail::of).collect();
    form.write(&details, |out| details.iter().try_for_each(|detail| write_detail(out, detail)))
}

fn write_detail(out: &mut impl Write, Detail { study, images, reports }: &Detail) -> io::Result<()> {
    writeln!(out, "study {}: {}, {}, first image {}", study.study, study.state, study.urgency, study.since)?;
    if let Some(reason) = study.reason {
        writeln!(out, "  {reason}")?;
    }
    for image in images {
        let Image { instance, state, calling, received, on_disk, .. } = image;
        writeln!(out, "  image {instance}: {state}{}", image.said())?;
        writeln!(out, "    from {calling} at {received}, on disk: {on_disk}")?;
    }
    for report in reports {
        writeln!(out, "  report {}: {}, made {}", report.instance, report.headline, report.created)?;
        for delivery in &report.deliveries {
            let (destination, state, attempts) = (delivery.destination, delivery.state, delivery.attempts);
            writeln!(out, "    to {destination}: {state}, tries {attempts}{}", delivery.said())?;
        }
    }
    Ok(())
}
