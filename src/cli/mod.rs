//! The command line: one file per command. Results go to standard output, messages to standard error.

mod bench;
mod check;
mod classify;
mod decode_worker;
mod demo;
mod echo;
mod evaluate;
mod explain;
mod files;
mod health;
mod import;
mod log;
mod model;
mod node;
mod overrides;
mod progress;
mod queue;
mod send;
mod serve;
mod train;

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError, ModelDevice};
use crate::cuda;
use crate::daemon::StartError;
use crate::model::{ModelError, Naming, PackageError};
use crate::pixels;

/// Something failed; standard error says what.
const FAILURE: u8 = 1;

/// The configuration or the model package has to be mended first (sysexits.h: EX_CONFIG).
const CONFIGURATION: u8 = 78;

/// Flags possible pneumonia on chest radiographs and reports it to the PACS. Research use; not a medical device.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the whole path on bundled studies: push, classify, report
    Demo(demo::Demo),
    /// Run the service
    Serve(serve::Serve),
    /// Check configuration, model package and destinations
    Check(check::Check),
    /// Show what waits and what failed; try it again, or discard it
    Queue(queue::Queue),
    /// Tell whether somebody has to look after the service
    Health(health::HealthCommand),
    /// Classify DICOM files, JPEG or PNG pictures without a PACS
    Classify(classify::Classify),
    /// Explain the result of one DICOM file: rules, preprocessing, score, heat map, words
    Explain(explain::Explain),
    /// Measure how fast the model is on this machine
    Bench(bench::Bench),
    /// Train a model on labelled images
    Train(Box<train::Train>),
    /// Measure a model on labelled images
    Evaluate(evaluate::Evaluate),
    /// Look after model packages
    #[command(subcommand)]
    Model(model::Model),
    /// Ask a DICOM node whether it is there (C-ECHO)
    Echo(echo::Echo),
    /// Send DICOM files to a node (C-STORE)
    Send(send::Send),
    /// Make DICOM radiographs of JPEG or PNG pictures
    Import(import::Import),
    /// Decode images for another process of Auscult
    #[command(name = pixels::WORKER_COMMAND, hide = true)]
    DecodeWorker(decode_worker::DecodeWorker),
}

/// Some of the work failed and has been reported line by line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl Command {
    /// The configuration of a command that computes the configured model.
    fn of_model(&self) -> Option<Result<Config, ConfigError>> {
        Some(match self {
            Self::Serve(serve) => serve.configuration(),
            Self::Check(check) => check.configuration(),
            Self::Classify(classify) => classify.configuration(),
            Self::Explain(explain) => explain.configuration(),
            Self::Bench(bench) => bench.configuration(),
            Self::Evaluate(evaluate) => evaluate.configuration(),
            _ => return None,
        })
    }

    /// Whether it may compute the model on a device. A configuration that cannot be read is the command's to tell of.
    fn may_use_device(&self) -> bool {
        match self {
            Self::Model(model) => return model.wants_device(),
            Self::Train(train) => return train.wants_device(),
            _ => {}
        }
        let configuration = self.of_model().and_then(Result::ok);
        configuration
            .is_some_and(|Config { model, .. }| model.device != ModelDevice::Cpu && model.precision.is_for_devices())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if command.may_use_device() {
        cuda::hand_over();
    }
    let result = match command {
        Command::Demo(demo) => demo.run(),
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Queue(queue) => queue.run(),
        Command::Health(health) => health.run(),
        Command::Classify(classify) => classify.run(),
        Command::Explain(explain) => explain.run(),
        Command::Bench(bench) => bench.run(),
        Command::Train(train) => train.run(),
        Command::Evaluate(evaluate) => evaluate.run(),
        Command::Model(model) => model.run(),
        Command::Echo(echo) => echo.run(),
        Command::Send(send) => send.run(),
        Command::Import(import) => import.run(),
        Command::DecodeWorker(worker) => worker.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(io::stderr(), "auscult: {}", one_line(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// An error with its causes, each said once: our own messages have theirs in them already.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let configuration = error.is::<ConfigError>()
        || error.is::<PackageError>()
        || error.downcast_ref::<StartError>().is_some_and(StartError::is_configuration_fault)
        || error.downcast_ref::<ModelError>().is_some_and(ModelError::is_package_fault);
    if configuration { CONFIGURATION } else { FAILURE }
}

/// Whoever read our output has seen enough: `auscult classify ... | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// What a model is called: as was said, or after its directory.
fn naming(name: Option<&str>, version: &str, out: &Path) -> anyhow::Result<Naming> {
    let out = std::path::absolute(out)?;
    let directory = out.file_name().unwrap_or_default().to_string_lossy();
    let naming = Naming::new(name.unwrap_or(&directory), version);
    Ok(naming.map_err(|fault| Failed(format!("{fault}; name the model with --name")))?)
}

/// A runtime for commands that talk to the network or the model.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
