//! The service: starts the stations in order, tells systemd, and drains them in reverse with a deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::assemble::Assembler;
use crate::config::Config;
use crate::delivery::{self, Delivery, OutboxError};
use crate::inference::Inference;
use crate::model::{Model, ModelError};
use crate::pipeline::line::Line;
use crate::pipeline::{Examiner, Pipeline};
use crate::resource;
use crate::scp;
use crate::spool::{Spool, SpoolError};
use crate::sr::{Device, Installation};

/// Arrived instances that wait to be assembled.
const ARRIVALS: usize = 1024;

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
        matches!(self, Self::NoModel(_) | Self::Model(_))
    }
}

/// Finds and loads the configured model package, self-test included.
pub fn load_model(config: &Config) -> Result<Model, StartError> {
    let directory = resource::find(&config.model.package)?;
    let started = Instant::now();
    let model = Model::load(&directory)?;
    let manifest = model.manifest();
    let milliseconds = started.elapsed().as_millis();
    tracing::info!(
        package = %directory.display(), name = %manifest.name, version = %manifest.version, device = model.device(),
        milliseconds, "model loaded, self-test passed"
    );
    Ok(model)
}

/// A running service.
pub struct Daemon {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    stations: JoinSet<&'static str>,
}

impl Daemon {
    /// Starts every station: state directory, listener, model, spool, outbox, in this order, so that the first
    /// thing that fails is the first that an operator has to mend.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let state = config.state.resolved();
        let (listener, address) = listen(config).await?;
        let model = load_model(config)?;
        let inference = Inference::start(model, config.model.queue)?;
        let (spool, recovered) = Spool::open(&state, &config.spool)?;
        let delivery = Delivery::open(delivery::Settings {
            destinations: config.destination.clone(),
            delivery: config.delivery.clone(),
            calling: config.scp.ae_title.clone(),
            state,
        })?;
        let device = Device::new(&config.report, &config.scp.ae_title, &Installation::of_this_machine());
        let pipeline = Pipeline {
            examiner: Examiner::new(config.select.clone(), inference),
            device: Arc::new(device),
            not_analysed: config.report.not_analysed,
            spool: spool.clone(),
            delivery: delivery.clone(),
        };
        let (stop, stopped) = watch::channel(false);
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let mut stations = JoinSet::new();
        let line = Line::new(pipeline, Assembler::new(&config.study), recovered);
        stations.spawn(named("line", line.run(arrived, stopped.clone())));
        let until = stopped.clone();
        stations.spawn(named("delivery", async move { delivery.run(until).await }));
        stations
            .spawn(named("scp", scp::serve(listener, config.scp.clone(), spool, arrivals, Arc::default(), stopped)));
        tracing::info!(%address, ae_title = %config.scp.ae_title, destinations = config.destination.len(), "listening");
        Ok(Self { address, stop, stations })
    }

    /// Where it listens; with `scp.port` 0 in a test, the port that it was given.
    pub fn address(&self) -> SocketAddr {
        self.address
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
                tracing::warn!(seconds = DRAIN.as_secs(), "stopped at the deadline; the rest waits for the next start")
            }
        }
    }
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
