//! Predictors (T.81 table H.1): what a sample is expected to be, from those to its left (a), above it (b) and above left (c).

use super::super::huffman::Bits;
use super::Broken;
use super::difference::Differences;

/// A predictor, by its selection value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    Left,
    Above,
    AboveLeft,
    Plane,
    LeftAndHalfSlope,
    AboveAndHalfSlope,
    Mean,
}

impl Predictor {
    /// That of a selection value, 1 to 7; 0 is for hierarchical coding.
    pub fn of(selection: u8) -> Option<Self> {
        Some(match selection {
            1 => Self::Left,
            2 => Self::Above,
            3 => Self::AboveLeft,
            4 => Self::Plane,
            5 => Self::LeftAndHalfSlope,
            6 => Self::AboveAndHalfSlope,
            7 => Self::Mean,
            _ => return None,
        })
    }

    /// Decodes a line under another one.
    pub fn line(
        self,
        differences: &Differences<'_>,
        bits: &mut Bits<'_>,
        above: &[u16],
        line: &mut [u16],
    ) -> Result<(), Broken> {
        match self {
            Self::Left => predicted(differences, bits, above, line, |a, _, _| a),
            Self::Above => predicted(differences, bits, above, line, |_, b, _| b),
            Self::AboveLeft => predicted(differences, bits, above, line, |_, _, c| c),
            Self::Plane => predicted(differences, bits, above, line, |a, b, c| a + b - c),
            Self::LeftAndHalfSlope => predicted(differences, bits, above, line, |a, b, c| a + ((b - c) >> 1)),
            Self::AboveAndHalfSlope => predicted(differences, bits, above, line, |a, b, c| b + ((a - c) >> 1)),
            Self::Mean => predicted(differences, bits, above, line, |a, b, _| (a + b) >> 1),
        }
    }
}

/// Decodes a line; its first sample is predicted by the one above it (H.1.2.1).
#[inline(always)]
fn predicted(
    differences: &Differences<'_>,
    bits: &mut Bits<'_>,
    above: &[u16],
    line: &mut [u16],
    predict: impl Fn(i32, i32, i32) -> i32,
) -> Result<(), Broken> {
    // In registers.
    let mut ahead = *bits;
    let (Some((first, line)), Some((&corner, above))) = (line.split_first_mut(), above.split_first()) else {
        return Ok(());
    };
    *first = corner.wrapping_add(differences.next(&mut ahead)?);
    let (mut left, mut corner) = (*first, corner);
    for (sample, &over) in line.iter_mut().zip(above) {
        let expected = predict(left.into(), over.into(), corner.into()) as u16;
        left = expected.wrapping_add(differences.next(&mut ahead)?);
        corner = over;
        *sample = left;
    }
    *bits = ahead;
    Ok(())
}
