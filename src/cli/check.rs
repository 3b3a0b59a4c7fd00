//! `auscult check`: everything that can be wrong before the first image arrives, and how to mend it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Failed, log};
use crate::config::{Config, Destination, Log, LogLevel};
use crate::daemon;
use crate::scu::{self, Peer};

/// Check configuration, model package and destinations.
///
/// Exits with 78 when the configuration or the model package has to be mended, with 1 when a directory cannot be
/// written or a destination does not answer.
#[derive(clap::Args)]
pub(super) struct Check {
    /// Configuration file; without one the documented defaults hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> Result<()> {
        let config = Config::load(self.config.as_deref())?;
        log::start(&Log { level: LogLevel::Error, ..config.log.clone() });
        let file = self.config.as_deref().unwrap_or(Path::new("(documented defaults)"));
        passed("configuration", &file.display().to_string())?;
        let model = daemon::load_model(&config)?;
        let manifest = model.manifest();
        passed("model", &format!("{} {}, self-test passed on {}", manifest.name, manifest.version, model.device()))?;
        let state = config.state.resolved();
        let mut faults = usize::from(!directory("state directory", &state)?);
        for destination in &config.destination {
            let name = format!("destination {}", destination.name());
            let reached = match destination {
                Destination::Folder { path, .. } => directory(&name, &state.join(path))?,
                Destination::Dicom { host, port, ae_title, .. } => {
                    let peer = Peer::new(host, *port, ae_title.clone(), config.scp.ae_title.clone());
                    super::runtime()?.block_on(echo(&name, &peer))?
                }
            };
            faults += usize::from(!reached);
        }
        if faults == 0 { Ok(()) } else { Err(Failed(format!("{faults} of the checks failed")).into()) }
    }
}

fn passed(what: &str, said: &str) -> io::Result<()> {
    writeln!(io::stdout(), "ok    {what}: {said}")
}

fn failed(what: &str, said: &str) -> io::Result<()> {
    writeln!(io::stdout(), "FAIL  {what}: {said}")
}

/// Whether a directory can be made and written.
fn directory(what: &str, path: &Path) -> io::Result<bool> {
    let writable = std::fs::create_dir_all(path).and_then(|()| tempfile::tempfile_in(path));
    match writable {
        Ok(_) => passed(what, &path.display().to_string()).map(|()| true),
        Err(error) => {
            let remedy = "give it to the user that runs the service, or name another";
            failed(what, &format!("{}: {error}; {remedy}", path.display())).map(|()| false)
        }
    }
}

/// Whether a destination answers a C-ECHO.
async fn echo(what: &str, peer: &Peer) -> io::Result<bool> {
    match scu::echo(peer).await {
        Ok(status) if status.is_stored() => passed(what, &format!("{peer} answers C-ECHO: {status}")).map(|()| true),
        Ok(status) => failed(what, &format!("{peer} answers C-ECHO: {status}")).map(|()| false),
        Err(error) => failed(what, &error.to_string()).map(|()| false),
    }
}
