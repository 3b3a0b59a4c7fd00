//! The spool's promises, on a real directory.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::*;
use crate::digest::EarlierDigest;
use crate::finding::{Outcome, Reason};
use crate::instance::Study;
use crate::ledger::Conclusion;

mod packs;

const CR: &str = "1.2.840.10008.5.1.4.1.1.1";

fn data_set(instance: &str, rows: &str) -> Vec<u8> {
    let mut object = InMemDicomObject::new_empty();
    for (tag, vr, value) in [
        (tags::SOP_CLASS_UID, VR::UI, CR),
        (tags::SOP_INSTANCE_UID, VR::UI, instance),
        (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
        (tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.4"),
        (tags::SERIES_DESCRIPTION, VR::LO, rows),
    ] {
        object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    }
    let mut bytes = Vec::new();
    let implicit = dicom::transfer_syntax::entries::IMPLICIT_VR_LITTLE_ENDIAN.erased();
    object.write_dataset_with_ts(&mut bytes, &implicit).unwrap();
    bytes
}

fn announced(instance: &str) -> Announced {
    Announced {
        sop_class: CR.parse().unwrap(),
        sop_instance: instance.parse().unwrap(),
        transfer_syntax: crate::dimse::transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN.parse().unwrap(),
        calling: "PACS".parse().unwrap(),
        urgency: Urgency::Routine,
    }
}

fn settings() -> config::Spool {
    config::Spool { min_free_mib: 0, ..config::Spool::default() }
}

fn open(directory: &Path) -> (Spool, Vec<Waiting>) {
    Spool::open(directory, &settings()).unwrap()
}

async fn store(spool: &Spool, announced_uid: &str, bytes: &[u8]) -> Result<Stored, SpoolError> {
    let mut incoming = spool.receive(announced(announced_uid), Expected::Small);
    for piece in bytes.chunks(7) {
        incoming.gather(Bytes::copy_from_slice(piece));
        if incoming.is_full() {
            incoming.pour(|_| ()).await;
        }
    }
    incoming.commit().await
}

async fn store_new(spool: &Spool, uid: &str, bytes: &[u8]) -> Instance {
    match store(spool, uid, bytes).await.unwrap() {
        Stored::New(instance, Urgency::Routine) => instance,
        other => panic!("{other:?}"),
    }
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

/// Lets go of the spool, and of its committing thread.
fn close(spool: Spool, directory: &Path) {
    drop(spool);
    while Layout::new(directory).lock().is_err() {
        std::thread::yield_now();
    }
}

fn study(instance: &Instance) -> Study {
    Study { uid: instance.study.clone(), patient: instance.patient, instances: vec![instance.clone()] }
}

/// The study is reported, to nobody.
fn conclude(spool: &Spool, instance: &Instance, at: SystemTime) {
    let study = study(instance);
    let outcomes = vec![Some(Outcome::NotAnalysed(Reason::ImageTooSmall))];
    let conclusion = Conclusion { study: &study, outcomes, algorithm: "m".into(), documents: Vec::new(), at };
    spool.ledger().conclude(&conclusion).unwrap();
}

fn forget_the_ledger(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("ledger.db") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn keeping() -> Keeping {
    Keeping::from(&settings())
}

#[tokio::test]
async fn what_is_stored_is_found_after_a_restart_until_it_is_concluded() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, left) = open(dir.path());
    assert!(left.is_empty());
    let instance = store_new(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "a")).await;
    assert!(instance.location.file().starts_with(dir.path().join("images")), "{}", instance.location.file().display());
    assert_eq!(std::fs::metadata(instance.location.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let meta = crate::instance::Header::open(&instance.location).unwrap();
    assert_eq!(meta.text(tags::SERIES_DESCRIPTION).as_deref(), Some("a"));

    close(spool, dir.path());
    let (spool, left) = open(dir.path());
    assert_eq!(left.iter().map(|waiting| &waiting.instance).collect::<Vec<_>>(), [&instance]);
    conclude(&spool, &instance, SystemTime::now());
    close(spool, dir.path());
    assert!(open(dir.path()).1.is_empty());
}

#[tokio::test]
async fn the_same_again_makes_no_work_and_another_content_is_kept_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let (first, second) = (data_set("1.2.3.4.5", "first"), data_set("1.2.3.4.5", "second"));
    let instance = store_new(&spool, "1.2.3.4.5", &first).await;
    assert_eq!(store(&spool, "1.2.3.4.5", &first).await.unwrap(), Stored::Same(instance.clone()));
    let other = store(&spool, "1.2.3.4.5", &second).await.unwrap();
    let Stored::Other(other, Urgency::Routine, Disposal::Report) = other else { panic!("{other:?}") };
    assert_ne!(other.location, instance.location);
    assert_eq!(store(&spool, "1.2.3.4.5", &second).await.unwrap(), Stored::Same(other));
    assert!(std::fs::read(instance.location.file()).unwrap().ends_with(&first));
    conclude(&spool, &instance, SystemTime::now());
    assert_eq!(store(&spool, "1.2.3.4.5", &first).await.unwrap(), Stored::Same(instance));
}

#[tokio::test]
async fn another_content_is_only_kept_where_the_administrator_wants_it_so() {
    let dir = tempfile::tempdir().unwrap();
    let settings = config::Spool { other_content: config::OtherContent::Keep, ..settings() };
    let (spool, _) = Spool::open(dir.path(), &settings).unwrap();
    store_new(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "first")).await;
    let other = store(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "second")).await.unwrap();
    let Stored::Other(other, _, Disposal::Aside) = other else { panic!("{other:?}") };
    assert!(other.location.file().is_file());
    assert_eq!(spool.ledger().waiting().unwrap().len(), 1);
}

#[tokio::test]
async fn so_many_contents_under_one_uid_are_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    for number in 0..64 {
        store(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", &number.to_string())).await.unwrap();
    }
    let refused = store(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "64")).await;
    assert!(matches!(refused, Err(SpoolError::TooManyContents { contents: 64, .. })));
}

#[tokio::test]
async fn what_is_not_what_it_says_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let mismatch = store(&spool, "1.2.3.4.6", &data_set("1.2.3.4.5", "a")).await;
    assert!(matches!(mismatch, Err(SpoolError::Mismatch { attribute: "SOP Instance UID", .. })));
    assert!(matches!(store(&spool, "1.2.3.4.6", &[0; 40]).await, Err(SpoolError::Unreadable(_))));
    let mut dropped = spool.receive(announced("1.2.3.4.7"), Expected::Small);
    dropped.gather(vec![0; 2_000_000].into());
    assert!(dropped.pour(|take| take(&[0; 100])).await.is_continue());
    assert_eq!(files(&dir.path().join("images")), 1);
    drop(dropped);
    assert_eq!(files(&dir.path().join("images")), 0);
}

#[tokio::test]
async fn an_object_after_a_large_one_gets_its_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let begun = |expected| {
        let mut incoming = spool.receive(announced("1.2.3.4.5"), expected);
        incoming.gather(Bytes::from(data_set("1.2.3.4.5", "a description")));
        incoming
    };
    assert!(!begun(Expected::Small).is_full());
    assert_eq!(begun(Expected::Small).size(), Expected::Small);

    let mut incoming = begun(Expected::Large { bytes: 8 << 20 });
    assert!(incoming.is_full());
    assert!(incoming.pour(|take| take(b"")).await.is_continue());
    assert!(!incoming.is_full(), "what comes slowly is gathered again");
    assert_eq!(incoming.size(), Expected::Small);
    let Ok(Stored::New(instance, _)) = incoming.commit().await else { panic!("refused") };
    let occupied = std::fs::metadata(instance.location.file()).unwrap().blocks() * 512;
    assert!(occupied < 1 << 20, "{occupied} bytes stay reserved");

    let mut incoming = begun(Expected::Small);
    incoming.gather(vec![0; 300_000].into());
    let Expected::Large { bytes: gathered } = incoming.size() else { panic!("too small for a file of its own") };
    assert!(gathered > 300_000);
    assert!(incoming.is_full());
    assert!(incoming.pour(|take| take(&[0; 100])).await.is_continue());
    assert_eq!((incoming.is_full(), incoming.size()), (false, Expected::Large { bytes: gathered + 100 }));
}

#[tokio::test]
async fn a_data_set_that_ends_too_early_is_refused_and_set_aside_where_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let whole = data_set("1.2.3.4.5", "a description");
    let cut = &whole[..whole.len() - 2];
    assert!(matches!(store(&spool, "1.2.3.4.5", cut).await, Err(SpoolError::Unreadable(_))));
    let instance = store_new(&spool, "1.2.3.4.5", &whole).await;
    close(spool, dir.path());

    let file = std::fs::File::options().write(true).open(instance.location.file()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 2).unwrap();
    let (spool, left) = open(dir.path());
    assert!(left.is_empty());
    assert!(dir.path().join("quarantine").join(instance.location.file().file_name().unwrap()).is_file());
    assert_eq!(spool.ledger().at_work(9).unwrap()[0].state, "failed");
    assert_eq!(store_new(&spool, "1.2.3.4.5", &whole).await, instance, "sent again, it counts");
    assert_eq!(spool.ledger().waiting().unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_disk_refuses_and_a_second_process_too() {
    let dir = tempfile::tempdir().unwrap();
    let full = config::Spool { min_free_mib: u64::MAX, ..settings() };
    let (spool, _) = Spool::open(dir.path(), &full).unwrap();
    assert!(matches!(
        store(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "a")).await,
        Err(SpoolError::OutOfSpace { .. })
    ));
    let second = Spool::open(dir.path(), &settings());
    assert!(matches!(second, Err(SpoolError::InUse { .. })));
}

#[tokio::test]
async fn files_without_a_record_are_adopted_and_what_cannot_be_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let instance = store_new(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "a")).await;
    close(spool, dir.path());
    forget_the_ledger(dir.path());
    let images = dir.path().join("images");
    std::fs::create_dir(images.join("stray")).unwrap();
    std::fs::write(images.join("1.2.3-0123.dcm"), "scrap").unwrap();
    std::fs::copy(instance.location.file(), images.join("1.2.3.4.5-0123.dcm")).unwrap();
    std::fs::write(images.join("notes.txt"), "scrap").unwrap();
    std::fs::write(images.join("4.part"), "scrap").unwrap();
    std::fs::write(dir.path().join("outbox/2.25.9.dcm"), "scrap").unwrap();
    std::fs::write(dir.path().join("outbox/.part-x7"), "scrap").unwrap();

    let (spool, left) = open(dir.path());
    assert_eq!(left.iter().map(|waiting| &waiting.instance).collect::<Vec<_>>(), [&instance]);
    let detail = spool.ledger().details(&instance.study).unwrap().remove(0);
    assert_eq!(detail.images[0].calling, "PACS");
    let mut aside: Vec<_> =
        std::fs::read_dir(dir.path().join("quarantine")).unwrap().flatten().map(|e| e.file_name()).collect();
    aside.sort();
    assert_eq!(aside, ["1.2.3-0123.dcm", "1.2.3.4.5-0123.dcm", "2.25.9.dcm", "notes.txt"]);
    assert_eq!(files(&dir.path().join("outbox")), 0, "what was never whole is nothing to keep");
    assert!(images.join("stray").is_dir());
    assert_eq!(files(&images), 2);
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_adopted_and_its_content_is_no_news() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let bytes = data_set("1.2.5", "1");
    let instance = store_new(&spool, "1.2.5", &bytes).await;
    close(spool, dir.path());
    forget_the_ledger(dir.path());
    let earlier = EarlierDigest::read(bytes.as_slice()).unwrap();
    let name = disk::image_name(&instance.sop_instance, &earlier);
    std::fs::rename(instance.location.file(), dir.path().join("images").join(name)).unwrap();

    let (spool, waiting) = open(dir.path());
    assert_eq!(waiting.len(), 1);
    assert!(matches!(store(&spool, "1.2.5", &bytes).await.unwrap(), Stored::Same(_)));
    conclude(&spool, &waiting[0].instance, SystemTime::now());
    let ledger = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
    ledger.execute("UPDATE instance SET digest = ?1", [earlier.octets()]).unwrap();
    assert!(matches!(store(&spool, "1.2.5", &data_set("1.2.5", "2")).await.unwrap(), Stored::Other(..)));
    assert!(matches!(store(&spool, "1.2.5", &bytes).await.unwrap(), Stored::Same(_)));
}

#[tokio::test]
async fn an_image_whose_file_is_gone_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let instance = store_new(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "a")).await;
    close(spool, dir.path());
    std::fs::remove_file(instance.location.file()).unwrap();
    let (spool, left) = open(dir.path());
    assert!(left.is_empty());
    let line = spool.ledger().at_work(9).unwrap().remove(0);
    assert_eq!((line.state.as_str(), line.reason.as_deref()), ("failed", Some("its file is gone from images/")));
}

#[tokio::test]
async fn a_reported_image_leaves_its_header_and_in_time_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let mut bytes = data_set("1.2.3.4.5", "a");
    bytes.extend([0xE0, 0x7F, 0x10, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let instance = store_new(&spool, "1.2.3.4.5", &bytes).await;
    let now = SystemTime::now();
    assert_eq!(spool.tidy(&keeping(), now).unwrap(), Freed::default(), "it awaits its report");
    conclude(&spool, &instance, now);
    let later = Keeping { finished: Duration::from_secs(3600), ..keeping() };
    assert_eq!(spool.tidy(&later, now).unwrap(), Freed::default(), "its hour has not come");
    assert_eq!(spool.tidy(&keeping(), now).unwrap().files, 1);
    let header = dir.path().join("headers").join(instance.location.file().file_name().unwrap());
    assert_eq!(crate::instance::Header::open(&header).unwrap().text(tags::SERIES_DESCRIPTION).as_deref(), Some("a"));
    assert!(!instance.location.file().exists() && Instance::open(&header).is_ok());
    close(spool, dir.path());

    let (spool, left) = open(dir.path());
    assert!(left.is_empty());
    assert_eq!(store(&spool, "1.2.3.4.5", &bytes).await.unwrap(), Stored::Same(instance));
    assert_eq!(spool.tidy(&keeping(), now + keeping().headers * 2).unwrap().files, 1);
    assert!(!header.exists());
}

#[tokio::test]
async fn too_much_that_is_kept_goes_before_its_time_and_what_waits_never() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let keeping = Keeping { finished: Duration::from_secs(1 << 30), most_mib: 1, ..keeping() };
    let mut stored = Vec::new();
    for number in 1..=5 {
        let uid = format!("1.2.3.4.{number}");
        let mut bytes = data_set(&uid, "a");
        bytes.extend([0xE0, 0x7F, 0x10, 0, 0, 0, 8, 0]);
        bytes.extend(vec![0; 512 * 1024]);
        stored.push(store_new(&spool, &uid, &bytes).await);
    }
    for (instance, age) in stored.iter().zip([400, 300, 200, 100]) {
        conclude(&spool, instance, SystemTime::now() - Duration::from_secs(age));
    }
    assert_eq!(spool.tidy(&keeping, SystemTime::now()).unwrap().files, 3);
    let here: Vec<bool> = stored.iter().map(|instance| instance.location.file().exists()).collect();
    assert_eq!(here, [false, false, false, true, true], "the oldest went; the last awaits its report");
}
