//! How the logits of one image change with the values in front of the last stage: back through the Dense layers, ReLU and
//! the last stage's convolutions, by the packed weights of the way forth.

use super::crew::Crew;
use super::geometry::{Extent, Window};
use super::slopes::{After, Given, Slopes};
use crate::model::architecture::{Architecture, Bottleneck};

/// The way forth through the last stage and what is behind it, of which everything has stayed.
pub(super) trait WayForth: Sync {
    /// Places of its input that a layer reads for one of its output.
    fn window(&self, layer: usize) -> Option<Window>;
    /// What a layer gave.
    fn given(&self, layer: usize) -> Option<Given<'_>>;
    /// Columns of the panels of slopes of a layer.
    fn columns(&self, layer: usize) -> Option<usize>;
    /// From slopes of a layer's output to those of its input, of `side` rows and columns. None for slopes or an activation of another
    /// extent.
    ///
    /// Runs on the rayon pool that the caller is in.
    fn back(&self, layer: usize, slopes: &Slopes, side: (usize, usize), after: &After<'_>) -> Option<Slopes>;
}

/// What the way back needs of a network.
pub(super) struct Back<'a> {
    pub(super) architecture: &'a Architecture,
    pub(super) crew: &'a Crew,
    /// What the last stage was given.
    pub(super) features: Extent,
    pub(super) forth: &'a dyn WayForth,
}

impl Back<'_> {
    /// From the slopes of the logits to those of what the last stage was given, channels last. None where the filters are not
    /// the architecture's.
    pub(super) fn through_all(&self, of_logits: &[f32]) -> Option<Vec<f32>> {
        self.crew.install(|| {
            let Architecture { last, hidden, logits, .. } = self.architecture;
            let mut sides = vec![(self.features.rows, self.features.columns)];
            for block in last {
                sides.push(self.steps(block.spatial, self.steps(block.reduce, *sides.last()?)?)?);
            }
            let of_logits = Slopes::of(of_logits, 1, self.forth.columns(*logits)?);
            let of_hidden = self.through(*logits, &of_logits, (1, 1), None, Some(*hidden))?;
            let of_mean = self.through(*hidden, &of_hidden, (1, 1), None, None)?;
            let mean = of_mean.by_place(self.architecture.layers.get(*hidden)?.inputs);
            let mut slopes = self.of_last(&mean, sides.last().map(|(rows, columns)| rows * columns)?)?;
            for (at, (block, side)) in last.iter().zip(&sides).enumerate().rev() {
                let before = at.checked_sub(1).and_then(|at| last.get(at)).map(|block| block.expand);
                slopes = self.through_block(block, &slopes, *side, before)?;
            }
            Some(slopes.by_place(self.features.channels))
        })
    }

    /// From slopes of the mean of so many places to those of each, in front of the last block's ReLU.
    fn of_last(&self, of_mean: &[f32], places: usize) -> Option<Slopes> {
        let each: Vec<f32> = of_mean.iter().map(|slope| slope / places as f32).collect();
        let last = self.architecture.last.last()?.expand;
        let mut slopes = Slopes::of(&each.repeat(places), places, self.forth.columns(last)?);
        slopes.rectify(&self.forth.given(last)?);
        Some(slopes)
    }

    /// From slopes in front of a block's last ReLU to those in front of the ReLU of the layer `before` the block.
    fn through_block(
        &self,
        block: &Bottleneck,
        slopes: &Slopes,
        side: (usize, usize),
        before: Option<usize>,
    ) -> Option<Slopes> {
        let reduced = self.steps(block.reduce, side)?;
        let spatial = self.steps(block.spatial, reduced)?;
        let of_spatial = self.through(block.expand, slopes, spatial, None, Some(block.spatial))?;
        let of_reduced = self.through(block.spatial, &of_spatial, reduced, None, Some(block.reduce))?;
        match block.shortcut {
            Some(shortcut) => {
                let around = self.through(shortcut, slopes, side, None, None)?;
                self.through(block.reduce, &of_reduced, side, Some(&around), before)
            }
            None => self.through(block.reduce, &of_reduced, side, Some(slopes), before),
        }
    }

    /// Rows and columns that a layer makes of some.
    fn steps(&self, layer: usize, (rows, columns): (usize, usize)) -> Option<(usize, usize)> {
        let window = self.forth.window(layer)?;
        Some((window.steps(rows), window.steps(columns)))
    }

    /// From slopes of a layer's output to those of its input, of `side` rows and columns; in front of the ReLU of the layer
    /// that gave the input, where one is named.
    fn through(
        &self,
        layer: usize,
        slopes: &Slopes,
        side: (usize, usize),
        beside: Option<&Slopes>,
        rectified: Option<usize>,
    ) -> Option<Slopes> {
        let rectified = match rectified {
            Some(layer) => Some(self.forth.given(layer)?),
            None => None,
        };
        self.forth.back(layer, slopes, side, &After { beside, rectified })
    }
}
