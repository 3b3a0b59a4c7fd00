//! `auscult health`: does somebody have to look after the service? For people, and for what watches over machines.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde_json::json;

use super::Failed;
use crate::config::Config;
use crate::health::{Colour, Concern, Health};
use crate::ledger::Ledger;
use crate::scu::{self, Peer};

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tell whether the service answers, and whether studies, reports and disk are as they should be.
///
/// The first line is `health green`, `health yellow` (it may mend itself) or `health red` (somebody has to do something);
/// one line for each concern follows. The exit status is 1 when it is red.
#[derive(clap::Args)]
pub(super) struct HealthCommand {
    /// Configuration file of the service; without one the documented defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl HealthCommand {
    pub(super) fn run(self) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let state = config.state.resolved();
        let mut health = Health::of(&Ledger::beside(&state)?, &state, config.spool.min_free_mib, SystemTime::now())?;
        let answered = super::runtime()?.block_on(scu::echo(&own_peer(&config)));
        match answered {
            Ok(status) if status.is_stored() => {}
            Ok(status) => health.add(Colour::Red, format!("the service answers C-ECHO with {status}")),
            Err(error) => health.add(Colour::Red, format!("the service does not answer: {error}")),
        }
        let (mut out, colour) = (io::stdout().lock(), health.colour());
        if self.json {
            let concern = |concern: &Concern| json!({ "colour": concern.colour.to_string(), "what": concern.what });
            let concerns: Vec<_> = health.concerns.iter().map(concern).collect();
            writeln!(out, "{}", json!({ "health": colour.to_string(), "concerns": concerns }))?;
        } else {
            writeln!(out, "health {colour}")?;
            for concern in &health.concerns {
                writeln!(out, "{:<7} {}", concern.colour, concern.what)?;
            }
        }
        match colour {
            Colour::Red => Err(Failed("health is red".into()).into()),
            Colour::Green | Colour::Yellow => Ok(()),
        }
    }
}

/// The service, as its neighbours reach it.
fn own_peer(config: &Config) -> Peer {
    let scp = &config.scp;
    let host = if scp.address.is_unspecified() { "localhost".to_owned() } else { scp.address.to_string() };
    let peer = Peer::new(&host, scp.port, scp.ae_title.clone(), scp.ae_title.clone());
    Peer { connect: PATIENCE, response: PATIENCE, ..peer }
}
