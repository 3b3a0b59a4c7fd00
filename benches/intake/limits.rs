//! The raw limits of this machine: what a copy over loopback, and a durable file, cost without any DICOM.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::outcome::Outcome;

/// Bytes per read and per write.
const PIECE_BYTES: usize = 256 * 1024;

/// Files written, synced, renamed into one directory and that directory synced, by several threads at once.
pub fn durable(state: &Path, bytes: usize, threads: usize, length: Duration) -> Result<Outcome> {
    let directory = tempfile::Builder::new().prefix("limit").tempdir_in(state)?;
    let (aside, kept) = (directory.path().join("incoming"), directory.path().join("kept"));
    fs::create_dir(&aside)?;
    fs::create_dir(&kept)?;
    let content = noise(bytes);
    each_of(threads, |thread| {
        let began = Instant::now();
        let mut outcome = Outcome::default();
        while began.elapsed() < length {
            let sent = Instant::now();
            let name = format!("{thread}-{}", outcome.done);
            let mut file = OpenOptions::new().write(true).create_new(true).open(aside.join(&name))?;
            for piece in content.chunks(PIECE_BYTES) {
                file.write_all(piece)?;
            }
            file.sync_all()?;
            fs::rename(aside.join(&name), kept.join(&name))?;
            File::open(&kept)?.sync_all()?;
            outcome.note(0, sent.elapsed());
        }
        outcome.seconds = began.elapsed().as_secs_f64();
        Ok(outcome)
    })
}

/// The same bytes over loopback TCP, read and thrown away, each object answered with one byte.
pub fn loopback(bytes: usize, connections: usize, length: Duration) -> Result<Outcome> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let content = noise(bytes);
    thread::scope(|scope| {
        scope.spawn(move || {
            for stream in listener.incoming().take(connections).flatten() {
                scope.spawn(move || swallow(stream, bytes));
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

fn swallow(mut stream: TcpStream, bytes: usize) {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut left = bytes;
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        left = left.saturating_sub(count);
        if left == 0 {
            if stream.write_all(&[0]).is_err() {
                return;
            }
            left = bytes;
        }
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
