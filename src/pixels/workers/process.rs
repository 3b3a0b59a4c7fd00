//! One worker as the service sees it: started, asked, believed nothing, ended.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::canvas::stretched;
use super::confinement::{Confinement, Limits};
use super::message::{Answer, Request, answered, ask};
use crate::part10::Content;
use crate::pixels::Bounds;

/// The command of this program that works for the service ([`work`](super::work)); the number of pixels that an
/// image may have follows it.
pub const COMMAND: &str = "decode-worker";

/// How long a worker may take to start.
const START: Duration = Duration::from_secs(60);
/// Processor time that any image may take.
const LEAST_TIME: Duration = Duration::from_secs(3);
/// And so much more for each million of its pixels: ten times what the slowest decoder takes.
const TIME_PER_MEGAPIXEL: Duration = Duration::from_secs(2);
/// How much longer an image may take by the clock, where the processor has other work.
const PATIENCE: u32 = 4;

/// The whole environment of a worker: its allocator (glibc's) keeps what an image took for the next one, instead of
/// having every page made anew, which for RLE takes twice as long as decoding.
const ENVIRONMENT: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "33554432"), ("MALLOC_TRIM_THRESHOLD_", "268435456")];

/// Signals that a process brings upon itself.
const OWN_FAULTS: [Signal; 9] = [
    Signal::SEGV,
    Signal::BUS,
    Signal::ILL,
    Signal::FPE,
    Signal::ABORT,
    Signal::SYS,
    Signal::TRAP,
    Signal::XCPU,
    Signal::XFSZ,
];

/// A running worker; dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    socket: OwnedFd,
    canvas: File,
    /// Time by the clock that it has had for images, its processor time at most.
    spent: Duration,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pixels) enum End {
    /// It used up the processor time of its image, or the time by the clock.
    Time,
    /// It said what cannot be.
    Nonsense,
    /// By itself, or killed.
    Status(ExitStatus),
}

impl End {
    /// Whether the image had no part in it: somebody killed the worker, the kernel for want of memory for example.
    pub fn is_from_outside(self) -> bool {
        match self {
            Self::Time | Self::Nonsense => false,
            Self::Status(status) => {
                status.signal().is_some_and(|signal| OWN_FAULTS.iter().all(|fault| fault.as_raw() != signal))
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => f.write_str("it took longer than an image of this size may"),
            Self::Nonsense => f.write_str("its answer cannot be"),
            Self::Status(status) => status.fmt(f),
        }
    }
}

impl Process {
    /// Starts a worker, and waits until it is confined.
    pub fn start(executable: &Path, bounds: &Bounds) -> io::Result<(Self, Confinement)> {
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let canvas = stretched(Limits::of(bounds).canvas)?;
        let child = Command::new(executable)
            .arg(COMMAND)
            .arg(bounds.max_pixels.to_string())
            .env_clear()
            .envs(ENVIRONMENT)
            .current_dir("/")
            .stdin(theirs)
            .stdout(canvas.try_clone()?)
            .stderr(Stdio::null())
            // Ctrl-C and the like are for the service, which lets the worker finish its image.
            .process_group(0)
            .spawn()?;
        let mut process = Self { child, socket, canvas, spent: START };
        set_socket_timeout(&process.socket, Timeout::Recv, Some(START))?;
        match process.answer() {
            Ok(Answer::Ready(confinement)) => Ok((process, confinement)),
            Ok(Answer::NotConfined(number)) => {
                let error = io::Error::from_raw_os_error(number);
                Err(io::Error::new(error.kind(), format!("it cannot be confined: {error}")))
            }
            Ok(_) => Err(io::Error::other(End::Nonsense.to_string())),
            Err(end) => Err(io::Error::other(end.to_string())),
        }
    }

    /// Has an image decoded.
    pub fn decode(&mut self, request: &Request, file: &Content) -> Result<Answer, End> {
        let processor_time = processor_time(request.header.pixels);
        let asked = self.limit(processor_time).and_then(|()| ask(self.socket.as_fd(), request, file.as_fd()));
        if asked.is_err() {
            return Err(self.end());
        }
        let began = Instant::now();
        let answer = self.answer()?;
        self.spent += began.elapsed();
        Ok(answer)
    }

    /// The memory that it puts its images into.
    pub fn canvas(&self) -> &File {
        &self.canvas
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lets it have so much more processor time.
    fn limit(&self, more: Duration) -> io::Result<()> {
        set_socket_timeout(&self.socket, Timeout::Recv, Some(more * PATIENCE))?;
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let hard = getrlimit(Resource::Cpu).maximum;
        let soft = (self.spent + more).as_secs().saturating_add(1).min(hard.unwrap_or(u64::MAX));
        prlimit(pid, Resource::Cpu, Rlimit { current: Some(soft), maximum: hard })?;
        Ok(())
    }

    fn answer(&mut self) -> Result<Answer, End> {
        match answered(self.socket.as_fd()) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(self.end()),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Err(End::Time),
                io::ErrorKind::InvalidData => Err(End::Nonsense),
                _ => Err(self.end()),
            },
        }
    }

    /// How it ended; one that has hung up and lives on is killed.
    fn end(&mut self) -> End {
        // A process that has ended keeps its status.
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) if status.signal() == Some(Signal::XCPU.as_raw()) => End::Time,
            Ok(status) => End::Status(status),
            Err(_) => End::Nonsense,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Processor time that an image may take.
fn processor_time(pixels: usize) -> Duration {
    let megapixels = u32::try_from(pixels.div_ceil(1_000_000)).unwrap_or(u32::MAX);
    LEAST_TIME.saturating_add(TIME_PER_MEGAPIXEL.saturating_mul(megapixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_image_grows_with_its_pixels() {
        let seconds = |pixels| processor_time(pixels).as_secs();
        assert_eq!([1, 1_000_000, 1_000_001, 7_500_000].map(seconds), [5, 5, 7, 19]);
    }

    #[test]
    fn who_ended_a_worker_decides_whether_its_image_is_tried_again() {
        let by = |signal: Signal| End::Status(ExitStatus::from_raw(signal.as_raw()));
        let outside = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP];
        assert!(outside.map(by).into_iter().all(End::is_from_outside));
        assert!(!OWN_FAULTS.map(by).into_iter().any(End::is_from_outside));
        let exit = |code: i32| End::Status(ExitStatus::from_raw(code << 8));
        assert!(![exit(0), exit(1), End::Time, End::Nonsense].into_iter().any(End::is_from_outside));
    }

    #[test]
    fn a_program_that_is_no_worker_is_told_of() {
        let bounds = Bounds { max_pixels: 100 };
        let failed = |program: &str| Process::start(Path::new(program), &bounds).map(drop).unwrap_err().to_string();
        assert!(failed("/nowhere/auscult").contains("No such file"));
        assert!(failed("/bin/true").contains("exit status"));
    }
}
