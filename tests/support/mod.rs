//! What black-box tests share: the daemon as a process, its peers, and waiting without guessing times.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails; one that is skipped says so"
)]

pub mod audit;
pub mod destination;
pub mod document;
pub mod image;
pub mod load;
pub mod workers;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub mod orthanc;

/// The executable under test.
pub const AUSCULT: &str = env!("CARGO_BIN_EXE_auscult");

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(90);

/// A path below the checkout.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The material beside the checkout, if it is there; else a line that says what was skipped.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = checkout("../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not here", path.display());
    None
}

/// Whether a program is installed; else a line that says what was skipped.
pub fn installed(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()));
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// What this processor computes in where these numbers are wanted: f32 where it has no instructions for bf16.
pub fn computed_in(precision: &str) -> &str {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_bf16 = flags.split_whitespace().any(|flag| ["amx_bf16", "avx512_bf16"].contains(&flag));
    let may = std::env::var("AUSCULT_ISA").map_or(true, |isa| ["amx", "avx512bf16"].contains(&isa.as_str()));
    if precision == "bf16" && !(has_bf16 && may) { "f32" } else { precision }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until `ready` gives something; fails the test with `what` when it does not.
pub fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Waits until something listens on a port of this machine.
pub fn wait_for_port(port: u16) {
    wait_for("a listener", || TcpStream::connect(("127.0.0.1", port)).ok());
}

/// The DICOM files below a directory, by name.
pub fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Runs a program to its end and returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env_remove("RUST_BACKTRACE").output().unwrap_or_else(|error| {
        panic!("{program}: {error}");
    })
}

/// Writes a script that can be started, by a process of its own: what this one has open for writing, others that it starts
/// meanwhile have for a moment, too, and the system starts no program that somebody may write to.
pub fn write_program(path: &Path, script: &str) {
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"";
    let written = run("sh", &["-c", write, "sh", script, path.to_str().unwrap()]);
    assert!(written.status.success(), "{}", stderr(&written));
}

/// Sends a signal by its name to a process.
pub fn signal(process: u32, name: &str) {
    assert!(run("kill", &["-s", name, &process.to_string()]).status.success());
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A process that ends with its test.
pub struct Peer(Child);

impl Peer {
    /// Starts a program whose output nobody reads.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self(child)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `auscult serve` with a state directory and a port of its own.
pub struct Service {
    child: Child,
    log: Arc<Mutex<String>>,
    wrapper: Vec<String>,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Its state directory, configuration included.
    pub directory: tempfile::TempDir,
}

impl Service {
    /// Starts the daemon; `settings` is TOML that follows the test's own keys (`[state]`, `[scp]`, `[study]`).
    pub fn start(settings: &str) -> Self {
        Self::start_under(&[], settings)
    }

    /// Starts the daemon on a port, with the defaults.
    pub fn start_on(port: u16) -> Self {
        Self::with(port, tempfile::tempdir().unwrap(), &[], "")
    }

    /// Starts the daemon as the last arguments of another command, which must become it (`strace -D`, `prlimit`).
    pub fn start_under(wrapper: &[&str], settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), wrapper, settings)
    }

    /// The same in a directory of the test's own.
    pub fn start_in(directory: tempfile::TempDir, wrapper: &[&str], settings: &str) -> Self {
        Self::with(free_port(), directory, wrapper, settings)
    }

    fn with(port: u16, directory: tempfile::TempDir, wrapper: &[&str], settings: &str) -> Self {
        let state = directory.path().join("state");
        let config = format!(
            "[state]\ndirectory = {state:?}\n[scp]\naddress = \"127.0.0.1\"\nport = {port}\n\
             [study]\nquiet_seconds = 1\n[spool]\nmin_free_mib = 1\n{settings}\n"
        );
        fs::write(directory.path().join("auscult.toml"), config).unwrap();
        let wrapper: Vec<String> = wrapper.iter().map(|word| (*word).to_owned()).collect();
        let (child, log) = spawn(directory.path(), &wrapper);
        let service = Self { child, log, wrapper, port, directory };
        service.wait_until_listening();
        service
    }

    /// Waits until it takes associations.
    pub fn wait_until_listening(&self) {
        wait_for("the daemon", || self.log().contains("listening").then_some(()));
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(self.process(), name);
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and returns how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }

    /// Kills it and starts it again on the same state.
    pub fn restart_after_kill(&mut self) {
        self.kill();
        self.launch();
        self.wait_until_listening();
    }

    /// Sends SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts a new process on the same state, with a new log.
    pub fn launch(&mut self) {
        (self.child, self.log) = spawn(self.directory.path(), &self.wrapper);
    }

    /// Whether the process is there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Writes another value into the configuration, for the next start or SIGHUP.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let path = self.directory.path().join("auscult.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
    }
}

fn spawn(directory: &Path, wrapper: &[String]) -> (Child, Arc<Mutex<String>>) {
    let words: Vec<&str> = wrapper.iter().map(String::as_str).chain([AUSCULT]).collect();
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .args(["serve", "--config"])
        .arg(directory.join("auscult.toml"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Arc::new(Mutex::new(String::new()));
    let (stream, sink) = (child.stderr.take().unwrap(), log.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = sink.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
    (child, log)
}
