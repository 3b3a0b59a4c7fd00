//! The servers under load: Auscult and its peers, each with a directory and a port of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tempfile::TempDir;

use crate::association::{Address, Association};
use crate::object::Shows;
use crate::processes::{self, Usage};
use crate::stream;

/// How long a server may take to answer its first C-ECHO.
const START: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Auscult's intake by itself: studies stay open, so nothing is done with them.
    AuscultIntake,
    /// Auscult, which meanwhile declines every image by its header and forgets its study.
    AuscultDeclines,
    /// Auscult, which meanwhile classifies every image and writes its report.
    AuscultAnalyses,
    /// DCMTK's `storescp`, a process for each association; it does not sync.
    Storescp,
    /// Orthanc, which syncs each file.
    Orthanc,
}

impl Kind {
    /// Every kind, in the order in which they take turns.
    pub const ALL: [Self; 5] =
        [Self::AuscultIntake, Self::Storescp, Self::AuscultDeclines, Self::Orthanc, Self::AuscultAnalyses];

    /// Its name in tables and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::AuscultIntake => "auscult",
            Self::AuscultDeclines => "auscult-declines",
            Self::AuscultAnalyses => "auscult-analyses",
            Self::Storescp => "storescp",
            Self::Orthanc => "orthanc",
        }
    }

    /// Whether it is Auscult in one of its ways.
    pub fn is_auscult(self) -> bool {
        !matches!(self, Self::Storescp | Self::Orthanc)
    }

    /// What is sent to it.
    pub fn shows(self) -> Shows {
        match self {
            Self::AuscultAnalyses => Shows::Chest,
            _ => Shows::Hand,
        }
    }

    /// Its executable, if it is installed; `auscult` is Auscult's.
    pub fn program(self, auscult: &Path) -> Option<PathBuf> {
        let name = match self {
            Self::Storescp => "storescp",
            Self::Orthanc => "Orthanc",
            _ => return auscult.canonicalize().ok(),
        };
        // Orthanc is installed where only root looks.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        directories.find_map(|directory| Some(directory.join(name)).filter(|program| program.is_file()))
    }

    fn called(self) -> &'static str {
        match self {
            Self::Storescp => "STORESCP",
            Self::Orthanc => "ORTHANC",
            _ => "AUSCULT",
        }
    }
}

/// A running server; its processes and its directory go with it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    resting: u64,
    /// Where it is called.
    pub address: Address,
    _directory: TempDir,
}

impl Server {
    /// Starts a server below `state`, and waits until it answers.
    pub fn start(kind: Kind, auscult: &Path, state: &Path) -> Result<Self> {
        let program = kind.program(auscult).with_context(|| format!("{} is not installed", kind.name()))?;
        let directory = tempfile::Builder::new().prefix(kind.name()).tempdir_in(state)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = directory.path().join("log");
        let child = command(kind, &program, directory.path(), port)?
            .current_dir(directory.path())
            .env("TCP_NODELAY", "1")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let address = Address { port, called: kind.called() };
        let mut server = Self { child, resting: 0, address, _directory: directory };
        server.wait_for_echo(&log)?;
        processes::forget_high_water(server.group()).context("clear_refs")?;
        server.resting = server.usage().resident;
        Ok(server)
    }

    fn wait_for_echo(&mut self, log: &Path) -> Result<()> {
        let deadline = Instant::now() + START;
        while let Err(error) = echo(self.address) {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("no C-ECHO answered ({error}); its log: {}", fs::read_to_string(log).unwrap_or_default());
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The group of its processes.
    pub fn group(&self) -> u32 {
        self.child.id()
    }

    /// Resident bytes once it had started, for Auscult with the model's weights.
    pub fn resting(&self) -> u64 {
        self.resting
    }

    /// What its processes hold and have used.
    pub fn usage(&self) -> Usage {
        processes::usage(self.group())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn echo(address: Address) -> Result<()> {
    let mut association = Association::open(address, "1.2.840.10008.1.2.1")?;
    association.send(&stream::echo(), Instant::now() + START)?;
    association.answer()?;
    association.release()
}

fn command(kind: Kind, program: &Path, directory: &Path, port: u16) -> Result<Command> {
    let mut command = Command::new(program);
    match kind {
        Kind::Storescp => {
            let store = directory.join("store");
            fs::create_dir(&store)?;
            command.args(["--fork", "--max-pdu", "131072", "+xa", "+B", "-od"]).arg(store).arg(port.to_string());
        }
        Kind::Orthanc => {
            let configuration = directory.join("orthanc.json");
            fs::write(&configuration, orthanc(directory, port)?.to_string())?;
            command.arg(configuration);
        }
        _ => {
            let configuration = directory.join("auscult.toml");
            fs::write(&configuration, auscult(kind, directory, port))?;
            command.args(["serve", "--config"]).arg(configuration);
        }
    }
    Ok(command)
}

fn orthanc(directory: &Path, port: u16) -> Result<serde_json::Value> {
    let store = directory.join("store");
    fs::create_dir(&store)?;
    Ok(json!({
        "StorageDirectory": store, "IndexDirectory": store, "Plugins": [], "HttpServerEnabled": false,
        "DicomAet": Kind::Orthanc.called(), "DicomPort": port, "DicomAlwaysAllowStore": true,
        "MaximumPduLength": 131_072,
    }))
}

fn auscult(kind: Kind, directory: &Path, port: u16) -> String {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cxr-pneumonia-reference");
    let (quiet, not_analysed) = match kind {
        Kind::AuscultIntake => (3600, "report"),
        Kind::AuscultDeclines => (1, "log-only"),
        _ => (1, "report"),
    };
    format!(
        "[state]\ndirectory = {:?}\n[scp]\naddress = \"127.0.0.1\"\nport = {port}\n\
         [study]\nquiet_seconds = {quiet}\nmax_wait_seconds = 7200\n[report]\nnot_analysed = \"{not_analysed}\"\n\
         [model]\npackage = {package:?}\n[[destination]]\nkind = \"folder\"\nname = \"reports\"\npath = \"reports\"\n",
        directory.join("state"),
    )
}
