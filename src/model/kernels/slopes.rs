//! How something changes with the values of an activation, and what becomes of that at a ReLU and where two ways meet.

use std::borrow::Cow;

/// How something changes with the values of one image's activation: `[panels, places, columns]`, channels filled up with zeros
/// to whole panels.
pub(super) struct Slopes {
    pub(super) values: Vec<f32>,
    pub(super) places: usize,
    pub(super) columns: usize,
}

/// What a ReLU gave, place by place.
pub(super) struct Given<'a> {
    pub(super) values: Cow<'a, [f32]>,
    /// From one place to the next.
    pub(super) apart: usize,
}

/// What becomes of the slopes of some inputs.
#[derive(Default)]
pub(super) struct After<'a> {
    /// Slopes of the same values on another way are added.
    pub(super) beside: Option<&'a Slopes>,
    /// Then slopes behind a ReLU become those in front of it.
    pub(super) rectified: Option<Given<'a>>,
}

impl Slopes {
    /// Of nothing, in panels of so many columns.
    pub(super) fn zeros((places, channels): (usize, usize), columns: usize) -> Self {
        Self { values: vec![0.0; places * channels.next_multiple_of(columns)], places, columns }
    }

    /// Whether they are those of so many places and channels in such panels.
    pub(super) fn are(&self, (places, channels): (usize, usize), columns: usize) -> bool {
        let length = places * channels.next_multiple_of(columns);
        places > 0 && (self.places, self.columns, self.values.len()) == (places, columns, length)
    }

    /// From `[places, channels]`.
    pub(super) fn of(values: &[f32], places: usize, columns: usize) -> Self {
        let channels = values.len() / places.max(1);
        let mut slopes = Self::zeros((places, channels), columns);
        for (panel, to) in slopes.values.chunks_exact_mut((places * columns).max(1)).enumerate() {
            for (to, from) in to.chunks_exact_mut(columns).zip(values.chunks_exact(channels.max(1))) {
                let from = from.get(panel * columns..channels.min((panel + 1) * columns)).unwrap_or_default();
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
        slopes
    }

    /// As `[places, channels]`.
    pub(super) fn by_place(&self, channels: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.places * channels];
        let panels = self.values.chunks_exact((self.places * self.columns).max(1));
        for (panel, from) in panels.enumerate() {
            for (to, from) in values.chunks_exact_mut(channels.max(1)).zip(from.chunks_exact(self.columns)) {
                let to = to.get_mut(panel * self.columns..).unwrap_or_default();
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
        values
    }

    /// Slopes behind a ReLU become those in front of it.
    pub(super) fn rectify(&mut self, given: &Given<'_>) {
        let panels = self.values.chunks_exact_mut((self.places * self.columns).max(1));
        panels.enumerate().for_each(|(panel, slopes)| given.rectify(panel, slopes, self.columns));
    }

    /// Those of one panel of channels.
    pub(super) fn panel(&self, panel: usize) -> &[f32] {
        let length = self.places * self.columns;
        self.values.get(panel * length..(panel + 1) * length).unwrap_or_default()
    }
}

impl Given<'_> {
    /// The slopes of one panel behind the ReLU become those in front of it.
    fn rectify(&self, panel: usize, slopes: &mut [f32], columns: usize) {
        for (slopes, given) in slopes.chunks_exact_mut(columns).zip(self.values.chunks_exact(self.apart.max(1))) {
            let given = given.get(panel * columns..).unwrap_or_default();
            slopes.iter_mut().zip(given).for_each(|(slope, given)| *slope = if *given > 0.0 { *slope } else { 0.0 });
        }
    }
}

impl After<'_> {
    /// Whether it is that of slopes of so many places and channels, in such panels.
    pub(super) fn fits(&self, (places, channels): (usize, usize), columns: usize) -> bool {
        self.beside.is_none_or(|beside| beside.are((places, channels), columns))
            && self.rectified.as_ref().is_none_or(|given| given.values.len() == given.apart * places)
    }

    /// Does it to the slopes of one panel.
    pub(super) fn finish(&self, panel: usize, slopes: &mut [f32], columns: usize) {
        if let Some(beside) = self.beside {
            slopes.iter_mut().zip(beside.panel(panel)).for_each(|(slope, beside)| *slope += beside);
        }
        if let Some(given) = &self.rectified {
            given.rectify(panel, slopes, columns);
        }
    }
}
