//! How long does it take from a file to the model's input? `cargo bench --bench preprocess -- FILE.dcm...`
//!
//! Prints for each file the median of decoding and preprocessing to `[3, 224, 224]`, of the raw limit (reading the file
//! into memory and one pass over its 16-bit words), and their ratio. The file is read once before, so it lies in the page
//! cache.
//!
//! `preprocess --station` answers each path on standard input with the milliseconds that it took, and a path after
//! `raw ` with those of the raw limit. `decoders.py` uses it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on fails, and prints its figures"
)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use auscult::model::{Input, Package};
use auscult::pixels::{Bounds, Decoder};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/cxr-pneumonia-reference");
const BOUNDS: Bounds = Bounds { max_pixels: 100_000_000 };
/// Rounds in which both have a turn.
const ROUNDS: usize = 15;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let input = Input::new(&Package::manifest_in(Path::new(REFERENCE)).unwrap().input);
    if arguments.first().is_some_and(|argument| argument == "--station") {
        return station(&input);
    }
    for file in &arguments {
        let rounds: Vec<[f64; 2]> = (0..=ROUNDS).map(|_| [prepare(&input, file), raw(file)]).collect();
        let median = |of: &dyn Fn(&[f64; 2]) -> f64| {
            let mut all: Vec<f64> = rounds[1..].iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let (ours, raw, ratio) = (median(&|round| round[0]), median(&|round| round[1]), median(&|[a, b]| a / b));
        println!("{file}: {ours:.1} ms, raw limit {raw:.1} ms, ratio {ratio:.2}");
    }
}

fn station(input: &Input) {
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let took = match line.strip_prefix("raw ") {
            Some(file) => raw(file),
            None => prepare(input, &line),
        };
        println!("{took}");
        std::io::stdout().flush().unwrap();
    }
}

/// Milliseconds from the file to the tensor.
fn prepare(input: &Input, file: &str) -> f64 {
    let began = Instant::now();
    let tensor = input
        .tensor(&Decoder::in_process(BOUNDS).decode_at_least(Path::new(file), input.least_side()).unwrap())
        .unwrap();
    let took = began.elapsed().as_secs_f64() * 1e3;
    assert_eq!(black_box(tensor).dims(), [3, 224, 224]);
    took
}

/// Milliseconds of reading the file into fresh memory and summing up its words.
fn raw(file: &str) -> f64 {
    let began = Instant::now();
    let mut octets = Vec::new();
    std::fs::File::open(file).unwrap().read_to_end(&mut octets).unwrap();
    let words = octets.as_chunks::<2>().0.iter();
    black_box(words.fold(0_u64, |sum, pair| sum.wrapping_add(u16::from_le_bytes(*pair).into())));
    began.elapsed().as_secs_f64() * 1e3
}
