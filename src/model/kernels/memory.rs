//! What is kept from one run of a network to the next: memory, offsets, and a plan for each number of images.

use std::collections::HashMap;

use super::geometry::Offsets;

/// Blocks of memory for plans of a kind.
pub(super) trait Room<P>: Default {
    /// Makes each block as large as a plan needs it.
    fn grow_for(&mut self, plan: &P);

    /// Says that a plan of it has been gone through.
    fn settle(&mut self);
}

/// Blocks `B` and plans `P`, all for images of the same extent.
pub(super) struct Memory<B, P> {
    blocks: B,
    offsets: Offsets,
    /// By number of images.
    plans: HashMap<usize, P>,
    side: (usize, usize),
}

impl<B: Room<P>, P> Memory<B, P> {
    /// Nothing yet, for images of `rows` by `columns`.
    fn of(side: (usize, usize)) -> Self {
        Self { blocks: B::default(), offsets: Offsets::default(), plans: HashMap::new(), side }
    }

    /// Before the first run.
    pub(super) fn empty() -> Self {
        Self::of((0, 0))
    }

    /// Memory and a plan for so many images of an extent; `plan` makes one that is not there. None
    /// where it cannot.
    pub(super) fn prepare(
        &mut self,
        count: usize,
        side: (usize, usize),
        plan: impl FnOnce(&mut Offsets) -> Option<P>,
    ) -> Option<(&mut B, &mut P)> {
        if self.side != side {
            *self = Self::of(side);
        }
        if !self.plans.contains_key(&count) {
            let plan = plan(&mut self.offsets)?;
            self.blocks.grow_for(&plan);
            self.plans.insert(count, plan);
        } else {
            self.blocks.settle();
        }
        Some((&mut self.blocks, self.plans.get_mut(&count)?))
    }
}
