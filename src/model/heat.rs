//! Where the model sees it: LayerCAM (Jiang et al., IEEE TIP 2021; the Grad-CAM of every place by itself) of the
//! score's logit at the last stage but one, which has twice the resolution of the last.
//!
//! The logit is that of the reported score, `ln(p / (1 - p))`: the positive label's less the log-sum-exp of the
//! others'. Features count as far as they differ from those of a uniform image at the picture's own median luminance, as
//! in DeepLIFT (Shrikumar et al., ICML 2017): what the network answers to nothing at all, at its padded borders above
//! all, is no evidence. The map says where there is evidence for the finding, more of what raises the score or less of
//! what lowers it; evidence against it is not subtracted.

use candle_core::{Device, Result, Tensor};

use super::architecture::Architecture;
use super::engine::{Engine, Seen, with_values};
use super::framing::Framing;
use super::gate::Plausibility;
use super::input::Framed;
use super::reference::References;
use crate::finding::Probability;
use crate::heat::{Axis, HeatMap};
use crate::pixels::Area;

/// A score with the places that it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The score for *pneumonia*.
    pub score: Probability,
    /// Whether the image looks like a chest radiograph; `None` from a package without a gate.
    pub plausibility: Option<Plausibility>,
    /// Which places of the image speak for it.
    pub heat: HeatMap,
}

/// The map over the stored image of the output `positive`, and what the network says of the image where that comes along. The
/// slopes go back by the engine's numbers, too, each layer's as its weights want them.
pub(super) fn heat_map(
    engine: &Engine,
    positive: usize,
    framed: &Framed,
    references: &References,
) -> Result<(HeatMap, Option<Seen>)> {
    let (features, reference) = beside_reference(engine, framed, references)?;
    let mut sloped = engine.slope(&features, |logits| towards(positive, logits))?;
    let (_, rows, columns, channels) = features.dims4()?;
    let (all, one) = ([rows, columns, channels], [rows, columns, 1]);
    (0..2).for_each(|_| smooth(&mut sloped.slopes, all));
    let channels = channels.max(1);
    let mut evidence: Vec<f32> = with_values(&features.to_device(&Device::Cpu)?, |values| {
        let each = values.chunks(channels).zip(reference.chunks(channels)).zip(sloped.slopes.chunks(channels));
        Ok(each.map(|((values, reference), slopes)| evidence(values, reference, slopes)).collect())
    })?;
    // The rim of a blob has more of it than its middle; smoothed once, one in fifty has its maximum on the rim.
    (0..2).for_each(|_| smooth(&mut evidence, one));
    let map = map(&framed.framing, evidence, (rows, columns));
    Ok((map.ok_or_else(|| candle_core::Error::msg("the feature map is empty"))?, sloped.seen))
}

/// How much the channels of one place speak for it.
fn evidence(values: &[f32], reference: &[f32], slopes: &[f32]) -> f32 {
    let each = values.iter().zip(reference).zip(slopes);
    each.map(|((value, reference), slope)| ((value - reference) * slope).max(0.0)).sum()
}

/// Places `[rows, columns, channels]`, each by itself and its neighbours, 1 : 2 : 1 along both sides; beyond the borders is
/// nothing. The last stage begins with a step of two places, so that every other place has most of the gradient; this takes
/// out that pattern, and no other.
fn smooth(places: &mut [f32], [rows, columns, channels]: [usize; 3]) {
    along(places, rows * columns * channels, columns * channels);
    along(places, columns * channels, channels);
}

/// In each stretch of so many values, those a step apart, 1 : 2 : 1.
fn along(values: &mut [f32], stretch: usize, step: usize) {
    let (step, nothing) = (step.max(1), vec![0.0; step]);
    let mut before = nothing.clone();
    for stretch in values.chunks_mut(stretch.max(step)) {
        before.fill(0.0);
        let mut rest = stretch;
        while let Some((here, behind)) = rest.split_at_mut_checked(step) {
            let after = behind.get(..step).unwrap_or(&nothing);
            for ((here, before), after) in here.iter_mut().zip(&mut before).zip(after) {
                let value = *here;
                *here = value / 2.0 + *before / 4.0 + after / 4.0;
                *before = value;
            }
            rest = behind;
        }
    }
}

/// What the engine says of an image, and the features that it is held against: those of the median luminance of its picture,
/// where there are bars with the same bars beside it.
fn beside_reference(engine: &Engine, framed: &Framed, references: &References) -> Result<(Tensor, Vec<f32>)> {
    let Framed { tensor, framing } = framed;
    if framing.inset != Area::whole(framing.input.0, framing.input.1) {
        let both = engine.features(&Tensor::stack(&[tensor, &uniform_between_bars(framed)?], 0)?)?;
        let reference = both.get(1)?.flatten_all()?.to_vec1()?;
        return Ok((both.narrow(0, 0, 1)?, reference));
    }
    let image = tensor.unsqueeze(0)?;
    let pictures = references.input.pictures(&image).map_err(candle_core::Error::wrap)?;
    let luminance = pictures.into_iter().next().map(|picture| picture.values).unwrap_or_default();
    let median = median(luminance.clone());
    if luminance.iter().all(|value| *value == median) {
        let itself = engine.features(&image)?;
        let reference = itself.flatten_all()?.to_vec1()?;
        return Ok((itself, reference));
    }
    references.beside(engine, tensor, median)
}

/// No number of none.
fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() { f32::NAN } else { *values.select_nth_unstable_by(middle, f32::total_cmp).1 }
}

/// What a picture between bars is held against, `[3, h, w] f32`: the median of each of its channels, and the same bars.
fn uniform_between_bars(Framed { tensor, framing }: &Framed) -> Result<Tensor> {
    let (channels, rows, columns) = tensor.dims3()?;
    let inside = |at: usize| {
        let (row, column) = (at.checked_div(columns), at.checked_rem(columns));
        row.is_some_and(|row| framing.inset.rows.contains(&row))
            && column.is_some_and(|column| framing.inset.columns.contains(&column))
    };
    let uniform = |channel: Vec<f32>| {
        let places = channel.iter().enumerate();
        let median = median(places.filter(|(at, _)| inside(*at)).map(|(_, value)| *value).collect());
        channel.into_iter().enumerate().map(move |(at, value)| if inside(at) { median } else { value })
    };
    let reference: Vec<f32> = tensor.flatten_from(1)?.to_vec2::<f32>()?.into_iter().flat_map(uniform).collect();
    Tensor::from_vec(reference, (channels, rows, columns), tensor.device())
}

/// How the logit of the score changes with the logits, given those of one image; as many values.
fn towards(positive: usize, logits: &[f32]) -> Vec<f32> {
    let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
    let others = logits.iter().enumerate().filter(|(index, _)| *index != positive);
    let largest = others.clone().map(|(_, logit)| *logit).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others.map(|(_, logit)| (logit - largest).exp()).sum();
    let weight = |(index, logit): (usize, &f64)| if index == positive { 1.0 } else { -(logit - largest).exp() / sum };
    logits.iter().enumerate().map(|place| weight(place) as f32).collect()
}

/// Evidence of so many rows and columns of an input as a map over the stored image.
fn map(framing: &Framing, evidence: Vec<f32>, (rows, columns): (usize, usize)) -> Option<HeatMap> {
    let axis = |cells, side: usize| {
        let side = side as f32;
        Axis::new(cells, 0.5 / side, f32::from(Architecture::STRIDE) / side)
    };
    let (height, width) = framing.input;
    let [down, across] = framing.on_image([axis(rows, height), axis(columns, width)]);
    let evidence = if framing.turn.transposed {
        (0..columns).flat_map(|column| evidence.iter().skip(column).step_by(columns)).copied().collect()
    } else {
        evidence
    };
    HeatMap::new(down, across, &evidence)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::heat::Extent;
    use crate::model::{Compute, Crop, Model, Precision, Resize};
    use crate::pixels::{Radiograph, Turn};

    #[derive(Clone, Copy)]
    enum Edge {
        Soft,
        /// And how much brighter the disc is.
        Sharp(f32),
    }

    /// A uniform image with one bright blob; position and radius as fractions of its sides.
    fn phantom(extent: Extent, ground: f32, edge: Edge, blob: (f32, f32), radius: f32) -> Radiograph {
        let (rows, columns) = (extent.rows as usize, extent.columns as usize);
        let bright = |index: usize| {
            let across = ((index % columns) as f32 + 0.5) / columns as f32 - blob.0;
            let down = ((index / columns) as f32 + 0.5) / rows as f32 - blob.1;
            let distance = across.hypot(down) / radius;
            match edge {
                Edge::Soft => ground + 0.45 / (1.0 + ((distance - 0.8) * 10.0).exp()),
                Edge::Sharp(more) if distance < 1.0 => ground + more,
                Edge::Sharp(_) => ground,
            }
        };
        let level = |luminance: f32| (luminance * 65_535.0).round() as u16;
        Radiograph::of_words(columns, (0..rows * columns).map(|index| level(bright(index))).collect())
    }

    #[test]
    fn the_only_bright_blob_is_where_the_shipped_model_sees_something_whatever_its_numbers() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cxr-pneumonia-reference");
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let model = Model::load_with(&package, Compute::Kernels { threads: 0, precision }).unwrap();
            let mut chance = fastrand::Rng::with_seed(7);
            let mut beside = Vec::new();
            for _ in 0..24 {
                let mut side = || chance.u32(200..600);
                let extent = Extent { rows: side(), columns: side() };
                // From a place of the map on; of smaller ones it tells the place less surely.
                let (radius, ground) = (0.07 + 0.07 * chance.f32(), 0.1 + 0.4 * chance.f32());
                let mut place = || radius + (1.0 - 2.0 * radius) * chance.f32();
                let (x, y) = (place(), place());
                let off = off(&model, &phantom(extent, ground, Edge::Soft, (x, y), radius), (x, y));
                if off > radius {
                    beside.push((extent, ground, (x, y), radius, off / radius));
                }
            }
            assert!(beside.is_empty(), "{precision:?}: {beside:?}");
        }
    }

    #[test]
    fn the_only_bright_disc_is_where_the_shipped_model_sees_something_and_not_its_rim() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cxr-pneumonia-reference");
        let model = Model::load(&package).unwrap();
        let extent = Extent { rows: 1024, columns: 1024 };
        for (disc, radius, ground, more) in [
            ((0.417, 0.417), 0.1145, 0.293, 0.293),
            ((0.326, 0.203), 0.128, 0.44, 0.44),
            ((0.285, 0.534), 0.121, 0.293, 0.195),
            ((0.689, 0.283), 0.119, 0.293, 0.293),
        ] {
            let off = off(&model, &phantom(extent, ground, Edge::Sharp(more), disc, radius), disc);
            assert!(off <= radius, "disc of {radius} at {disc:?} on {ground}: off by {off}");
        }
    }

    #[test]
    fn the_blob_is_where_it_is_stored_however_the_patient_lies() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cxr-pneumonia-reference");
        let model = Model::load(&package).unwrap();
        let (blob, radius) = ((0.22, 0.78), 0.116);
        for flags in 0..8 {
            let [transposed, mirrored, flipped] = [1, 2, 4].map(|bit| flags & bit != 0);
            let mut image = phantom(Extent { rows: 400, columns: 500 }, 0.3, Edge::Soft, blob, radius);
            image.geometry.turn = Turn { transposed, mirrored, flipped };
            let off = off(&model, &image, blob);
            assert!(off <= radius, "{}: off by {off}", image.geometry.turn);
        }
    }

    #[test]
    fn the_blob_is_where_it_is_stored_between_black_bars_too() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cxr-pneumonia-reference");
        let mut model = Model::load(&package).unwrap();
        model.with_input(Crop::None, Resize::Fit);
        // A place of the map is 16 pixels of the input, which is an eighth of the narrower side of the picture.
        let place = 16.0 / 134.0;
        for extent in [Extent { rows: 300, columns: 500 }, Extent { rows: 500, columns: 300 }] {
            for blob in [(0.3, 0.3), (0.7, 0.7)] {
                let off = off(&model, &phantom(extent, 0.3, Edge::Soft, blob, 0.116), blob);
                assert!(off <= 1.5 * place, "blob at {blob:?} of {extent:?}: off by {off}");
            }
        }
    }

    /// How far the hottest place is from a place, in fractions of the image's sides.
    fn off(model: &Model, image: &Radiograph, (x, y): (f32, f32)) -> f32 {
        let extent = Extent::of(image.rows, image.columns);
        let heat = model.explain(&model.input().framed(image).unwrap()).unwrap().heat;
        let hottest = heat.hottest(extent).unwrap();
        (hottest.column / extent.columns as f32 - x).hypot(hottest.row / extent.rows as f32 - y)
    }

    #[test]
    fn an_explanation_has_the_score_of_the_classification() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cxr-pneumonia-reference");
        let model = Model::load(&package).unwrap();
        let ramp = model.input().ramp().unwrap();
        let framing = Framing::whole((224, 224), (224, 224));
        let explained = model.explain(&Framed { tensor: ramp.clone(), framing: framing.clone() }).unwrap();
        let scored = model.answers(&ramp.unsqueeze(0).unwrap()).unwrap()[0].score;
        assert!((explained.score.fraction() - scored.fraction()).abs() < 1e-5);
        let odd = Tensor::zeros((1, 7, 7), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(model.explain(&Framed { tensor: odd, framing }).is_err());
    }

    #[test]
    fn an_even_image_has_a_cold_map() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cxr-pneumonia-reference");
        let model = Model::load(&package).unwrap();
        let even = Radiograph::of_bytes(224, vec![102; 224 * 224]);
        let framed = model.input().framed(&even).unwrap();
        assert!(model.explain(&framed).unwrap().heat.is_cold());
    }

    #[test]
    fn a_pattern_of_every_other_place_is_smoothed_away() {
        let mut places = [[4.0_f32, 0.0, 4.0, 0.0, 4.0], [0.0; 5]];
        smooth(places.as_flattened_mut(), [2, 5, 1]);
        assert_eq!(places, [[1.0; 5], [0.5; 5]]);
    }

    #[test]
    fn the_weights_are_the_gradient_of_the_scores_logit() {
        let logit = |logits: &[f64]| {
            let exponentials: Vec<f64> = logits.iter().map(|logit| logit.exp()).collect();
            let p = exponentials[1] / exponentials.iter().sum::<f64>();
            (p / (1.0 - p)).ln()
        };
        let logits = [0.3, -0.4, 1.7];
        let weights = towards(1, &logits.map(|logit| logit as f32));
        for (index, weight) in weights.iter().enumerate() {
            let mut moved = logits;
            moved[index] += 1e-6;
            let slope = (logit(&moved) - logit(&logits)) / 1e-6;
            assert!((f64::from(*weight) - slope).abs() < 1e-4, "{weights:?}");
        }
        assert_eq!(towards(1, &[0.2, 5.0]), [-1.0, 1.0]);
    }
}
