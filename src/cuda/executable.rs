//! The program that is built with CUDA: where it is, whether it starts, and how it takes this one's place.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use super::{Obstacle, driver};

/// Its name.
pub(super) const NAME: &str = "auscult-cuda";

/// Where distribution packages put it.
const INSTALLED: &str = "/usr/lib/auscult";

/// What it says that it is, if it belongs to this program.
const VERSION: &str = concat!("auscult ", env!("CARGO_PKG_VERSION"));

/// The variable that tells a program that it was handed over to. Its standard input is then the program that did it.
pub const HANDED_OVER: &str = "AUSCULT_HANDED_OVER";

/// This program, also after another one has taken its place in the file system.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Whether this process has taken another one's place.
pub(super) fn is_successor() -> bool {
    env::var_os(HANDED_OVER).is_some()
}

/// The program whose workers decode images: the one that came first. A worker that is linked with CUDA would load its
/// libraries, and the rights of a worker are too few for them.
pub fn decoding_program() -> io::Result<PathBuf> {
    /// Another descriptor than that of standard input, which in a worker is its socket; closed in the worker.
    static FIRST: OnceLock<File> = OnceLock::new();
    if !is_successor() {
        return Ok(THIS_PROGRAM.into());
    }
    if FIRST.get().is_none() {
        // Another thread may have been faster; either file is the same program.
        let _ = FIRST.set(File::open("/proc/self/fd/0")?);
    }
    let descriptor = FIRST.get().map_or(0, File::as_raw_fd);
    Ok(format!("/proc/self/fd/{descriptor}").into())
}

/// Takes this process's place; returns only where it cannot.
pub(super) fn take_place() -> Obstacle {
    if !driver::is_there() {
        return Obstacle::NoDriver;
    }
    let own = env::current_exe().unwrap_or_default();
    let places = [own.parent().unwrap_or(Path::new("/")), Path::new(INSTALLED)];
    let path = match found_in(&places).and_then(|path| tried(&path).map(|()| path)) {
        Ok(path) => path,
        Err(obstacle) => return obstacle,
    };
    let fault = match File::open(THIS_PROGRAM) {
        Ok(own) => Command::new(&path).args(env::args_os().skip(1)).env(HANDED_OVER, "1").stdin(own).exec(),
        Err(fault) => fault,
    };
    Obstacle::DoesNotStart { path, cause: fault.to_string() }
}

fn found_in(places: &[&Path]) -> Result<PathBuf, Obstacle> {
    let found = places.iter().map(|place| place.join(NAME)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        Obstacle::NoProgram { looked_in: places.join(", ") }
    })
}

/// Whether the program starts, libraries included, and is of this version. Nothing comes back from it once it has this
/// process's place.
fn tried(path: &Path) -> Result<(), Obstacle> {
    let does_not_start = |cause| Obstacle::DoesNotStart { path: path.to_owned(), cause };
    let asked = Command::new(path).arg("--version").stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } = asked.map_err(|fault| does_not_start(fault.to_string()))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        return Err(does_not_start(said.lines().next().map_or_else(|| status.to_string(), str::to_owned)));
    }
    let found = String::from_utf8_lossy(&stdout).trim().to_owned();
    if found == VERSION { Ok(()) } else { Err(Obstacle::OtherVersion { path: path.to_owned(), found, own: VERSION }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(directory: &Path, script: &str) -> PathBuf {
        let path = directory.join(NAME);
        // By a process of its own: another test may start one meanwhile, which has this one's open files for a moment, and the system
        // starts no program that somebody may write to.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"";
        let written = Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status().unwrap();
        assert!(written.success());
        path
    }

    #[test]
    fn the_first_place_that_has_the_program_wins() {
        let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let message = found_in(&[empty.path(), full.path()]).unwrap_err().to_string();
        assert!(message.starts_with("auscult-cuda not found in /") && message.contains(", /"), "{message}");
        let path = program(full.path(), "");
        assert_eq!(found_in(&[empty.path(), full.path()]), Ok(path));
    }

    #[test]
    fn a_program_that_does_not_start_or_is_another_one_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let said = |script: &str| tried(&program(directory.path(), script)).map_err(|obstacle| obstacle.to_string());
        assert_eq!(said(&format!("echo '{VERSION}'")), Ok(()));
        let message = said("echo 'libcublas.so.13: cannot open' >&2; exit 127").unwrap_err();
        assert!(message.ends_with("auscult-cuda does not start: libcublas.so.13: cannot open"), "{message}");
        assert!(said("exit 3").unwrap_err().ends_with("does not start: exit status: 3"));
        let message = said("echo 'auscult 0.0.0'").unwrap_err();
        assert!(message.contains("auscult-cuda is auscult 0.0.0, this is auscult "), "{message}");
        let none = tried(Path::new("/nowhere/auscult-cuda")).unwrap_err().to_string();
        assert!(none.contains("/nowhere/auscult-cuda does not start: No such file"), "{none}");
    }
}
