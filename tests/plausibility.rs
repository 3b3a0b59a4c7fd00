//! What does not look like a frontal chest radiograph is declined, though its header says that it is one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::GrayImage;
use image::imageops::flip_vertical;
use serde_json::Value;
use support::{AUSCULT, checkout, files_below, run, shared, stderr, stdout};

const PACKAGE: &str = "models/cxr-pneumonia-reference";

/// The words of the report.
const REASON: &str = "does not look like a chest image";

/// `auscult` with arguments; its output, which must be a success.
fn auscult(arguments: &[&str]) -> String {
    let output = run(AUSCULT, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// What `classify --json` says of each file, by its name.
fn classified(options: &[&str], files: &[PathBuf]) -> HashMap<String, Value> {
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let arguments: Vec<&str> = ["classify", "--json"]
        .iter()
        .copied()
        .chain(options.iter().copied())
        .chain(files.iter().map(String::as_str))
        .collect();
    let output = run(AUSCULT, &arguments);
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let name = Path::new(line["file"].as_str().unwrap()).file_name().unwrap().to_string_lossy().into_owned();
        (name, line)
    };
    stdout(&output).lines().map(line).collect()
}

/// The luminance of a DICOM file as a picture.
fn picture(file: &Path, directory: &Path) -> GrayImage {
    let png = directory.join("luminance.png");
    run(AUSCULT, &["explain", "--json", file.to_str().unwrap(), "--luminance", png.to_str().unwrap()]);
    let picture = image::open(&png).unwrap().into_luma8();
    fs::remove_file(png).unwrap();
    picture
}

/// Pictures as DX images whose header says CHEST, PA.
fn as_chest(pictures: &[(&str, GrayImage)], directory: &Path) -> Vec<PathBuf> {
    let mut arguments = vec!["import".to_owned(), "--out".to_owned(), directory.display().to_string()];
    for (name, picture) in pictures {
        let png = directory.join(name).with_extension("png");
        picture.save(&png).unwrap();
        arguments.push(png.display().to_string());
    }
    auscult(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    pictures.iter().map(|(name, _)| directory.join(name).with_added_extension("dcm")).collect()
}

#[test]
fn other_pictures_under_a_chest_header_are_declined_by_their_pixels() {
    let directory = tempfile::tempdir().unwrap();
    let chest = picture(&checkout("testdata/normal-dx/dx-pa.dcm"), directory.path());
    let mut negative = chest.clone();
    image::imageops::invert(&mut negative);
    let pictures = [
        ("blank", GrayImage::from_pixel(300, 300, image::Luma([90]))),
        ("chequers", GrayImage::from_fn(320, 320, |x, y| image::Luma([((x / 20 + y / 20) % 2 * 200) as u8]))),
        ("slope", GrayImage::from_fn(256, 256, |x, _| image::Luma([x as u8]))),
        ("hand", picture(&checkout("testdata/hand/dx-hand-phantom.dcm"), directory.path())),
        ("section", picture(&checkout("testdata/ct-slice/ct-axial.dcm"), directory.path())),
        ("upside-down", flip_vertical(&chest)),
        ("on-its-side", image::imageops::rotate90(&chest)),
        ("negative", negative),
        ("corner", image::imageops::crop_imm(&chest, 0, 0, chest.width() / 3, chest.height() / 3).to_image()),
    ];
    let files = as_chest(&pictures, directory.path());
    let said = classified(&[], &files);
    for (name, _) in &pictures {
        let line = &said[&format!("{name}.dcm")];
        assert_eq!((&line["label"], &line["probability"]), (&"not analysed".into(), &Value::Null), "{line}");
        assert_eq!(line["reason"], "does_not_look_like_chest", "{line}");
        assert!(line["grounds"].as_str().unwrap().starts_with("plausibility: score -"), "{line}");
    }
    let facts: Value = serde_json::from_str(&auscult(&["explain", "--json", files[0].to_str().unwrap()])).unwrap();
    assert_eq!(
        (&facts["verdict"], &facts["rule"], &facts["reason"]),
        (&"decline".into(), &"plausibility".into(), &REASON.into())
    );
    let gate = &facts["plausibility"];
    assert!(gate["score"].as_f64().unwrap() < gate["threshold"].as_f64().unwrap(), "{facts}");
    let png = directory.path().join("heat.png");
    let text = auscult(&["explain", files[3].to_str().unwrap(), "--png", png.to_str().unwrap()]);
    assert!(text.contains(&format!("plausibility declined, {REASON}: score -")), "{text}");
    assert!(text.contains("NOT ANALYSED") && !text.contains("\nresult "), "{text}");
    assert!(
        text.contains("\nheat map ") && png.is_file(),
        "where the model would see it is shown all the same: {text}"
    );
}

#[test]
fn chest_radiographs_are_accepted_by_their_pixels() {
    for name in ["normal-dx/dx-pa", "normal-cr-jpeg/cr-ap-jpeg", "pneumonia-cr/cr-pa", "pneumonia-dx-jpeg/dx-pa-jpeg"] {
        let file = checkout(&format!("testdata/{name}.dcm"));
        let facts: Value = serde_json::from_str(&auscult(&["explain", "--json", file.to_str().unwrap()])).unwrap();
        assert_eq!(facts["verdict"], "accept", "{facts}");
        let gate = &facts["plausibility"];
        assert!(gate["score"].as_f64().unwrap() > gate["threshold"].as_f64().unwrap(), "{facts}");
    }
}

#[test]
fn the_configuration_switches_the_gate_off_or_sets_its_point() {
    let directory = tempfile::tempdir().unwrap();
    let blank = as_chest(&[("blank", GrayImage::from_pixel(300, 300, image::Luma([90])))], directory.path());
    let with = |value: &str, files: &[PathBuf]| {
        let config = directory.path().join("auscult.toml");
        fs::write(&config, format!("[select]\nplausibility = {value}\n")).unwrap();
        classified(&["--config", config.to_str().unwrap()], files)
    };
    assert!(with("\"off\"", &blank)["blank.dcm"]["probability"].is_number());
    assert!(with("-9.5", &blank)["blank.dcm"]["probability"].is_number());
    let chest = checkout("testdata/normal-dx/dx-pa.dcm");
    assert_eq!(with("9.5", &[chest])["dx-pa.dcm"]["reason"], "does_not_look_like_chest");
    let config = directory.path().join("auscult.toml");
    fs::write(&config, "[select]\nplausibility = \"sometimes\"\n").unwrap();
    let output = run(AUSCULT, &["check", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stdout(&output).contains("sometimes") || stderr(&output).contains("sometimes"), "{}", stderr(&output));
}

/// A copy of the package that ships.
fn package(directory: &Path) -> PathBuf {
    let copy = directory.join("package");
    fs::create_dir(&copy).unwrap();
    for file in ["model.toml", "model.safetensors", "gate.safetensors"] {
        fs::copy(checkout(PACKAGE).join(file), copy.join(file)).unwrap();
    }
    copy
}

#[test]
fn a_package_without_a_gate_serves_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let package = package(directory.path());
    let manifest = fs::read_to_string(package.join("model.toml")).unwrap();
    let (before, rest) = manifest.split_once("[plausibility]").unwrap();
    let after = rest.split_once("\n[").unwrap().1;
    fs::write(package.join("model.toml"), format!("{before}[{after}")).unwrap();
    let blank = as_chest(&[("blank", GrayImage::from_pixel(300, 300, image::Luma([90])))], directory.path());
    let output =
        run(AUSCULT, &["classify", "--json", "--model", package.to_str().unwrap(), blank[0].to_str().unwrap()]);
    assert!(output.status.success() && stdout(&output).contains("\"probability\":0."), "{}", stdout(&output));
    assert!(stderr(&output).contains("has no plausibility gate"), "{}", stderr(&output));
}

#[test]
fn a_damaged_gate_is_no_service() {
    let directory = tempfile::tempdir().unwrap();
    let package = package(directory.path());
    let gate = package.join("gate.safetensors");
    let mut octets = fs::read(&gate).unwrap();
    let last = octets.len() - 1;
    octets[last] ^= 1;
    fs::write(&gate, octets).unwrap();
    let image = checkout("testdata/normal-dx/dx-pa.dcm");
    let arguments = ["classify", "--model", package.to_str().unwrap(), image.to_str().unwrap()];
    let output = run(AUSCULT, &arguments);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("gate.safetensors: SHA-256 is "), "{}", stderr(&output));
    fs::remove_file(&gate).unwrap();
    assert!(stderr(&run(AUSCULT, &arguments)).contains("gate.safetensors: No such file"));
}

#[test]
fn every_verdict_of_the_reference_holds_with_the_gate() {
    let Some(list) = shared("data/dicom/reference.csv") else { return };
    let text = fs::read_to_string(&list).unwrap();
    let expected: Vec<(PathBuf, bool)> = text
        .lines()
        .skip(1)
        .filter_map(|line| {
            let verdict = line.rsplit(',').next()?;
            let accepted = match verdict {
                "accept" => true,
                "decline" => false,
                _ => return None,
            };
            Some((list.with_file_name(line.split(',').next()?), accepted))
        })
        .collect();
    let files: Vec<PathBuf> = expected.iter().map(|(file, _)| file.clone()).collect();
    let said = classified(&[], &files);
    assert!(expected.len() > 60);
    for (file, accepted) in &expected {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(said[name]["probability"].is_number(), *accepted, "{}", said[name]);
    }
}

#[test]
fn real_radiographs_of_elsewhere_are_declined_and_those_of_other_hospitals_accepted() {
    let Some(root) = shared("data") else { return };
    let directory = tempfile::tempdir().unwrap();
    let others: Vec<PathBuf> = files_below(&root.join("dicom/not_chest"), "dcm");
    let mut pictures = Vec::new();
    for (index, file) in others.iter().enumerate() {
        let png = directory.path().join(format!("other-{index}.png"));
        run(AUSCULT, &["explain", "--json", file.to_str().unwrap(), "--luminance", png.to_str().unwrap()]);
        pictures.extend(png.exists().then_some(png));
    }
    assert!(pictures.len() >= 15, "{}", pictures.len());
    for (name, line) in classified(&[], &pictures) {
        assert_eq!(line["reason"], "does_not_look_like_chest", "{name}: {line}");
    }
    let chests = [files_below(&root.join("nih-1024"), "png"), files_below(&root.join("open"), "jpeg")].concat();
    assert!(chests.len() >= 15);
    for (name, line) in classified(&[], &chests) {
        assert!(line["probability"].is_number(), "{name}: {line}");
    }
}
