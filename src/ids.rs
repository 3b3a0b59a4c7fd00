//! The words everything else is written in: DICOM identifiers as types of their own.
//!
//! A value of one of these types is well-formed: it can be put on the wire, into a file name
//! or into a log line without another check.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Namespace of every UID that Auscult derives (a random UUID, fixed for good).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_2c55_8f0e_4c7b_9a40_21d3_5be7_0c91);

/// Auscult's Implementation Class UID (PS3.7 D.3.3.2), the same in every version.
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.147724352163562420131370443160829439889";

/// Auscult's Implementation Version Name (PS3.7 D.3.3.2), at most 16 characters.
pub const IMPLEMENTATION_VERSION_NAME: &str = concat!("AUSCULT_", env!("CARGO_PKG_VERSION"));

/// Why a text is not an identifier. The text itself is not part of the message: it came from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a UID by PS3.5 section 9.1.
    #[error("not a DICOM UID (1 to 64 characters, digits and dots, no empty component)")]
    Uid,
    /// Not an AE title by PS3.5 table 6.2-1 (VR AE).
    #[error("not an AE title (1 to 16 printable ASCII characters, no backslash, not only spaces)")]
    AeTitle,
}

/// Takes off what PS3.5 pads a UID with: one trailing NUL; spaces are tolerated as peers send them.
fn trim_uid(text: &str) -> &str {
    text.trim_end_matches(['\0', ' '])
}

/// PS3.5 section 9.1, but for leading zeros of a component: some devices write them, and their images are not to
/// be lost for it.
fn is_uid(text: &str) -> bool {
    let component = |c: &str| !c.is_empty() && c.bytes().all(|b| b.is_ascii_digit());
    (1..=64).contains(&text.len()) && text.split('.').all(component)
}

macro_rules! uid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The UID's characters, without padding.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The UID `2.25.<decimal of UUIDv5(namespace, parts)>` (PS3.5 B.2): the same parts give the same UID.
            pub fn derived(parts: &[&str]) -> Self {
                Self(derived_uid(parts))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let text = trim_uid(text);
                if is_uid(text) { Ok(Self(text.to_owned())) } else { Err(IdError::Uid) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(uid: $name) -> String {
                uid.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

uid_type!(
    /// Study Instance UID (0020,000D).
    StudyInstanceUid
);
uid_type!(
    /// Series Instance UID (0020,000E).
    SeriesInstanceUid
);
uid_type!(
    /// SOP Instance UID (0008,0018).
    SopInstanceUid
);
uid_type!(
    /// SOP Class UID (0008,0016), or an abstract syntax.
    SopClassUid
);
uid_type!(
    /// Transfer Syntax UID (0002,0010).
    TransferSyntaxUid
);
uid_type!(
    /// Transaction UID (0008,1195) of a Storage Commitment.
    TransactionUid
);
uid_type!(
    /// A UID that names neither a study, a series nor an instance: a device, a tracked finding.
    Uid
);

impl TransactionUid {
    /// A UID that nobody has used (PS3.5 B.2).
    pub fn random() -> Self {
        Self(format!("2.25.{}", Uuid::new_v4().as_u128()))
    }
}

/// `2.25.` + decimal of UUIDv5 over the parts joined by the unit separator; at most 44 characters.
fn derived_uid(parts: &[&str]) -> String {
    let name = parts.join("\u{1f}");
    format!("2.25.{}", Uuid::new_v5(&NAMESPACE, name.as_bytes()).as_u128())
}

/// Application Entity title (PS3.5 table 6.2-1, VR AE): 1 to 16 printable ASCII characters without
/// leading or trailing spaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(String);

impl AeTitle {
    /// The title without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AeTitle {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let title = text.trim_matches([' ', '\0']);
        let printable = title.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
        if printable && (1..=16).contains(&title.len()) { Ok(Self(title.to_owned())) } else { Err(IdError::AeTitle) }
    }
}

impl TryFrom<String> for AeTitle {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> String {
        title.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_lose_their_padding_and_nothing_else() {
        let uid: SopInstanceUid = "1.2.840.10008.1.2\0".parse().unwrap();
        assert_eq!(uid.as_str(), "1.2.840.10008.1.2");
        assert_eq!("999.01.2".parse::<SopInstanceUid>().unwrap().as_str(), "999.01.2");
        for bad in ["", "1..2", ".1", "1.", "1.2a", "../etc/passwd", "1.2\n3", &"1".repeat(65)] {
            assert_eq!(bad.parse::<SopInstanceUid>(), Err(IdError::Uid), "{bad:?}");
        }
    }

    #[test]
    fn derived_uids_are_stable_and_well_formed() {
        let uid = StudyInstanceUid::derived(&["a", "b"]);
        assert_eq!(uid, StudyInstanceUid::derived(&["a", "b"]));
        assert_ne!(uid, StudyInstanceUid::derived(&["ab"]));
        assert!(is_uid(uid.as_str()) && uid.as_str().len() <= 44);
        assert!(is_uid(IMPLEMENTATION_CLASS_UID));
        assert!(IMPLEMENTATION_VERSION_NAME.len() <= 16);
    }

    #[test]
    fn ae_titles_follow_the_value_representation() {
        assert_eq!("  AUSCULT ".parse::<AeTitle>().unwrap().as_str(), "AUSCULT");
        for bad in ["", "   ", "A\\B", "seventeen_letters", "A\nB", "\u{fc}"] {
            assert_eq!(bad.parse::<AeTitle>(), Err(IdError::AeTitle), "{bad:?}");
        }
    }
}
