//! Damaged files, for as long as one likes: an image or an error, never a panic of our own, never more pixels than the
//! bound.
//!
//! `TEST_MINUTES=10 cargo test --release --test pixels_mutations -- --ignored --nocapture`. The seeds are the bundled images, and
//! those of `../shared/data/dicom` where they are. JPEG 2000 is left to the workers: a C library may end this process.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails"
)]

use std::collections::BTreeMap;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use auscult::part10::walk;
use auscult::pixels::{Bounds, Decoder, PixelError};

const BOUNDS: Bounds = Bounds { max_pixels: 1 << 22 };
/// Larger files take too long for each try.
const LARGEST_SEED: u64 = 2 << 20;

/// Where a panic was, and how often.
static PANICS: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());

/// DICOM files below a directory that are small enough and not JPEG 2000.
fn seeds(directory: &Path, found: &mut Vec<Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            seeds(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "dcm")
            && path.metadata().unwrap().len() <= LARGEST_SEED
            && walk(&path.as_path().into(), 1 << 24).is_ok_and(|walked| !is_jpeg_2000(&walked.outline.transfer_syntax))
        {
            found.push(std::fs::read(&path).unwrap());
        }
    }
}

fn is_jpeg_2000(transfer_syntax: &str) -> bool {
    [".4.90", ".4.91", ".4.201", ".4.202", ".4.203"].iter().any(|syntax| transfer_syntax.ends_with(syntax))
}

/// One to eight changes: an octet, a bit, a length, a stretch from elsewhere, a cut.
fn damaged(seed: &[u8]) -> Vec<u8> {
    let mut file = seed.to_vec();
    for _ in 0..fastrand::usize(1..=8) {
        // Half of them within the header and the beginning of the pixels, where most of the structure is.
        let reach = if fastrand::bool() { file.len().min(3000) } else { file.len() };
        let at = fastrand::usize(..reach.max(1)).min(file.len().saturating_sub(1));
        match fastrand::u8(..8) {
            0..3 => file[at] = fastrand::u8(..),
            3..5 => file[at] ^= 1 << fastrand::u8(..8),
            5 => file[at] = *fastrand::choice(&[0, 1, 0x7f, 0x80, 0xfe, 0xff]).unwrap(),
            6 => {
                let from = fastrand::usize(..file.len());
                let length = fastrand::usize(..64).min(file.len() - from.max(at));
                file.copy_within(from..from + length, at);
            }
            _ if fastrand::u8(..4) == 0 => file.truncate(at.max(200)),
            _ => {}
        }
    }
    file
}

#[test]
#[ignore = "runs for TEST_MINUTES"]
fn damaged_files_give_images_or_errors() {
    let minutes: f64 = std::env::var("TEST_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    seeds(&root.join("testdata"), &mut files);
    seeds(&root.join("../shared/data/dicom"), &mut files);
    assert!(!files.is_empty());
    panic::set_hook(Box::new(|told| {
        let place = told.location().map(ToString::to_string).unwrap_or_default();
        *PANICS.lock().unwrap().entry(place).or_default() += 1;
    }));
    let decoder = Decoder::in_process(BOUNDS);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("damaged.dcm");
    let (mut images, mut refused, mut slowest) = (0_u64, BTreeMap::new(), Duration::ZERO);
    let began = Instant::now();
    while began.elapsed().as_secs_f64() < minutes * 60.0 {
        let file = damaged(fastrand::choice(&files).unwrap());
        std::fs::write(&path, &file).unwrap();
        let now_jpeg_2000 =
            walk(&path.as_path().into(), 1 << 24).is_ok_and(|walked| is_jpeg_2000(&walked.outline.transfer_syntax));
        if now_jpeg_2000 {
            continue;
        }
        let start = Instant::now();
        // Every other one coarsely, where that may be.
        let side = if fastrand::bool() { usize::MAX } else { 64 };
        let decoded = decoder.decode_at_least(&path, side).and_then(|image| {
            assert!((image.rows * image.columns) as u64 <= BOUNDS.max_pixels);
            image.resampled(64, 64)
        });
        slowest = slowest.max(start.elapsed());
        match decoded {
            Ok(values) => {
                assert!(values.iter().all(|value| (-0.01..=1.01).contains(value)));
                images += 1;
            }
            Err(error) => *refused.entry(kind(&error)).or_insert(0_u64) += 1,
        }
    }
    drop(panic::take_hook());
    let panics = PANICS.lock().unwrap();
    println!("{} seeds: {images} images, {refused:?}, slowest {slowest:?}, caught panics {panics:?}", files.len());
    assert!(panics.keys().all(|place| !place.starts_with("src/")), "{panics:?}");
}

/// The beginning of what is said of an error, without its numbers.
fn kind(error: &PixelError) -> String {
    let said = error.to_string();
    let words = said.split(' ').filter(|word| !word.starts_with(|first: char| first.is_ascii_digit()));
    words.take(8).collect::<Vec<_>>().join(" ")
}
