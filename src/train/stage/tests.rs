//! The stage beside candle's gradients, and beside itself.

use candle_core::{Device, Result, Tensor, Var};

use super::super::layers::noise;
use super::*;
use crate::cuda;
use crate::model::Precision;

// Square: candle's way back through a step of two takes both sides for one.
const INPUT: Extent = Extent { images: 3, rows: 6, columns: 6, channels: 6 };

/// A block with a step of two, and one with nothing on the way round; before them a stem, or not.
fn unfolded(with_stem: bool) -> Unfolded {
    let mut random = fastrand::Rng::with_seed(4);
    let mut values = |count: usize, low: f32, high: f32| -> Vec<f32> {
        (0..count).map(|_| low + (high - low) * random.f32()).collect()
    };
    let mut layer = |(inputs, outputs, size, stride): (usize, usize, usize, usize)| TrunkLayer {
        name: String::new(),
        norm: String::new(),
        inputs,
        outputs,
        size,
        stride,
        weights: values(outputs * inputs * size * size, -0.5, 0.5),
        gain: values(outputs, 0.5, 1.5),
        bias: values(outputs, -0.2, 0.2),
        mean: values(outputs, -0.1, 0.1),
        variance: values(outputs, 0.5, 2.0),
    };
    let shapes = [(6, 4, 1, 1), (4, 4, 3, 2), (4, 8, 1, 1), (6, 8, 1, 2), (8, 4, 1, 1), (4, 4, 3, 1), (4, 8, 1, 1)];
    let mut layers: Vec<TrunkLayer> = shapes.into_iter().map(&mut layer).collect();
    let blocks = vec![
        TrunkBlock { reduce: 0, spatial: 1, expand: 2, shortcut: Some(3) },
        TrunkBlock { reduce: 4, spatial: 5, expand: 6, shortcut: None },
    ];
    if with_stem {
        layers.push(layer((3, 6, 7, 2)));
    }
    Unfolded { layers, stem: with_stem.then_some(7), blocks }
}

fn turned(x: &Volume) -> Result<Tensor> {
    let Extent { images, rows, columns, channels } = x.extent;
    let x = Tensor::from_slice(&x.values, (images, rows, columns, channels), &Device::Cpu)?;
    x.permute((0, 3, 1, 2))?.contiguous()
}

/// One layer by candle's operations; with running moments, or those of the batch.
fn by_candle(layer: &TrunkLayer, [weights, gain, bias]: &[Var; 3], x: &Tensor, batch: bool) -> Result<Tensor> {
    let x = x.conv2d(weights, layer.size / 2, layer.stride, 1, 1)?;
    let each = |values: &[f32]| Tensor::from_slice(values, (1, values.len(), 1, 1), &Device::Cpu);
    let (mean, variance) = if batch {
        let mean = x.mean_keepdim((0, 2, 3))?;
        let variance = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2, 3))?;
        (mean, variance)
    } else {
        (each(&layer.mean)?, each(&layer.variance)?)
    };
    let x = x.broadcast_sub(&mean)?.broadcast_div(&(variance + 1e-5)?.sqrt()?)?;
    let shaped = |var: &Var| var.reshape((1, (), 1, 1));
    x.broadcast_mul(&shaped(gain)?)?.broadcast_add(&shaped(bias)?)
}

fn pooled_by_candle(own: &Unfolded, vars: &[[Var; 3]], x: &Tensor, batch: bool) -> Result<Tensor> {
    let layer = |index: usize, x: &Tensor| by_candle(&own.layers[index], &vars[index], x, batch);
    let last = own.blocks.iter().try_fold(x.clone(), |x, block| -> Result<Tensor> {
        let y = layer(block.reduce, &x)?.relu()?;
        let y = layer(block.expand, &layer(block.spatial, &y)?.relu()?)?;
        let around = block.shortcut.map_or(Ok(x.clone()), |shortcut| layer(shortcut, &x))?;
        (y + around)?.relu()
    })?;
    last.mean((2, 3))
}

fn vars(own: &Unfolded) -> Vec<[Var; 3]> {
    let var = |values: &[f32], shape: &[usize]| Var::from_slice(values, shape, &Device::Cpu).unwrap();
    let each = own.layers.iter().map(|layer| {
        let TrunkLayer { inputs, outputs, size, weights, gain, bias, .. } = layer;
        [var(weights, &[*outputs, *inputs, *size, *size]), var(gain, &[*outputs]), var(bias, &[*outputs])]
    });
    each.collect()
}

fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-4 * largest, "{at}: {found} for {expected}");
    }
}

#[test]
fn gradients_and_answers_are_those_of_candle() {
    let (own, x) = (unfolded(false), noise(1, INPUT));
    let mut stage = Stage::new(&own);
    let (vars, images) = (vars(&own), turned(&x).unwrap());
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    near(&stage.pooled(x.clone()), &flat(&pooled_by_candle(&own, &vars, &images, false).unwrap()));

    let wanted = noise(2, Extent { rows: 1, columns: 1, channels: 8, ..INPUT });
    let pooled = pooled_by_candle(&own, &vars, &images, true).unwrap();
    let slopes = Tensor::from_slice(&wanted.values, pooled.shape(), &Device::Cpu).unwrap();
    let store = (&pooled * slopes).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = stage.gradient(x, |found| {
        near(found, &flat(&pooled));
        wanted.values.clone()
    });
    for (layer, [weights, gain, bias]) in stage.layers.iter().zip(&vars) {
        let of = |var: &Var| flat(store.get(var).unwrap());
        near(&gradient[layer.weights.clone()], &by_taps(&of(weights), layer.convolution));
        near(&gradient[layer.gain.clone()], &of(gain));
        near(&gradient[layer.bias.clone()], &of(bias));
    }
}

#[test]
fn slopes_reach_the_stem_through_the_pooling() {
    let (own, x) = (unfolded(true), noise(1, Extent { images: 2, rows: 21, columns: 18, channels: 3 }));
    let wanted = noise(2, Extent { images: 2, rows: 1, columns: 1, channels: 8 }).values.clone();
    let stage = Stage::new(&own);
    let gradient = stage.clone().gradient(x.clone(), |_| wanted.clone());
    let loss = |stem: &[f32]| {
        let mut stage = stage.clone();
        let weights = stage.layers[7].weights.clone();
        stage.values[weights].copy_from_slice(stem);
        let mut loss = 0.0;
        stage.gradient(x.clone(), |pooled| {
            loss = pooled.iter().zip(&wanted).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            wanted.clone()
        });
        loss
    };
    // Every layer has been held against finite differences by itself. Here they go together, over the edges of
    // ReLU and of the largest place, which a step of any size now and then crosses.
    let of = stage.layers[7].weights.clone();
    let (gradient, weights) = (&gradient[of.clone()], &stage.values[of]);
    let largest = gradient.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for at in (0..weights.len()).step_by(17) {
        let moved = |step: f32| {
            let mut weights = weights.to_vec();
            weights[at] += step;
            loss(&weights)
        };
        let (found, expected) = (f64::from(gradient[at]), (moved(2e-3) - moved(-2e-3)) / 4e-3);
        assert!((found - expected).abs() < 2e-2 * f64::from(largest), "{at}: {found} for {expected}");
    }
}

#[test]
fn layers_go_out_as_they_came_in_until_they_are_trained() {
    let own = unfolded(true);
    let mut stage = Stage::new(&own);
    assert_eq!(stage.trained(&own), own.layers);
    let before = stage.running.clone();
    stage.gradient(noise(3, Extent { images: 2, rows: 16, columns: 16, channels: 3 }), |pooled| pooled.to_vec());
    assert!(stage.running.iter().zip(&before).all(|(after, before)| after != before), "every running moment follows");
}

/// The length of the difference in shares of the length of what is expected.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    length(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / length(&mut expected.iter().copied())
}

#[test]
fn a_device_gives_the_same_gradient_answers_and_moments() {
    let mut devices = vec![Device::Cpu];
    devices.extend((0..cuda::device::count().min(1)).map(|device| cuda::device::open(device).unwrap()));
    for device in devices {
        // On the processor candle multiplies no bf16; f16 goes the same way. Of few places, one that falls on the other side of
        // ReLU tells.
        let (narrow, near) = if device.is_cpu() { (Precision::F16, 0.2) } else { (Precision::Bf16, 0.3) };
        same_as_here(&Place { device: device.clone(), precision: Precision::F32 }, 1e-3);
        same_as_here(&Place { device, precision: narrow }, near);
    }
}

fn same_as_here(place: &Place, near: f32) {
    for (with_stem, side, channels) in [(false, 6, 6), (true, 20, 3)] {
        let (own, x) = (unfolded(with_stem), noise(5, Extent { images: 3, rows: side, columns: side, channels }));
        let wanted = noise(6, Extent { images: 3, rows: 1, columns: 1, channels: 8 }).values.clone();
        let (mut here, mut there) = (Stage::new(&own), Stage::new(&own));
        let expected = here.gradient(x.clone(), |_| wanted.clone());
        let found = there.gradient_on(place, &x, |_| wanted.clone()).unwrap();
        for layer in &here.layers {
            for range in [&layer.weights, &layer.gain, &layer.bias] {
                let apart = apart(&found[range.clone()], &expected[range.clone()]);
                assert!(apart < near, "{:?} {layer:?}: {apart}", place.precision);
            }
        }
        assert!(apart(there.running(), here.running()) < near);
        assert!(apart(&there.pooled_on(place, &x).unwrap(), &here.pooled(x.clone())) < near);
    }
    let x = noise(5, Extent { images: 1, rows: 6, columns: 8, channels: 6 });
    let refused = Stage::new(&unfolded(false)).gradient_on(place, &x, |pooled| pooled.to_vec());
    assert!(refused.unwrap_err().to_string().contains("square"));
}
