//! A run of the network in narrow numbers laid out beforehand: every step, what it reads and writes, and how much memory that
//! takes.

use super::super::bottlenecks::Bottlenecks;
use super::super::convolution::{self, After};
use super::super::crew::Run;
use super::super::filter::Filter as Single;
use super::super::geometry::{Extent, Offsets};
use super::super::plan::{POOLING, TOGETHER_FROM};
use super::super::pooling;
use super::super::slots::{SLOTS, Shared, View};
use super::super::tile::Micro as SingleMicro;
use super::Narrow;
use super::convolution::Convolution;
use super::filter::Filter;
use super::pooling::{Interleave, Maximum, Mean};
use super::tile::Micro;
use crate::model::architecture::{Architecture, Bottleneck};

/// What the blocks of activations are for.
mod slot {
    /// Where bottlenecks read and write, in turn.
    pub(super) const TURNS: [usize; 2] = [0, 1];
    pub(super) const SHORTCUT: usize = 2;
    pub(super) const REDUCED: usize = 3;
    pub(super) const SPATIAL: usize = 4;
    /// What the stages that go image by image say of each.
    pub(super) const GATHERED: usize = 5;
    pub(super) const INPUT: usize = 6;
    /// Whatever a plan makes, where all of it stays.
    pub(super) const KEPT: usize = 7;
}

/// What the blocks of f32 are for.
mod single {
    pub(super) const POOLED: usize = 0;
    pub(super) const HIDDEN: usize = 1;
    pub(super) const LOGITS: usize = 2;
}

/// One step; all tasks of a step may be done at the same time.
pub(super) enum Step<N> {
    Interleave(Interleave<N>),
    /// In f32.
    Single(convolution::Convolution),
    Maximum(Maximum<N>),
    Convolve(Convolution),
    Mean(Mean<N>),
}

/// A layer's filter.
pub(super) enum Layer<N: Narrow> {
    /// In f32.
    Single(Single),
    Narrow(N::Filter),
}

/// What the plans of a network have in common.
pub(super) struct Ground<'a, N: Narrow> {
    pub(super) architecture: &'a Architecture,
    pub(super) layers: &'a [Layer<N>],
    /// How the image is stored.
    pub(super) image: &'a N::Code,
    /// How the output of each layer is stored.
    pub(super) codes: &'a [N::Code],
    /// As many zeros as the widest layer has channels.
    pub(super) zeros: &'a [N::Value],
    /// The same in f32.
    pub(super) single_zeros: &'a [f32],
    pub(super) micro: &'a Micro<N>,
    pub(super) single_micro: &'a SingleMicro,
    pub(super) threads: usize,
}

impl<N: Narrow> Clone for Ground<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N: Narrow> Copy for Ground<'_, N> {}

impl<'a, N: Narrow> Ground<'a, N> {
    fn narrow(&self, index: usize) -> Option<&'a N::Filter> {
        match self.layers.get(index)? {
            Layer::Narrow(filter) => Some(filter),
            Layer::Single(_) => None,
        }
    }

    fn single(&self, index: usize) -> Option<&'a Single> {
        match self.layers.get(index)? {
            Layer::Single(filter) => Some(filter),
            Layer::Narrow(_) => None,
        }
    }
}

/// The steps for so many images of one extent.
pub(super) struct Plan<N> {
    pub(super) steps: Vec<Step<N>>,
    /// How far a run of the steps is.
    pub(super) run: Run,
    /// Steps up to the features.
    pub(super) early: usize,
    pub(super) features: View,
    /// f32
    pub(super) pooled: View,
    /// f32
    pub(super) logits: View,
    /// Values that each block of activations needs.
    pub(super) values: [usize; SLOTS],
    /// Values that each block of f32 needs.
    pub(super) singles: [usize; SLOTS],
}

impl<N: Narrow> Plan<N> {
    /// For `images` of `rows` by `columns`; None where the filters are not those of the architecture.
    pub(super) fn new(
        ground: Ground<'_, N>,
        images: usize,
        side: (usize, usize),
        offsets: &mut Offsets,
    ) -> Option<Self> {
        let early = &ground.architecture.early;
        let mut builder = Builder::new(ground, offsets, None);
        let narrow =
            |block: &Bottleneck| ground.narrow(block.reduce).is_some_and(|filter| filter.outputs() < TOGETHER_FROM);
        let (narrow, wide) = early.split_at_checked(early.partition_point(narrow))?;
        let x = builder.each_image(images, side, narrow)?;
        let features = builder.through(wide, x)?;
        builder.finished_from(features)
    }

    /// From the features of one image on, which has so many rows and columns of them. What each layer gives stays there.
    pub(super) fn of_last_stage(
        ground: Ground<'_, N>,
        (rows, columns): (usize, usize),
        offsets: &mut Offsets,
    ) -> Option<Self> {
        let first = ground.architecture.last.first()?;
        let extent = Extent::new::<N::Value>(1, rows, columns, ground.narrow(first.reduce)?.reach().inputs);
        let mut builder = Builder::new(ground, offsets, Some(0));
        let features = builder.view(slot::KEPT, extent);
        builder.finished_from(features)
    }

    /// Where the output of a layer is, which holds for all layers where all of it stays.
    pub(super) fn output_of(&self, layer: usize) -> Option<Output> {
        self.steps.iter().find_map(|step| match step {
            Step::Convolve(step) if step.filter == layer => Some(Output::Narrow(step.output)),
            Step::Single(step) if step.filter == layer => Some(Output::Single(step.output)),
            _ => None,
        })
    }
}

/// A view of activations, or of f32.
pub(super) enum Output {
    Narrow(View),
    Single(View),
}

impl<N: Narrow> Step<N> {
    fn tasks(&self) -> usize {
        match self {
            Self::Interleave(step) => step.tasks(),
            Self::Single(step) => step.tasks(),
            Self::Maximum(step) => step.tasks(),
            Self::Convolve(step) => step.tasks(),
            Self::Mean(step) => step.tasks(),
        }
    }

    /// Does one task; `images` are those of the run, `[n, 3, rows, columns]`.
    ///
    /// # Safety
    /// The processor has the micro-kernels' instructions, and `ground` is what the plan was made for. Nobody else does
    /// the same task, and all tasks of earlier steps are done.
    pub(super) unsafe fn run(
        &self,
        task: usize,
        ground: Ground<'_, N>,
        images: &[f32],
        (values, singles): (&Shared<'_, N::Value>, &Shared<'_>),
    ) {
        // SAFETY: a step writes to one view, reads others that lie elsewhere, and cuts its output into tasks that
        // do not overlap; the rest is the caller's promise.
        unsafe {
            match self {
                Self::Interleave(step) => step.run(task, images, values),
                Self::Maximum(step) => step.run(task, values),
                Self::Mean(step) => step.run(task, values, singles),
                Self::Single(step) => {
                    if let Some(filter) = ground.single(step.filter) {
                        step.run(task, filter, singles, ground.single_zeros, ground.single_micro);
                    }
                }
                Self::Convolve(step) => {
                    if let Some(filter) = ground.narrow(step.filter) {
                        step.run(task, filter, values, ground.zeros, ground.micro);
                    }
                }
            }
        }
    }
}

struct Builder<'a, N: Narrow> {
    ground: Ground<'a, N>,
    offsets: &'a mut Offsets,
    steps: Vec<Step<N>>,
    values: [usize; SLOTS],
    singles: [usize; SLOTS],
    /// Activations that stay, where everything does.
    kept: Option<usize>,
}

impl<N: Narrow> Bottlenecks for Builder<'_, N> {
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
        view.kept_in(&mut self.values)
    }

    fn output_of(&self, layer: usize, input: Extent) -> Option<Extent> {
        Some(self.ground.narrow(layer)?.output_of(input))
    }

    fn enter(&mut self, image: usize, side: (usize, usize)) -> Option<View> {
        let stem = self.ground.architecture.stem;
        let padding = self.ground.narrow(stem)?.reach().window.size / 2;
        let input = self.view(slot::INPUT, pooling::Interleave::output_of(side.0, side.1, padding));
        // The last tap is read in whole pairs of groups.
        self.keep(View { extent: Extent { rows: input.extent.rows + 1, ..input.extent }, ..input });
        let single = pooling::Interleave { image, output: input, padding };
        self.steps.push(Step::Interleave(Interleave::new(single, self.ground.image)));
        let [first, second] = slot::TURNS;
        let x = self.convolve(stem, input, first, After::Rectify)?;
        let pooled = self.view(second, pooling::Maximum::output_of::<N::Value>(x.extent, POOLING));
        self.steps.push(Step::Maximum(Maximum::new((x, pooled), POOLING)));
        Some(pooled)
    }

    fn convolve_into(&mut self, layer: usize, input: View, output: View, after: After) -> Option<()> {
        let filter = self.ground.narrow(layer)?;
        let machine = (self.ground.micro, self.ground.threads);
        let step = Convolution::new((layer, filter), (input, output), after, self.offsets, machine);
        self.steps.push(Step::Convolve(step));
        Some(())
    }
}

impl<'a, N: Narrow> Builder<'a, N> {
    fn new(ground: Ground<'a, N>, offsets: &'a mut Offsets, kept: Option<usize>) -> Self {
        Self { ground, offsets, steps: Vec::new(), values: [0; SLOTS], singles: [0; SLOTS], kept }
    }

    /// The last stage and what is behind it: the plan.
    fn finished_from(mut self, features: View) -> Option<Plan<N>> {
        let Architecture { last, hidden, logits, .. } = self.ground.architecture;
        let early = self.steps.len();
        let x = self.through(last, features)?;
        let pooled = self.single_view(single::POOLED, pooling::Mean::output_of(x.extent));
        let code = self.ground.codes.get(last.last()?.expand)?;
        self.steps.push(Step::Mean(Mean::new((x, pooled), code)));
        let hidden = self.single(*hidden, pooled, single::HIDDEN, After::Rectify)?;
        let logits = self.single(*logits, hidden, single::LOGITS, After::Keep)?;
        let run = Run::new(self.steps.iter().map(Step::tasks).collect(), self.ground.threads);
        let Builder { steps, values, singles, .. } = self;
        Some(Plan { steps, run, early, features, pooled, logits, values, singles })
    }

    /// A view of f32 at the beginning of a block of memory.
    fn single_view(&mut self, slot: usize, extent: Extent) -> View {
        View { slot, start: 0, extent }.kept_in(&mut self.singles)
    }

    /// A layer in f32.
    fn single(&mut self, index: usize, input: View, slot: usize, after: After) -> Option<View> {
        let filter = self.ground.single(index)?;
        let output = self.single_view(slot, convolution::output_of(filter, input.extent));
        let machine = (self.ground.single_micro, self.ground.threads);
        let step = convolution::Convolution::new((index, filter), (input, output), after, self.offsets, machine);
        self.steps.push(Step::Single(step));
        Some(output)
    }
}
