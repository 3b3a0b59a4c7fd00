//! The adaptive statistics of JPEG-LS: one context per neighbourhood (T.87 A.2, A.5, A.6, A.7).

use super::super::Broken;
use super::Coding;
use super::bits::Bits;

/// The counters A, B, C and N of a regular context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Regular {
    a: i32,
    b: i32,
    c: i32,
    n: i32,
}

impl Regular {
    /// The initial counters (A.2.1).
    pub fn new(coding: &Coding) -> Self {
        Self { a: initial_a(coding), b: 0, c: 0, n: 1 }
    }

    /// The correction of the prediction.
    pub fn bias(&self) -> i32 {
        self.c
    }

    /// Reads an error value, still divided by the quantization step, and adapts to it (A.5, A.6).
    #[inline(always)]
    pub fn error(&mut self, bits: &mut Bits<'_>, coding: &Coding) -> Result<i32, Broken> {
        let k = golomb_parameter(self.n, self.a)?;
        let mapped = golomb(bits, k, coding.limit, coding.qbpp)?;
        let half = (mapped >> 1) as i32;
        let mut error = if mapped & 1 == 0 { half } else { -half - 1 };
        if coding.near == 0 && k == 0 && 2 * self.b <= -self.n {
            error = -error - 1;
        }
        within(error, coding)?;
        self.adapt(error, coding);
        Ok(error)
    }

    fn adapt(&mut self, error: i32, coding: &Coding) {
        self.b += error * (2 * coding.near + 1);
        self.a = self.a.saturating_add(error.abs());
        if self.n == coding.reset {
            self.a >>= 1;
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
    }
}

/// What ends a run (A.7.2): its two neighbours differ, or they are alike (RItype 0 and 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interruption {
    Edge,
    Flat,
}

/// The counters A, N and Nn of a run interruption context.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunEnd {
    kind: Interruption,
    a: i32,
    n: i32,
    negative: i32,
}

impl RunEnd {
    /// The initial counters (A.2.1).
    pub fn new(kind: Interruption, coding: &Coding) -> Self {
        Self { kind, a: initial_a(coding), n: 1, negative: 0 }
    }

    /// Reads an error value after a run whose order was `order` bits, and adapts to it.
    pub fn error(&mut self, bits: &mut Bits<'_>, coding: &Coding, order: u32) -> Result<i32, Broken> {
        let (ri_type, drift) = match self.kind {
            Interruption::Edge => (0, 0),
            Interruption::Flat => (1, self.n >> 1),
        };
        let k = golomb_parameter(self.n, self.a + drift)?;
        let mapped = golomb(bits, k, coding.limit - order - 1, coding.qbpp)? as i32;
        let map = (mapped + ri_type) & 1;
        let magnitude = (mapped + ri_type + map) / 2;
        let mostly_negative = k != 0 || 2 * self.negative >= self.n;
        let error = if mostly_negative == (map == 1) { -magnitude } else { magnitude };
        within(error, coding)?;
        self.negative += i32::from(error < 0);
        self.a = self.a.saturating_add((mapped + 1 - ri_type) >> 1);
        if self.n == coding.reset {
            self.a >>= 1;
            self.n >>= 1;
            self.negative >>= 1;
        }
        self.n += 1;
        Ok(error)
    }
}

/// No error value is larger than the range of values.
fn within(error: i32, coding: &Coding) -> Result<(), Broken> {
    if error.abs() <= coding.range { Ok(()) } else { Err(Broken::ErrorValue) }
}

fn initial_a(coding: &Coding) -> i32 {
    ((coding.range + 32) / 64).max(2)
}

/// The least k with n * 2^k >= a (A.5.1).
fn golomb_parameter(n: i32, a: i32) -> Result<u32, Broken> {
    let (n, a) = (n.unsigned_abs(), a.unsigned_abs());
    // As many bits as a has; then n * 2^k is a at least, or its double is.
    let k = n.leading_zeros().saturating_sub(a.leading_zeros());
    let k = k + u32::from(u64::from(n) << k < u64::from(a));
    if k <= 16 { Ok(k) } else { Err(Broken::Statistics) }
}

/// A Golomb code of limited length (A.5.3).
fn golomb(bits: &mut Bits<'_>, k: u32, limit: u32, qbpp: u32) -> Result<u32, Broken> {
    let escape = limit.checked_sub(qbpp + 1).ok_or(Broken::CodeTooLong)?;
    let zeros = bits.zeros(escape)?;
    if zeros < escape { Ok((zeros << k) + bits.bits(k)?) } else { Ok(bits.bits(qbpp)? + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golomb_parameter_is_the_least() {
        for n in 1..=70 {
            for a in (0..3000).chain([65_535, n << 16]) {
                let least = (0..=16).find(|k| n << k >= a);
                assert_eq!(golomb_parameter(n, a).ok(), least, "{n} {a}");
            }
            assert!(golomb_parameter(n, (n << 16) + 1).is_err());
        }
    }
}
