//! A running SCP for the tests, DICOM files to send to it, and whether DCMTK is here.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "shared by several test programs, each of which uses a part"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use auscult::config;
use auscult::scp::{self, Arrived, Backing, Commitment, Stats};
use auscult::spool::Spool;
use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::tags;
use dicom::object::{FileMetaTableBuilder, InMemDicomObject};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub const CR: &str = "1.2.840.10008.5.1.4.1.1.1";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const IMPLICIT: &str = "1.2.840.10008.1.2";

/// A station on a free port with a spool of its own.
pub struct Station {
    pub directory: tempfile::TempDir,
    pub stats: Arc<Stats>,
    pub stop: watch::Sender<bool>,
    pub running: JoinHandle<()>,
    port: u16,
    stored: mpsc::Receiver<Arrived>,
}

impl Station {
    pub async fn start() -> Self {
        Self::with(|_| {}, 0).await
    }

    pub async fn with(change: impl FnOnce(&mut config::Scp), min_free_mib: u64) -> Self {
        Self::with_queue(1000, change, min_free_mib).await
    }

    pub async fn with_queue(places: usize, change: impl FnOnce(&mut config::Scp), min_free_mib: u64) -> Self {
        Self::open(places, change, min_free_mib, None).await
    }

    pub async fn with_commitment(change: impl FnOnce(&mut config::Scp), commitment: Commitment) -> Self {
        Self::open(1000, change, 0, Some(commitment)).await
    }

    async fn open(
        places: usize,
        change: impl FnOnce(&mut config::Scp),
        min_free_mib: u64,
        commitment: Option<Commitment>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = config::Spool { min_free_mib, ..config::Spool::default() };
        let (spool, left) = Spool::open(directory.path(), &settings).unwrap();
        assert!(left.is_empty());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut settings = config::Scp::default();
        change(&mut settings);
        let (announce, stored) = mpsc::channel(places);
        let (stop, stopped) = watch::channel(false);
        let stats = Arc::new(Stats::default());
        let running = tokio::spawn(scp::serve(
            listener,
            watch::Sender::new(settings).subscribe(),
            Backing { spool, stored: announce, commitment, stats: stats.clone() },
            stopped,
        ));
        Self { directory, stats, stop, running, port, stored }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What was announced since the last call.
    pub fn arrived(&mut self) -> Vec<Arrived> {
        std::iter::from_fn(|| self.stored.try_recv().ok()).collect()
    }

    /// As when the rest of the service has stopped already.
    pub fn close_queue(&mut self) {
        self.stored.close();
    }

    /// The files of the images that were stored; some may hold several.
    pub fn images(&self) -> Vec<PathBuf> {
        [self.files("dcm"), self.files("pack")].concat()
    }

    /// The images that are on their way in.
    pub fn parts(&self) -> Vec<PathBuf> {
        self.files("part")
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path().join("images")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }
}

/// A small radiograph.
pub struct Part10 {
    object: InMemDicomObject,
    instance: String,
    syntax: &'static str,
}

impl Part10 {
    pub fn radiograph(instance: &str) -> Self {
        let mut object = InMemDicomObject::new_empty();
        for (tag, vr, value) in [
            (tags::SOP_CLASS_UID, VR::UI, CR),
            (tags::SOP_INSTANCE_UID, VR::UI, instance),
            (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
            (tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4"),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        ] {
            object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
        }
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 12),
            (tags::HIGH_BIT, 11),
            (tags::PIXEL_REPRESENTATION, 0),
        ] {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value as u16)));
        }
        Self { object, instance: instance.to_owned(), syntax: EXPLICIT }.rows(16)
    }

    pub fn rows(mut self, rows: u16) -> Self {
        let pixels: Vec<u16> = (0..usize::from(rows) * 64).map(|i| (i % 4096) as u16).collect();
        self.object.put(DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(rows)));
        self.object.put(DataElement::new(tags::COLUMNS, VR::US, PrimitiveValue::from(64_u16)));
        self.object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
        self
    }

    pub fn syntax(mut self, syntax: &'static str) -> Self {
        self.syntax = syntax;
        self
    }

    pub fn data_set(&self) -> Vec<u8> {
        use dicom::transfer_syntax::entries::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};
        let mut bytes = Vec::new();
        let syntax = match self.syntax {
            IMPLICIT => IMPLICIT_VR_LITTLE_ENDIAN.erased(),
            _ => EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        };
        self.object.write_dataset_with_ts(&mut bytes, &syntax).unwrap();
        bytes
    }

    pub fn write(&self, path: &Path) {
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(CR)
            .media_storage_sop_instance_uid(&self.instance)
            .transfer_syntax(self.syntax);
        self.object.clone().with_meta(meta).unwrap().write_to_file(path).unwrap();
    }
}

/// Whether a program of DCMTK is installed; says so where it is not.
#[allow(clippy::print_stderr)]
pub fn dcmtk(program: &str) -> Option<()> {
    let here = std::process::Command::new(program).arg("--version").output().is_ok();
    if !here {
        eprintln!("SKIPPED: {program} of DCMTK is not installed (Debian: apt install dcmtk)");
    }
    here.then_some(())
}
