//! What black-box tests share: the daemon as a process, its peers, and waiting without guessing times.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails; one that is skipped says so"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Its state directory, configuration included.
    pub directory: tempfile::TempDir,
}

impl Service {
    /// Starts the daemon; `settings` is TOML that follows the test's own keys (`[state]`, `[scp]`, `[study]`).
    pub fn start(settings: &str) -> Self {
        Self::with(free_port(), settings)
    }

    /// Starts the daemon on a port, with the defaults.
    pub fn start_on(port: u16) -> Self {
        Self::with(port, "")
    }

    fn with(port: u16, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let config = format!(
            "[state]\ndirectory = {state:?}\n[scp]\naddress = \"127.0.0.1\"\nport = {port}\n\
             [study]\nquiet_seconds = 1\n[spool]\nmin_free_mib = 1\n{settings}\n"
        );
        fs::write(directory.path().join("auscult.toml"), config).unwrap();
        let (child, log) = spawn(directory.path());
        let service = Self { child, log, port, directory };
        wait_for("the daemon", || service.log().contains("listening").then_some(()));
        service
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
        assert!(run("kill", &["-s", name, &self.child.id().to_string()]).status.success());
    }

    /// Sends SIGTERM and returns how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }

    /// Kills it and starts it again on the same state.
    pub fn restart_after_kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.log) = spawn(self.directory.path());
        wait_for("the daemon", || self.log().contains("listening").then_some(()));
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

fn spawn(directory: &Path) -> (Child, Arc<Mutex<String>>) {
    let mut child = Command::new(AUSCULT)
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
