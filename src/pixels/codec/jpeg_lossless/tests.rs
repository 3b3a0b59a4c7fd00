//! The decoder against an encoder that is written here from the same standard, and against streams of other encoders.

use proptest::prelude::*;

use super::super::{Cells, Kept};
use super::*;

/// What a picture is coded with.
#[derive(Debug, Clone, Copy)]
struct Form {
    rows: usize,
    columns: usize,
    precision: u8,
    predictor: u8,
    point_transform: u8,
    /// Rows between restart markers; 0 for none.
    restart: usize,
}

/// Writes codes: every category 0 to 16 by five bits, so that 31, all ones, is none.
#[derive(Default)]
struct Writer {
    octets: Vec<u8>,
    held: u32,
    count: u32,
}

impl Writer {
    fn put(&mut self, value: u32, size: u32) {
        for bit in (0..size).rev() {
            self.held = self.held << 1 | value >> bit & 1;
            self.count += 1;
            if self.count == 8 {
                self.octets.push(self.held as u8);
                if self.held == 0xff {
                    self.octets.push(0);
                }
                (self.held, self.count) = (0, 0);
            }
        }
    }

    fn pad(&mut self) {
        while self.count != 0 {
            self.put(1, 1);
        }
    }

    /// A difference modulo 65536 (H.1.2.2): -32767 to 32768.
    fn difference(&mut self, difference: u16) {
        let signed = i32::from(difference as i16);
        if signed == -32768 {
            return self.put(16, 5);
        }
        let size = 32 - signed.unsigned_abs().leading_zeros();
        self.put(size, 5);
        self.put((if signed < 0 { signed - 1 } else { signed }) as u32, size);
    }
}

/// The prediction of table H.1 and H.1.2.1.
fn prediction(form: &Form, samples: &[u16], row: usize, column: usize) -> i32 {
    let at = |row: usize, column: usize| i32::from(samples[row * form.columns + column]);
    let is_first_line = row == 0 || form.restart > 0 && row.is_multiple_of(form.restart);
    match (is_first_line, column) {
        (true, 0) => 1 << (form.precision - form.point_transform - 1),
        (true, _) => at(row, column - 1),
        (false, 0) => at(row - 1, 0),
        (false, _) => {
            let (a, b, c) = (at(row, column - 1), at(row - 1, column), at(row - 1, column - 1));
            [a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1][usize::from(form.predictor) - 1]
        }
    }
}

/// A stream of these samples, from which the point transform's bits are gone.
fn encoded(form: &Form, samples: &[u16]) -> Vec<u8> {
    let word = |value: usize| (value as u16).to_be_bytes();
    let mut stream = vec![0xff, 0xd8, 0xff, 0xc3, 0, 11, form.precision];
    stream.extend([word(form.rows), word(form.columns)].concat());
    stream.extend([1, 1, 0x11, 0]);
    stream.extend([0xff, 0xc4, 0, 36, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    stream.extend(0..17);
    if form.restart > 0 {
        stream.extend([&[0xff, 0xdd, 0, 4], &word(form.restart * form.columns)[..]].concat());
    }
    stream.extend([0xff, 0xda, 0, 8, 1, 1, 0, form.predictor, 0, form.point_transform]);
    let mut writer = Writer::default();
    for row in 0..form.rows {
        if form.restart > 0 && row > 0 && row.is_multiple_of(form.restart) {
            writer.pad();
            writer.octets.extend([0xff, 0xd0 + (row / form.restart - 1) as u8 % 8]);
        }
        for column in 0..form.columns {
            let sample = i32::from(samples[row * form.columns + column]);
            writer.difference((sample - prediction(form, samples, row, column)) as u16);
        }
    }
    writer.pad();
    [stream, writer.octets, vec![0xff, 0xd9]].concat()
}

fn decoded(stream: &[u8]) -> Result<Vec<u16>, Broken> {
    let mut kept = Kept::new(0);
    decode(stream, &mut kept)?;
    match kept.cells() {
        Cells::Words(words) => Ok(words),
        Cells::Bytes(bytes) => Ok(bytes.into_iter().map(u16::from).collect()),
    }
}

/// Samples of a form, of any values.
fn pictures() -> impl Strategy<Value = (Form, Vec<u16>)> {
    let form = (1..12_usize, 1..40_usize, 2..=16_u8, 1..=7_u8, 0..15_u8, 0..4_usize).prop_map(
        |(rows, columns, precision, predictor, point_transform, restart)| {
            let point_transform = point_transform.min(precision - 1);
            Form { rows, columns, precision, predictor, point_transform, restart }
        },
    );
    form.prop_flat_map(|form| {
        let largest = u16::MAX >> (16 - form.precision + form.point_transform);
        let sample = prop_oneof![0..=largest, Just(0), Just(largest)];
        (Just(form), prop::collection::vec(sample, form.rows * form.columns))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_was_encoded_comes_back((form, samples) in pictures()) {
        let expected: Vec<u16> = samples.iter().map(|sample| sample << form.point_transform).collect();
        prop_assert_eq!(decoded(&encoded(&form, &samples)), Ok(expected));
    }

    #[test]
    fn a_stream_that_was_changed_or_cut_gives_an_error_or_as_many_samples(
        (form, samples) in pictures(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let whole = encoded(&form, &samples);
        let frame = Frame::parse(&segments(&whole).unwrap().next().unwrap().unwrap()).unwrap();
        let mut stream = whole.clone();
        for (at, octet) in changes {
            let at = at.index(stream.len());
            stream[at] = octet;
        }
        // Of another size is not what the caller lets through.
        let same = segments(&stream).ok().and_then(|mut all| all.next()).and_then(Result::ok);
        prop_assume!(same.is_some_and(|first| Frame::parse(&first) == Ok(frame)));
        if let Ok(found) = decoded(&stream) {
            prop_assert_eq!(found.len(), samples.len());
        }
        // Without EOI and the octet before it, samples are missing, or were coded with bits to spare.
        stream.clone_from(&whole);
        stream.truncate(end.index(whole.len() - 3));
        if let Ok(found) = decoded(&stream) {
            prop_assert_eq!(found.len(), samples.len());
        }
    }
}

const FORM: Form = Form { rows: 2, columns: 3, precision: 12, predictor: 1, point_transform: 0, restart: 1 };

/// The stream of a small picture after a change of one of its octets.
fn changed(octet: usize, to: u8) -> Result<Vec<u16>, Broken> {
    let mut stream = encoded(&FORM, &[2000; 6]);
    stream[octet] = to;
    decoded(&stream)
}

#[test]
fn forms_that_the_process_does_not_have_are_refused() {
    assert_eq!(changed(3, 0xc3), Ok(vec![2000; 6]));
    assert_eq!(changed(3, 0xc1), Err(Broken::ForeignProcess));
    let restart = 13 + 2 + 38;
    assert_eq!(changed(restart + 5, 4), Err(Broken::RestartInterval));
    let scan = restart + 6;
    for (place, octet) in [(4, 2), (7, 0), (7, 8), (8, 1), (9, 12), (9, 16)] {
        assert_eq!(changed(scan + place, octet), Err(Broken::ScanForm), "{place} {octet}");
    }
    assert_eq!(changed(scan + 6, 0x30), Err(Broken::NoTable));
    assert_eq!(changed(scan + 6, 0x50), Err(Broken::NoTable));
}

#[test]
fn categories_above_16_and_codes_that_are_none_are_refused() {
    let table = 13 + 2;
    // The category that stands for 11 in the table: 2000 is 48 below the middle, six bits.
    assert_eq!(changed(table + 2 + 17 + 2 + 6, 17), Err(Broken::ErrorValue));
    let mut stream = encoded(&FORM, &[2000; 6]);
    let data = stream.len() - stream.iter().rev().position(|octet| *octet == 0xda).unwrap() + 7 + 2;
    stream[data] = 0xfe;
    assert_eq!(decoded(&stream), Err(Broken::NoSuchCode));
    stream.truncate(data);
    assert_eq!(decoded(&stream), Err(Broken::EndsEarly));
}

#[test]
fn a_restart_marker_that_is_missing_is_told_of() {
    let mut stream = encoded(&FORM, &[2000; 6]);
    let marker = stream.windows(2).position(|pair| pair == [0xff, 0xd0]).unwrap();
    stream.drain(marker..marker + 2);
    assert!(decoded(&stream).is_err());
}
