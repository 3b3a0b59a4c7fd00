//! The service: starts the stations in order, tells systemd, and drains them in reverse with a deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

mod commitment;
mod deliver;
mod keep;
mod model;
mod vitals;

use crate::assemble::Assembler;
use crate::config::{self, Config};
use crate::cuda::Obstacle;
use crate::delivery::{self, Delivery, OutboxError};
use crate::inference::Inference;
use crate::ledger::Waiting;
use crate::model::ModelError;
use crate::pipeline::line::Line;
use crate::pipeline::{self, Examiner, Pipeline};
use crate::pixels::Decoder;
use crate::resource;
use crate::scp;
use crate::spool::{Keeping, Spool, SpoolError};
use crate::sr::{Device, Installation};

pub use model::{load_model, start_model};

/// Arrived instances that wait to be assembled.
const ARRIVALS: usize = 1024;

/// Outcomes of storage commitment that wait to be taken or told.
const OUTCOMES: usize = 64;

/// How long associations, the studies in hand and reports on their way may take after a signal.
const DRAIN: Duration = Duration::from_secs(20);

/// A service that could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; stop what uses the port, or set scp.address and scp.port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The model package is in none of the places where it could be.
    #[error("model.package: {0}; install the package or set model.package")]
    NoModel(#[from] resource::NotFound),
    /// The model cannot serve.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The configuration asks for a device that cannot be used.
    #[error(
        "configuration: model.device = \"cuda\": {0}; make the device usable (docs/performance.md), or set \
         model.device = \"auto\" to do without"
    )]
    Device(Obstacle),
    /// The configuration calls a research model a product.
    #[error(
        "configuration: report.content_qualification = \"product\": model package {0} is for research only; \
         use \"research\", or a package whose model.toml says qualification = \"product\""
    )]
    Qualification(String),
    /// No process that decodes images can be started.
    #[error("cannot start a decoder: {0}; it is this program once more, as a process of its own: let it be started")]
    Decoder(std::io::Error),
    /// The spool cannot be opened.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The outbox cannot be opened.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on processes")]
    Thread(#[from] std::io::Error),
}

impl StartError {
    /// Whether somebody has to change the configuration or the model package before another start can succeed.
    pub fn is_configuration_fault(&self) -> bool {
        matches!(self, Self::NoModel(_) | Self::Model(_) | Self::Device(_) | Self::Qualification(_))
    }
}

/// A running service.
pub struct Daemon {
    address: SocketAddr,
    config: Config,
    spool: Spool,
    pipeline: watch::Sender<Pipeline>,
    scp: watch::Sender<config::Scp>,
    delivery: mpsc::UnboundedSender<Delivery>,
    stop: watch::Sender<bool>,
    stations: JoinSet<&'static str>,
}

impl Daemon {
    /// Starts every station: listener, model, decoder, spool, outbox, in this order, so that the first thing that fails is
    /// the first that an operator has to mend.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let (listener, address) = listen(config).await?;
        let inference = start_station(config).await?;
        let decoder = start_decoder(config).await?;
        let (spool, left) = open_spool(config).await?;
        let delivery = open_delivery(config, &spool)?;
        let examiner = Examiner::new(config.select.clone(), inference, decoder);
        let (pipeline, pipelines) = watch::channel(assemble_pipeline(config, examiner, &spool, &delivery));
        let (scp, scp_settings) = watch::channel(config.scp.clone());
        let (stop, stopped) = watch::channel(false);
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let (deliveries, next_delivery) = mpsc::unbounded_channel();
        let routine_wait = Duration::from_secs(config.study.routine_wait_seconds);
        let keep = keep::run(spool.clone(), Keeping::from(&config.spool), pipelines.clone(), stopped.clone());
        let line = Line::new(pipelines.clone(), Assembler::new(&config.study), routine_wait, left);
        let (outcomes, reported) = mpsc::channel(OUTCOMES);
        let (unreported, to_be_told) = mpsc::channel(OUTCOMES);
        let mail = commitment::Mail { outcomes: reported, unreported: to_be_told };
        let commitment = scp::Commitment { custody: Arc::new(spool.ledger().clone()), unreported, outcomes };
        let backing = scp::Backing {
            spool: spool.clone(),
            stored: arrivals,
            commitment: Some(commitment),
            stats: Arc::default(),
        };
        let health = vitals::run(sight(config, &spool), stopped.clone());
        let serve = scp::serve(listener, scp_settings, backing, stopped.clone());
        let commit = commitment::run(mail, pipelines, stopped.clone());
        let mut stations = JoinSet::new();
        stations.spawn(named("line", line.run(arrived, stopped.clone())));
        stations.spawn(named("delivery", deliver::run(delivery, next_delivery, stopped)));
        stations.spawn(named("housekeeping", keep));
        stations.spawn(named("commitment", commit));
        stations.spawn(named("health", health));
        stations.spawn(named("scp", serve));
        tracing::info!(%address, ae_title = %config.scp.ae_title, destinations = config.destination.len(), "listening");
        Ok(Self { address, config: config.clone(), spool, pipeline, scp, delivery: deliveries, stop, stations })
    }

    /// Where it listens; with `scp.port` 0 in a test, the port that it was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Goes on with another configuration and its model package, without dropping an association or a study. On an
    /// error everything stays as it was. What is fixed at start is named in the log and needs a restart.
    pub async fn reload(&mut self, config: &Config) -> Result<(), StartError> {
        let model = config::Model { device: self.config.model.device, ..config.model.clone() };
        let inference = start_station(&Config { model, ..config.clone() }).await?;
        let decoder = start_decoder(config).await?;
        let examiner = Examiner::new(config.select.clone(), inference, decoder);
        let delivery = open_delivery(&Config { state: self.config.state.clone(), ..config.clone() }, &self.spool)?;
        self.pipeline.send_replace(assemble_pipeline(config, examiner, &self.spool, &delivery));
        self.scp.send_replace(config.scp.clone());
        // It is only closed when the service stops, and then nobody reloads.
        let _ = self.delivery.send(delivery);
        for key in fixed_at_start(&self.config, config) {
            tracing::warn!(key, "changed, but in force only after a restart");
        }
        tracing::info!(destinations = config.destination.len(), "configuration and model package reloaded");
        Ok(())
    }

    /// Stops accepting, lets associations, studies in hand and reports on their way finish, and says which ending
    /// it was. What is left waits in the state directory for the next start.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let drained = tokio::time::timeout(DRAIN, async {
            while let Some(station) = self.stations.join_next().await {
                tracing::debug!(station = station.unwrap_or("a station panicked"), "stopped");
            }
        });
        match drained.await {
            Ok(()) => tracing::info!("stopped; everything in hand was finished"),
            Err(_) => {
                tracing::warn!(seconds = DRAIN.as_secs(), "stopped at the deadline; the rest waits for the next start");
            }
        }
    }
}

async fn start_station(config: &Config) -> Result<Inference, StartError> {
    let settings = config.clone();
    let start = spawn_blocking(move || start_model(&settings));
    start.await.unwrap_or_else(|_| Err(std::io::Error::other("the model's loader panicked").into()))
}

async fn start_decoder(config: &Config) -> Result<Decoder, StartError> {
    let select = config.select.clone();
    let start = spawn_blocking(move || pipeline::decoder(&select));
    start.await.unwrap_or_else(|_| Err(std::io::Error::other("its start panicked"))).map_err(StartError::Decoder)
}

async fn open_spool(config: &Config) -> Result<(Spool, Vec<Waiting>), StartError> {
    let (state, settings) = (config.state.resolved(), config.spool.clone());
    let open = spawn_blocking(move || Ok(Spool::open(&state, &settings)?));
    open.await.unwrap_or_else(|_| Err(std::io::Error::other("the spool's recovery panicked").into()))
}

fn sight(config: &Config, spool: &Spool) -> vitals::Sight {
    let (ledger, state) = (spool.ledger().clone(), config.state.resolved());
    vitals::Sight { ledger, state, min_free_mib: config.spool.min_free_mib }
}

fn open_delivery(config: &Config, spool: &Spool) -> Result<Delivery, OutboxError> {
    let settings = delivery::Settings {
        destinations: config.destination.clone(),
        delivery: config.delivery.clone(),
        calling: config.scp.ae_title.clone(),
        state: config.state.resolved(),
    };
    Delivery::open(settings, spool.ledger())
}

fn assemble_pipeline(config: &Config, examiner: Examiner, spool: &Spool, delivery: &Delivery) -> Pipeline {
    Pipeline {
        examiner,
        device: Arc::new(Device::new(&config.report, &config.scp.ae_title, &Installation::of_this_machine())),
        not_analysed: config.report.not_analysed,
        ledger: spool.ledger().clone(),
        delivery: delivery.clone(),
    }
}

/// The keys that differ between two configurations and are read at start only.
fn fixed_at_start(old: &Config, new: &Config) -> Vec<&'static str> {
    let fixed = [
        ("state.directory", old.state != new.state),
        ("scp.address", old.scp.address != new.scp.address),
        ("scp.port", old.scp.port != new.scp.port),
        ("scp.max_associations", old.scp.max_associations != new.scp.max_associations),
        ("spool", old.spool != new.spool),
        ("study", old.study != new.study),
        ("model.device", old.model.device != new.model.device),
        ("log", old.log != new.log),
    ];
    fixed.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

async fn named(name: &'static str, station: impl Future<Output = ()>) -> &'static str {
    station.await;
    name
}

async fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), StartError> {
    let wanted = SocketAddr::new(config.scp.address, config.scp.port);
    let fail = |source| StartError::Listen { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}
