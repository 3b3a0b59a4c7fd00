//! `auscult check`: everything that can be wrong before the first image arrives, and how to mend it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rustix::fs::Access;

use super::{Failed, log};
use crate::config::{Config, ConfigError, Destination, Log, LogLevel};
use crate::daemon;
use crate::hl7;
use crate::model::Manifest;
use crate::scu::{self, Peer};
use crate::spool;

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
    pub(super) fn configuration(&self) -> Result<Config, ConfigError> {
        Config::load(self.config.as_deref())
    }

    pub(super) fn run(self) -> Result<()> {
        let config = self.configuration()?;
        log::start(&Log { level: LogLevel::Error, ..config.log.clone() });
        let file = self.config.as_deref().unwrap_or(Path::new("(documented defaults)"));
        passed("configuration", &file.display().to_string())?;
        let model = daemon::load_model(&config);
        match &model {
            Ok(model) => {
                let Manifest { name, version, .. } = model.manifest();
                passed("model", &format!("{name} {version}, self-test passed on {}", model.device()))?;
            }
            Err(error) => failed("model", &error.to_string())?,
        }
        let state = config.state.resolved();
        let mut faults = usize::from(!state_directory(&state, config.spool.min_free_mib)?);
        for destination in &config.destination {
            let name = format!("destination {}", destination.name());
            let reached = match destination {
                Destination::Folder { path, .. } => directory(&name, &state.join(path))?,
                Destination::Dicom { host, port, ae_title, .. } => {
                    let peer = Peer::new(host, *port, ae_title.clone(), config.scp.ae_title.clone());
                    super::runtime()?.block_on(echo(&name, &peer))?
                }
                Destination::Hl7 { host, port, .. } => {
                    let patience = Duration::from_secs(config.delivery.connect_seconds);
                    match super::runtime()?.block_on(hl7::Connection::open(host, *port, patience)) {
                        Ok(_) => passed(&name, "takes connections").map(|()| true)?,
                        Err(error) => failed(&name, &error.to_string()).map(|()| false)?,
                    }
                }
            };
            faults += usize::from(!reached);
        }
        model?;
        if faults == 0 { Ok(()) } else { Err(Failed(format!("{faults} of the checks failed")).into()) }
    }
}

fn passed(what: &str, said: &str) -> io::Result<()> {
    writeln!(io::stdout(), "ok    {what}: {said}")
}

fn failed(what: &str, said: &str) -> io::Result<()> {
    writeln!(io::stdout(), "FAIL  {what}: {said}")
}

/// Whether the state directory can be used and has room for images.
fn state_directory(path: &Path, min_free_mib: u64) -> io::Result<bool> {
    if !directory("state directory", path)? {
        return Ok(false);
    }
    match spool::free_mib(&existing(path)) {
        Ok(free) if free < min_free_mib => {
            let remedy = "images are refused with 0xA700: free space on this disk, or lower spool.min_free_mib";
            failed("disk", &format!("{free} MiB free, spool.min_free_mib is {min_free_mib}; {remedy}")).map(|()| false)
        }
        Ok(free) => passed("disk", &format!("{free} MiB free")).map(|()| true),
        Err(error) => failed("disk", &error.to_string()).map(|()| false),
    }
}

/// Whether a directory can be written, or made, by this user. Nothing is made here: it would belong to who checks.
fn directory(what: &str, path: &Path) -> io::Result<bool> {
    let (shown, nearest) = (path.display(), existing(path));
    if !nearest.is_dir() {
        return failed(what, &format!("{shown}: {} is no directory; name another", nearest.display())).map(|()| false);
    }
    match rustix::fs::access(&nearest, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if nearest == path => passed(what, &shown.to_string()).map(|()| true),
        Ok(()) => passed(what, &format!("{shown}, which the service will make")).map(|()| true),
        Err(error) => {
            let remedy = "give it to the user that runs the service, or name another";
            failed(what, &format!("{shown}: {error}; {remedy}")).map(|()| false)
        }
    }
}

/// The path itself if something is there, else the nearest directory above it.
fn existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if path.exists() {
        return path.to_owned();
    }
    absolute.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Whether a destination answers a C-ECHO.
async fn echo(what: &str, peer: &Peer) -> io::Result<bool> {
    match scu::echo(peer).await {
        Ok(status) if status.is_stored() => passed(what, &format!("{peer} answers C-ECHO: {status}")).map(|()| true),
        Ok(status) => failed(what, &format!("{peer} answers C-ECHO: {status}")).map(|()| false),
        Err(error) => failed(what, &error.to_string()).map(|()| false),
    }
}
