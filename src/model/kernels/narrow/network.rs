//! The network on the processor in narrow numbers: packed weights, threads, and memory that is kept from one run to the next.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytemuck::Zeroable;
use rayon::prelude::*;

use super::super::buffer::Buffer;
use super::super::crew::Crew;
use super::super::filter::{Filter as Single, Raw};
use super::super::geometry::{Walk, Window};
use super::super::isa::Isa;
use super::super::memory::Memory;
use super::super::network::{Features, IMAGES_OF_A_RUN, Images, Seen, places};
use super::super::slots::Slots;
use super::super::tile::Micro as SingleMicro;
use super::super::trust;
use super::Narrow;
use super::filter::{Codes, Filter, Reach};
use super::plan::{Ground, Layer, Plan};
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

impl<N: Narrow> Network<N> {
    /// Packs the weights that `layer` gives for each layer, for these instructions; 0 threads are one a processor.
    pub(in crate::model) fn new<E: Send + From<rayon::ThreadPoolBuildError>>(
        architecture: Architecture,
        layer: impl Fn(&architecture::Layer) -> Result<Raw, E> + Sync,
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
            Ok(Layer::Single(Single::pack(&raw, each.inputs, window, Walk::Places, single_micro.columns)))
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
        })
    }

    /// The instructions that it uses.
    pub(in crate::model) fn isa(&self) -> Isa {
        self.micro.isa
    }

    /// Threads that compute it.
    pub(in crate::model) fn threads(&self) -> usize {
        self.crew.threads()
    }

    /// Which layers there are.
    pub(in crate::model) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The weights of one layer as they count.
    pub(in crate::model) fn layer(&self, index: usize) -> Option<Raw> {
        match self.layers.get(index)? {
            Layer::Narrow(filter) => Some(filter.unpack()),
            Layer::Single(filter) => Some(Raw { weights: filter.unpack(), bias: filter.bias().to_vec() }),
        }
    }

    /// Pooled features and logits of each image, from one run. None where the filters are not the architecture's.
    pub(in crate::model) fn look(&self, images: Images<'_>) -> Option<Seen> {
        let mut seen = Seen::nothing();
        self.run(images, [|plan| plan.steps.len()], |_, plan, blocks| blocks.add_to(&mut seen, plan))?;
        Some(seen)
    }

    /// The same, and what the last stage but one says.
    pub(in crate::model) fn features(&self, images: Images<'_>) -> Option<(Features, Seen)> {
        let code = self.codes.get(self.architecture.early.last()?.expand)?;
        let (mut features, mut seen) = (Features::none(), Seen::nothing());
        self.run(images, [|plan| plan.early, |plan| plan.steps.len()], |stop, plan, blocks| match stop {
            0 => {
                let extent = plan.features.extent;
                let steps = N::steps(code, extent.channels);
                let number = |(value, step): (&N::Value, &f32)| N::number(*value) * step;
                let places = blocks.values.read(&plan.features).chunks_exact(extent.pitch);
                features.more(extent, places.flat_map(|place| place.iter().zip(&steps).map(number)));
            }
            _ => blocks.add_to(&mut seen, plan),
        })?;
        Some((features, seen))
    }

    /// Runs a few images at a time, and shows what came of them up to each of some steps.
    fn run<const STOPS: usize>(
        &self,
        images: Images<'_>,
        stops: [fn(&Plan<N>) -> usize; STOPS],
        mut show: impl FnMut(usize, &Plan<N>, &Blocks<N::Value>),
    ) -> Option<()> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let ground = self.ground();
        for values in images.values.chunks(images.one() * IMAGES_OF_A_RUN) {
            let (count, side) = (values.len() / images.one(), images.side());
            let (blocks, plan) = memory.prepare(count, side, |offsets, blocks: &mut Blocks<N::Value>| {
                let plan = Plan::new(ground, count, side, offsets)?;
                blocks.values.grow(&plan.values);
                blocks.singles.grow(&plan.singles);
                Some(plan)
            })?;
            let mut begin = 0;
            for (stop, end) in stops.iter().enumerate() {
                let end = end(plan);
                self.take(plan, begin..end, (ground, values), blocks);
                show(stop, plan, blocks);
                begin = end;
            }
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
