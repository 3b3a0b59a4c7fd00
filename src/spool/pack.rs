//! Packs: small objects that were committed together share one file, so that a burst of them costs one file and one
//! sync, not one each. A pack begins with its index, lines of text up to an empty one, and then has its members, whole
//! Part 10 files, one behind the other:
//!
//! ```text
//! AUSCULT PACK 1
//! 130772 1.2.3-0123456789abcdef0123456789abcdef.dcm
//! 98110 1.2.4-fedcba9876543210fedcba9876543210.dcm
//!
//! ```

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::digest::Digest;
use crate::part10::{Location, Stretch};

/// The first line.
const MAGIC: &str = "AUSCULT PACK 1\n";
/// No index is longer: 256 members with the longest names.
const LARGEST_INDEX_BYTES: u64 = 64 * 1024;

/// One object of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The name that it would have as a file of its own.
    pub(super) name: String,
    /// Where it lies in the pack.
    pub(super) stretch: Stretch,
}

/// The index of a pack with these members (name, length in bytes), the name of its file without the extension, which
/// tells it from every other pack, and where each member will lie.
pub(super) fn plan(members: &[(String, u64)]) -> (String, Digest, Vec<Stretch>) {
    let mut index = MAGIC.to_owned();
    for (name, length) in members {
        // Writing to a text cannot fail.
        let _ = writeln!(index, "{length} {name}");
    }
    index.push('\n');
    let mut begin = index.len() as u64;
    let stretches = members.iter().map(|(_, length)| {
        let stretch = Stretch { begin, length: *length };
        begin += length;
        stretch
    });
    let stretches = stretches.collect();
    let stem = Digest::of(index.as_bytes());
    (index, stem, stretches)
}

/// Reads the index of a pack. Fails where it is none, or ends before its last member.
pub(super) fn members(pack: &Path) -> io::Result<Vec<Member>> {
    let content = Location::from(pack).open()?;
    let size = content.length();
    let mut lines = BufReader::new(content.take(LARGEST_INDEX_BYTES));
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "its index is damaged");
    let (mut line, mut index_bytes, mut found) = (String::new(), 0, Vec::new());
    loop {
        line.clear();
        index_bytes += lines.read_line(&mut line)? as u64;
        match line.as_str() {
            MAGIC if index_bytes == line.len() as u64 => {}
            "\n" if index_bytes > MAGIC.len() as u64 => break,
            member if index_bytes > line.len() as u64 => found.push(entry(member).ok_or_else(malformed)?),
            _ => return Err(malformed()),
        }
    }
    let mut begin = index_bytes;
    let mut place = |(length, name): (u64, String)| {
        let stretch = Stretch { begin, length };
        begin = begin.checked_add(length)?;
        (begin <= size).then_some(Member { name, stretch })
    };
    let members: Option<Vec<Member>> = found.into_iter().map(&mut place).collect();
    members.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "it ends before its last object"))
}

fn entry(line: &str) -> Option<(u64, String)> {
    let (length, name) = line.strip_suffix('\n')?.split_once(' ')?;
    Some((length.parse().ok()?, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(members: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let plan =
            plan(&members.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.len() as u64)).collect::<Vec<_>>());
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = plan.0.into_bytes();
        members.iter().for_each(|(_, member)| bytes.extend(*member));
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn members_are_found_again_where_they_lie() {
        let pack = written(&[("1.2-ab.dcm", b"first"), ("1.3-cd.dcm", b"the second")]);
        let found = members(pack.path()).unwrap();
        let texts: Vec<(String, String)> = found
            .into_iter()
            .map(|member| {
                let mut text = String::new();
                let location = Location::within(pack.path().to_owned(), member.stretch);
                location.open().unwrap().read_to_string(&mut text).unwrap();
                (member.name, text)
            })
            .collect();
        let expected = [("1.2-ab.dcm", "first"), ("1.3-cd.dcm", "the second")];
        assert_eq!(texts, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_pack_that_is_none_or_ends_early_is_an_error() {
        let pack = written(&[("1.2-ab.dcm", b"first"), ("1.3-cd.dcm", b"the second")]);
        let whole = std::fs::read(pack.path()).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(pack.path(), &whole[..cut]).unwrap();
            assert!(members(pack.path()).is_err(), "{cut} of {} bytes", whole.len());
        }
        std::fs::write(pack.path(), "AUSCULT PACK 1\n18446744073709551615 a\n1 b\n\nx").unwrap();
        assert!(members(pack.path()).is_err());
    }

    proptest! {
        #[test]
        fn no_index_makes_it_panic(text in "(AUSCULT PACK 1\n)?([0-9]{1,21} [a-z]{0,4}\n){0,4}\n?.{0,8}") {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let _ = members(file.path());
        }
    }
}
