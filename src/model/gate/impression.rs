//! What the gate sees of an image: the pattern of the trunk's features, and the coarse layout of the picture.

use crate::model::Head;

/// Blocks of the layout along each side.
const BLOCKS: usize = 14;

/// What the layout counts beside the features.
const WEIGHT_OF_LAYOUT: f32 = 0.5;

/// Luminance that the blocks of a picture vary by at least, or are taken to: a blank image has no layout.
const LEAST_SPREAD: f32 = 0.02;

/// What the gate sees of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Impression(Vec<f32>);

impl Impression {
    /// Values of an impression.
    pub const LENGTH: usize = Head::INPUTS + BLOCKS * BLOCKS;

    /// From the pooled features of an image, at least 0, and one channel of it as the network was shown it: luminance
    /// divided by `std` and moved, of `columns` a row.
    ///
    /// Features: the square roots of their shares in the sum (Hellinger), scaled to a root mean square of 1, so that the
    /// brightness of the picture, which scales them all, counts little. Layout: means of 14 x 14 blocks, less their mean
    /// and divided by their standard deviation, so that the window that the picture was shown in counts nothing.
    pub(in crate::model) fn new(pooled: &[f32], channel: &[f32], columns: usize, std: f32) -> Self {
        let sum: f32 = pooled.iter().sum();
        let scale = if sum > 0.0 { pooled.len() as f32 / sum } else { 0.0 };
        let features = pooled.iter().map(|feature| (feature * scale).max(0.0).sqrt());
        Self(features.chain(layout(channel, columns, std)).collect())
    }

    /// [`Impression::LENGTH`] values.
    pub(super) fn values(&self) -> &[f32] {
        &self.0
    }
}

fn layout(channel: &[f32], columns: usize, std: f32) -> Vec<f32> {
    let rows = channel.len() / columns.max(1);
    let part = |block: usize, length: usize| block * length / BLOCKS..(block + 1) * length / BLOCKS;
    let block = |index: usize| {
        let (down, across) = (part(index / BLOCKS, rows), part(index % BLOCKS, columns));
        let lines = channel.chunks_exact(columns.max(1)).skip(down.start).take(down.len());
        let values = lines.flat_map(|line| line.get(across.clone()).unwrap_or_default());
        values.sum::<f32>() * std / (down.len() * across.len()).max(1) as f32
    };
    let blocks: Vec<f32> = (0..BLOCKS * BLOCKS).map(block).collect();
    let count = blocks.len() as f32;
    let mean = blocks.iter().sum::<f32>() / count;
    let spread = (blocks.iter().map(|block| (block - mean).powi(2)).sum::<f32>() / count).sqrt();
    blocks.iter().map(|block| WEIGHT_OF_LAYOUT * (block - mean) / spread.max(LEAST_SPREAD)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_and_layout_are_those_of_numpy() {
        // numpy: f = 0.2 + 0.1 * (arange(2048) % 7), np.sqrt(f / f.sum() * 2048); image = (y * 3 + x) % 50 / 49 of
        // 28 x 28, blocks of 2 x 2, 0.5 * (b - b.mean()) / b.std()
        let pooled: Vec<f32> = (0..2048).map(|index| 0.2 + 0.1 * (index % 7) as f32).collect();
        let (mean, std) = (0.485, 0.229);
        let image: Vec<f32> =
            (0..28 * 28).map(|at| ((((at / 28) * 3 + at % 28) % 50) as f32 / 49.0 - mean) / std).collect();
        let impression = Impression::new(&pooled, &image, 28, std);
        assert_eq!(impression.values().len(), Impression::LENGTH);
        for (index, expected) in
            [(0, 0.632641), (3, 1.000293), (2047, 1.000293), (2048, -0.934327), (2065, -0.450501), (2243, -0.773051)]
        {
            let found = impression.values()[index];
            assert!((found - expected).abs() < 1e-4, "{index}: {found} for {expected}");
        }
    }

    #[test]
    fn another_window_is_the_same_layout_and_a_blank_image_has_none() {
        let image: Vec<f32> = (0..56 * 56).map(|at| (at % 56 + 2 * (at / 56)) as f32 / 168.0).collect();
        let darker: Vec<f32> = image.iter().map(|value| 0.1 + 0.6 * value).collect();
        for (a, b) in layout(&image, 56, 1.0).iter().zip(layout(&darker, 56, 1.0)) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        assert!(layout(&[0.4; 56 * 56], 56, 1.0).iter().all(|block| block.abs() < 1e-4));
        let nothing = Impression::new(&[0.0; 2048], &[0.0; 28 * 28], 28, 1.0);
        assert!(nothing.values().iter().all(|value| *value == 0.0));
    }
}
