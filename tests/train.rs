//! `auscult train` and `auscult evaluate` as a data scientist uses them, on small pictures made here.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use image::{GrayImage, Luma};
use serde_json::Value;
use support::{AUSCULT, Service, checkout, computed_in, files_below, run, stderr, stdout, wait_for};

const IMAGES: usize = 24;

/// Pictures with a table of them, and the features that earlier tests computed.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A table of its own for a test.
    fn table(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// The arguments of a short training that ends in `out`.
    fn training(&self, table: &str, out: &Path, further: &[&str]) -> Vec<String> {
        let cache = self.path("cache");
        let mut arguments: Vec<String> =
            ["train", table, "--out", out.to_str().unwrap(), "--cache"].map(String::from).into();
        arguments.push(cache.display().to_string());
        if !further.contains(&"--epochs") {
            arguments.extend(["--epochs", "4"].map(String::from));
        }
        arguments.extend(["--init".into(), checkout("models/cxr-pneumonia-reference").display().to_string()]);
        arguments.extend(further.iter().map(|word| (*word).to_owned()));
        arguments
    }

    fn train(&self, table: &str, out: &Path, further: &[&str]) -> Output {
        let arguments = self.training(table, out, further);
        run(AUSCULT, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Dark pictures are class 0, bright ones class 1; two of each patient.
fn rows() -> String {
    (0..IMAGES).map(|image| format!("pictures/{image}.png,{},p{}\n", image % 2, image / 4)).collect()
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let bench = Bench { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.path("pictures")).unwrap();
        for image in 0..IMAGES {
            let level = |x: u32, y: u32| (image as u32 * 3 + (x * y) % 40 + 120 * (image as u32 % 2)) as u8;
            let picture = GrayImage::from_fn(48, 48, |x, y| Luma([level(x, y)]));
            picture.save(bench.path(&format!("pictures/{image}.png"))).unwrap();
        }
        let table = bench.table("data.csv", &format!("image_path,target,patient\n{}", rows()));
        let out = bench.path("trained");
        let output = bench.train(&table, &out, &["--group", "patient", "--stratify", "--name", "small"]);
        assert!(output.status.success(), "{}", stderr(&output));
        bench
    })
}

fn data() -> String {
    bench().path("data.csv").display().to_string()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn weights(model: &Path) -> Vec<u8> {
    fs::read(model.join("model.safetensors")).unwrap()
}

#[test]
fn a_table_becomes_a_package_with_its_account() {
    let out = bench().path("trained");
    let metrics = json(&out.join("metrics.json"));
    assert_eq!((metrics["finished"].as_bool(), metrics["epochs"].as_u64()), (Some(true), Some(4)));
    let images: u64 = ["train", "validation", "test"].iter().map(|part| metrics[part]["n"].as_u64().unwrap()).sum();
    assert_eq!(images, IMAGES as u64);
    assert!(metrics["train"]["accuracy"].is_number() && metrics["test"]["auc_low"].is_number(), "{metrics}");
    assert_eq!(metrics["sharing"]["shared"].as_u64(), Some(0));
    assert_eq!(fs::read_to_string(out.join("history.csv")).unwrap().lines().count(), 5);
    assert!(!out.join("checkpoint.safetensors").exists());
    for name in ["accuracy", "loss", "validation-roc", "validation-confusion", "test-reliability", "test-scores"] {
        let svg = fs::read_to_string(out.join("plots").join(name).with_extension("svg")).unwrap();
        assert!(svg.starts_with("<svg xmlns"), "{name}");
    }
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for expected in ["Training of small 0.1.0", ">ROC, validation<", ">Accuracy by epoch<", "shares its patient"] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("http-equiv"), "a page that is finished is not read again");
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    for expected in ["# small 0.1.0: model card", "| Area under the ROC curve |", "| seed | 1 |", "Research use only"] {
        assert!(card.contains(expected), "{expected}");
    }
    let everything = [&page, &card, &fs::read_to_string(out.join("split.csv")).unwrap()].map(String::as_str).concat();
    assert!(!everything.contains("pictures/"), "no path of an image goes with the model");
}

/// The probability that `auscult classify --json` prints, to the bit: serde_json's own reading may be off by the last one.
fn probability(line: &[u8]) -> f64 {
    let line = String::from_utf8_lossy(line);
    let value = line.split_once("\"probability\":").and_then(|(_, value)| value.split([',', '}']).next());
    value.unwrap_or_else(|| panic!("no probability: {line}")).parse().unwrap()
}

#[test]
fn the_service_gives_the_scores_that_evaluate_gives() {
    let out = bench().path("trained");
    let model = out.to_str().unwrap();
    let account = bench().path("account");
    let output = run(AUSCULT, &["evaluate", model, &data(), "--out", account.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let scores = fs::read_to_string(account.join("scores.csv")).unwrap();
    // These pictures do not look like radiographs.
    let ungated = bench().table("ungated.toml", "[select]\nplausibility = \"off\"\n");
    let expected: Vec<&str> = scores.lines().skip(1).map(|line| line.rsplit(',').next().unwrap()).collect();
    for (image, expected) in expected.iter().enumerate().take(4) {
        let picture = bench().path(&format!("pictures/{image}.png"));
        let picture = picture.to_str().unwrap();
        let said = run(AUSCULT, &["classify", "--json", "--model", model, "--config", &ungated, picture]);
        assert_eq!(probability(&said.stdout), expected.parse::<f64>().unwrap());
    }
    let metrics = json(&out.join("metrics.json"));
    let test = run(AUSCULT, &["evaluate", model, &data(), "--json", "--part", "test"]);
    let test: Value = serde_json::from_slice(&test.stdout).unwrap();
    for key in ["n", "accuracy", "auc", "auc_high", "brier_score", "log_loss", "expected_calibration_error"] {
        assert_eq!(test[key], metrics["test"][key], "{key}");
    }
}

#[test]
fn evaluate_computes_in_the_numbers_that_the_service_computes_in() {
    let reference = checkout("models/cxr-pneumonia-reference");
    let model = reference.to_str().unwrap();
    let image = files_below(&checkout("testdata/pneumonia-cr"), "dcm").remove(0);
    let image = image.to_str().unwrap();
    let table = bench().table("one.csv", &format!("image_path,target\n{image},pneumonia\n"));
    let scores = ["f32", "bf16", "int8"].map(|precision| {
        let account = bench().path(&format!("account-in-{precision}"));
        let out = account.to_str().unwrap();
        let output = run(AUSCULT, &["evaluate", model, &table, "--precision", precision, "--json", "--out", out]);
        assert!(output.status.success(), "{}", stderr(&output));
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(figures["computed"]["precision"], computed_in(precision));
        let scores = fs::read_to_string(account.join("scores.csv")).unwrap();
        let score: f64 = scores.trim().rsplit(',').next().unwrap().parse().unwrap();
        let said = run(AUSCULT, &["classify", "--json", "--model", model, "--precision", precision, image]);
        assert_eq!(probability(&said.stdout), score, "{precision}");
        score
    });
    assert_eq!(scores[0] == scores[1], computed_in("bf16") == "f32", "{scores:?}");
    assert_ne!(scores[0], scores[2]);
}

#[test]
fn the_daemon_serves_a_trained_package_with_the_scores_that_evaluate_gives() {
    let out = bench().path("trained");
    let account = bench().path("account-of-dicom");
    let image = files_below(&checkout("testdata/pneumonia-cr"), "dcm").remove(0);
    let table = bench().table("dicom.csv", &format!("image_path,target\n{},pneumonia\n", image.display()));
    let output = run(AUSCULT, &["evaluate", out.to_str().unwrap(), &table, "--out", account.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let scores = fs::read_to_string(account.join("scores.csv")).unwrap();
    let expected: f64 = scores.trim().rsplit(',').next().unwrap().parse().unwrap();

    let service = Service::start(&format!("[model]\npackage = {out:?}\n"));
    let sent = run(AUSCULT, &["send", "--port", &service.port.to_string(), image.to_str().unwrap()]);
    assert!(sent.status.success(), "{}", stderr(&sent));
    let ledger = rusqlite::Connection::open(service.state().join("ledger.db")).unwrap();
    let score = wait_for("a score", || {
        ledger.query_row("SELECT score FROM instance", [], |row| row.get::<_, Option<f64>>(0)).ok().flatten()
    });
    assert_eq!(score, expected);
}

/// A run that is killed once it has a checkpoint.
fn train_and_kill(out: &Path, further: &[&str]) {
    let arguments: Vec<String> = bench().training(&data(), out, further);
    let mut child = Command::new(AUSCULT).args(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("a checkpoint", || out.join("checkpoint.safetensors").exists().then_some(()));
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "the run was over before it could be killed");
}

/// Asserts that the killed run goes on where it was and ends as the whole one did.
fn assert_resumes_as(whole: &Path, killed: &Path, further: &[&str]) {
    let resumed = bench().train(&data(), killed, further);
    assert!(resumed.status.success() && stderr(&resumed).contains("going on after epoch"), "{}", stderr(&resumed));
    assert!(weights(whole) == weights(killed), "the weights differ");
    assert_eq!(json(&whole.join("metrics.json")), json(&killed.join("metrics.json")));
}

#[test]
fn the_same_run_gives_the_same_weights_whatever_the_threads_and_the_kill() {
    let directory = tempfile::tempdir().unwrap();
    let long = ["--epochs", "300", "--seed", "7"];
    let further = |threads: &'static str| [&long[..], &["--threads", threads]].concat();
    let (whole, killed) = (directory.path().join("a/model"), directory.path().join("b/model"));
    let output = bench().train(&data(), &whole, &further("1"));
    assert!(output.status.success(), "{}", stderr(&output));

    train_and_kill(&killed, &further("2"));
    let other = bench().train(&data(), &killed, &["--epochs", "300", "--seed", "8"]);
    assert!(stderr(&other).contains("is of another run"), "{}", stderr(&other));
    assert_resumes_as(&whole, &killed, &further("2"));

    let again = bench().train(&data(), &whole, &further("1"));
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("holds a finished model"), "{}", stderr(&again));
}

/// The octets of a tensor.
fn tensor(model: &Path, name: &str) -> Vec<u8> {
    let octets = weights(model);
    safetensors::SafeTensors::deserialize(&octets).unwrap().tensor(name).unwrap().data().to_vec()
}

#[test]
fn a_trained_last_stage_is_served_and_survives_a_kill_to_the_bit() {
    let directory = tempfile::tempdir().unwrap();
    let (whole, killed) = (directory.path().join("a/model"), directory.path().join("b/model"));
    let further = |threads: &'static str| {
        ["--train-trunk", "last-stage", "--epochs", "3", "--batch", "8", "--keep", "best", "--threads", threads]
    };
    let output = bench().train(&data(), &whole, &further("1"));
    assert!(output.status.success(), "{}", stderr(&output));

    train_and_kill(&killed, &further("2"));
    assert_resumes_as(&whole, &killed, &further("2"));

    let reference = checkout("models/cxr-pneumonia-reference");
    let same = |name: &str| tensor(&whole, name) == tensor(&reference, name);
    assert!(same("layer3.5.conv3.weight") && same("layer3.5.bn3.running_mean"), "frozen layers are as they were");
    assert!(!same("layer4.0.conv1.weight") && !same("layer4.2.bn3.running_var"), "trained layers are not");

    let (model, account) = (whole.to_str().unwrap(), directory.path().join("account"));
    let said =
        run(AUSCULT, &["evaluate", model, &data(), "--json", "--out", account.to_str().unwrap(), "--part", "test"]);
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    for key in ["n", "accuracy", "auc", "log_loss"] {
        assert_eq!(said[key], json(&whole.join("metrics.json"))["test"][key], "{key}");
    }
    let card = fs::read_to_string(whole.join("README.md")).unwrap();
    assert!(
        card.contains("| trunk | last stage trained") && card.contains("which did best of 3 on validation"),
        "{card}"
    );
}

#[test]
fn wrong_tables_are_refused_in_one_line() {
    let bench = bench();
    fs::write(bench.path("pictures/cut.png"), &fs::read(bench.path("pictures/0.png")).unwrap()[..60]).unwrap();
    fs::copy(bench.path("pictures/3.png"), bench.path("pictures/copy.png")).unwrap();
    GrayImage::from_pixel(48, 48, Luma([77])).save(bench.path("pictures/new.png")).unwrap();
    let head = "image_path,target,patient\n";
    let split: String = (0..IMAGES)
        .map(|image| format!("pictures/{image}.png,{},{}\n", image % 2, ["train", "val", "test"][image / 2 % 3]))
        .collect();
    let tables = [
        ("", "line 1: no image"),
        ("image_path,target\n", "line 2: no image"),
        ("image_path,target\npictures/0.png,0\npictures/none.png,1\n", "line 3: "),
        ("image_path,target\npictures/0.png,0\npictures/2.png,0\n", "line 3: all 2 images"),
        (&format!("{head}{}pictures/cut.png,1,x\n", rows()), "line 26: "),
        (&format!("{head}{}pictures/cut.png,1,x\n", rows()), "cut.png"),
        (&format!("{head}{}pictures/new.png,maybe,x\n", rows()), "line 26: unknown class \"maybe\""),
        (&format!("{head}{}pictures/new.png,2,x\n", rows()), "line 26: class \"2\" has 1 of the images only"),
        (&format!("image_path,target,split\n{split}pictures/copy.png,1,test\n"), "line 26: "),
        (&format!("image_path,target,split\n{split}pictures/copy.png,1,test\n"), "in another part of the data"),
    ];
    for (number, (text, expected)) in tables.iter().enumerate() {
        let table = bench.table(&format!("wrong-{number}.csv"), text);
        let out = bench.path(&format!("never-{number}"));
        let by_split: &[&str] = if text.contains(",split\n") { &["--split", "split"] } else { &[] };
        let output = bench.train(&table, &out, by_split);
        let message = stderr(&output);
        let fault = message.lines().last().unwrap();
        assert_eq!(output.status.code(), Some(1), "{expected}: {message}");
        assert!(fault.starts_with("auscult: ") && fault.contains(expected), "{expected}: {message}");
        assert!(message.lines().filter(|line| line.starts_with("auscult: ")).count() == 1, "{message}");
        assert!(!out.join("model.toml").exists());
    }
}

#[test]
fn evaluate_tells_subgroups_compares_and_chooses_a_threshold() {
    let (trained, copy) = (bench().path("trained"), tempfile::tempdir().unwrap());
    for file in ["model.toml", "model.safetensors", "gate.safetensors", "README.md", "split.csv"] {
        fs::copy(trained.join(file), copy.path().join(file)).unwrap();
    }
    let model = copy.path().to_str().unwrap();
    let reference = checkout("models/cxr-pneumonia-reference").display().to_string();
    let arguments = ["evaluate", model, &data(), "--by", "patient", "--against", &reference];
    let text = stdout(&run(AUSCULT, &arguments));
    for expected in ["small 0.1.0 on 24 images", "the model was trained on", "by patient", "AUC differs by", "p = "] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let said = run(AUSCULT, &[&arguments[..], &["--json", "--threshold-for", "sensitivity=0.9"]].concat());
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said["by"]["patient"].as_object().unwrap().len(), IMAGES / 4);
    assert!(said["against"]["auc_difference"]["p"].is_number());
    assert!(said["operating_point"]["sensitivity"].as_f64().unwrap() >= 0.9);
    let manifest = fs::read_to_string(copy.path().join("model.toml")).unwrap();
    let threshold = said["operating_point"]["threshold"].as_f64().unwrap();
    assert!(manifest.contains(&format!("threshold = {threshold}")), "{threshold}: {manifest}");
    assert!(fs::read_to_string(copy.path().join("README.md")).unwrap().contains("chosen for sensitivity=0.9"));
    let after = run(AUSCULT, &["evaluate", model, &data(), "--json"]);
    let after: Value = serde_json::from_slice(&after.stdout).unwrap();
    assert_eq!(after["sensitivity"], said["operating_point"]["sensitivity"]);
}

#[test]
fn a_missing_package_and_a_missing_column_are_named() {
    let trained = bench().path("trained").display().to_string();
    for (arguments, code, expected) in [
        (["evaluate", "/nowhere", &data(), "--json"].to_vec(), 1, "/nowhere not found"),
        (
            ["evaluate", &trained, &data(), "--by", "ward"].to_vec(),
            1,
            "no column \"ward\"; the further columns are: patient",
        ),
        (["evaluate", &trained, "/nowhere.csv"].to_vec(), 1, "/nowhere.csv: No such file"),
    ] {
        let output = run(AUSCULT, &arguments);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).lines().last().unwrap().contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn augmented_copies_are_looked_at_once_and_give_the_same_weights_again() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache").display().to_string();
    let further = |augment: &'static str| [augment, "--copies", "2", "--cache", &cache].map(String::from);
    let train = |name: &str, augment: &'static str| {
        let out = directory.path().join(name).join("model");
        let mut arguments =
            ["train", &data(), "--out", out.to_str().unwrap(), "--epochs", "4"].map(String::from).to_vec();
        arguments.extend(["--init".into(), checkout("models/cxr-pneumonia-reference").display().to_string()]);
        arguments.extend(further(augment));
        let output = run(AUSCULT, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{}", stderr(&output));
        (out, stderr(&output))
    };
    let (first, said) = train("first", "--augment");
    let training = json(&first.join("metrics.json"))["train"]["n"].as_u64().unwrap() as usize;
    // Every image, and two copies of those of training.
    assert!(said.contains(&format!("looking at {} images", IMAGES + 2 * training)), "{said}");
    let (again, said) = train("again", "--augment");
    assert!(said.contains("are known from an earlier run") && !said.contains("looking at"), "{said}");
    assert!(weights(&first) == weights(&again), "the weights differ");
    let card = fs::read_to_string(first.join("README.md")).unwrap();
    assert!(card.contains("| augmentation | rotation up to 10 degrees, crop to 85 % of each side or more, "), "{card}");
    assert!(!card.contains("flip"), "nothing is mirrored unless it is asked for");

    let (flipped, said) = train("flipped", "--augment=horizontal-flip");
    assert!(said.contains(&format!("looking at {} images", 2 * training)), "{said}");
    assert!(weights(&first) != weights(&flipped));
    assert!(fs::read_to_string(flipped.join("README.md")).unwrap().contains("horizontal flip of half of them"));
}

#[test]
fn folds_give_mean_and_spread_and_are_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("model");
    let further = ["--folds", "3", "--group", "patient", "--stratify"];
    let output = bench().train(&data(), &out, &further);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("3 trainings like this one") && text.contains("Area under the ROC curve"), "{text}");
    let metrics = json(&out.join("metrics.json"));
    let folds = &metrics["cross_validation"];
    let each: Vec<f64> = (0..3).map(|fold| folds["each"][fold]["test"]["accuracy"].as_f64().unwrap()).collect();
    assert!((folds["test"]["accuracy"]["mean"].as_f64().unwrap() - each.iter().sum::<f64>() / 3.0).abs() < 1e-9);
    let tested: u64 = (0..3).map(|fold| folds["each"][fold]["test"]["n"].as_u64().unwrap()).sum();
    assert_eq!(tested, IMAGES as u64, "every image is tested once");
    for fold in 1..=3 {
        let fold = out.join("folds").join(fold.to_string());
        assert!(fold.join("report.html").exists() && !fold.join("model.toml").exists());
        assert_eq!(json(&fold.join("metrics.json"))["sharing"]["shared"].as_u64(), Some(0));
    }
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains(">Cross-validation<"));
    assert!(fs::read_to_string(out.join("README.md")).unwrap().contains("## Cross-validation"));

    // As after a kill between the folds and the end.
    fs::remove_file(out.join("model.toml")).unwrap();
    fs::remove_dir_all(out.join("folds/3")).unwrap();
    let again = bench().train(&data(), &out, &further);
    assert!(again.status.success() && stderr(&again).contains("training 3 of 3"), "{}", stderr(&again));
    assert_eq!(json(&out.join("metrics.json")), metrics);
    fs::remove_file(out.join("model.toml")).unwrap();
    let other = bench().train(&data(), &out, &[&further[..], &["--seed", "9"]].concat());
    assert!(stderr(&other).contains("is of another run"), "{}", stderr(&other));
}

#[test]
fn the_worst_errors_are_shown_without_names() {
    let directory = tempfile::tempdir().unwrap();
    // Labels that no picture shows: some of the answers are wrong.
    let rows: String = (0..IMAGES).map(|image| format!("pictures/{image}.png,{}\n", image / 2 % 2)).collect();
    let table = bench().table("senseless.csv", &format!("image_path,target\n{rows}"));
    let out = directory.path().join("model");
    let output = bench().train(&table, &out, &["--stratify"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (page, sheet) = (out.join("report.html"), out.join("plots/worst-errors.svg"));
    let (page, sheet) = (fs::read_to_string(page).unwrap(), fs::read_to_string(sheet).unwrap());
    assert!(page.contains(">Worst errors<") && page.contains(&sheet), "the report holds the sheet");
    let wrong = sheet.matches(", truth ").count();
    assert!(wrong > 0 && sheet.matches("data:image/png;base64,").count() == 2 * wrong, "{wrong}");
    assert!(sheet.contains("line ") && sheet.contains("BLAKE3 "), "{sheet}");
    assert!(!sheet.contains("pictures/") && !sheet.contains(".png,"));
}

#[test]
fn options_out_of_range_are_refused_in_a_line() {
    for (further, expected) in [
        (&["--augment=mirror"][..], "invalid value 'mirror'"),
        (&["--copies", "3"], "--augment"),
        (&["--augment", "--copies", "0"], "0 is not in 1..=100"),
        (&["--folds", "2"], "2 is not in 3..=20"),
        (&["--folds", "5", "--split", "part"], "cannot be used with"),
    ] {
        let output = bench().train(&data(), &bench().path("never"), further);
        assert_eq!(output.status.code(), Some(2), "{further:?}");
        assert!(stderr(&output).contains(expected), "{further:?}: {}", stderr(&output));
    }
}
