//! A hand-like phantom: soft tissue and bones as capsules, drawn in 8-bit grey.

use anyhow::{Context, Result};
use auscult::import::Picture;

const COLUMNS: u16 = 384;
const ROWS: u16 = 512;

/// From one point to another, in pixels.
type Segment = ((f64, f64), (f64, f64));

/// Thumb to little finger, each from its root to its tip.
const FINGERS: [Segment; 5] = [
    ((135.0, 390.0), (50.0, 250.0)),
    ((150.0, 290.0), (125.0, 90.0)),
    ((192.0, 280.0), (192.0, 55.0)),
    ((234.0, 290.0), (256.0, 85.0)),
    ((270.0, 310.0), (318.0, 150.0)),
];

/// Palm and forearm.
const PALM: Segment = ((192.0, 350.0), (200.0, 375.0));
const FOREARM: Segment = ((195.0, 400.0), (195.0, 520.0));
const RADIUS: Segment = ((175.0, 440.0), (175.0, 520.0));
const ULNA: Segment = ((218.0, 445.0), (218.0, 520.0));

/// Joints, as fractions of a finger's length; no bone shows there.
const JOINTS: [f64; 3] = [0.0, 0.45, 0.75];

/// The phantom as a picture.
pub(super) fn picture() -> Result<Picture> {
    let points = (0..ROWS).flat_map(|y| (0..COLUMNS).map(move |x| (f64::from(x), f64::from(y))));
    Picture::grey8(COLUMNS, ROWS, points.map(grey).collect()).context("the phantom does not fill its picture")
}

fn grey(point: (f64, f64)) -> u8 {
    const AIR: u8 = 12;
    const TISSUE: u8 = 90;
    const BONE: u8 = 205;
    let within = |segment, radius| place(point, segment).1 < radius;
    let bone = FINGERS.iter().any(|finger| {
        let (along, distance) = place(point, *finger);
        distance < 9.0 && JOINTS.iter().all(|joint| (along - joint).abs() > 0.02)
    });
    let carpals = within(PALM, 34.0) && (point.0 as u32 % 24 > 2) && (point.1 as u32 % 24 > 2);
    if bone || carpals || within(RADIUS, 15.0) || within(ULNA, 11.0) {
        BONE
    } else if FINGERS.iter().any(|finger| within(*finger, 23.0)) || within(PALM, 88.0) || within(FOREARM, 60.0) {
        TISSUE
    } else {
        AIR
    }
}

/// How far along a segment (0 to 1) its point nearest to `point` lies, and the distance to it.
fn place((x, y): (f64, f64), ((x0, y0), (x1, y1)): Segment) -> (f64, f64) {
    let (dx, dy) = (x1 - x0, y1 - y0);
    let along = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
    let (ex, ey) = (x - x0 - along * dx, y - y0 - along * dy);
    (along, (ex * ex + ey * ey).sqrt())
}
