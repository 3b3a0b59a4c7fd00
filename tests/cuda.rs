//! The program that is built with CUDA takes the place of the one that is not, where it can, and nothing stops where it
//! cannot. A driver and a program of the test's own stand for the real ones, which need a device.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use support::{AUSCULT, checkout, installed, run, stderr, stdout, write_program};

/// A directory with the executable under test and a driver's library in it.
struct Machine(tempfile::TempDir);

impl Machine {
    /// With a library that cannot be loaded, which hides a real driver, too.
    fn without_driver() -> Self {
        // On the file system of the executable, so that it can have another name there.
        let machine = Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        fs::write(machine.path("libcuda.so.1"), "no library").unwrap();
        fs::hard_link(AUSCULT, machine.path("auscult")).unwrap();
        machine
    }

    /// With one that can; `None` without a C compiler.
    fn with_driver() -> Option<Self> {
        let machine = installed("cc").then(Self::without_driver)?;
        let library = machine.path("libcuda.so.1");
        let made = run("cc", &["-shared", "-o", library.to_str().unwrap(), "-x", "c", "/dev/null"]);
        assert!(made.status.success(), "{}", stderr(&made));
        Some(machine)
    }

    /// Puts a script in the place of `auscult-cuda`.
    fn with_program(self, script: &str) -> Self {
        write_program(&self.path("auscult-cuda"), script);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("auscult"));
        command.args(arguments).env("LD_LIBRARY_PATH", self.0.path()).env_remove("RUST_BACKTRACE");
        // The model package is found from here.
        command.current_dir(checkout("."));
        command
    }

    fn auscult(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

/// A training on a device.
const TRAIN: [&str; 6] = ["train", "data.csv", "--out", "model", "--device", "cuda"];

/// The shortest command that loads the model.
const BENCH: [&str; 3] = ["bench", "--seconds", "1"];

/// A program of this version that says how it was started.
fn telling() -> String {
    let version = concat!("auscult ", env!("CARGO_PKG_VERSION"));
    format!("if [ \"$1\" = --version ]; then echo '{version}'; else echo \"$$ [$*] $NOTIFY_SOCKET\"; fi")
}

/// That the processor computed, and the one line that says why.
fn fell_back(output: &Output) -> String {
    let (said, told) = (stdout(output), stderr(output));
    assert!(output.status.success() && said.contains(", CPU with "), "{said}{told}");
    let lines: Vec<&str> =
        told.lines().filter_map(|line| line.split_once("running on CPU: ")).map(|(_, why)| why).collect();
    assert_eq!(lines.len(), 1, "{told}");
    lines[0].to_owned()
}

#[test]
fn without_a_driver_the_processor_computes_and_the_log_says_why() {
    let machine = Machine::without_driver().with_program(&telling());
    assert_eq!(fell_back(&machine.auscult(&BENCH)), "NVIDIA driver not found");
    let json = ["bench", "--seconds", "1", "--device", "cpu", "--json"];
    let wanted = machine.auscult(&json);
    assert!(wanted.status.success() && !stderr(&wanted).contains("running on CPU"), "{}", stderr(&wanted));
}

#[test]
fn a_device_that_is_asked_for_and_missing_is_a_fault_of_the_configuration() {
    let machine = Machine::without_driver();
    for arguments in [&["bench", "--device", "cuda"][..], &["classify", "--device", "cuda", "testdata/hand"]] {
        let output = machine.auscult(arguments);
        assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("model.device = \"cuda\": NVIDIA driver not found; make the device usable"), "{said}");
    }
    let output = machine.auscult(&["model", "quantize", "models/cxr-pneumonia-reference", "testdata", "--to", "f16"]);
    let said = stderr(&output);
    assert!(said.contains("f16 is computed on an NVIDIA device only: NVIDIA driver not found"), "{said}");
    let train = ["train", "testdata", "--out", "target/tmp/never"];
    let output = machine.auscult(&[&train[..], &["--device", "cuda"]].concat());
    let said = stderr(&output);
    assert!(said.contains("--device cuda: NVIDIA driver not found; --device cpu trains on the processor"), "{said}");
    let output = machine.auscult(&[&train[..], &["--precision", "bf16"]].concat());
    assert!(stderr(&output).contains("--precision bf16 is for devices: add --device cuda"), "{}", stderr(&output));
    let output = machine.auscult(&["bench", "--device", "cuda", "--precision", "int8"]);
    assert!(output.status.code() == Some(78) && stderr(&output).contains("model.precision"), "{}", stderr(&output));
    let output = machine.auscult(&["bench", "--device", "gpu"]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("cuda"), "{}", stderr(&output));
}

#[test]
fn with_a_driver_the_other_program_takes_the_place_with_the_same_arguments() {
    let Some(machine) = Machine::with_driver() else { return };
    let machine = machine.with_program(&telling());
    for arguments in [&["serve"][..], &["bench", "--batch", "7"], &["classify", "a b", "--json"], &["check"], &TRAIN] {
        let mut command = machine.command(arguments);
        let started = command.env("NOTIFY_SOCKET", "/run/notify").stdout(Stdio::piped()).spawn().unwrap();
        let process = started.id();
        let output = started.wait_with_output().unwrap();
        assert_eq!(stdout(&output), format!("{process} [{}] /run/notify\n", arguments.join(" ")));
    }
}

#[test]
fn nothing_is_handed_over_that_does_not_need_the_model_or_may_not_use_the_device() {
    let Some(machine) = Machine::with_driver() else { return };
    let machine = machine.with_program("touch \"$0.called\"; exit 1");
    for arguments in [
        &["decode-worker", "1000"][..],
        &["health"],
        &["bench", "--seconds", "1", "--device", "cpu"],
        &["--version"],
        &["train", "nothing.csv", "--out", "model"],
    ] {
        machine.auscult(arguments);
        assert!(!machine.path("auscult-cuda.called").exists(), "{arguments:?}");
    }
    let eight_bits = machine.auscult(&["bench", "--seconds", "1", "--precision", "int8"]);
    assert_eq!(fell_back(&eight_bits), "model.precision = \"int8\" is computed on the processor only");
    assert!(!machine.path("auscult-cuda.called").exists());
}

#[test]
fn a_program_that_is_missing_or_does_not_start_stops_nothing() {
    let Some(machine) = Machine::with_driver() else { return };
    let why = fell_back(&machine.auscult(&BENCH));
    assert!(why.starts_with("auscult-cuda not found in ") && why.ends_with(", /usr/lib/auscult"), "{why}");
    let machine = machine.with_program("echo 'libcublas.so.13: cannot open shared object file' >&2; exit 127");
    let why = fell_back(&machine.auscult(&BENCH));
    assert!(why.ends_with("does not start: libcublas.so.13: cannot open shared object file"), "{why}");
    let machine = machine.with_program("echo 'auscult 0.0.1'");
    let why = fell_back(&machine.auscult(&BENCH));
    assert!(why.contains(" is auscult 0.0.1, this is auscult "), "{why}");
}

#[test]
fn a_program_that_cannot_use_the_device_either_goes_on_by_itself_and_decodes_with_the_first() {
    let Some(machine) = Machine::with_driver() else { return };
    let image = checkout("testdata/pneumonia-dx-jpeg");
    let classify = ["classify", "--json", image.to_str().unwrap()];
    let alone = machine.auscult(&classify);
    fs::copy(AUSCULT, machine.path("auscult-cuda")).unwrap();
    assert_eq!(fell_back(&machine.auscult(&BENCH)), "this program was built without CUDA");
    let output = machine.auscult(&classify);
    assert!(output.status.success() && stdout(&output).contains("\"probability\":0."), "{}", stderr(&output));
    assert_eq!(stdout(&output), stdout(&alone));
}
