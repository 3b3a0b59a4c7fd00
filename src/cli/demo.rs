//! `auscult demo`: the whole path on bundled studies, over real DIMSE on loopback: this process plays the PACS,
//! the service runs beside it, nothing is left running.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::{Failed, files, log};
use crate::config::{self, Config, Destination, Log, LogLevel, StorageCommitment};
use crate::daemon::Daemon;
use crate::ids::{AeTitle, StudyInstanceUid};
use crate::instance::Instance;
use crate::resource;
use crate::scp::{self, Arrived};
use crate::scu::{self, Peer};
use crate::spool::Spool;
use crate::sr::Summary;

/// Seconds that the demonstration's service waits for further images of a study.
const QUIET_SECONDS: u64 = 2;

/// How long the demonstration waits for the next report.
const PATIENCE: Duration = Duration::from_secs(120);

/// Show the whole path on bundled studies: push, classify, report.
#[derive(clap::Args)]
pub(super) struct Demo {
    /// Keep the reports in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Studies to push: one directory each
    #[arg(long, value_name = "DIR", default_value = "testdata")]
    studies: PathBuf,
}

/// A bundled study, and what came back.
struct Case {
    name: String,
    files: Vec<PathBuf>,
    sent: Option<Instant>,
    report: Option<Answer>,
}

/// The report of a study.
struct Answer {
    summary: Summary,
    after: Duration,
}

type Cases = BTreeMap<StudyInstanceUid, Case>;

impl Demo {
    pub(super) fn run(self) -> Result<()> {
        log::start(&Log { level: LogLevel::Error, ..Log::default() });
        let studies = resource::find(&self.studies).context("name the directory of studies with --studies")?;
        let mut cases = bundled(&studies)?;
        let directory = tempfile::Builder::new().prefix("auscult-demo-").tempdir()?;
        let reports = match self.keep {
            Some(keep) => keep,
            None => directory.path().with_extension("reports"),
        };
        std::fs::create_dir_all(&reports).with_context(|| reports.display().to_string())?;
        super::runtime()?.block_on(async {
            tokio::select! {
                done = demonstrate(&mut cases, directory.path(), &reports) => done,
                _ = tokio::signal::ctrl_c() => Err(Failed("interrupted".into()).into()),
            }
        })?;
        print(&cases, &reports)?;
        let missing = cases.values().filter(|case| case.report.is_none()).count();
        if missing == 0 {
            Ok(())
        } else {
            Err(Failed(format!("{missing} of {} studies got no report", cases.len())).into())
        }
    }
}

/// The studies below a directory; each is called after the directory that its first file lies in.
fn bundled(directory: &Path) -> Result<Cases> {
    let mut cases = Cases::new();
    for path in files::collect(&[directory.to_owned()]).dicom {
        let instance = Instance::open(&path)?;
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        let name = folder.to_string_lossy().into_owned();
        let case = Case { name, files: Vec::new(), sent: None, report: None };
        cases.entry(instance.study).or_insert(case).files.push(path);
    }
    if cases.is_empty() {
        bail!("{}: no DICOM files; name a directory of studies with --studies", directory.display());
    }
    Ok(cases)
}

/// Starts PACS and service, pushes every study and waits for every report.
async fn demonstrate(cases: &mut Cases, directory: &Path, reports: &Path) -> Result<()> {
    let (_stop, stopped) = watch::channel(false);
    let (pacs, mut arrivals) = pacs(&directory.join("pacs"), stopped).await?;
    let progress = progress(cases.len());
    progress.set_message("loading the model");
    let daemon = Daemon::start(&configuration(directory, pacs)?).await?;
    let peer = Peer::new("127.0.0.1", daemon.address().port(), Config::default().scp.ae_title, ae_title("DEMO_PACS")?);
    for case in cases.values_mut() {
        progress.set_message(format!("pushing {}", case.name));
        push(&peer, case).await?;
    }
    progress.set_message("waiting for reports");
    while cases.values().any(|case| case.report.is_none()) {
        let Ok(Some(arrived)) = tokio::time::timeout(PATIENCE, arrivals.recv()).await else { break };
        if let Some(case) = cases.get_mut(&arrived.instance.study) {
            case.report = Some(received(&arrived, case, reports)?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    daemon.stop().await;
    Ok(())
}

/// A small Storage SCP that plays the PACS: its address, and what it receives.
async fn pacs(directory: &Path, stop: watch::Receiver<bool>) -> Result<(SocketAddr, mpsc::Receiver<Arrived>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (spool, _) = Spool::open(directory, &config::Spool { min_free_mib: 0, ..config::Spool::default() })?;
    let settings = config::Scp { ae_title: ae_title("DEMO_PACS")?, ..config::Scp::default() };
    let (stored, arrivals) = mpsc::channel(64);
    let backing = scp::Backing { spool, stored, commitment: None, stats: Arc::default() };
    tokio::spawn(scp::serve(listener, watch::Sender::new(settings).subscribe(), backing, stop));
    Ok((address, arrivals))
}

/// The defaults, but for a state directory, a port and a destination of the demonstration's own.
fn configuration(directory: &Path, pacs: SocketAddr) -> Result<Config> {
    let mut config = Config::default();
    config.state.directory = directory.join("state");
    config.scp.address = Ipv4Addr::LOCALHOST.into();
    config.scp.port = 0;
    config.study.quiet_seconds = QUIET_SECONDS;
    config.spool.min_free_mib = 0;
    config.destination = vec![Destination::Dicom {
        name: "demo-pacs".into(),
        host: pacs.ip().to_string(),
        port: pacs.port(),
        ae_title: ae_title("DEMO_PACS")?,
        storage_commitment: StorageCommitment::Off,
        associations: 1,
        companions: Vec::new(),
    }];
    Ok(config)
}

fn ae_title(title: &str) -> Result<AeTitle> {
    Ok(title.parse()?)
}

async fn push(peer: &Peer, case: &mut Case) -> Result<()> {
    let mut refused = None;
    scu::send_files(peer, &case.files, |path, outcome| {
        let said = match outcome {
            Ok(status) if status.is_stored() => return,
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        refused = Some(format!("{}: {said}", path.display()));
    })
    .await?;
    if let Some(message) = refused {
        bail!(message);
    }
    case.sent = Some(Instant::now());
    Ok(())
}

fn received(arrived: &Arrived, case: &Case, reports: &Path) -> Result<Answer> {
    let path = reports.join(format!("{}.dcm", case.name));
    let copied = (arrived.instance.location.open())
        .and_then(|mut report| std::io::copy(&mut report, &mut std::fs::File::create(&path)?));
    copied.with_context(|| path.display().to_string())?;
    let sent = case.sent.unwrap_or(arrived.received);
    Ok(Answer { summary: Summary::read(&path)?, after: arrived.received.saturating_duration_since(sent) })
}

fn progress(studies: usize) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(studies as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:24} {pos}/{len} reports  {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn print(cases: &Cases, reports: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let width = cases.values().map(|case| case.name.len()).max().unwrap_or_default();
    let mut by_name: Vec<&Case> = cases.values().collect();
    by_name.sort_by(|a, b| a.name.cmp(&b.name));
    writeln!(out, "{:<width$}  report after  what the radiologist reads", "study")?;
    for Case { name, report, .. } in by_name {
        match report {
            Some(Answer { summary, after }) => {
                writeln!(out, "{name:<width$}  {:>10.1} s  {}", after.as_secs_f64(), summary.conclusion)?;
            }
            None => writeln!(out, "{name:<width$}  {:>12}  no report came back", "-")?,
        }
    }
    writeln!(out)?;
    writeln!(out, "Time from the last image; {QUIET_SECONDS} s of it wait for further images of the study.")?;
    writeln!(out, "Reports, as the PACS received them: {}", reports.display())
}
