//! How bottlenecks follow each other through memory, whatever numbers they are computed with.

use super::convolution::After;
use super::geometry::Extent;
use super::slots::View;
use crate::model::architecture::Bottleneck;

/// Lays out the steps of a plan. Nothing is laid out where the filters are not those of the architecture.
pub(super) trait Bottlenecks {
    /// Blocks of memory where bottlenecks read and write, in turn.
    const TURNS: [usize; 2];
    /// The block for what comes of a bottleneck's first convolution.
    const REDUCED: usize;
    /// The block for what comes of its second one.
    const SPATIAL: usize;
    /// The block for what comes of the one around them.
    const SHORTCUT: usize;
    /// The block for what the stages that go image by image say of each.
    const GATHERED: usize;
    /// The block for whatever a plan makes, where all of it stays.
    const KEPT: usize;

    /// Values of [`Bottlenecks::KEPT`] so far; none where views may be written to again.
    fn kept(&mut self) -> &mut Option<usize>;

    /// Sees to it that there is memory for a view.
    fn keep(&mut self, view: View) -> View;

    /// The extent that a layer makes of an input.
    fn output_of(&self, layer: usize, input: Extent) -> Option<Extent>;

    /// The stem and the pooling of one image of the run, of `rows` by `columns`.
    fn enter(&mut self, image: usize, side: (usize, usize)) -> Option<View>;

    /// A convolution.
    fn convolve_into(&mut self, layer: usize, input: View, output: View, after: After) -> Option<()>;

    /// A convolution into a block of memory.
    fn convolve(&mut self, layer: usize, input: View, slot: usize, after: After) -> Option<View> {
        let extent = self.output_of(layer, input.extent)?;
        let output = self.view(slot, extent);
        self.convolve_into(layer, input, output, after)?;
        Some(output)
    }

    /// A bottleneck's convolution over several places; negative values become zero.
    fn spatial(&mut self, layer: usize, input: View) -> Option<View> {
        self.convolve(layer, input, Self::SPATIAL, After::Rectify)
    }

    /// One bottleneck, from `x` to `output`.
    fn bottleneck(&mut self, block: &Bottleneck, x: View, output: View) -> Option<()> {
        let y = self.convolve(block.reduce, x, Self::REDUCED, After::Rectify)?;
        let y = self.spatial(block.spatial, y)?;
        // Last: until then its block of memory is free for what comes between a spatial convolution's input and output.
        let around = match block.shortcut {
            Some(shortcut) => self.convolve(shortcut, x, Self::SHORTCUT, After::Keep)?,
            None => x,
        };
        self.convolve_into(block.expand, y, output, After::AddAndRectify(around))
    }

    /// A view at the beginning of a block of memory, or behind what stays.
    fn view(&mut self, slot: usize, extent: Extent) -> View {
        let mut view = View { slot, start: 0, extent };
        if let Some(kept) = self.kept() {
            view = View { slot: Self::KEPT, start: *kept, extent };
            *kept = view.end();
        }
        self.keep(view)
    }

    /// The extent that a bottleneck makes of an input.
    fn bottleneck_output(&self, block: &Bottleneck, x: View) -> Option<Extent> {
        let reduced = self.output_of(block.reduce, x.extent)?;
        self.output_of(block.expand, self.output_of(block.spatial, reduced)?)
    }

    /// The stem, the pooling and the narrow bottlenecks, image by image, gathered into one view.
    fn each_image(&mut self, images: usize, side: (usize, usize), blocks: &[Bottleneck]) -> Option<View> {
        let (last, others) = blocks.split_last()?;
        let mut gathered = None;
        for image in 0..images {
            let entered = self.enter(image, side)?;
            let x = self.through(others, entered)?;
            let extent = Extent { images, ..self.bottleneck_output(last, x)? };
            let all = *gathered.get_or_insert(View { slot: Self::GATHERED, start: 0, extent });
            self.keep(all);
            self.bottleneck(last, x, all.image(image))?;
        }
        gathered
    }

    /// Bottlenecks one after the other, each into the block of memory that the last one did not write to.
    fn through(&mut self, blocks: &[Bottleneck], mut x: View) -> Option<View> {
        for block in blocks {
            let slot = Self::TURNS.into_iter().find(|slot| *slot != x.slot)?;
            let extent = self.bottleneck_output(block, x)?;
            let output = self.view(slot, extent);
            self.bottleneck(block, x, output)?;
            x = output;
        }
        Some(x)
    }
}
