//! What a gate is fitted to and tried on: files of chest radiographs, and what is made of them.

use std::ops::Range;
use std::path::Path;

use candle_core::Tensor;
use fastrand::Rng;

use super::{Gate, Impression, Picture, other, pattern, variation};
use crate::model::{GalleryError, Model, ModelError, look_through};
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
    /// What a model sees of files of chest radiographs, and of three pictures for each that are made of it; the same files
    /// give the same lesson. Costs four classifications a file; `tell` gets how many files are done.
    ///
    /// # Errors
    /// The first file that is no image, or the model failed.
    pub fn of(
        files: &[&Path],
        model: &Model,
        decoder: &Decoder,
        mut tell: impl FnMut(usize),
    ) -> Result<Self, GalleryError<ModelError>> {
        let (mut lesson, mut random) = (Self::default(), Rng::with_seed(SEED));
        look_through(files, model.input(), decoder, |range: Range<usize>, images| -> Result<(), ModelError> {
            lesson.chests.extend(model.impressions(images)?);
            let pictures = model.pictures(images)?;
            let varied: Vec<Picture> = pictures.iter().map(|chest| variation(chest, &mut random)).collect();
            let made: Vec<Picture> = pictures.iter().map(|chest| other(chest, &mut random)).collect();
            let sides = (images.dim(2).unwrap_or(0), images.dim(3).unwrap_or(0));
            let drawn: Vec<Picture> = pictures.iter().map(|_| pattern(sides, &mut random)).collect();
            lesson.chests.extend(seen(model, &varied)?);
            lesson.others.extend(seen(model, &made)?);
            lesson.others.extend(seen(model, &drawn)?);
            tell(range.end);
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
    let tensors = pictures.iter().map(|picture| model.input().of_luminance(&picture.values));
    let images = tensors.collect::<candle_core::Result<Vec<_>>>().and_then(|tensors| Tensor::stack(&tensors, 0));
    model.impressions(&images.map_err(|fault| ModelError::Inference { device: "CPU", source: fault.into() })?)
}
