//! What the network answers to nothing at all: its features of uniform images.
//!
//! Convolutions, ReLU and maxima are piecewise linear, so the features of a uniform image are a piecewise linear function of
//! its luminance. Those of a few levels are computed once, when one of them is first asked for; the features of a luminance
//! between two levels are taken to lie on the line between theirs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{Error, Result, Tensor};

use super::engine::Engine;
use super::input::Input;

/// Steps from black to white. The features of a level take 0.8 MB.
const STEPS: u8 = 32;

/// The features of uniform images that were asked for before, of one engine behind one preprocessing.
pub(super) struct References {
    pub(super) input: Input,
    known: Mutex<BTreeMap<u8, Vec<f32>>>,
}

impl References {
    /// Of none.
    pub(super) fn new(input: Input) -> Self {
        Self { input, known: Mutex::default() }
    }

    /// The features of an image `[3, h, w] f32`, and those of the uniform one of a luminance, 0..1, in its place.
    pub(super) fn beside(&self, engine: &Engine, image: &Tensor, luminance: f32) -> Result<(Tensor, Vec<f32>)> {
        let at = luminance.clamp(0.0, 1.0) * f32::from(STEPS);
        let [below, above] = [at.floor(), at.ceil()].map(|level| level as u8);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<u8> = (below..=above).filter(|level| !known.contains_key(level)).collect();
        let uniform = |level: &u8| self.input.uniform(f32::from(*level) / f32::from(STEPS))?.to_device(image.device());
        let mut images = vec![image.clone()];
        images.extend(missing.iter().map(uniform).collect::<Result<Vec<_>>>()?);
        let all = engine.features(&Tensor::stack(&images, 0)?)?;
        for (place, level) in (1..).zip(missing) {
            known.insert(level, all.get(place)?.flatten_all()?.to_vec1::<f32>()?);
        }
        let of = |level| known.get(&level).ok_or_else(|| Error::msg("a level has no features"));
        let share = at - at.floor();
        let between = |(from, to): (&f32, &f32)| from + (to - from) * share;
        let reference = of(below)?.iter().zip(of(above)?).map(between).collect();
        Ok((all.narrow(0, 0, 1)?, reference))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::model::{Compute, Package};

    #[test]
    fn features_between_two_levels_are_nearly_those_of_the_luminance_and_stay_so() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cxr-pneumonia-reference");
        let package = Package::open(&package).unwrap();
        let engine = package.engine(&Device::Cpu, Compute::f32(2)).unwrap();
        let input = Input::new(&package.manifest().input);
        let (ramp, references) = (input.ramp().unwrap(), References::new(input.clone()));
        let features = |images: &Tensor| {
            let images = images.unsqueeze(0).unwrap();
            engine.features(&images).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let of_ramp = features(&ramp);
        for luminance in [0.0, 0.26, 0.38, 0.5, 0.77, 1.0] {
            let exact = features(&input.uniform(luminance).unwrap());
            let beside = || references.beside(&engine, &ramp, luminance).unwrap();
            let (image, reference) = beside();
            assert_eq!(image.flatten_all().unwrap().to_vec1::<f32>().unwrap(), of_ramp);
            assert_eq!(beside().1, reference);
            let apart =
                |other: &[f32]| exact.iter().zip(other).map(|(a, b)| f64::from((a - b).powi(2))).sum::<f64>().sqrt();
            let (off, to_ramp) = (apart(&reference), apart(&of_ramp));
            assert!(off < 0.02 * to_ramp, "{luminance}: {off} of {to_ramp}");
        }
        assert_eq!(
            references.known.lock().unwrap().keys().copied().collect::<Vec<_>>(),
            [0, 8, 9, 12, 13, 16, 24, 25, 32]
        );
    }
}
