//! `auscult model quantize`, and what is computed in eight bits then.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod support;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{AUSCULT, checkout, run, shared, stderr, stdout};

/// A table of so many images of each class of the use case.
fn table(directory: &Path, data: &Path, each: usize) -> String {
    let rows = fs::read_to_string(data).unwrap();
    let mut text = "image_path,target\n".to_owned();
    for class in ["0", "1"] {
        let rows = rows.lines().skip(1).filter_map(|row| row.split_once(',')).filter(|(_, target)| *target == class);
        for (path, _) in rows.step_by(3).take(each) {
            writeln!(text, "{},{class}", data.parent().unwrap().join(path).display()).unwrap();
        }
    }
    let path = directory.join("images.csv");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_package_is_prepared_and_answers_in_eight_bits() {
    let Some(data) = shared("data/use-case/data_1.csv") else { return };
    let directory = tempfile::tempdir().unwrap();
    let reference = checkout("models/cxr-pneumonia-reference").display().to_string();
    let out = directory.path().join("package").display().to_string();
    let table = table(directory.path(), &data, 40);
    let prepared = run(AUSCULT, &["model", "quantize", &reference, &table, "--out", &out, "--calibrate", "30"]);
    assert!(prepared.status.success(), "{}{}", stdout(&prepared), stderr(&prepared));
    assert!(stdout(&prepared).contains("of probabilities within 0.02"), "{}", stdout(&prepared));
    let manifest = fs::read_to_string(Path::new(&out).join("model.toml")).unwrap();
    assert!(manifest.contains("[int8.self_test]") && manifest.contains("[performance.int8]"), "{manifest}");
    assert!(fs::read_to_string(Path::new(&out).join("README.md")).unwrap().contains("## In eight bits"));

    let image = checkout("../shared/data/use-case").join(first_image(&data));
    let image = image.display().to_string();
    let score = |precision: &str| {
        let said = run(AUSCULT, &["classify", "--json", "--model", &out, "--precision", precision, &image]);
        assert!(said.status.success(), "{}", stderr(&said));
        serde_json::from_str::<Value>(stdout(&said).trim()).unwrap()["probability"].as_f64().unwrap()
    };
    let (int8, f32) = (score("int8"), score("f32"));
    assert!((int8 - f32).abs() <= 0.02, "{int8} for {f32}");
    assert_eq!(score("auto"), f32);
}

fn first_image(data: &Path) -> String {
    let rows = fs::read_to_string(data).unwrap();
    rows.lines().nth(1).and_then(|row| row.split_once(',')).unwrap().0.to_owned()
}

#[test]
fn too_few_images_and_an_unknown_precision_are_told() {
    let Some(data) = shared("data/use-case/data_1.csv") else { return };
    let directory = tempfile::tempdir().unwrap();
    let reference = checkout("models/cxr-pneumonia-reference").display().to_string();
    let table = table(directory.path(), &data, 10);
    let few = run(AUSCULT, &["model", "quantize", &reference, &table]);
    assert!(!few.status.success() && stderr(&few).contains("20 images; at least 40"), "{}", stderr(&few));
    let unknown = run(AUSCULT, &["bench", "--precision", "bf16"]);
    assert!(stderr(&unknown).contains("write auto, f32 or int8"), "{}", stderr(&unknown));
    let config = directory.path().join("auscult.toml");
    fs::write(&config, "[model]\nprecision = \"bf16\"\n").unwrap();
    let refused = run(AUSCULT, &["bench", "--config", &config.display().to_string()]);
    let message = stderr(&refused);
    assert!(message.contains("precision = \"bf16\"") && message.contains("`int8`"), "{message}");
}
