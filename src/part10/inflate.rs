//! Inflates a deflated data set (PS3.5 A.5) into memory, once, within a bound, before anything looks at it.

use std::io::BufRead;

use bytes::Bytes;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::ReadError;

/// Octets that are made room for at first.
const ROOM: usize = 1 << 20;

/// Inflates to the end of the deflated data, to `largest` octets at most. Where the data is cut, that is where it ends.
pub(super) fn inflated(mut deflated: impl BufRead, largest: u64) -> Result<Bytes, ReadError> {
    let largest = usize::try_from(largest).unwrap_or(usize::MAX);
    let mut decompressor = DecompressorOxide::new();
    let mut octets = vec![0; ROOM.min(largest)];
    let mut filled = 0;
    loop {
        let input = deflated.fill_buf().map_err(ReadError::Io)?;
        let more = if input.is_empty() { 0 } else { TINFL_FLAG_HAS_MORE_INPUT };
        let flags = more | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, taken, given) = decompress(&mut decompressor, input, &mut octets, filled, flags);
        let is_cut = input.is_empty();
        deflated.consume(taken);
        filled += given;
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress if is_cut => break,
            TINFLStatus::NeedsMoreInput => {}
            TINFLStatus::HasMoreOutput if octets.len() == largest => {
                return Err(ReadError::NotDicom(super::TOO_LARGE.into()));
            }
            TINFLStatus::HasMoreOutput => octets.resize(octets.len().saturating_mul(2).min(largest), 0),
            _ => return Err(ReadError::NotDicom("its deflated data set is damaged".into())),
        }
    }
    octets.truncate(filled);
    Ok(octets.into())
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn deflated(octets: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    }

    fn told(deflated: &[u8], largest: u64) -> String {
        inflated(deflated, largest).unwrap_err().to_string()
    }

    #[test]
    fn what_was_deflated_comes_back_whatever_its_size_and_the_readers() {
        for size in [0, 1, 255, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM + 7] {
            let octets: Vec<u8> = (0..size).map(|at| (at * at / 97 % 251) as u8).collect();
            let deflated = [deflated(&octets), vec![0; 3]].concat();
            for capacity in [13, 1 << 16] {
                let reader = BufReader::with_capacity(capacity, &deflated[..]);
                assert!(inflated(reader, size as u64).unwrap() == octets, "{size}");
            }
        }
    }

    #[test]
    fn nothing_grows_beyond_the_bound() {
        let bomb = deflated(&vec![0; 9 << 20]);
        assert!(told(&bomb, (9 << 20) - 1).contains("larger than the bound"), "{}", told(&bomb, 9));
        assert!(told(&bomb, 0).contains("larger than the bound"));
    }

    #[test]
    fn damage_is_an_error_and_a_cut_an_end() {
        let octets: Vec<u8> = (0..9000_u32).map(|at| (at * at / 97 % 251) as u8).collect();
        let whole = deflated(&octets);
        assert!(told(&[7, 9, 11], 100).contains("damaged"));
        let cut = inflated(&whole[..whole.len() / 2], 9000).unwrap();
        assert!(!cut.is_empty() && octets.starts_with(&cut) && cut.len() < octets.len());
    }
}
