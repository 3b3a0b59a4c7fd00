//! Collimation and borders of real radiographs: those of `testdata`, and of `../shared/data` where it is there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::path::Path;

use auscult::model::{Crop, Input, InputSpec, Package};
use auscult::pixels::{Area, Bounds, Decoder};
use support::{checkout, files_below, shared};

const BOUNDS: Bounds = Bounds { max_pixels: 40_000_000 };

fn decoder() -> Decoder {
    Decoder::in_process(BOUNDS)
}

/// The reference package's preprocessing, with another crop.
fn input(crop: Crop) -> Input {
    let manifest = Package::manifest_in(&checkout("models/cxr-pneumonia-reference")).unwrap();
    Input::new(&InputSpec { crop, ..manifest.input })
}

/// Rows and columns of an image, and the part of it that the model is shown.
fn shown(path: &Path, crop: Crop) -> (Area, Area) {
    let image = decoder().decode(path).unwrap();
    (Area::whole(image.rows, image.columns), input(crop).framing(&image).unwrap().part)
}

#[test]
fn padding_beside_a_chest_is_cropped_if_the_package_wants_it() {
    let Some(path) = shared("data/dicom/derived/padding-border-12bit.dcm") else { return };
    let (whole, part) = shown(&path, Crop::Collimation);
    assert!(part.columns.start.abs_diff(60) <= 8 && part.columns.end.abs_diff(860) <= 8, "{part:?} of {whole:?}");
    assert_eq!(shown(&path, Crop::None), (whole.clone(), whole));
}

#[test]
fn hardly_anything_of_a_chest_without_borders_is_lost() {
    let mut images = files_below(&checkout("testdata"), "dcm");
    images.extend(shared("data/dicom/derived").map(|directory| files_below(&directory, "dcm")).unwrap_or_default());
    let mut looked_at = 0;
    for path in images.into_iter().filter(|path| !path.ends_with("ct-slice/ct-axial.dcm")) {
        let Ok(image) = decoder().decode(path.as_path()) else { continue };
        let part = input(Crop::Collimation).framing(&image).unwrap().part;
        let share = |part: usize, side: usize| part as f64 / side as f64;
        let kept = share(part.rows.len(), image.rows) * share(part.columns.len(), image.columns);
        println!("{}: {:.2} of {} x {}, {part:?}", path.display(), kept, image.rows, image.columns);
        assert!(kept > 0.7, "{}: {part:?}", path.display());
        looked_at += 1;
    }
    assert!(looked_at >= 8);
}
