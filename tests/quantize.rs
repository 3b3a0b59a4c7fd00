//! `auscult model quantize`, and what is computed in eight bits and in bf16 then.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod support;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{AUSCULT, checkout, computed_in, run, shared, stderr, stdout};

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
fn a_package_is_prepared_and_answers_in_eight_bits_and_in_bf16() {
    let Some(data) = shared("data/use-case/data_1.csv") else { return };
    let directory = tempfile::tempdir().unwrap();
    let reference = checkout("models/cxr-pneumonia-reference").display().to_string();
    let out = directory.path().join("package").display().to_string();
    let table = table(directory.path(), &data, 40);
    let prepared = run(AUSCULT, &["model", "quantize", &reference, &table, "--out", &out, "--calibrate", "30"]);
    assert!(prepared.status.success(), "{}{}", stdout(&prepared), stderr(&prepared));
    for numbers in ["bf16 beside f32 on 40 images", "int8 beside f32 on 40 images"] {
        assert!(stdout(&prepared).contains(numbers), "{}", stdout(&prepared));
    }
    let manifest = fs::read_to_string(Path::new(&out).join("model.toml")).unwrap();
    for table in ["[int8.self_test]", "[performance.int8]", "[bf16.self_test]", "[performance.bf16]"] {
        assert!(manifest.contains(table), "{table}: {manifest}");
    }
    let card = fs::read_to_string(Path::new(&out).join("README.md")).unwrap();
    assert!(card.contains("## In eight bits") && card.contains("## In bf16"), "{card}");

    let image = checkout("../shared/data/use-case").join(first_image(&data));
    let image = image.display().to_string();
    let score = |precision: &str| {
        let said = run(AUSCULT, &["classify", "--json", "--model", &out, "--precision", precision, &image]);
        assert!(said.status.success(), "{}", stderr(&said));
        serde_json::from_str::<Value>(stdout(&said).trim()).unwrap()["probability"].as_f64().unwrap()
    };
    let (int8, bf16, f32, auto) = (score("int8"), score("bf16"), score("f32"), score("auto"));
    assert!((int8 - f32).abs() <= 0.02, "{int8} for {f32}");
    assert!((bf16 - f32).abs() <= 0.02, "{bf16} for {f32}");
    assert_eq!(bf16 == f32, computed_in("bf16") == "f32", "{bf16} for {f32}");
    // The first where the processor multiplies whole matrices of bf16.
    assert!(auto == bf16 || auto == f32, "{auto}");
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
    let unknown = run(AUSCULT, &["bench", "--precision", "f8"]);
    assert!(stderr(&unknown).contains("write auto, f32, f16, bf16 or int8"), "{}", stderr(&unknown));
    let config = directory.path().join("auscult.toml");
    fs::write(&config, "[model]\nprecision = \"f8\"\n").unwrap();
    let refused = run(AUSCULT, &["bench", "--config", &config.display().to_string()]);
    let message = stderr(&refused);
    assert!(message.contains("precision = \"f8\"") && message.contains("`int8`"), "{message}");
}
