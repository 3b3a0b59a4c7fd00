//! Processes that decode code streams, so that a decoder that fails, hangs or is taken over harms nothing but its image.
//!
//! A worker is this program with another command (`inside`), confined for life (`confinement`). It is asked with a
//! `message` and the open file, and answers with pixels on its `canvas`, from where they are read like those in a file.
//! There are as many workers as images at once: started when they are needed, kept, and dismissed when idle. One that
//! ends is replaced (`process`).

mod canvas;
mod confinement;
mod inside;
mod message;
mod process;

use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Bounds;
use super::codec::{Broken, Decoded};
use crate::part10::Content;

pub use inside::work;
pub use process::COMMAND;

pub(super) use canvas::Canvas;
pub(super) use message::Request;

use confinement::Confinement;
use message::Answer;
use process::{End, Process};

/// A worker without an image for so long is dismissed.
const IDLE: Duration = Duration::from_secs(60);

/// The workers of one service.
#[derive(Debug, Clone)]
pub(super) struct Workers(Arc<Shared>);

/// An image that a worker decoded.
#[derive(Debug)]
pub(super) struct Painted {
    pub canvas: Canvas,
    /// Octets of a cell, 1 or 2.
    pub cell_bytes: usize,
    /// What of the stream it is.
    pub decoded: Decoded,
}

/// Why a worker gave no image.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkerError {
    /// The image's own fault, found by the decoder.
    #[error(transparent)]
    Broken(Broken),
    /// The image's own fault, by what it did to the decoder.
    #[error("the decoder did not survive it: {0}")]
    Ended(End),
    /// Not the image's fault.
    #[error("no decoder can be started: {0}")]
    NotStarted(#[from] io::Error),
}

/// What the clones share, and the canvases in use.
#[derive(Debug)]
struct Shared {
    /// The one used last is on top.
    idle: Mutex<Vec<(Process, Instant)>>,
    keeper: Sender<Sender<io::Result<Process>>>,
}

impl Workers {
    /// Starts the first worker of an executable of Auscult's. Images are within these bounds.
    pub fn start(executable: &Path, bounds: Bounds) -> io::Result<Self> {
        let (keeper, wanted) = mpsc::channel();
        let shared = Arc::new(Shared { idle: Mutex::default(), keeper });
        let (executable, kept) = (executable.to_owned(), Arc::downgrade(&shared));
        std::thread::Builder::new()
            .name("decoders".into())
            .spawn(move || keep(&executable, &bounds, &wanted, &kept))?;
        shared.rest(shared.another()?);
        Ok(Self(shared))
    }

    /// Has the image of `request` decoded, whose file is `file`; `instance` names it in the log. A worker that somebody
    /// else ended did not fail at its image, which is then tried once more.
    pub fn decode(&self, request: &Request, file: &Content, instance: &str) -> Result<Painted, WorkerError> {
        let mut process = self.0.take()?;
        let mut tries = 1;
        loop {
            let end = match process.decode(request, file) {
                Ok(Answer::Decoded { cell_bytes: cell_bytes @ (1 | 2), decoded })
                    if decoded.grain.step <= request.coarsest =>
                {
                    return Ok(Painted { canvas: Canvas::new(process, self.0.clone()), cell_bytes, decoded });
                }
                Ok(Answer::Broken(broken)) => {
                    self.0.rest(process);
                    return Err(WorkerError::Broken(broken));
                }
                Ok(_) => End::Nonsense,
                Err(end) => end,
            };
            let again = tries == 1 && end.is_from_outside();
            let then = if again { "the image is tried again" } else { "the image is not decoded" };
            tracing::warn!(instance, process = process.id(), %end, "a decoder ended and is replaced; {then}");
            if !again {
                return Err(WorkerError::Ended(end));
            }
            process = self.0.another()?;
            tries += 1;
        }
    }
}

impl Shared {
    /// A worker that has nothing to do.
    fn take(&self) -> io::Result<Process> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.another(), |(process, _)| Ok(process))
    }

    /// Has another worker started.
    fn another(&self) -> io::Result<Process> {
        let (answer, started) = mpsc::channel();
        // Without a keeper there is no answer.
        let _ = self.keeper.send(answer);
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that starts decoders has ended")))
    }

    /// Takes back a worker that has nothing to do.
    fn rest(&self, process: Process) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((process, Instant::now()));
    }

    fn dismiss_idle(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let dismissed: Vec<_> = idle.extract_if(.., |(_, since)| since.elapsed() >= IDLE).collect();
        drop(idle);
        drop(dismissed);
    }
}

/// Starts workers, and dismisses idle ones, until nobody can want one any more. A worker is killed when the thread
/// ends that started it, so one that lasts starts them all.
fn keep(executable: &Path, bounds: &Bounds, wanted: &Receiver<Sender<io::Result<Process>>>, kept: &Weak<Shared>) {
    let mut told = false;
    loop {
        match wanted.recv_timeout(IDLE) {
            Ok(answer) => {
                let started = Process::start(executable, bounds).map(|(process, confinement)| {
                    if confinement == Confinement::LimitsOnly && !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            "decoders are confined by limits only: this kernel takes no filter of system \
                             calls (seccomp); run Auscult where it does"
                        );
                    }
                    process
                });
                // Whoever wanted it may be gone.
                let _ = answer.send(started);
            }
            Err(RecvTimeoutError::Timeout) => kept.upgrade().iter().for_each(|shared| shared.dismiss_idle()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
