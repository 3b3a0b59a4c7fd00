//! The network on the processor: packed weights, threads, and memory that is kept from one run to the next.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::backward::back;
use super::buffer::Buffer;
use super::crew::Crew;
use super::filter::{Filter, Rows};
use super::geometry::{Extent, Walk, Window};
use super::isa::Isa;
use super::memory::{Memory, Room};
use super::plan::{Ground, Plan};
use super::pooling::COLOURS;
use super::slopes::{After, Given, Slopes};
use super::slots::{Slots, View};
use super::tile::Micro;
use super::way_back::{Back, WayForth};
use super::winograd;
use crate::model::architecture::{Architecture, Layer};

/// Images of one run. Larger batches are done in several: more would not be faster, and take more memory.
pub(in crate::model) const IMAGES_OF_A_RUN: usize = 4;

/// Fewest weights of a layer that stays in half precision if it is stored so: each run reads them from memory, and widening takes about
/// as long as half of that way.
const WEIGHTS_FROM_AFAR: usize = 100_000;

/// Places of the largest image; offsets into its activations fit in 32 bits.
const LARGEST_IMAGE: usize = 1 << 22;

/// Images that the network can look at.
#[derive(Clone, Copy)]
pub(in crate::model) struct Images<'a> {
    /// `[n, 3, rows, columns]`
    pub(super) values: &'a [f32],
    rows: usize,
    columns: usize,
}

impl<'a> Images<'a> {
    /// None for other shapes than `[n, 3, rows, columns]` with as many values, and for images without a place or with
    /// more than 4 million.
    pub(in crate::model) fn new(values: &'a [f32], [n, channels, rows, columns]: [usize; 4]) -> Option<Self> {
        let places = rows.checked_mul(columns).filter(|places| (1..=LARGEST_IMAGE).contains(places))?;
        let fits = channels == COLOURS && n.checked_mul(COLOURS * places) == Some(values.len());
        fits.then_some(Self { values, rows, columns })
    }

    /// Rows and columns.
    pub(super) fn side(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Values of each.
    pub(super) fn one(&self) -> usize {
        COLOURS * self.rows * self.columns
    }
}

/// An activation of all images, `[n, rows, columns, channels]`.
pub(in crate::model) struct Features {
    pub(in crate::model) values: Vec<f32>,
    pub(in crate::model) shape: [usize; 4],
}

impl Features {
    /// Of no image.
    pub(super) fn none() -> Self {
        Self { values: Vec::new(), shape: [0; 4] }
    }

    /// Those of more images, a few after the other.
    pub(super) fn more(&mut self, extent: Extent, values: impl Iterator<Item: IntoIterator<Item = f32>>) {
        self.shape = [self.shape[0] + extent.images, extent.rows, extent.columns, extent.channels];
        self.values.reserve(extent.values());
        values.for_each(|values| self.values.extend(values));
    }
}

/// What a run of the whole network says of its images, one after the other.
pub(in crate::model) struct Seen {
    /// The mean of each channel of the last stage.
    pub(in crate::model) pooled: Vec<f32>,
    /// `outputs` for each image.
    pub(in crate::model) logits: Vec<f32>,
}

impl Seen {
    /// Of no image.
    pub(super) fn nothing() -> Self {
        Self { pooled: Vec::new(), logits: Vec::new() }
    }
}

/// What the last stage makes of the values of one image in front of it.
pub(in crate::model) struct Slope {
    pub(in crate::model) seen: Seen,
    /// How a weighted sum of the logits changes with each of those values.
    pub(in crate::model) slopes: Vec<f32>,
}

/// The network. One run at a time; others wait for it.
pub(in crate::model) struct Network {
    architecture: Architecture,
    /// Those of the layers, then those of Winograd's matrices.
    filters: Vec<Filter>,
    /// Where among the filters those of a layer's matrices begin.
    matrices: Vec<Option<usize>>,
    zeros: Buffer,
    micro: &'static Micro,
    crew: Crew,
    memory: Mutex<Memory<Slots, Plan>>,
    /// For the last stage of one image, of which everything stays.
    explained: Mutex<Memory<Slots, Plan>>,
}

impl Network {
    /// Packs the weights that `layer` gives for each layer, for these instructions; 0 threads are one a processor.
    pub(in crate::model) fn new<R: Rows, E: Send + From<rayon::ThreadPoolBuildError>>(
        architecture: Architecture,
        layer: impl Fn(&Layer) -> Result<R, E> + Sync,
        threads: usize,
        isa: Isa,
    ) -> Result<Self, E> {
        let (crew, micro) = (Crew::new(threads)?, Micro::of(isa));
        let layers = architecture.layers.par_iter().enumerate().with_max_len(1);
        let pack = |(index, each): (usize, &Layer)| Ok(packed(&architecture, (index, each), &layer(each)?, micro));
        let packed: Result<Vec<Packed>, E> = crew.install(|| layers.map(pack).collect());
        let (mut filters, mut matrices, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for Packed { filter, mut parts } in packed? {
            let first = architecture.layers.len() + others.len();
            matrices.push((!parts.is_empty()).then_some(first));
            filters.push(filter);
            others.append(&mut parts);
        }
        filters.append(&mut others);
        let widest = architecture.layers.iter().map(|layer| layer.inputs).max().unwrap_or(0);
        Ok(Self {
            filters,
            matrices,
            zeros: Buffer::zeroed(widest),
            architecture,
            micro,
            crew,
            memory: Mutex::new(Memory::empty()),
            explained: Mutex::new(Memory::empty()),
        })
    }

    /// The instructions that it uses.
    pub(in crate::model) fn isa(&self) -> Isa {
        self.micro.isa
    }

    /// Which layers there are.
    pub(in crate::model) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Pooled features and logits of each image, from one run. None where the filters are not the architecture's.
    pub(in crate::model) fn look(&self, images: Images<'_>) -> Option<Seen> {
        let mut seen = Seen::nothing();
        self.run(images, Reach::Logits, |plan, slots| {
            seen.pooled.extend(places(slots, &plan.pooled));
            seen.logits.extend(places(slots, &plan.logits));
        })?;
        Some(seen)
    }

    /// The mean of each channel of the last stage, for one image after the other. None where the filters are not the
    /// architecture's.
    pub(in crate::model) fn pooled(&self, images: Images<'_>) -> Option<Vec<f32>> {
        let mut pooled = Vec::new();
        self.run(images, Reach::Pooled, |plan, slots| pooled.extend(places(slots, &plan.pooled)))?;
        Some(pooled)
    }

    /// What [`Network::pooled`] gave of `images` of `rows` by `columns`: the same bits as [`Network::look`].
    pub(in crate::model) fn look_at_pooled(&self, pooled: &[f32], images: usize, side: (usize, usize)) -> Option<Seen> {
        self.go_on(pooled, images, side, |plan| (plan.pooled, plan.trunk))
    }

    /// The same of what [`Network::features`] gave.
    pub(in crate::model) fn look_at_last(&self, values: &[f32], images: usize, side: (usize, usize)) -> Option<Seen> {
        self.go_on(values, images, side, |plan| (plan.features, plan.early))
    }

    /// What the last stage makes of what [`Network::features`] gave of one image, so many rows and columns of it; `weights` says
    /// how much each of the logits counts, given all of them.
    pub(in crate::model) fn slope(
        &self,
        values: &[f32],
        side: (usize, usize),
        weights: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Option<Slope> {
        let mut memory = self.explained.lock().unwrap_or_else(PoisonError::into_inner);
        let ground = self.ground();
        let (slots, plan) = memory.prepare(1, side, |offsets| Plan::of_last_stage(ground, side, offsets))?;
        if plan.features.extent.values() != values.len() {
            return None;
        }
        slots.write(&plan.features, values);
        self.take(plan, 0..plan.steps.len(), (ground, &[]), slots);
        let seen = Seen { pooled: places(slots, &plan.pooled), logits: places(slots, &plan.logits) };
        let Self { architecture, filters, micro, crew, .. } = self;
        let forth = Forth { architecture, filters, micro, plan, slots };
        let back = Back { architecture, crew, features: plan.features.extent, forth: &forth };
        let slopes = back.through_all(&weights(&seen.logits))?;
        Some(Slope { seen, slopes })
    }

    /// On from the values of a view; `from` names the view and the first step behind it.
    fn go_on(
        &self,
        values: &[f32],
        images: usize,
        side: (usize, usize),
        from: impl Fn(&Plan) -> (View, usize),
    ) -> Option<Seen> {
        let each = values.len() / images.max(1);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Seen::nothing();
        for values in values.chunks((each * IMAGES_OF_A_RUN).max(1)) {
            let ground = self.ground();
            let count = values.len() / each;
            let (slots, plan) = memory.prepare(count, side, |offsets| Plan::new(ground, count, side, offsets))?;
            let (view, first) = from(plan);
            if view.extent.values() != values.len() {
                return None;
            }
            slots.write(&view, values);
            self.take(plan, first..plan.steps.len(), (ground, &[]), slots);
            seen.pooled.extend(places(slots, &plan.pooled));
            seen.logits.extend(places(slots, &plan.logits));
        }
        Some(seen)
    }

    /// What the last stage but one says. None where the filters are not the architecture's.
    pub(in crate::model) fn features(&self, images: Images<'_>) -> Option<Features> {
        let mut features = Features::none();
        self.run(images, Reach::Features, |plan, slots| {
            features.more(plan.features.extent, std::iter::once(places(slots, &plan.features)));
        })?;
        Some(features)
    }

    /// Shows the output of each convolution, ReLU and what is added included, channels last, one image after the other;
    /// that of the first one behind the pooling that follows it. None where the filters are not the architecture's.
    pub(in crate::model) fn watch(&self, images: Images<'_>, mut show: impl FnMut(usize, &[f32])) -> Option<()> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (ground, side) = (self.ground(), images.side());
        for values in images.values.chunks(images.one()) {
            let (slots, plan) = memory.prepare(1, side, |offsets| Plan::new(ground, 1, side, offsets))?;
            for step in 0..plan.trunk {
                self.take(plan, step..step + 1, (ground, values), slots);
                if let Some((layer, view)) = plan.steps.get(step)?.shows(&self.architecture) {
                    show(layer, &places(slots, &view));
                }
            }
        }
        Some(())
    }

    /// Runs a few images at a time, and shows what came of them.
    fn run(&self, images: Images<'_>, reach: Reach, mut show: impl FnMut(&Plan, &Slots)) -> Option<()> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let ground = self.ground();
        for values in images.values.chunks(images.one() * IMAGES_OF_A_RUN) {
            let (count, side) = (values.len() / images.one(), images.side());
            let (slots, plan) = memory.prepare(count, side, |offsets| Plan::new(ground, count, side, offsets))?;
            let end = match reach {
                Reach::Features => plan.early,
                Reach::Pooled => plan.trunk,
                Reach::Logits => plan.steps.len(),
            };
            self.take(plan, 0..end, (ground, values), slots);
            show(plan, slots);
        }
        Some(())
    }

    fn ground(&self) -> Ground<'_> {
        Ground {
            architecture: &self.architecture,
            filters: &self.filters,
            matrices: &self.matrices,
            zeros: self.zeros.values(),
            micro: self.micro,
            threads: self.crew.threads(),
        }
    }

    /// Takes some steps of a plan that was made for this ground and so many images.
    fn take(&self, plan: &mut Plan, steps: Range<usize>, (ground, images): (Ground<'_>, &[f32]), slots: &mut Slots) {
        let (shared, list) = (slots.share(), &plan.steps);
        self.crew.run(&mut plan.run, steps, |step, task| {
            if let Some(step) = list.get(step) {
                // SAFETY: the instructions are those of this processor, the plan was made for this ground and so many
                // images, and the crew does each task once and step after step.
                unsafe { step.run(task, ground, images, &shared) }
            }
        });
    }
}

/// A way forth in f32.
struct Forth<'a> {
    architecture: &'a Architecture,
    filters: &'a [Filter],
    micro: &'a Micro,
    plan: &'a Plan,
    slots: &'a Slots,
}

impl WayForth for Forth<'_> {
    fn window(&self, layer: usize) -> Option<Window> {
        Some(self.filters.get(layer)?.window)
    }

    fn given(&self, layer: usize) -> Option<Given<'_>> {
        let view = self.plan.output_of(layer, self.architecture)?;
        Some(Given { values: self.slots.read(&view).into(), apart: view.extent.pitch })
    }

    fn columns(&self, _layer: usize) -> Option<usize> {
        Some(self.micro.columns)
    }

    fn back(&self, layer: usize, slopes: &Slopes, side: (usize, usize), after: &After<'_>) -> Option<Slopes> {
        back(self.micro, self.filters.get(layer)?, slopes, side, after)
    }
}

impl Room<Plan> for Slots {
    fn grow_for(&mut self, plan: &Plan) {
        self.grow(&plan.lengths);
    }

    fn settle(&mut self) {
        self.settle();
    }
}

/// The values of a view, without what fills up its places.
pub(super) fn places(slots: &Slots, view: &View) -> Vec<f32> {
    let Extent { channels, pitch, .. } = view.extent;
    let mut values = Vec::with_capacity(view.extent.values());
    for place in slots.read(view).chunks_exact(pitch) {
        values.extend_from_slice(place.get(..channels).unwrap_or_default());
    }
    values
}

/// The filter of a layer, and those of Winograd's matrices where the layer is computed by them.
struct Packed {
    filter: Filter,
    parts: Vec<Filter>,
}

fn packed(architecture: &Architecture, (index, layer): (usize, &Layer), raw: &impl Rows, micro: &Micro) -> Packed {
    let (size, stride) = (layer.kernel.size, layer.kernel.stride);
    if index == architecture.stem {
        // Its input is padded when it is interleaved.
        let window = Window { size, stride, padding: 0 };
        return Packed { filter: Filter::pack(raw, layer.inputs, window, Walk::Rows, micro), parts: Vec::new() };
    }
    let window = Window { size, stride, padding: size / 2 };
    // In the last stage their weights, nearly twice as many, would cost more than they save.
    if window == winograd::WINDOW && architecture.early.iter().any(|block| block.spatial == index) {
        let filter = Filter::without_weights(raw.bias(), layer.inputs, window, micro.columns);
        return Packed { filter, parts: winograd::spread_weights(raw, layer.inputs, micro) };
    }
    let filter = match raw.scale() {
        Some(factors) if factors.len() * layer.inputs * size * size >= WEIGHTS_FROM_AFAR => {
            Filter::pack_halves((raw, factors), layer.inputs, window, micro)
        }
        _ => Filter::pack(raw, layer.inputs, window, Walk::Places, micro),
    };
    Packed { filter, parts: Vec::new() }
}

/// How far a run goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Features,
    Pooled,
    Logits,
}
