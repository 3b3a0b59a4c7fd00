//! What the trunk says of each image: computed once, and kept on disk by image and trunk.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blake3::Hash;

use super::TrainError;
use crate::dataset::{Dataset, Example};
use crate::model::{GalleryError, Head, Trunk, look_through};
use crate::pixels::Decoder;

/// Bytes of a digest.
const DIGEST: usize = 32;
/// Bytes of a record's features.
const FEATURES: usize = 4 * Head::INPUTS;
/// Bytes of a record's check: the first of the BLAKE3 of what stands before.
const CHECK: usize = 8;
/// Bytes of a record.
const RECORD: usize = DIGEST + FEATURES + CHECK;

/// The features that a trunk gave, in one file: records of an image's digest, its features and a check, the older ones
/// first. What a kill left half-written is passed over, and cut off by the next one who writes.
pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    /// The store of a trunk in a directory.
    pub(super) fn new(directory: &Path, trunk: &Hash) -> Self {
        let name: String = trunk.to_hex().chars().take(32).collect();
        Self { path: directory.join(format!("{name}.features")) }
    }

    /// The features of the images that are wanted and known.
    fn load(&self, wanted: impl Fn(&Hash) -> bool) -> io::Result<HashMap<Hash, Vec<f32>>> {
        let mut known = HashMap::new();
        let mut reader = match File::open(&self.path) {
            Ok(file) => BufReader::with_capacity(RECORD * 16, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(known),
            Err(error) => return Err(error),
        };
        let mut record = vec![0; RECORD];
        while let Ok(()) = reader.read_exact(&mut record) {
            known.extend(parsed(&record).filter(|(digest, _)| wanted(digest)));
        }
        Ok(known)
    }

    /// Adds records to the end of the file.
    fn add(&self, records: &[u8]) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        // Others may write to it at the same time.
        file.lock()?;
        let length = file.metadata()?.len();
        file.set_len(length - length % RECORD as u64)?;
        file.write_all(records)
    }
}

fn record(digest: &Hash, features: &[f32]) -> Vec<u8> {
    let mut record = digest.as_bytes().to_vec();
    record.extend(features.iter().flat_map(|feature| feature.to_le_bytes()));
    let check = blake3::hash(&record);
    record.extend(check.as_bytes().iter().take(CHECK));
    record
}

/// Digest and features of a record; `None` where it is damaged.
fn parsed(record: &[u8]) -> Option<(Hash, Vec<f32>)> {
    let (content, check) = record.split_at_checked(DIGEST + FEATURES)?;
    let (digest, features) = content.split_first_chunk::<DIGEST>()?;
    let whole = blake3::hash(content).as_bytes().starts_with(check);
    let features = features.as_chunks().0.iter().map(|octets| f32::from_le_bytes(*octets)).collect();
    whole.then(|| (Hash::from_bytes(*digest), features))
}

/// How far the features are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// Images that have been looked at.
    pub done: usize,
    /// Images to look at; others were known.
    pub of: usize,
    /// Images that were known.
    pub known: usize,
    /// Time since the first one.
    pub elapsed: Duration,
}

/// The features of every image of a dataset, [`Head::INPUTS`] each, in its order.
pub(super) fn of(
    dataset: &Dataset,
    trunk: &Trunk,
    store: &Store,
    decoder: &Decoder,
    mut tell: impl FnMut(Looked),
) -> Result<Vec<Vec<f32>>, TrainError> {
    let io = |source| TrainError::Cache { path: store.path.clone(), source };
    let mut unknown: HashMap<Hash, &Example> =
        dataset.examples().iter().map(|example| (example.digest, example)).collect();
    let mut features = store.load(|digest| unknown.contains_key(digest)).map_err(io)?;
    unknown.retain(|digest, _| !features.contains_key(digest));
    // In the order of the table, so that the first fault is the first line.
    let wanted: Vec<&Example> =
        dataset.examples().iter().filter(|example| unknown.get(&example.digest) == Some(example)).collect();
    let files: Vec<&Path> = wanted.iter().map(|example| example.path.as_path()).collect();
    let (known, began) = (features.len(), Instant::now());
    tell(Looked { done: 0, of: files.len(), known, elapsed: Duration::ZERO });
    let looked = look_through(&files, &trunk.input(), decoder, |range, images| -> Result<(), TrainError> {
        let found = trunk.features(images)?;
        let mut records = Vec::new();
        for (example, values) in wanted.get(range.clone()).unwrap_or_default().iter().zip(found.chunks(Head::INPUTS)) {
            records.extend(record(&example.digest, values));
            features.insert(example.digest, values.to_vec());
        }
        store.add(&records).map_err(io)?;
        tell(Looked { done: range.end, of: files.len(), known, elapsed: began.elapsed() });
        Ok(())
    });
    match looked {
        Ok(()) => {}
        Err(GalleryError::Stopped(error)) => return Err(error),
        Err(GalleryError::Image { file, cause }) => return Err(dataset.undecodable(file, &cause).into()),
    }
    let own = |example: &Example| features.get(&example.digest).cloned().unwrap_or_default();
    Ok(dataset.examples().iter().map(own).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_left_half_written_is_lost_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), &blake3::hash(b"trunk"));
        let digests: Vec<Hash> = (0..4_u8).map(|image| blake3::hash(&[image])).collect();
        let features = |image: usize| vec![image as f32; Head::INPUTS];
        assert!(store.load(|_| true).unwrap().is_empty());
        store.add(&record(&digests[0], &features(0))).unwrap();
        store.add(&record(&digests[1], &features(1))[..RECORD / 3]).unwrap();
        assert_eq!(store.load(|_| true).unwrap().len(), 1);
        store.add(&record(&digests[2], &features(2))).unwrap();
        let mut damaged = record(&digests[3], &features(3));
        damaged[DIGEST + 5] ^= 1;
        store.add(&damaged).unwrap();
        let known = store.load(|digest| *digest != digests[0]).unwrap();
        assert_eq!(known, [(digests[2], features(2))].into());
    }
}
