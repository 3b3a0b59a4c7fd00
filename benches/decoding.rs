//! What does decoding in a worker cost beside decoding in process? `cargo bench --bench decoding [-- FILE ...]`
//!
//! Without files: the bundled JPEG, and what is in `../shared` of large images in each compression. Both ways take turns;
//! an image is decoded and gone over once, as the model's input needs it. Prints medians by the clock and of processor
//! time, that of the worker included, and of the ratios within each round. The processor time is the cost; by the clock,
//! other work on the machine counts, too. The last column is the same ratio of images that are made into the model's input and
//! classified as well, in f32: what a worker costs of the throughput.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on fails, and prints its figures"
)]

#[path = "../tests/support/workers.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod workers;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use auscult::background;
use auscult::model::{Compute, Model};
use auscult::pixels::{Bounds, Decoder};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");
/// Rounds in which both ways have a turn, unless `BENCH_ROUNDS` says otherwise.
const ROUNDS: usize = 31;
const BOUNDS: Bounds = Bounds { max_pixels: 100_000_000 };
const USUAL: [&str; 7] = [
    "testdata/normal-cr-jpeg/cr-ap-jpeg.dcm",
    "../shared/data/dicom/chest_real/77bfc3c6_Monochrome1-Jpeg.dcm",
    "../shared/data/dicom/not_chest/6d63f282_RG3_RLE.dcm",
    "../shared/data/dicom/not_chest/ffcf9844_GH133.dcm",
    "../shared/data/dicom/not_chest/34e9a853_RG2_JLSL.dcm",
    "../shared/data/dicom/not_chest/f6b6e424_RG2_JPLY_fixed.dcm",
    "../shared/data/dicom/chest_real/0c92b98d_966_fixed.dcm",
];

/// How long a turn lasts at least: small images are decoded several times in one. The kernel counts processor time in
/// steps of milliseconds.
const TURN: Duration = Duration::from_millis(200);

/// Milliseconds for an image.
#[derive(Clone, Copy, Default)]
struct Taken {
    clock: f64,
    processor: f64,
}

fn main() {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut files: Vec<PathBuf> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).map(PathBuf::from).collect();
    if files.is_empty() {
        files = USUAL.iter().map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).collect();
        files.retain(|file| file.exists());
    }
    let ways =
        [Decoder::in_process(BOUNDS), Decoder::in_workers(Path::new(env!("CARGO_BIN_EXE_auscult")), BOUNDS).unwrap()];
    let worker = workers::worker(std::process::id(), BOUNDS.max_pixels).unwrap();
    let model = Model::load_with(Path::new(REFERENCE), Compute::f32(1)).unwrap();
    // As the service decodes, and the worker does.
    background::give_way();
    println!("{:>21} {:>21} {:>13} {:>6}", "in process", "in a worker", "ratio", "whole");
    println!(
        "{:>10} {:>10} {:>10} {:>10} {:>6} {:>6} {:>6}  file",
        "clock", "cpu", "clock", "cpu", "clock", "cpu", "cpu"
    );
    for file in &files {
        let [decoded, whole] = [None, Some(&model)].map(|model| {
            let once = turn(&ways[0], file, (1, worker), model).clock;
            let times = (TURN.as_secs_f64() * 1e3 / once).ceil() as u32;
            let round = |round| {
                let mut taken = [Taken::default(); 2];
                // Whoever goes first finds the caches as the other one left them.
                let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
                for way in order {
                    taken[way] = turn(&ways[way], file, (times, worker), model);
                }
                taken
            };
            (0..rounds).map(round).collect::<Vec<_>>()
        });
        let of = |turns: &[[Taken; 2]], figure: fn(&[Taken; 2]) -> f64| median(turns.iter().map(figure).collect());
        println!(
            "{:>7.2} ms {:>7.2} ms {:>7.2} ms {:>7.2} ms {:>6.3} {:>6.3} {:>6.3}  {}",
            of(&decoded, |turn| turn[0].clock),
            of(&decoded, |turn| turn[0].processor),
            of(&decoded, |turn| turn[1].clock),
            of(&decoded, |turn| turn[1].processor),
            of(&decoded, |turn| turn[1].clock / turn[0].clock),
            of(&decoded, |turn| turn[1].processor / turn[0].processor),
            of(&whole, |turn| turn[1].processor / turn[0].processor),
            file.file_name().unwrap_or_default().display()
        );
    }
}

/// Decodes an image so many times and goes over its luminance, or has it classified.
fn turn(decoder: &Decoder, file: &Path, (times, worker): (u32, u32), model: Option<&Model>) -> Taken {
    let (clock, processor) = (Instant::now(), processor_time(worker));
    let mut sum = 0.0;
    for _ in 0..times {
        let radiograph = decoder.decode(file).unwrap();
        match model {
            None => radiograph.for_each_row(|row| sum += row.iter().sum::<f32>()).unwrap(),
            Some(model) => {
                let input = model.input().tensor(&radiograph).unwrap().unsqueeze(0).unwrap();
                sum += model.probabilities(&input).unwrap()[0][0] as f32;
            }
        }
    }
    std::hint::black_box(sum);
    let (clock, processor) = (clock.elapsed().as_secs_f64() * 1e3, processor_time(worker) - processor);
    Taken { clock: clock / f64::from(times), processor: processor / f64::from(times) }
}

/// What all threads of this process and of a worker have had of the processor, in milliseconds.
fn processor_time(worker: u32) -> f64 {
    let threads =
        [std::process::id(), worker].map(|process| std::fs::read_dir(format!("/proc/{process}/task")).unwrap());
    let had = |thread: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
    };
    threads.into_iter().flatten().map(had).sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
