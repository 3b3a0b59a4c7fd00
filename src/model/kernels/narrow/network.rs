//! The network on the processor in narrow numbers: packed weights, threads, and memory that is kept from one run to the next.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytemuck::Zeroable;
use rayon::prelude::*;

use super::super::backward;
use super::super::buffer::Buffer;
use super::super::crew::Crew;
use super::super::filter::{Filter as Single, Rows};
use super::super::geometry::{Walk, Window};
use super::super::isa::Isa;
use super::super::memory::{Memory, Room};
use super::super::network::{Features, IMAGES_OF_A_RUN, Images, Seen, Slope, places};
use super::super::slopes::{After, Given, Slopes};
use super::super::slots::Slots;
use super::super::tile::Micro as SingleMicro;
use super::super::trust;
use super::super::way_back::{Back, WayForth};
use super::Narrow;
use super::backward::back;
use super::filter::{Codes, Filter, Reach};
use super::plan::{Ground, Layer, Output, Plan};
use super::tile::Micro;
use crate::model::architecture::{self, Architecture, Source, Sources};

/// What is known of a network beside its weights.
pub(in crate::model) struct Known<N: Narrow> {
    /// How the image is stored.
    pub(in crate::model) image: N::Code,
    /// Of each layer that is computed in narrow numbers.
    pub(in crate::model) layers: Vec<Option<N::Layer>>,
    /// How the output of each layer is stored.
    pub(in crate::model) codes: Vec<N::Code>,
}

/// The network. One run at a time; others wait for it.
pub(in crate::model) struct Network<N: Narrow> {
    architecture: Architecture,
    layers: Vec<Layer<N>>,
    image: N::Code,
    codes: Vec<N::Code>,
    zeros: Buffer<N::Value>,
    single_zeros: Buffer,
    micro: &'static Micro<N>,
    single_micro: &'static SingleMicro,
    crew: Crew,
    memory: Mutex<Memory<Blocks<N::Value>, Plan<N>>>,
    /// For the last stage of one image, of which everything stays.
    explained: Mutex<Memory<Blocks<N::Value>, Plan<N>>>,
}

/// The memory of a run.
struct Blocks<T> {
    values: Slots<T>,
    singles: Slots,
}

impl<T: Zeroable + Copy> Default for Blocks<T> {
    /// Without memory.
    fn default() -> Self {
        Self { values: Slots::default(), singles: Slots::default() }
    }
}

impl<T: Zeroable + Copy> Blocks<T> {
    /// What a whole run says of its images.
    fn add_to<N: Narrow<Value = T>>(&self, seen: &mut Seen, plan: &Plan<N>) {
        seen.pooled.extend(places(&self.singles, &plan.pooled));
        seen.logits.extend(places(&self.singles, &plan.logits));
    }
}

impl<N: Narrow> Room<Plan<N>> for Blocks<N::Value> {
    fn grow_for(&mut self, plan: &Plan<N>) {
        self.values.grow(&plan.values);
        self.singles.grow(&plan.singles);
    }

    fn settle(&mut self) {
        self.values.settle();
        self.singles.settle();
    }
}

impl<N: Narrow> Network<N> {
    /// Packs the weights that `layer` gives for each layer, for these instructions; 0 threads are one a processor.
    pub(in crate::model) fn new<R: Rows, E: Send + From<rayon::ThreadPoolBuildError>>(
        architecture: Architecture,
        layer: impl Fn(&architecture::Layer) -> Result<R, E> + Sync,
        known: Known<N>,
        threads: usize,
        isa: Isa,
    ) -> Result<Self, E> {
        let (crew, micro, single_micro) = (Crew::new(threads)?, N::micro(isa), SingleMicro::of(trust::trusted()));
        let Known { image, layers: known, codes } = known;
        let sources = architecture.sources();
        let codes_of = |index: usize| {
            let code = |source: Source| match source {
                Source::Image => Some(&image),
                Source::Layer(layer) => codes.get(layer),
            };
            let Sources { input, added } = sources.get(index).copied().flatten()?;
            Some(Codes { input: code(input)?, output: codes.get(index)?, added: added.and_then(code) })
        };
        let pack = |(index, each): (usize, &architecture::Layer)| -> Result<Layer<N>, E> {
            let raw = layer(each)?;
            let known = known.get(index).and_then(Option::as_ref).zip(codes_of(index));
            if let Some(((known, codes), reach)) = known.zip(Reach::of(&architecture, index)) {
                return Ok(Layer::Narrow(N::Filter::pack(&raw, known, reach, micro.columns, codes)));
            }
            let window = Window { size: each.kernel.size, stride: each.kernel.stride, padding: 0 };
            Ok(Layer::Single(Single::pack(&raw, each.inputs, window, Walk::Places, single_micro)))
        };
        let layers = architecture.layers.par_iter().enumerate().with_max_len(1);
        let layers: Result<Vec<Layer<N>>, E> = crew.install(|| layers.map(pack).collect());
        let widest = architecture.layers.iter().map(|layer| layer.inputs).max().unwrap_or(0);
        Ok(Self {
            layers: layers?,
            image,
            codes,
            zeros: Buffer::zeroed(widest.next_multiple_of(N::PAIR)),
            single_zeros: Buffer::zeroed(widest),
            architecture,
            micro,
            single_micro,
            crew,
            memory: Mutex::new(Memory::empty()),
            explained: Mutex::new(Memory::empty()),
        })
    }

    /// The instructions that it uses.
    pub(in crate::model) fn isa(&self) -> Isa {
        self.micro.isa
    }

    /// Pooled features and logits of each image, from one run. None where the filters are not the architecture's.
    pub(in crate::model) fn look(&self, images: Images<'_>) -> Option<Seen> {
        let mut seen = Seen::nothing();
        self.run(images, |plan| plan.steps.len(), |plan, blocks| blocks.add_to(&mut seen, plan))?;
        Some(seen)
    }

    /// What the last stage but one says. None where the filters are not the architecture's.
    pub(in crate::model) fn features(&self, images: Images<'_>) -> Option<Features> {
        let (code, mut features) = (self.codes.get(self.architecture.early.last()?.expand)?, Features::none());
        let show = |plan: &Plan<N>, blocks: &Blocks<N::Value>| {
            let extent = plan.features.extent;
            let steps = N::steps(code, extent.channels);
            let places = blocks.values.read(&plan.features).chunks_exact(extent.pitch);
            let number = |(value, step): (&N::Value, &f32)| N::number(*value) * step;
            features.more(extent, places.map(|place| place.iter().zip(&steps).map(number)));
        };
        self.run(images, |plan| plan.early, show)?;
        Some(features)
    }

    /// What the last stage makes of what [`Network::features`] gave of one image: as [`super::super::Network::slope`], with slopes
    /// that are rounded where a layer's weights are multiplied with them.
    pub(in crate::model) fn slope(
        &self,
        values: &[f32],
        side: (usize, usize),
        weights: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Option<Slope> {
        let mut memory = self.explained.lock().unwrap_or_else(PoisonError::into_inner);
        let ground = self.ground();
        let (blocks, plan) = memory.prepare(1, side, |offsets| Plan::of_last_stage(ground, side, offsets))?;
        let features = plan.features.extent;
        if features.values() != values.len() {
            return None;
        }
        let code = self.codes.get(self.architecture.early.last()?.expand)?;
        let steps = N::steps(code, features.channels);
        let (zero, mut stored) = (N::zero(code), Vec::with_capacity(values.len()));
        for place in values.chunks(features.channels) {
            stored.extend(place.iter().zip(&steps).map(|(value, step)| N::value(value / step + zero)));
        }
        blocks.values.write(&plan.features, &stored);
        self.take(plan, 0..plan.steps.len(), (ground, &[]), blocks);
        let mut seen = Seen::nothing();
        blocks.add_to(&mut seen, plan);
        let Self { architecture, layers, crew, .. } = self;
        let forth = Forth { layers, micros: (self.micro, self.single_micro), plan, blocks };
        let back = Back { architecture, crew, features, forth: &forth };
        let slopes = back.through_all(&weights(&seen.logits))?;
        Some(Slope { seen, slopes })
    }

    /// Runs a few images at a time up to a step, and shows what came of them.
    fn run(
        &self,
        images: Images<'_>,
        end: fn(&Plan<N>) -> usize,
        mut show: impl FnMut(&Plan<N>, &Blocks<N::Value>),
    ) -> Option<()> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let ground = self.ground();
        for values in images.values.chunks(images.one() * IMAGES_OF_A_RUN) {
            let (count, side) = (values.len() / images.one(), images.side());
            let (blocks, plan) = memory.prepare(count, side, |offsets| Plan::new(ground, count, side, offsets))?;
            let end = end(plan);
            self.take(plan, 0..end, (ground, values), blocks);
            show(plan, blocks);
        }
        Some(())
    }

    fn ground(&self) -> Ground<'_, N> {
        Ground {
            architecture: &self.architecture,
            layers: &self.layers,
            image: &self.image,
            codes: &self.codes,
            zeros: self.zeros.values(),
            single_zeros: self.single_zeros.values(),
            micro: self.micro,
            single_micro: self.single_micro,
            threads: self.crew.threads(),
        }
    }

    /// Takes some steps of a plan that was made for this ground and so many images.
    fn take(
        &self,
        plan: &mut Plan<N>,
        steps: Range<usize>,
        (ground, images): (Ground<'_, N>, &[f32]),
        blocks: &mut Blocks<N::Value>,
    ) {
        let (values, singles, list) = (blocks.values.share(), blocks.singles.share(), &plan.steps);
        self.crew.run(&mut plan.run, steps, |step, task| {
            if let Some(step) = list.get(step) {
                // SAFETY: the instructions are those of this processor, the plan was made for this ground and so many
                // images, and the crew does each task once and step after step.
                unsafe { step.run(task, ground, images, (&values, &singles)) }
            }
        });
    }
}

/// A way forth in narrow numbers.
struct Forth<'a, N: Narrow> {
    layers: &'a [Layer<N>],
    micros: (&'a Micro<N>, &'a SingleMicro),
    plan: &'a Plan<N>,
    blocks: &'a Blocks<N::Value>,
}

impl<N: Narrow> WayForth for Forth<'_, N> {
    fn window(&self, layer: usize) -> Option<Window> {
        Some(match self.layers.get(layer)? {
            Layer::Single(filter) => filter.window,
            Layer::Narrow(filter) => filter.reach().window,
        })
    }

    fn given(&self, layer: usize) -> Option<Given<'_>> {
        match self.plan.output_of(layer)? {
            Output::Single(view) => {
                Some(Given { values: self.blocks.singles.read(&view).into(), apart: view.extent.pitch })
            }
            Output::Narrow(view) => {
                let numbers = self.blocks.values.read(&view).iter().map(|value| N::number(*value));
                Some(Given { values: numbers.collect(), apart: view.extent.pitch })
            }
        }
    }

    fn columns(&self, layer: usize) -> Option<usize> {
        let (narrow, single) = self.micros;
        Some(match self.layers.get(layer)? {
            Layer::Single(_) => single.columns,
            Layer::Narrow(_) => narrow.columns,
        })
    }

    fn back(&self, layer: usize, slopes: &Slopes, side: (usize, usize), after: &After<'_>) -> Option<Slopes> {
        let (narrow, single) = self.micros;
        match self.layers.get(layer)? {
            Layer::Single(filter) => backward::back(single, filter, slopes, side, after),
            Layer::Narrow(filter) => back(narrow, filter, slopes, side, after),
        }
    }
}
