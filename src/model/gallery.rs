//! Many files on their way to the model: decoded and prepared on all processors while the model looks at those before.

use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use rayon::prelude::*;

use super::{Input, InputError, ModelError};
use crate::pixels::Decoder;

/// Files that are prepared together.
const BATCH: usize = 16;

/// A file that is no image, or a model that failed.
#[derive(Debug, thiserror::Error)]
pub enum GalleryError<E> {
    /// A file cannot be decoded.
    #[error("{cause}")]
    Image {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: InputError,
    },
    /// Whoever looked at the images stopped.
    #[error(transparent)]
    Stopped(E),
}

/// Shows every file to `look`, in order and a few at a time: which of them, and `[n, 3, height, width] f32` as
/// [`Input::tensor`] makes them.
///
/// # Errors
/// The first file that is no image, or what `look` says.
pub fn look_through<E: From<ModelError>>(
    files: &[&Path],
    input: &Input,
    decoder: &Decoder,
    mut look: impl FnMut(Range<usize>, &Tensor) -> Result<(), E>,
) -> Result<(), GalleryError<E>> {
    let prepared = |batch: usize| -> Vec<Result<Tensor, InputError>> {
        let files = files.chunks(BATCH).nth(batch).unwrap_or_default();
        files.par_iter().map(|file| input.tensor(&decoder.read(file)?)).collect()
    };
    let mut next = prepared(0);
    for batch in 0..files.len().div_ceil(BATCH) {
        let first = batch * BATCH;
        let end = first + next.len();
        let tensors = next
            .into_iter()
            .zip(files.iter().skip(first))
            .map(|(tensor, file)| tensor.map_err(|cause| GalleryError::Image { file: file.to_path_buf(), cause }));
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        let looked;
        (next, looked) = std::thread::scope(|scope| {
            let ahead = scope.spawn(|| prepared(batch + 1));
            let images = Tensor::stack(&tensors, 0).map_err(|fault| E::from(ModelError::on_processor(fault)));
            let looked = images.and_then(|images| look(first..end, &images));
            (ahead.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), looked)
        });
        looked.map_err(GalleryError::Stopped)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InputSpec;
    use crate::pixels::Bounds;

    #[test]
    fn files_come_in_order_and_the_first_fault_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |index: usize| directory.path().join(format!("{index}.png"));
        for index in 0..20 {
            image::GrayImage::from_pixel(2, 2, image::Luma([index as u8 * 10])).save(path(index)).unwrap();
        }
        let files: Vec<_> = (0..20).map(path).collect();
        let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let spec = InputSpec { width: 32, height: 32, mean: [0.0; 3], std: [1.0; 3], ..InputSpec::imagenet() };
        let (input, decoder) = (Input::new(&spec), Decoder::in_process(Bounds { max_pixels: 100 }));
        let mut seen = Vec::new();
        let mut look = |range: Range<usize>, images: &Tensor| -> Result<(), ModelError> {
            assert_eq!(images.dim(0).unwrap(), range.len());
            let values = images.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
            seen.extend(values.iter().map(|image| (image[0] * 25.5).round() as usize));
            Ok(())
        };
        look_through(&files, &input, &decoder, &mut look).unwrap();
        std::fs::write(path(17), "no picture").unwrap();
        let fault = look_through(&files, &input, &decoder, &mut look).unwrap_err();
        assert!(matches!(&fault, GalleryError::Image { file, .. } if *file == path(17)), "{fault}");
        assert_eq!(seen, (0..20).chain(0..16).collect::<Vec<_>>());
    }
}
