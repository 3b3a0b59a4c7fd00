//! A run of the network laid out beforehand: every step, what it reads and writes, and how much memory that takes.

use super::bottlenecks::Bottlenecks;
use super::convolution::{After, Convolution, output_of};
use super::crew::Run;
use super::filter::Filter;
use super::geometry::{Extent, Offsets, Window};
use super::pooling::{Interleave, Maximum, Mean};
use super::slots::{SLOTS, Shared, View};
use super::tile::Micro;
use super::winograd::{self, Gather, Spread};
use crate::model::architecture::{Architecture, Bottleneck};

/// What the blocks of memory are for.
mod slot {
    pub(super) const INPUT: usize = 0;
    /// Where bottlenecks read and write, in turn.
    pub(super) const TURNS: [usize; 2] = [1, 2];
    pub(super) const SHORTCUT: usize = 3;
    pub(super) const REDUCED: usize = 4;
    pub(super) const SPATIAL: usize = 5;
    /// What the stages that go image by image say of each.
    pub(super) const GATHERED: usize = 6;
    /// Winograd's matrices, of inputs and of outputs: nothing else is there while they are wanted.
    pub(super) const SPREAD: usize = SHORTCUT;
    pub(super) const PRODUCTS: usize = REDUCED;
    /// Whatever a plan makes, where all of it stays.
    pub(super) const KEPT: usize = 7;
}

/// The pooling after the first convolution.
pub(super) const POOLING: Window = Window { size: 3, stride: 2, padding: 1 };

/// Bottlenecks from this width on are computed for all images of a run together, because their weights take more memory
/// than their activations; narrower ones image by image.
pub(super) const TOGETHER_FROM: usize = 256;

/// One step; all tasks of a step may be done at the same time.
pub(super) enum Step {
    Interleave(Interleave),
    /// One convolution, or several that may be done at the same time and are cut into as many tasks each.
    Convolve(Vec<Convolution>),
    Spread(Spread),
    Gather(Gather),
    Maximum(Maximum),
    Mean(Mean),
}

/// What the plans of a network have in common.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) architecture: &'a Architecture,
    /// Those of the layers, then those of Winograd's matrices.
    pub(super) filters: &'a [Filter],
    /// Where among the filters those of a layer's matrices begin, for layers that have some.
    pub(super) matrices: &'a [Option<usize>],
    /// As many zeros as the widest layer has channels.
    pub(super) zeros: &'a [f32],
    pub(super) micro: &'a Micro,
    pub(super) threads: usize,
}

/// The steps for so many images of one extent.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// How far a run of the steps is.
    pub(super) run: Run,
    /// Steps up to the features.
    pub(super) early: usize,
    pub(super) features: View,
    /// Steps up to the pooled features.
    pub(super) trunk: usize,
    pub(super) pooled: View,
    pub(super) logits: View,
    /// Values that each block of memory needs.
    pub(super) lengths: [usize; SLOTS],
}

impl Plan {
    /// For `images` of `rows` by `columns`; None where the filters are not those of the architecture.
    pub(super) fn new(ground: Ground<'_>, images: usize, side: (usize, usize), offsets: &mut Offsets) -> Option<Self> {
        let early = &ground.architecture.early;
        let mut builder = Builder::new(ground, offsets, None);
        let narrow = early.partition_point(|block| builder.width(block) < TOGETHER_FROM);
        let (narrow, wide) = early.split_at_checked(narrow)?;
        let x = builder.each_image(images, side, narrow)?;
        let features = builder.through(wide, x)?;
        builder.finished_from(features)
    }

    /// From the features of one image on, which has so many rows and columns of them. What each layer gives stays there.
    pub(super) fn of_last_stage(
        ground: Ground<'_>,
        (rows, columns): (usize, usize),
        offsets: &mut Offsets,
    ) -> Option<Self> {
        let first = ground.architecture.last.first()?;
        let extent = Extent::new::<f32>(1, rows, columns, ground.filters.get(first.reduce)?.inputs);
        let mut builder = Builder::new(ground, offsets, Some(0));
        let features = builder.view(slot::KEPT, extent);
        builder.finished_from(features)
    }

    /// Where the output of a layer is when the steps are done, which holds for all layers where all of it stays.
    pub(super) fn output_of(&self, layer: usize, architecture: &Architecture) -> Option<View> {
        let shown = self.steps.iter().filter_map(|step| step.shows(architecture));
        shown.filter(|(shown, _)| *shown == layer).map(|(_, view)| view).next_back()
    }
}

impl Step {
    fn tasks(&self) -> usize {
        match self {
            Self::Interleave(step) => step.tasks(),
            Self::Convolve(steps) => steps.iter().map(Convolution::tasks).sum(),
            Self::Spread(step) => step.tasks(),
            Self::Gather(step) => step.tasks(),
            Self::Maximum(step) => step.tasks(),
            Self::Mean(step) => step.tasks(),
        }
    }

    /// The layer whose output it finishes, and where that is; the first layer's is finished by the pooling.
    pub(super) fn shows(&self, architecture: &Architecture) -> Option<(usize, View)> {
        match self {
            Self::Maximum(step) => Some((architecture.stem, step.output)),
            Self::Gather(step) => Some((step.filter, step.output)),
            Self::Convolve(steps) => match steps.as_slice() {
                [step] if step.filter != architecture.stem => Some((step.filter, step.output)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Does one task; `images` are those of the run, `[n, 3, rows, columns]`.
    ///
    /// # Safety
    /// The processor has the micro-kernels' instructions, and `ground` is what the plan was made for. Nobody else does
    /// the same task, and all tasks of earlier steps are done.
    pub(super) unsafe fn run(&self, task: usize, ground: Ground<'_>, images: &[f32], memory: &Shared<'_>) {
        // SAFETY: a step writes to one view, reads others that lie elsewhere, and cuts its output into tasks that
        // do not overlap; the rest is the caller's promise.
        unsafe {
            match self {
                Self::Interleave(step) => step.run(task, images, memory),
                Self::Maximum(step) => step.run(task, memory, ground.micro),
                Self::Mean(step) => step.run(task, memory),
                Self::Convolve(steps) => {
                    // Tasks of the same places follow each other, whatever the convolution.
                    let count = steps.len().max(1);
                    let step = steps.get(task % count);
                    if let Some((step, filter)) = step.and_then(|step| Some((step, ground.filters.get(step.filter)?))) {
                        step.run(task / count, filter, memory, ground.zeros, ground.micro);
                    }
                }
                Self::Spread(step) => step.run(task, memory, ground.zeros, ground.micro),
                Self::Gather(step) => {
                    if let Some(filter) = ground.filters.get(step.filter) {
                        step.run(task, memory, filter, ground.micro);
                    }
                }
            }
        }
    }
}

struct Builder<'a> {
    ground: Ground<'a>,
    offsets: &'a mut Offsets,
    steps: Vec<Step>,
    lengths: [usize; SLOTS],
    /// Values that stay, where everything does.
    kept: Option<usize>,
}

impl Bottlenecks for Builder<'_> {
    const TURNS: [usize; 2] = slot::TURNS;
    const REDUCED: usize = slot::REDUCED;
    const SPATIAL: usize = slot::SPATIAL;
    const SHORTCUT: usize = slot::SHORTCUT;
    const GATHERED: usize = slot::GATHERED;
    const KEPT: usize = slot::KEPT;

    fn kept(&mut self) -> &mut Option<usize> {
        &mut self.kept
    }

    fn keep(&mut self, view: View) -> View {
        view.kept_in(&mut self.lengths)
    }

    fn output_of(&self, layer: usize, input: Extent) -> Option<Extent> {
        Some(output_of(self.ground.filters.get(layer)?, input))
    }

    fn enter(&mut self, image: usize, side: (usize, usize)) -> Option<View> {
        let stem = self.ground.architecture.stem;
        let padding = self.ground.filters.get(stem)?.window.size / 2;
        let input = self.view(slot::INPUT, Interleave::output_of(side.0, side.1, padding));
        self.steps.push(Step::Interleave(Interleave { image, output: input, padding }));
        let [first, second] = slot::TURNS;
        let x = self.convolve(stem, input, first, After::Rectify)?;
        let pooled = self.view(second, Maximum::output_of::<f32>(x.extent, POOLING));
        self.steps.push(Step::Maximum(Maximum { input: x, output: pooled, window: POOLING }));
        Some(pooled)
    }

    fn convolve_into(&mut self, layer: usize, input: View, output: View, after: After) -> Option<()> {
        let filter = self.ground.filters.get(layer)?;
        let machine = (self.ground.micro, self.ground.threads);
        let step = Convolution::new((layer, filter), (input, output), after, self.offsets, machine);
        self.steps.push(Step::Convolve(vec![step]));
        Some(())
    }

    fn spatial(&mut self, layer: usize, input: View) -> Option<View> {
        match self.ground.matrices.get(layer).copied().flatten() {
            Some(matrices) => self.by_matrices(layer, matrices, input),
            None => self.convolve(layer, input, slot::SPATIAL, After::Rectify),
        }
    }
}

impl<'a> Builder<'a> {
    fn new(ground: Ground<'a>, offsets: &'a mut Offsets, kept: Option<usize>) -> Self {
        Self { ground, offsets, steps: Vec::new(), lengths: [0; SLOTS], kept }
    }

    /// The last stage and what is behind it: the plan.
    fn finished_from(mut self, features: View) -> Option<Plan> {
        let Architecture { last, hidden, logits, .. } = self.ground.architecture;
        let early = self.steps.len();
        let x = self.through(last, features)?;
        let pooled = self.view(slot::REDUCED, Mean::output_of(x.extent));
        self.steps.push(Step::Mean(Mean { input: x, output: pooled }));
        let trunk = self.steps.len();
        let hidden = self.convolve(*hidden, pooled, slot::SPATIAL, After::Rectify)?;
        // The pooled features stay: whoever reads the logits may want them, too.
        let logits = self.convolve(*logits, hidden, slot::SHORTCUT, After::Keep)?;
        let run = Run::new(self.steps.iter().map(Step::tasks).collect(), self.ground.threads);
        Some(Plan { steps: self.steps, run, early, features, trunk, pooled, logits, lengths: self.lengths })
    }

    /// Channels within a bottleneck.
    fn width(&self, block: &Bottleneck) -> usize {
        self.ground.filters.get(block.reduce).map_or(0, |filter| filter.outputs)
    }

    /// A 3x3 convolution by Winograd's matrices, whose filters begin at `matrices`; negative values become zero.
    fn by_matrices(&mut self, index: usize, matrices: usize, input: View) -> Option<View> {
        let extent = self.output_of(index, input.extent)?;
        let output = self.view(slot::SPATIAL, extent);
        let spread = self.keep(winograd::matrices(slot::SPREAD, input.extent));
        let products = self.keep(winograd::matrices(slot::PRODUCTS, extent));
        self.steps.push(Step::Spread(Spread { input, output: spread }));
        let mut steps = Vec::new();
        for value in 0..winograd::VALUES {
            let index = matrices + value;
            let views = (spread.image(value), products.image(value));
            // All together there are tasks enough.
            let machine = (self.ground.micro, 0);
            let filter = self.ground.filters.get(index)?;
            steps.push(Convolution::new((index, filter), views, After::Keep, self.offsets, machine));
        }
        self.steps.push(Step::Convolve(steps));
        self.steps.push(Step::Gather(Gather { filter: index, input: products, output }));
        Some(output)
    }
}
