//! What a gate is fitted to and tried on: files of chest radiographs, and what is made of them.

use std::ops::Range;
use std::path::Path;

use candle_core::Tensor;
use fastrand::Rng;

use super::{Gate, Impression, other, pattern, variation};
use crate::model::{GalleryError, Model, ModelError, Picture, look_through};
use crate::pixels::Decoder;

/// Of every picture that is made.
const SEED: u64 = 1;

/// What a gate is fitted to.
#[derive(Debug, Clone, Default)]
pub struct Lesson {
    /// Chest radiographs, each followed by a variation of it.
    pub chests: Vec<Impression>,
    /// As many other pictures: one made of each chest radiograph, and a pattern.
    pub others: Vec<Impression>,
}

impl Lesson {
    /// What a model sees of files of chest radiographs, which `chests` says of some of them as tensors, and of three
    /// pictures for each that are made of it; the same files give the same lesson. Costs three classifications a file
    /// beside; `tell` gets how many files are done.
    ///
    /// # Errors
    /// The first file that is no image, or the model failed.
    pub fn of<E: From<ModelError>>(
        files: &[&Path],
        (model, decoder): (&Model, &Decoder),
        mut chests: impl FnMut(Range<usize>, &Tensor) -> Result<Vec<Impression>, E>,
        mut tell: impl FnMut(usize),
    ) -> Result<Self, GalleryError<E>> {
        let (mut lesson, mut random) = (Self::default(), Rng::with_seed(SEED));
        look_through(files, model.input(), decoder, |range: Range<usize>, images| -> Result<(), E> {
            let end = range.end;
            lesson.chests.extend(chests(range, images)?);
            let pictures = model.input().pictures(images).map_err(ModelError::on_processor)?;
            let varied: Vec<Picture> = pictures.iter().map(|chest| variation(chest, &mut random)).collect();
            let made: Vec<Picture> = pictures.iter().map(|chest| other(chest, &mut random)).collect();
            let sides = (images.dim(2).unwrap_or(0), images.dim(3).unwrap_or(0));
            let drawn: Vec<Picture> = pictures.iter().map(|_| pattern(sides, &mut random)).collect();
            lesson.chests.extend(seen(model, &varied)?);
            lesson.others.extend(seen(model, &made)?);
            lesson.others.extend(seen(model, &drawn)?);
            tell(end);
            Ok(())
        })?;
        Ok(lesson)
    }

    /// The gate that this teaches; `None` of no file, or where a model answers with no numbers.
    pub fn gate(&self) -> Option<Gate> {
        Gate::fitted(&self.chests, &self.others)
    }
}

fn seen(model: &Model, pictures: &[Picture]) -> Result<Vec<Impression>, ModelError> {
    model.impressions(&model.input().of_pictures(pictures).map_err(ModelError::on_processor)?)
}
