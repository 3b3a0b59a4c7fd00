//! Any file that passes the walk comes to the model's input, decoded in full and coarsely, or to an error; the image is
//! within its bound.
#![no_main]

use std::io::Write;

use auscult::model::{Crop, Input, InputSpec, Resize};
use auscult::part10::walk_octets;
use auscult::pixels::{Bounds, Decoder, Radiograph};
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds { max_pixels: 1 << 18 };

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(bytes).is_err() || !walk_octets(bytes, 1 << 24).is_ok_and(|walked| walked.soundness.is_ok()) {
        return;
    }
    for side in [usize::MAX, 8] {
        let Ok(image) = Decoder::in_process(BOUNDS).decode_at_least(file.path(), side) else { return };
        assert!((image.rows * image.columns) as u64 <= BOUNDS.max_pixels);
        to_input(&image);
    }
});

fn to_input(image: &Radiograph) {
    let input = Input::new(&InputSpec {
        width: 64,
        height: 48,
        crop: Crop::Collimation,
        resize: Resize::Fit,
        mean: [0.5; 3],
        std: [0.25; 3],
        ..InputSpec::imagenet()
    });
    let tensor = input.tensor(image).and_then(|tensor| Ok(tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>())));
    assert!(tensor.is_ok_and(|values| values.is_ok_and(|values| values.iter().all(|value| (-2.01..=2.01).contains(value)))));
}
