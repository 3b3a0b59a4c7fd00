//! The raw limits of this machine: what a copy over loopback, a durable file, and one after the other, cost without any
//! DICOM.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rustix::fs::Advice;
use tempfile::TempDir;

use crate::outcome::Outcome;

/// The raw limits at one time.
#[derive(Debug)]
pub struct Limits {
    /// The same bytes over loopback.
    pub loopback: Outcome,
    /// The same bytes, durable on the disk.
    pub durable: Outcome,
    /// The same, and the memory that the system keeps them in is given back each time: the disk's rate where memory is
    /// dear.
    pub given_back: Outcome,
    /// The same bytes over loopback and then durable on the disk.
    pub received: Outcome,
}

/// What becomes of a durable file's copy in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// The system keeps it.
    Kept,
    /// It is given back.
    GivenBack,
}

/// Bytes per read and per write.
const PIECE_BYTES: usize = 256 * 1024;

/// Files written, synced, renamed into one directory and that directory synced, by several threads at once.
pub fn durable(state: &Path, bytes: usize, threads: usize, length: Duration, copy: Copy) -> Result<Outcome> {
    let shelf = Shelf::new(state)?;
    let content = noise(bytes);
    each_of(threads, |thread| {
        let began = Instant::now();
        let mut outcome = Outcome::default();
        while began.elapsed() < length {
            let sent = Instant::now();
            let (name, mut file) = shelf.begin(thread, outcome.done)?;
            for piece in content.chunks(PIECE_BYTES) {
                file.write_all(piece)?;
            }
            shelf.keep(&name, &file)?;
            if copy == Copy::GivenBack {
                rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
            }
            outcome.note(0, sent.elapsed());
        }
        outcome.seconds = began.elapsed().as_secs_f64();
        Ok(outcome)
    })
}

/// The same bytes over loopback TCP, read and thrown away, each object answered with one byte.
pub fn loopback(bytes: usize, connections: usize, length: Duration) -> Result<Outcome> {
    over_tcp(bytes, connections, length, &|mut stream, _| {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let mut left = bytes;
            while left > 0 {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => left = left.saturating_sub(count),
                }
            }
            stream.write_all(&[0])?;
        }
    })
}

/// Both together, what a server cannot do without: the bytes over loopback TCP into durable files, a thread for each
/// connection, and only then the answer.
pub fn received(state: &Path, bytes: usize, connections: usize, length: Duration) -> Result<Outcome> {
    let shelf = Shelf::new(state)?;
    over_tcp(bytes, connections, length, &|mut stream, connection| {
        let mut buffer = vec![0; PIECE_BYTES];
        for number in 0.. {
            let (name, mut file) = shelf.begin(connection, number)?;
            let mut left = bytes;
            while left > 0 {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    count => {
                        file.write_all(buffer.get(..count).unwrap_or_default())?;
                        left = left.saturating_sub(count);
                    }
                }
            }
            shelf.keep(&name, &file)?;
            stream.write_all(&[0])?;
        }
        Ok(())
    })
}

/// Objects of so many bytes over several connections to `serve`, which answers each with one byte.
fn over_tcp(
    bytes: usize,
    connections: usize,
    length: Duration,
    serve: &(dyn Fn(TcpStream, usize) -> Result<()> + Sync),
) -> Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let content = noise(bytes);
    thread::scope(|scope| {
        scope.spawn(move || {
            for (number, stream) in listener.incoming().take(connections).flatten().enumerate() {
                // An error ends the connection, and so the sender's measurement.
                scope.spawn(move || serve(stream, number));
            }
        });
        each_of(connections, |_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            let began = Instant::now();
            let mut outcome = Outcome::default();
            while began.elapsed() < length {
                let sent = Instant::now();
                stream.write_all(&content)?;
                stream.read_exact(&mut [0])?;
                outcome.note(0, sent.elapsed());
            }
            outcome.seconds = began.elapsed().as_secs_f64();
            Ok(outcome)
        })
    })
}

/// Where files are written aside, and where they go when they are durable.
struct Shelf {
    aside: PathBuf,
    kept: PathBuf,
    _directory: TempDir,
}

impl Shelf {
    fn new(state: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("limit").tempdir_in(state)?;
        let (aside, kept) = (directory.path().join("incoming"), directory.path().join("kept"));
        fs::create_dir(&aside)?;
        fs::create_dir(&kept)?;
        Ok(Self { aside, kept, _directory: directory })
    }

    fn begin(&self, writer: usize, number: u64) -> Result<(String, File)> {
        let name = format!("{writer}-{number}");
        let file = OpenOptions::new().write(true).create_new(true).open(self.aside.join(&name))?;
        Ok((name, file))
    }

    fn keep(&self, name: &str, file: &File) -> Result<()> {
        file.sync_all()?;
        fs::rename(self.aside.join(name), self.kept.join(name))?;
        Ok(File::open(&self.kept)?.sync_all()?)
    }
}

fn each_of(threads: usize, work: impl Fn(usize) -> Result<Outcome> + Sync) -> Result<Outcome> {
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        let mut whole = Outcome::default();
        for worker in workers {
            whole.join(worker.join().map_err(|_| anyhow!("a thread of the raw limits panicked"))??);
        }
        Ok(whole)
    })
}

/// Bytes that no disk compresses.
fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}
