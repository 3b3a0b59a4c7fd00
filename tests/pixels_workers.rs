//! Decoding in workers: the same pixels as in process, and a worker that fails, hangs or is killed harms nobody else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use auscult::pixels::{Bounds, Decoder};
use dicom::core::value::PixelFragmentSequence;
use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::tags;
use dicom::object::{FileMetaTableBuilder, InMemDicomObject};
use support::workers::{limit, status, worker};
use support::{AUSCULT, checkout, files_below, shared, signal, stderr, wait_for};

const JPEG: &str = "testdata/normal-cr-jpeg/cr-ap-jpeg.dcm";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
/// Pictures of 40 rows and 48 columns, 8 bits.
const SMALL_JPEG_2000: &[u8] = include_bytes!("../src/pixels/codec/testdata/lossless.j2k");
const SMALL_JPEG_LS: &[u8] = include_bytes!("../src/pixels/codec/testdata/lossless.jls");

/// A decoder with workers. Each test takes another number of pixels, by which its workers are found.
fn in_workers(max_pixels: u64) -> Decoder {
    Decoder::in_workers(Path::new(AUSCULT), Bounds { max_pixels }).unwrap()
}

/// The worker of such a decoder that was started last.
fn worker_for(max_pixels: u64) -> u32 {
    worker(std::process::id(), max_pixels).unwrap()
}

/// A radiograph of eight bits with this code stream.
fn radiograph(path: PathBuf, transfer_syntax: &str, stream: &[u8], (rows, columns): (u16, u16)) -> PathBuf {
    let us = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let object = InMemDicomObject::from_element_iter([
        DataElement::new(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.1"),
        DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, "2.25.1"),
        us(tags::SAMPLES_PER_PIXEL, 1),
        DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        us(tags::ROWS, rows),
        us(tags::COLUMNS, columns),
        us(tags::BITS_ALLOCATED, 8),
        us(tags::BITS_STORED, 8),
        us(tags::HIGH_BIT, 7),
        us(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PixelFragmentSequence::new(vec![], vec![stream.to_vec()])),
    ]);
    let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax);
    object.with_meta(meta).unwrap().write_to_file(&path).unwrap();
    path
}

/// What a decoder makes of a file.
fn seen(decoder: &Decoder, file: &Path) -> Result<Vec<f32>, String> {
    let radiograph = decoder.decode(file).map_err(|error| error.to_string())?;
    Ok(radiograph.luminance().unwrap())
}

/// The same, decoded coarsely where that may be.
fn coarse(decoder: &Decoder, file: &Path) -> Result<Vec<f32>, String> {
    let radiograph = decoder.decode_at_least(file, 100).map_err(|error| error.to_string())?;
    Ok(radiograph.luminance().unwrap())
}

#[test]
fn workers_give_the_pixels_that_decoding_in_process_gives() {
    let bounds = Bounds { max_pixels: 40_000_000 };
    let (here, workers) = (Decoder::in_process(bounds), in_workers(bounds.max_pixels));
    let mut files = files_below(&checkout("testdata"), "dcm");
    files.extend(shared("data/dicom").iter().flat_map(|directory| files_below(directory, "dcm")));
    let mut decoded = 0;
    for file in &files {
        let seen = [&here, &workers].map(|decoder| seen(decoder, file));
        assert_eq!(seen[0], seen[1], "{}", file.display());
        let coarse = [&here, &workers].map(|decoder| coarse(decoder, file));
        assert_eq!(coarse[0], coarse[1], "coarsely: {}", file.display());
        decoded += usize::from(seen[0].is_ok());
    }
    assert!(decoded >= 9, "{decoded} of {}", files.len());
}

#[test]
fn images_held_at_once_do_not_share_a_canvas() {
    let directory = tempfile::tempdir().unwrap();
    let small = radiograph(directory.path().join("small.dcm"), JPEG_LS, SMALL_JPEG_LS, (40, 48));
    let workers = in_workers(8_000_001);
    let first = workers.decode(checkout(JPEG)).unwrap();
    let before = first.luminance().unwrap();
    let second = workers.decode(&small).unwrap();
    assert_eq!((second.rows, second.columns), (40, 48));
    assert_eq!(first.luminance().unwrap(), before);
    drop(first);
    assert_eq!(seen(&workers, &checkout(JPEG)).unwrap(), before);
}

#[test]
fn a_worker_may_compute_and_nothing_else() {
    const MAX_PIXELS: u64 = 8_000_002;
    let workers = in_workers(MAX_PIXELS);
    drop(workers.decode(checkout(JPEG)).unwrap());
    let process = worker_for(MAX_PIXELS);
    let told = |name| status(process, name).unwrap();
    assert_eq!([told("NoNewPrivs"), told("CapEff"), told("CapPrm")], ["1", "0000000000000000", "0000000000000000"]);
    if Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        assert_eq!(told("Seccomp"), "2");
    }
    for (name, most) in [
        ("Max open files", 8),
        ("Max processes", 0),
        ("Max core file size", 0),
        ("Max file size", 0),
        ("Max address space", 26 * MAX_PIXELS + (256 << 20)),
    ] {
        assert_eq!(limit(process, name), Some(most.to_string()), "{name}");
    }
    let seconds: u64 = limit(process, "Max cpu time").unwrap().parse().unwrap();
    assert!(seconds < 100, "{seconds}");
    let canvas = "/memfd:auscult-canvas (deleted)";
    let mut open = descriptors(process);
    assert!(open.remove(&0).unwrap().starts_with("socket:"));
    assert_eq!([open.remove(&1).unwrap(), open.remove(&2).unwrap()], [canvas, "/dev/null"]);
    // What this test was started with, whoever did that passed on.
    let inherited = descriptors(std::process::id());
    open.retain(|number, file| file != canvas && inherited.get(number) != Some(file));
    assert!(open.is_empty(), "{open:?}");
}

/// The open descriptors of a process, and what they are.
fn descriptors(process: u32) -> BTreeMap<u32, String> {
    let entries = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let of = |entry: std::fs::DirEntry| {
        let file = std::fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, file.display().to_string()))
    };
    entries.filter_map(of).collect()
}

#[test]
fn an_image_whose_worker_is_killed_is_decoded_by_another() {
    const MAX_PIXELS: u64 = 8_000_003;
    let directory = tempfile::tempdir().unwrap();
    let small = radiograph(directory.path().join("small.dcm"), JPEG_LS, SMALL_JPEG_LS, (40, 48));
    let workers = in_workers(MAX_PIXELS);
    drop(workers.decode(&small).unwrap());
    let process = worker_for(MAX_PIXELS);
    signal(process, "STOP");
    let before = limit(process, "Max cpu time");
    let decoding = thread::spawn({
        let workers = workers.clone();
        move || seen(&workers, &checkout(JPEG))
    });
    // A larger image may take longer: the limit is raised when the worker is asked.
    wait_for("the image", || (limit(process, "Max cpu time") != before).then_some(()));
    signal(process, "KILL");
    let here = Decoder::in_process(Bounds { max_pixels: MAX_PIXELS });
    assert_eq!(decoding.join().unwrap(), seen(&here, &checkout(JPEG)));
    assert_ne!(worker_for(MAX_PIXELS), process);
    assert_eq!(status(process, "State"), None, "it is waited for");
}

#[test]
fn a_worker_killed_while_it_had_nothing_to_do_is_replaced() {
    const MAX_PIXELS: u64 = 8_000_004;
    let workers = in_workers(MAX_PIXELS);
    signal(worker_for(MAX_PIXELS), "KILL");
    assert!(seen(&workers, &checkout(JPEG)).is_ok());
}

#[test]
fn an_image_that_takes_for_ever_is_given_up_and_the_next_one_decoded() {
    const MAX_PIXELS: u64 = 8_000_005;
    let directory = tempfile::tempdir().unwrap();
    let small = radiograph(directory.path().join("small.dcm"), JPEG_LS, SMALL_JPEG_LS, (40, 48));
    let workers = in_workers(MAX_PIXELS);
    let process = worker_for(MAX_PIXELS);
    signal(process, "STOP");
    let message = seen(&workers, &small).unwrap_err();
    assert!(message.starts_with("JPEG-LS: ") && message.contains("longer than an image of this size may"), "{message}");
    assert_eq!(status(process, "State"), None);
    assert!(seen(&workers, &small).is_ok());
}

/// JPEG 2000 (T.800 A.5.1, A.6.1) with a precinct for every pixel: a gigabyte of bookkeeping from less than 1 kB.
fn precinct_bomb(side: u32) -> Vec<u8> {
    let mut stream = SMALL_JPEG_2000.to_vec();
    for at in [8, 12, 24, 28] {
        stream[at..at + 4].copy_from_slice(&side.to_be_bytes());
    }
    let cod = stream.windows(2).position(|marker| marker == [0xff, 0x52]).unwrap();
    assert_eq!(stream[cod..cod + 10], [0xff, 0x52, 0, 12, 0, 0, 0, 1, 0, 5]);
    // Precincts are given, no decompositions, and one size: 2^0 by 2^0.
    let end = cod + 14;
    stream.splice(end..end, [0x00]);
    stream[cod + 3] = 13;
    stream[cod + 4] = 1;
    stream[cod + 9] = 0;
    stream
}

#[test]
fn an_image_that_takes_all_memory_is_declined_and_the_next_one_decoded() {
    const MAX_PIXELS: u64 = 8_000_006;
    let directory = tempfile::tempdir().unwrap();
    let side = 2800;
    let bomb = precinct_bomb(side.into());
    let bomb = radiograph(directory.path().join("bomb.dcm"), JPEG_2000, &bomb, (side, side));
    let workers = in_workers(MAX_PIXELS);
    let message = seen(&workers, &bomb).unwrap_err();
    assert!(message.starts_with("JPEG 2000: "), "{message}");
    assert!(seen(&workers, &checkout(JPEG)).is_ok());
    let peak = status(worker_for(MAX_PIXELS), "VmPeak").unwrap();
    let kib: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(kib << 10 <= 26 * MAX_PIXELS + (256 << 20), "{peak}");
}

#[test]
fn workers_end_with_their_decoder() {
    const MAX_PIXELS: u64 = 8_000_007;
    let workers = in_workers(MAX_PIXELS);
    let process = worker_for(MAX_PIXELS);
    drop(workers);
    wait_for("the worker's end", || status(process, "State").is_none().then_some(()));
}

#[test]
fn the_command_of_a_worker_is_of_no_use_by_hand() {
    let output = Command::new(AUSCULT).args(["decode-worker", "1000"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("of no use by hand") && message.lines().count() == 1, "{message}");
}
