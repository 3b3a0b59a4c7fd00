//! Images, and augmented copies of them, as far as the frozen part of the trunk brings them: computed once, and kept on
//! disk by image, augmentation and trunk.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blake3::Hash;
use candle_core::Tensor;
use rayon::prelude::*;

use super::TrainError;
use super::augmentation::Augmentation;
use super::network::Batch;
use crate::dataset::{Dataset, Example};
use crate::model::{Depth, GalleryError, ModelError, TensorFault, Trunk, look_through};
use crate::pixels::Decoder;
use crate::spool;

/// Bytes of a digest.
const DIGEST: usize = 32;
/// Bytes of a record's check: the first of the BLAKE3 of what stands before.
const CHECK: usize = 8;
/// Images that the trunk looks at together.
const TOGETHER: usize = 16;

/// What a trunk made of images, in one file: records of an image's digest, its values and a check, the older ones
/// first. What a kill left half-written is passed over, and cut off by the next one who writes.
struct Store {
    path: PathBuf,
    /// Values of a record.
    values: usize,
}

/// Where records begin in the file, by image.
type Places = HashMap<Hash, u64>;

impl Store {
    /// The store of a trunk and a depth in a directory.
    fn new(directory: &Path, trunk: &Hash, depth: Depth, values: usize) -> Self {
        let name: String = trunk.to_hex().chars().take(32).collect();
        let extension = match depth {
            Depth::Input => "inputs",
            Depth::LastStage => "activations",
            Depth::Pooled => "features",
        };
        Self { path: directory.join(format!("{name}.{extension}")), values }
    }

    /// Bytes of a record.
    fn record(&self) -> usize {
        DIGEST + 4 * self.values + CHECK
    }

    /// The images that are wanted and known.
    fn load(&self, wanted: impl Fn(&Hash) -> bool) -> io::Result<Places> {
        let mut known = HashMap::new();
        let mut reader = match File::open(&self.path) {
            Ok(file) => BufReader::with_capacity(self.record(), file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(known),
            Err(error) => return Err(error),
        };
        let (mut record, mut place) = (vec![0; self.record()], 0);
        while let Ok(()) = reader.read_exact(&mut record) {
            known.extend(whole(&record).filter(&wanted).map(|digest| (digest, place)));
            place += record.len() as u64;
        }
        Ok(known)
    }

    /// Adds records to the end of the file; where the first one begins.
    fn add(&self, records: &[u8]) -> io::Result<u64> {
        self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        // Others may write to it at the same time.
        file.lock()?;
        let length = file.metadata()?.len();
        let end = length - length % self.record() as u64;
        file.set_len(end)?;
        file.write_all(records)?;
        Ok(end)
    }

    /// Fails where the file system has no room for so many bytes more.
    fn has_room(&self, octets: u64) -> Result<(), TrainError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let io = |source| TrainError::Cache { path: self.path.clone(), source };
        std::fs::create_dir_all(directory).map_err(io)?;
        let free = spool::free_mib(directory).map_err(|error| io(io::Error::other(error.to_string())))?;
        let needed = octets >> 20;
        if needed < free { Ok(()) } else { Err(TrainError::Room { path: directory.to_owned(), needed, free }) }
    }
}

fn record(digest: &Hash, values: &[f32]) -> Vec<u8> {
    let mut record = digest.as_bytes().to_vec();
    record.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let check = blake3::hash(&record);
    record.extend(check.as_bytes().iter().take(CHECK));
    record
}

/// Digest of a record; `None` where it is damaged.
fn whole(record: &[u8]) -> Option<Hash> {
    let (content, check) = record.split_at_checked(record.len().checked_sub(CHECK)?)?;
    let digest = content.first_chunk::<DIGEST>()?;
    blake3::hash(content).as_bytes().starts_with(check).then(|| Hash::from_bytes(*digest))
}

/// How far the images are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// Images that have been looked at.
    pub done: usize,
    /// Images to look at; others were known.
    pub of: usize,
    /// Images that were known.
    pub known: usize,
    /// Bytes that all images to look at take on the disk.
    pub octets: u64,
    /// Time since the first one.
    pub elapsed: Duration,
}

/// An image of a dataset by its index, and its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) index: usize,
    pub(super) class: usize,
    /// 0 for itself, then its augmented copies.
    pub(super) copy: usize,
}

/// What is wanted of a dataset.
pub(super) struct Wanted<'a> {
    pub(super) dataset: &'a Dataset,
    /// Those of which augmented copies are wanted, too.
    pub(super) augmented: &'a [usize],
    pub(super) augmentation: Option<&'a Augmentation>,
}

impl Wanted<'_> {
    /// What each image is known by, and then its copies.
    fn keys(&self) -> Vec<Vec<Hash>> {
        let mut keys: Vec<Vec<Hash>> = self.dataset.examples().iter().map(|example| vec![example.digest]).collect();
        let Some(augmentation) = self.augmentation else { return keys };
        for index in self.augmented {
            if let Some(keys) = keys.get_mut(*index)
                && let Some(image) = keys.first().copied()
            {
                keys.extend((1..=augmentation.copies).map(|copy| augmentation.key(&image, copy)));
            }
        }
        keys
    }
}

/// Every image of a dataset at one depth, on disk.
pub(super) struct Inputs {
    store: Store,
    file: File,
    shape: [usize; 3],
    /// Where each image's record begins, and then those of its copies.
    places: Vec<Vec<u64>>,
}

impl Inputs {
    /// Brings what is wanted of a dataset to a depth, as far as that was not done before.
    pub(super) fn of(
        wanted: &Wanted<'_>,
        (trunk, depth): (&Trunk, Depth),
        directory: &Path,
        decoder: &Decoder,
        mut tell: impl FnMut(Looked),
    ) -> Result<Self, TrainError> {
        let shape = trunk.shape_at(depth);
        let store = Store::new(directory, &trunk.digest(), depth, shape.iter().product());
        let io = |source| TrainError::Cache { path: store.path.clone(), source };
        let keys = wanted.keys();
        let mut unknown: HashSet<Hash> = keys.iter().flatten().copied().collect();
        let mut places = store.load(|key| unknown.contains(key)).map_err(io)?;
        unknown.retain(|key| !places.contains_key(key));
        let (known, began, of) = (places.len(), Instant::now(), unknown.len());
        let octets = (of * store.record()) as u64;
        store.has_room(octets)?;
        tell(Looked { done: 0, of, known, octets, elapsed: Duration::ZERO });
        // In the order of the table, so that the first fault is the first line; copies of a file are looked at once.
        let lacking = |keys: &Vec<Hash>| keys.iter().copied().filter(|key| unknown.remove(key)).collect();
        let lacking: Vec<Vec<Hash>> = keys.iter().map(lacking).collect();
        let examples = wanted.dataset.examples().iter().zip(&lacking).filter(|(_, lacking)| !lacking.is_empty());
        let (files, lacking): (Vec<&Path>, Vec<_>) =
            examples.map(|(example, keys)| (example.path.as_path(), (example, keys))).unzip();
        let mut done = 0;
        let looked = look_through(&files, &trunk.input(), decoder, |range, images| -> Result<(), TrainError> {
            let views = views(wanted, trunk, lacking.get(range).unwrap_or_default(), images)?;
            for some in views.chunks(TOGETHER) {
                let (keys, tensors): (Vec<Hash>, Vec<&Tensor>) =
                    some.iter().map(|(key, tensor)| (*key, tensor)).unzip();
                let found = trunk.at(depth, &Tensor::stack(&tensors, 0).map_err(ModelError::on_processor)?)?;
                let records: Vec<Vec<u8>> = keys
                    .par_iter()
                    .zip(found.par_chunks(store.values.max(1)))
                    .map(|(key, values)| record(key, values))
                    .collect();
                let first = store.add(&records.concat()).map_err(io)?;
                places.extend(keys.into_iter().zip((first..).step_by(store.record())));
                done += some.len();
                tell(Looked { done, of, known, octets, elapsed: began.elapsed() });
            }
            Ok(())
        });
        match looked {
            Ok(()) => {}
            Err(GalleryError::Stopped(error)) => return Err(error),
            Err(GalleryError::Image { file, cause }) => return Err(wanted.dataset.undecodable(file, &cause).into()),
        }
        let file = File::open(&store.path).map_err(io)?;
        let place = |key: &Hash| places.get(key).copied().unwrap_or(u64::MAX);
        let places = keys.iter().map(|keys| keys.iter().map(place).collect()).collect();
        Ok(Self { store, file, shape, places })
    }

    /// Some images.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub(super) fn batch(&self, images: &[Image]) -> Result<Batch, TrainError> {
        let mut values = vec![0.0; images.len() * self.store.values];
        let read = values.par_chunks_mut(self.store.values.max(1)).zip(images).try_for_each(|(values, image)| {
            let place =
                self.places.get(image.index).and_then(|places| places.get(image.copy)).copied().unwrap_or(u64::MAX);
            let mut octets = vec![0; 4 * values.len()];
            self.file.read_exact_at(&mut octets, place.saturating_add(DIGEST as u64))?;
            let from = octets.as_chunks().0.iter().map(|octets| f32::from_le_bytes(*octets));
            values.iter_mut().zip(from).for_each(|(to, from)| *to = from);
            Ok(())
        });
        read.map_err(|source| TrainError::Cache { path: self.store.path.clone(), source })?;
        Ok(Batch::new(values, self.shape, images.iter().map(|image| image.class).collect()))
    }
}

/// The images and copies that lack of some examples, each by its key and as `[3, height, width] f32`; `images` shows the
/// examples themselves.
fn views(
    wanted: &Wanted<'_>,
    trunk: &Trunk,
    examples: &[(&Example, &Vec<Hash>)],
    images: &Tensor,
) -> Result<Vec<(Hash, Tensor)>, TrainError> {
    let (input, mut views) = (trunk.input(), Vec::new());
    let pictures = input.pictures(images).map_err(ModelError::on_processor)?;
    for (index, ((example, lacking), picture)) in examples.iter().zip(&pictures).enumerate() {
        let view = |key: &Hash| match wanted.augmentation.filter(|_| *key != example.digest) {
            Some(augmentation) => {
                input.of_pictures(&[augmentation.copy(picture, key)]).and_then(|one| Ok(one.squeeze(0)?))
            }
            None => Ok(images.get(index)?),
        };
        let of_example: Result<Vec<Tensor>, TensorFault> = lacking.par_iter().map(view).collect();
        views.extend(lacking.iter().copied().zip(of_example.map_err(ModelError::on_processor)?));
    }
    Ok(views)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_left_half_written_is_lost_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), &blake3::hash(b"trunk"), Depth::Pooled, 50);
        let digests: Vec<Hash> = (0..4_u8).map(|image| blake3::hash(&[image])).collect();
        let values = |image: usize| vec![image as f32; 50];
        assert!(store.load(|_| true).unwrap().is_empty());
        assert_eq!(store.add(&record(&digests[0], &values(0))).unwrap(), 0);
        store.add(&record(&digests[1], &values(1))[..store.record() / 3]).unwrap();
        assert_eq!(store.load(|_| true).unwrap().len(), 1);
        let place = store.add(&record(&digests[2], &values(2))).unwrap();
        assert_eq!(place, store.record() as u64);
        let mut damaged = record(&digests[3], &values(3));
        damaged[DIGEST + 5] ^= 1;
        store.add(&damaged).unwrap();
        assert_eq!(store.load(|digest| *digest != digests[0]).unwrap(), [(digests[2], place)].into());
    }
}
