//! The bundled radiographs decoded by `dicom-pixeldata`: another decoder must see the same picture.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use auscult::pixels::{Bounds, Decoder};
use dicom_pixeldata::{ConvertOptions, ModalityLutOption, PixelDecoder};
use support::{checkout, files_below};

#[test]
fn bundled_radiographs_agree_within_one_grey_level() {
    let mut compared = 0;
    for path in files_below(&checkout("testdata"), "dcm") {
        if path.display().to_string().contains("ct-slice") {
            continue;
        }
        let ours = Decoder::in_process(Bounds { max_pixels: 10_000_000 }).decode(&path).unwrap();
        let theirs = dicom::object::open_file(&path).unwrap();
        let theirs = theirs.decode_pixel_data().unwrap();
        assert_eq!((ours.rows, ours.columns), (theirs.rows() as usize, theirs.columns() as usize));
        let options = ConvertOptions::new().with_modality_lut(ModalityLutOption::None);
        // 8 bit, MONOCHROME2, a window over the full range: the stored value is the grey level.
        let grey: Vec<f32> = theirs.to_vec_with_options(&options).unwrap();
        let furthest =
            ours.luminance().unwrap().iter().zip(&grey).map(|(l, g)| (l * 255.0 - g).abs()).fold(0.0, f32::max);
        assert!(furthest <= 1.001, "{}: {furthest}", path.display());
        compared += 1;
    }
    assert_eq!(compared, 8);
}
