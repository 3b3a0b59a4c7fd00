//! What is decoded coarsely for the model gives nearly the model's answer to all pixels (docs/decoders.md).
//!
//! `COARSE_FILES=DIRECTORY cargo test --release --test pixels_coarse -- --nocapture` looks at other files, too, and prints
//! what it found of each.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

mod support;

use std::path::{Path, PathBuf};

use auscult::model::{Input, Model, Plausibility};
use auscult::pixels::{Bounds, Decoder, Radiograph};
use support::{checkout, shared};

/// Differences of luminance in the model's input, 0..=1, and of probability.
#[derive(Debug, Clone, Copy, Default)]
struct Difference {
    largest: f32,
    mean: f32,
    probability: f64,
    plausibility: f64,
}

/// What may differ at most.
const BOUND: Difference = Difference { largest: 0.05, mean: 0.002, probability: 0.01, plausibility: 0.01 };

struct Comparison {
    model: Model,
    decoder: Decoder,
}

impl Comparison {
    fn new() -> Self {
        let model = Model::load(&checkout("models/cxr-pneumonia-reference")).unwrap();
        Self { model, decoder: Decoder::in_process(Bounds { max_pixels: 100_000_000 }) }
    }

    /// Of a file that is decoded coarsely; none of one that is not, or cannot be decoded.
    fn of(&self, file: &Path) -> Option<Difference> {
        let input = self.model.input();
        let full = self.decoder.decode(file).ok()?;
        let coarse = self.decoder.decode_at_least(file, input.least_side()).unwrap();
        assert_eq!((coarse.rows, coarse.columns), (full.rows, full.columns), "{}", file.display());
        if coarse == full {
            return None;
        }
        let pictures = [&full, &coarse].map(|radiograph| small(input, radiograph));
        let [a, b] = &pictures;
        let differences = || a.iter().zip(b).map(|(a, b)| (a - b).abs());
        let answers = [&full, &coarse].map(|radiograph| {
            let image = input.tensor(radiograph).unwrap().unsqueeze(0).unwrap();
            self.model.answers(&image).unwrap().pop().unwrap()
        });
        let [a, b] = answers.map(|answer| {
            (answer.score.fraction(), answer.plausibility.map_or(0.0, |Plausibility { score, .. }| score))
        });
        Some(Difference {
            largest: differences().fold(0.0, f32::max),
            mean: differences().sum::<f32>() / pictures.first().map_or(0, Vec::len) as f32,
            probability: (a.0 - b.0).abs(),
            plausibility: (a.1 - b.1).abs(),
        })
    }
}

fn small(input: &Input, radiograph: &Radiograph) -> Vec<f32> {
    radiograph.resampled(input.spec().height as usize, input.spec().width as usize).unwrap()
}

fn dicom_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => files.extend(dicom_files(&entry)),
            false if entry.extension().is_some_and(|extension| extension == "dcm") => files.push(entry),
            false => {}
        }
    }
    files.sort();
    files
}

#[test]
fn the_models_answer_is_that_to_all_pixels_within_the_bound() {
    let others = std::env::var_os("COARSE_FILES").map(PathBuf::from);
    let directories = [Some(checkout("testdata")), shared("data/dicom"), others];
    let files = directories.iter().flatten().flat_map(|directory| dicom_files(directory));
    let comparison = Comparison::new();
    let mut compared = 0;
    for file in files {
        let Some(found) = comparison.of(&file) else { continue };
        println!(
            "{:.4} {:.5} {:.5} {:.5} {}",
            found.largest,
            found.mean,
            found.probability,
            found.plausibility,
            file.file_name().unwrap_or_default().display()
        );
        assert!(found.is_within(&BOUND), "{}: {found:?}", file.display());
        compared += 1;
    }
    assert!(compared >= 1);
}

impl Difference {
    fn is_within(&self, bound: &Self) -> bool {
        self.largest <= bound.largest
            && self.mean <= bound.mean
            && self.probability <= bound.probability
            && self.plausibility <= bound.plausibility
    }
}
