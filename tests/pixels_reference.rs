//! Luminance against references made with other decoders: `../shared/data/dicom/reference.csv` (pydicom with GDCM
//! and pylibjpeg) and `../shared/models/*/reference.json`. Skipped, with a line that says so, where they are missing.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};

use auscult::pixels::{Bounds, Decoder, Radiograph, picture};

const BOUNDS: Bounds = Bounds { max_pixels: 40_000_000 };

/// Forms that are declined by design: 1-bit segmentations and 32-bit dose grids.
const DECLINED: [&str; 2] = ["SEG", "RTDOSE"];

/// Its mean in `reference.json` was taken from the twelve low bits, though High Bit is 15; `reference.csv` has the
/// right one.
const WRONG_IN_MODEL_REFERENCE: &str = "high-bit-15-12bit.dcm";

/// Transfer syntaxes whose decoders may differ in rounding: JPEG DCT, JPEG-LS near-lossless, JPEG 2000 lossy.
const LOSSY: [&str; 4] = [".4.50", ".4.51", ".4.81", ".4.91"];

/// As the service decodes.
fn decoder() -> Decoder {
    Decoder::in_workers(Path::new(env!("CARGO_BIN_EXE_auscult")), BOUNDS).unwrap()
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is missing", path.display());
    None
}

fn percentile(sorted: &[f32], percent: f64) -> f64 {
    let place = percent / 100.0 * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    f64::from(low) + f64::from(high - low) * place.fract()
}

fn mean(values: impl ExactSizeIterator<Item = f32>) -> f64 {
    let count = values.len() as f64;
    values.map(f64::from).sum::<f64>() / count
}

/// 16 x 16 means over blocks from `i * n / 16` to `(i + 1) * n / 16`, at least one pixel each.
fn blocks(image: &Radiograph, luminance: &[f32]) -> Vec<f64> {
    let part = |i: usize, n: usize| i * n / 16..((i + 1) * n / 16).max(i * n / 16 + 1).min(n);
    let mut means = Vec::new();
    for y in 0..16 {
        for x in 0..16 {
            let columns = part(x, image.columns);
            let lines = part(y, image.rows).map(|row| &luminance[row * image.columns..][columns.clone()]);
            let values: Vec<f32> = lines.flatten().copied().collect();
            means.push(mean(values.into_iter()) * 255.0);
        }
    }
    means
}

/// What differs from a row of the reference, in grey levels; empty when nothing does.
fn differences(image: &Radiograph, row: &[&str]) -> Vec<String> {
    let tolerance = if LOSSY.iter().any(|syntax| row[1].ends_with(syntax)) { 2.0 } else { 1.0 };
    let mut found = Vec::new();
    if [image.rows.to_string(), image.columns.to_string()] != [row[5], row[6]] {
        return vec![format!("size {} x {}", image.rows, image.columns)];
    }
    let luminance = image.luminance().unwrap();
    let mut sorted = luminance.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let mut compare = |name: String, ours: f64, theirs: &str, tolerance: f64| {
        let theirs: f64 = theirs.parse().unwrap();
        if (ours - theirs).abs() > tolerance {
            found.push(format!("{name} {ours:.2} instead of {theirs}"));
        }
    };
    compare("mean".into(), mean(luminance.iter().copied()) * 255.0, row[8], tolerance);
    for (name, percent, theirs) in [("p01", 1.0, row[9]), ("p50", 50.0, row[10]), ("p99", 99.0, row[11])] {
        compare(name.into(), percentile(&sorted, percent) * 255.0, theirs, tolerance);
    }
    for (i, (ours, theirs)) in blocks(image, &luminance).into_iter().zip(row[12].split(' ')).enumerate() {
        // The reference's block means are whole numbers.
        compare(format!("block {},{}", i / 16, i % 16), ours, theirs, tolerance + 0.5);
    }
    found
}

#[test]
fn luminance_agrees_with_the_reference_decoders() {
    let Some(list) = shared("data/dicom/reference.csv") else { return };
    let text = std::fs::read_to_string(&list).unwrap();
    let decoder = decoder();
    let (mut agreed, mut declined, mut failures) = (0, 0, Vec::new());
    for line in text.lines().skip(1) {
        let row: Vec<&str> = line.split(',').collect();
        match decoder.decode(list.with_file_name(row[0])) {
            Err(_) if DECLINED.contains(&row[2]) => declined += 1,
            Err(error) => failures.push(format!("{}: {error}", row[0])),
            Ok(image) => match differences(&image, &row).as_slice() {
                [] => agreed += 1,
                some => failures.push(format!(
                    "{}: {}",
                    row[0],
                    some.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
                )),
            },
        }
    }
    println!("reference.csv: {agreed} agree, {declined} declined by design, {} differ", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(agreed > 100);
}

#[test]
fn mean_luminance_is_the_models_reference() {
    let Some(file) = shared("models/cxr-pneumonia-reference/reference.json") else { return };
    let Some(root) = shared("") else { return };
    let reference: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (decoder, mut failures) = (decoder(), Vec::new());
    let images = reference["images"].as_array().unwrap();
    for image in images {
        let name = image["file"].as_str().unwrap();
        let path = root.join(name);
        let read = if name.ends_with(".dcm") { decoder.decode(&path) } else { picture(&path, &BOUNDS) };
        let ours = mean(read.unwrap().luminance().unwrap().into_iter());
        let off = ours - image["luminance_mean"].as_f64().unwrap();
        let tolerance = if image["tolerance"].as_f64().unwrap() < 0.001 { 1e-5 } else { 2e-3 };
        println!("{name}: off by {off:+.7}");
        if off.abs() > tolerance && !name.ends_with(WRONG_IN_MODEL_REFERENCE) {
            failures.push(format!("{name}: off by {off:+.7}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(images.len() > 30);
}
