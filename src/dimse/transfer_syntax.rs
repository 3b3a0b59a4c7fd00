//! Transfer syntaxes that Auscult takes (PS3.5 section 10, PS3.6 table A-1): every one it can decode.

use std::fmt;

use crate::ids::TransferSyntaxUid;

/// Implicit VR Little Endian, the default transfer syntax (PS3.5 10.1).
pub const IMPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

/// Native pixel data: nothing to decode, so preferred.
const UNCOMPRESSED: &[&str] = &[IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.2"];

const COMPRESSED: &[&str] = &[
    "1.2.840.10008.1.2.1.99",  // deflated explicit VR little endian
    "1.2.840.10008.1.2.5",     // RLE lossless
    "1.2.840.10008.1.2.4.50",  // JPEG baseline
    "1.2.840.10008.1.2.4.51",  // JPEG extended
    "1.2.840.10008.1.2.4.57",  // JPEG lossless
    "1.2.840.10008.1.2.4.70",  // JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80",  // JPEG-LS lossless
    "1.2.840.10008.1.2.4.81",  // JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90",  // JPEG 2000 lossless only
    "1.2.840.10008.1.2.4.91",  // JPEG 2000
    "1.2.840.10008.1.2.4.201", // HTJ2K lossless only
    "1.2.840.10008.1.2.4.202", // HTJ2K lossless RPCL
    "1.2.840.10008.1.2.4.203", // HTJ2K
    "1.2.840.10008.1.2.4.110", // JPEG XL lossless
    "1.2.840.10008.1.2.4.111", // JPEG XL of JPEG baseline
    "1.2.840.10008.1.2.4.112", // JPEG XL
];

/// The syntax to accept for one presentation context: the first uncompressed one in the peer's order if it
/// proposes any, else the first that Auscult takes.
pub fn choose<T: AsRef<str>>(proposed: &[T]) -> Option<TransferSyntaxUid> {
    first_of(proposed, UNCOMPRESSED).or_else(|| first_of(proposed, COMPRESSED))?.parse().ok()
}

/// The syntax to accept where the data sets are arguments of commands, without pixels: little endian if proposed.
pub fn choose_uncompressed<T: AsRef<str>>(proposed: &[T]) -> Option<TransferSyntaxUid> {
    let little = first_of(proposed, &[IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN]);
    little.or_else(|| first_of(proposed, UNCOMPRESSED))?.parse().ok()
}

/// The first in the peer's order that is among those known.
fn first_of<'a, T: AsRef<str>>(proposed: &'a [T], known: &[&str]) -> Option<&'a str> {
    let mut offered = proposed.iter().map(|text| text.as_ref().trim_end_matches(['\0', ' ']));
    offered.find(|text| known.contains(text))
}

/// Whether a data set in this syntax may be written again in implicit VR without touching pixel data.
pub fn is_uncompressed(syntax: &impl fmt::Display) -> bool {
    UNCOMPRESSED.contains(&syntax.to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncompressed_is_preferred_in_the_peers_order() {
        let chosen = |list: &[&str]| choose(list).map(String::from);
        let jpeg = "1.2.840.10008.1.2.4.70";
        let explicit = Some(EXPLICIT_VR_LITTLE_ENDIAN.to_owned());
        assert_eq!(chosen(&[jpeg, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN]), explicit);
        assert_eq!(chosen(&["1.2.3", jpeg, "1.2.840.10008.1.2.4.90"]), Some(jpeg.to_owned()));
        assert_eq!(chosen(&["1.2.840.10008.1.2.4.100", "nonsense"]), None);
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn arguments_of_commands_come_uncompressed_and_little_endian_if_they_can() {
        let chosen = |list: &[&str]| choose_uncompressed(list).map(String::from);
        let (big, explicit) = ("1.2.840.10008.1.2.2", EXPLICIT_VR_LITTLE_ENDIAN);
        assert_eq!(chosen(&[big, explicit, IMPLICIT_VR_LITTLE_ENDIAN]).as_deref(), Some(explicit));
        assert_eq!(chosen(&["1.2.840.10008.1.2.1.99", big]).as_deref(), Some(big));
        assert_eq!(chosen(&["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.70"]), None);
    }
}
