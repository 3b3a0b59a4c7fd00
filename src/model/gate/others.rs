//! Pictures for the gate to learn from: chest radiographs as other devices may show them, and pictures that are none.

use std::f32::consts::TAU;

use fastrand::Rng;

use crate::model::Picture;

fn within(random: &mut Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * random.f32()
}

/// A chest radiograph as another device, window or collimation may show it: turned by up to 8 degrees, cut by up to a
/// sixth, in another window and on another curve, or with dark borders.
pub fn variation(chest: &Picture, random: &mut Rng) -> Picture {
    let angle = if random.bool() { within(random, -0.14, 0.14) } else { 0.0 };
    let (sine, cosine) = angle.sin_cos();
    let (width, height) = (within(random, 0.84, 1.0), within(random, 0.84, 1.0));
    let (left, top) = (random.f32() * (1.0 - width), random.f32() * (1.0 - height));
    let varied = chest.moved(|x, y| {
        let (x, y) = (left + x * width - 0.5, top + y * height - 0.5);
        (0.5 + cosine * x - sine * y, 0.5 + sine * x + cosine * y)
    });
    let contrast = if random.bool() { within(random, 0.3, 0.9) } else { within(random, 0.9, 1.4) };
    let lift = if contrast < 1.0 { random.f32() * (1.0 - contrast) } else { 0.5 * (1.0 - contrast) };
    let curve = within(random, -0.4, 0.4).exp();
    let border = if random.u8(0..4) == 0 { within(random, 0.0, 0.08) } else { 0.0 };
    let toned = varied.toned(|value| (lift + contrast * value).clamp(0.0, 1.0).powf(curve));
    let inside = |place: f32| place >= border && place <= 1.0 - border;
    Picture::drawn(toned.sides(), |x, y| if inside(x) && inside(y) { toned.at(x, y) } else { 0.0 })
}

/// A picture that is no chest radiograph, made of one: upside down, turned by a half or a quarter, negative, a small part of
/// it (soft tissue and bones as elsewhere in the body), or its parts in disorder.
pub fn other(chest: &Picture, random: &mut Rng) -> Picture {
    match random.u8(0..8) {
        0 => chest.moved(|x, y| (x, 1.0 - y)),
        1 => chest.moved(|x, y| (1.0 - x, 1.0 - y)),
        2 => chest.moved(|x, y| (y, 1.0 - x)),
        3 => chest.moved(|x, y| (1.0 - y, x)),
        4 => chest.clone().negative(),
        5 => disordered(chest, random),
        _ => part(chest, random),
    }
}

fn part(chest: &Picture, random: &mut Rng) -> Picture {
    let side = within(random, 0.2, 0.45);
    let (left, top) = (random.f32() * (1.0 - side), random.f32() * (1.0 - side));
    let turned = random.u8(0..8);
    let part = chest.moved(|x, y| {
        let (x, y) = match turned {
            0 => (y, x),
            1 => (1.0 - y, x),
            2 => (x, 1.0 - y),
            _ => (x, y),
        };
        (left + x * side, top + y * side)
    });
    if random.u8(0..3) == 0 { part.negative() } else { part }
}

fn disordered(chest: &Picture, random: &mut Rng) -> Picture {
    let cells = if random.bool() { 2 } else { 4 };
    let mut order: Vec<usize> = (0..cells * cells).collect();
    random.shuffle(&mut order);
    // As they were is no disorder.
    let unchanged = order.is_sorted();
    order.rotate_left(usize::from(unchanged));
    let side = cells as f32;
    chest.moved(|x, y| {
        let cell = |place: f32| ((place * side) as usize).min(cells - 1);
        let from = order.get(cell(y) * cells + cell(x)).copied().unwrap_or_default();
        let shift = |own: usize, from: usize| (from as f32 - own as f32) / side;
        (x + shift(cell(x), from % cells), y + shift(cell(y), from / cells))
    })
}

/// A picture that was never a radiograph: blank, a slope, waves, a chequerboard, noise, clouds, clouds on one ground, or
/// simple shapes.
pub fn pattern(sides: (usize, usize), random: &mut Rng) -> Picture {
    let (sine, cosine) = (random.f32() * TAU).sin_cos();
    let along = move |x: f32, y: f32| cosine * (x - 0.5) + sine * (y - 0.5);
    let strength = within(random, 0.3, 1.0);
    match random.u8(0..8) {
        0 => Picture::drawn(sides, |_, _| strength),
        1 => Picture::drawn(sides, |x, y| 0.5 + 0.7 * along(x, y)),
        2 => {
            let waves = TAU * within(random, 0.0, 6.0).exp2();
            Picture::drawn(sides, |x, y| strength * (0.5 + 0.5 * (waves * along(x, y)).sin()))
        }
        3 => {
            let fields = within(random, 1.0, 6.0).exp2();
            Picture::drawn(sides, |x, y| strength * (((x * fields) as u32 + (y * fields) as u32) % 2) as f32)
        }
        4 => Picture::drawn(sides, |_, _| 0.5 + strength * (random.f32() - 0.5)),
        5 => clouds(sides, random).toned(|value| strength * value),
        6 => {
            let (ground, shade) = (clouds(sides, random), clouds(sides, random));
            Picture::drawn(sides, |x, y| if ground.at(x, y) > 0.5 { strength * shade.at(x, y) } else { 0.0 })
        }
        _ => shapes(sides, random),
    }
}

/// Random values on a coarse grid, and straight between them.
fn clouds(sides: (usize, usize), random: &mut Rng) -> Picture {
    let cells = within(random, 1.5, 5.0).exp2() as usize;
    let grid = Picture::drawn((cells, cells), |_, _| random.f32());
    Picture::drawn(sides, |x, y| grid.at(x, y))
}

fn shapes(sides: (usize, usize), random: &mut Rng) -> Picture {
    let ground = random.f32();
    let mut picture = Picture::drawn(sides, |_, _| ground);
    for _ in 0..random.u8(1..8) {
        let (x, y, luminance) = (random.f32(), random.f32(), random.f32());
        let (width, height) = (within(random, 0.03, 0.4), within(random, 0.03, 0.4));
        let round = random.bool();
        let before = picture.clone();
        picture = Picture::drawn(sides, |u, v| {
            let (across, down) = ((u - x) / width, (v - y) / height);
            let reach = if round { across.hypot(down) } else { across.abs().max(down.abs()) };
            if reach < 1.0 { luminance } else { before.at(u, v) }
        });
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: (usize, usize) = (32, 24);

    /// Bright above, dark below, brighter to the left.
    fn chest() -> Picture {
        Picture::drawn(SIDES, |x, y| 0.9 - 0.6 * y - 0.2 * x)
    }

    #[test]
    fn a_variation_keeps_what_is_up_and_another_picture_is_never_the_same() {
        let mut random = Rng::with_seed(1);
        for _ in 0..50 {
            let varied = variation(&chest(), &mut random);
            assert_eq!(varied.values.len(), 32 * 24);
            assert!(varied.at(0.5, 0.2) > varied.at(0.5, 0.8));
            let other = other(&chest(), &mut random);
            let difference = other.values.iter().zip(&chest().values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference > 0.05, "{difference}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_patterns_within_black_and_white() {
        let draw = |seed| {
            let mut random = Rng::with_seed(seed);
            (0..40).map(|_| pattern(SIDES, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        let patterns = draw(4);
        assert!(patterns.iter().flat_map(|pattern| &pattern.values).all(|value| (0.0..=1.0).contains(value)));
        assert!(patterns.iter().any(|pattern| *pattern != patterns[0]));
    }
}
