//! Augmentation: images of training as another projection, device or window might have shown them.
//!
//! How far each change goes is what COVID-Net was trained with (Wang, Lin and Wong, Scientific Reports 2020, on chest
//! radiographs): turned by up to 10 degrees, enlarged by up to 15 %, brightness and contrast changed by up to 10 %.

use std::collections::BTreeSet;
use std::fmt;

use blake3::Hash;
use fastrand::Rng;

use crate::model::Picture;

/// The largest angle, in degrees.
const ANGLE: f32 = 10.0;
/// The smallest share of each side that a crop leaves.
const SIDE: f32 = 0.85;
/// The largest change of brightness, in luminance 0 to 1, and of contrast, as a share.
const TONE: f32 = 0.1;

/// One kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Turned by up to 10 degrees.
    Rotation,
    /// Cut to 85 to 100 % of each side.
    Crop,
    /// Brighter or darker by up to 10 %, contrast 90 to 110 %.
    Tone,
    /// Left for right, of half of the copies: the heart is then on the wrong side.
    HorizontalFlip,
}

impl Change {
    /// As options name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::Crop => "crop",
            Self::Tone => "tone",
            Self::HorizontalFlip => "horizontal-flip",
        }
    }
}

/// How images of training are changed, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Augmentation {
    /// The kinds of change; every copy gets all of them, each by an amount of its own.
    pub changes: BTreeSet<Change>,
    /// Changed copies of each image; at least 1. An epoch takes one of them, or the image as it is.
    pub copies: usize,
    /// Of the amounts.
    pub seed: u64,
}

impl Augmentation {
    /// What a copy of an image depends on, `copy` from 1: image, changes and seed.
    pub(super) fn key(&self, image: &Hash, copy: usize) -> Hash {
        let Self { changes, seed, .. } = self;
        blake3::hash(format!("{image} {changes:?} {ANGLE} {SIDE} {TONE} {seed} {copy}").as_bytes())
    }

    /// The copy with this key.
    pub(super) fn copy(&self, picture: &Picture, key: &Hash) -> Picture {
        let seed = key.as_bytes().first_chunk().copied().unwrap_or_default();
        let mut random = Rng::with_seed(u64::from_le_bytes(seed));
        let mut within = |low: f32, high: f32| low + (high - low) * random.f32();
        let does = |change| self.changes.contains(&change);
        let flipped = within(0.0, 1.0) < 0.5 && does(Change::HorizontalFlip);
        let angle = if does(Change::Rotation) { within(-ANGLE, ANGLE).to_radians() } else { 0.0 };
        let side = if does(Change::Crop) { within(SIDE, 1.0) } else { 1.0 };
        let (left, top) = (within(0.0, 1.0 - side), within(0.0, 1.0 - side));
        let (sine, cosine) = angle.sin_cos();
        let (rows, columns) = picture.sides();
        let tallness = rows as f32 / columns.max(1) as f32;
        let moved = picture.moved(|x, y| {
            let (x, y) = (left + side * if flipped { 1.0 - x } else { x } - 0.5, (top + side * y - 0.5) * tallness);
            (0.5 + cosine * x - sine * y, 0.5 + (sine * x + cosine * y) / tallness)
        });
        if !does(Change::Tone) {
            return moved;
        }
        let (brightness, contrast) = (within(-TONE, TONE), within(1.0 - TONE, 1.0 + TONE));
        moved.toned(|value| 0.5 + contrast * (value - 0.5) + brightness)
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, copies, .. } = self;
        let amount = |change: &Change| match change {
            Change::Rotation => format!("rotation up to {ANGLE} degrees"),
            Change::Crop => format!("crop to {:.0} % of each side or more", 100.0 * SIDE),
            Change::Tone => format!("brightness and contrast by up to {:.0} %", 100.0 * TONE),
            Change::HorizontalFlip => "horizontal flip of half of them".to_owned(),
        };
        let changes: Vec<String> = changes.iter().map(amount).collect();
        write!(f, "{}; {copies} copies of each image of training", changes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: usize = 64;

    fn augmentation(changes: &[Change]) -> Augmentation {
        Augmentation { changes: changes.iter().copied().collect(), copies: 40, seed: 3 }
    }

    /// Brighter to the right and, less so, downwards.
    fn slope() -> Picture {
        let place = |at: usize| (at as f32 + 0.5) / SIDES as f32;
        let values = (0..SIDES * SIDES).map(|at| 0.2 + 0.4 * place(at % SIDES) + 0.2 * place(at / SIDES)).collect();
        Picture { values, columns: SIDES }
    }

    fn copies(changes: &[Change]) -> Vec<Picture> {
        let (augmentation, image) = (augmentation(changes), blake3::hash(b"image"));
        (1..=40).map(|copy| augmentation.copy(&slope(), &augmentation.key(&image, copy))).collect()
    }

    /// Mean slope to the right and downwards over the middle, where no edge shows.
    fn slopes(picture: &Picture) -> (f32, f32) {
        let at = |row: usize, column: usize| picture.values[row * SIDES + column];
        let (low, high) = (SIDES / 4, 3 * SIDES / 4);
        ((at(32, high) - at(32, low)) * 2.0, (at(high, 32) - at(low, 32)) * 2.0)
    }

    #[test]
    fn every_change_stays_within_its_range_and_varies() {
        for copy in copies(&[Change::Rotation]) {
            let (right, down) = slopes(&copy);
            let angle = (down.atan2(right) - 0.2_f32.atan2(0.4)).to_degrees();
            assert!(angle.abs() < 10.2, "{angle}");
        }
        for copy in copies(&[Change::Crop]) {
            let (right, _) = slopes(&copy);
            assert!((0.4 * 0.85 - 0.002..0.402).contains(&right), "{right}");
        }
        for copy in copies(&[Change::Tone]) {
            let (right, _) = slopes(&copy);
            let middle = copy.values[32 * SIDES + 32];
            assert!((0.355..0.445).contains(&right) && (middle - 0.5).abs() < 0.111, "{right} {middle}");
        }
        let flipped = copies(&[Change::HorizontalFlip]).iter().filter(|copy| slopes(copy).0 < 0.0).count();
        assert!((10..30).contains(&flipped), "{flipped} of 40");
        let all = [Change::Rotation, Change::Crop, Change::Tone];
        assert!(copies(&all).iter().all(|copy| slopes(copy).0 > 0.0), "nothing is mirrored unless it is asked for");
        let unlike = copies(&all).windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(unlike, 39);
    }

    #[test]
    fn a_copy_depends_on_image_changes_seed_and_number_only() {
        let (some, image) = (augmentation(&[Change::Crop]), blake3::hash(b"image"));
        assert_eq!(some.key(&image, 1), Augmentation { copies: 2, ..some.clone() }.key(&image, 1));
        let others = [
            some.key(&image, 2),
            some.key(&blake3::hash(b"other"), 1),
            augmentation(&[Change::Tone]).key(&image, 1),
            Augmentation { seed: 4, ..some.clone() }.key(&image, 1),
        ];
        assert!(others.iter().all(|other| *other != some.key(&image, 1)));
    }
}
