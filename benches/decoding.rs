//! What does decoding in a worker cost beside decoding in process? `cargo bench --bench decoding [-- FILE ...]`
//!
//! Without files: the bundled JPEG, and what is in `../shared` of large images in each compression. Both ways take turns;
//! an image is decoded and gone over once, as the model's input needs it. Prints medians in milliseconds, and the
//! median of the ratios of the rounds.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on fails, and prints its figures"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use auscult::pixels::{Bounds, Decoder};

/// Rounds in which both ways have a turn, unless `BENCH_ROUNDS` says otherwise.
const ROUNDS: usize = 31;
const BOUNDS: Bounds = Bounds { max_pixels: 100_000_000 };
const BUNDLED: [&str; 7] = [
    "testdata/normal-cr-jpeg/cr-ap-jpeg.dcm",
    "../shared/data/dicom/chest_real/77bfc3c6_Monochrome1-Jpeg.dcm",
    "../shared/data/dicom/not_chest/6d63f282_RG3_RLE.dcm",
    "../shared/data/dicom/not_chest/ffcf9844_GH133.dcm",
    "../shared/data/dicom/not_chest/34e9a853_RG2_JLSL.dcm",
    "../shared/data/dicom/not_chest/f6b6e424_RG2_JPLY_fixed.dcm",
    "../shared/data/dicom/chest_real/0c92b98d_966_fixed.dcm",
];

fn main() {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut files: Vec<PathBuf> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).map(PathBuf::from).collect();
    if files.is_empty() {
        files = BUNDLED.iter().map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).collect();
        files.retain(|file| file.exists());
    }
    let ways =
        [Decoder::in_process(BOUNDS), Decoder::in_workers(Path::new(env!("CARGO_BIN_EXE_auscult")), BOUNDS).unwrap()];
    println!("{:>11} {:>11} {:>9}  file", "in process", "in worker", "ratio");
    for file in &files {
        let mut times = [Vec::new(), Vec::new()];
        let mut ratios = Vec::new();
        for round in 0..=rounds {
            let mut taken = [0.0; 2];
            // Whoever goes first finds the file, and the caches, as the other one left them.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for way in order {
                taken[way] = milliseconds(&ways[way], file);
            }
            if round > 0 {
                ratios.push(taken[1] / taken[0]);
                times.iter_mut().zip(taken).for_each(|(times, taken)| times.push(taken));
            }
        }
        let [process, worker] = times.map(median);
        let name = file.file_name().unwrap_or_default().display();
        println!("{process:>8.2} ms {worker:>8.2} ms {:>9.3}  {name}", median(ratios));
    }
}

/// Decodes an image and goes over its luminance.
fn milliseconds(decoder: &Decoder, file: &Path) -> f64 {
    let began = Instant::now();
    let radiograph = decoder.decode(file).unwrap();
    let mut sum = 0.0;
    radiograph.for_each_row(|row| sum += row.iter().sum::<f32>()).unwrap();
    std::hint::black_box(sum);
    began.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
