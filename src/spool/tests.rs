//! The spool's promises, on a real directory.

use std::os::unix::fs::PermissionsExt;

use dicom::core::{DataElement, PrimitiveValue, VR};
use dicom::dictionary_std::tags;
use dicom::object::InMemDicomObject;

use super::*;

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

fn arrival(instance: &str) -> Arrival {
    Arrival {
        sop_class: CR.parse().unwrap(),
        sop_instance: instance.parse().unwrap(),
        transfer_syntax: crate::dimse::transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN.parse().unwrap(),
        calling: "PACS".parse().unwrap(),
    }
}

fn open(directory: &Path) -> (Spool, Vec<Instance>) {
    Spool::open(directory, &config::Spool { min_free_mib: 0 }).unwrap()
}

async fn store(spool: &Spool, announced: &str, bytes: &[u8]) -> Result<Stored, SpoolError> {
    let mut incoming = spool.receive(arrival(announced)).await?;
    for piece in bytes.chunks(7) {
        incoming.write(piece).await?;
    }
    incoming.commit().await
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

#[tokio::test]
async fn what_is_stored_is_found_after_a_restart_until_it_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, left) = open(dir.path());
    assert!(left.is_empty());
    let Ok(Stored::New(instance)) = store(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "a")).await else { panic!() };
    assert!(instance.path.ends_with("studies/1.2.3/1.2.3.4.5.dcm"));
    assert_eq!(std::fs::metadata(&instance.path).unwrap().permissions().mode() & 0o777, 0o600);
    let meta = crate::instance::Header::open(&instance.path).unwrap();
    assert_eq!(meta.text(tags::SERIES_DESCRIPTION).as_deref(), Some("a"));

    drop(spool);
    let (spool, left) = open(dir.path());
    assert_eq!(left, std::slice::from_ref(&instance));
    let study = Study { uid: instance.study.clone(), patient: instance.patient, instances: left };
    spool.finish(&study).await.unwrap();
    spool.finish(&study).await.unwrap();
    assert_eq!(files(&dir.path().join("studies")) + files(&dir.path().join("incoming")), 0);
}

#[tokio::test]
async fn the_same_again_is_a_duplicate_and_another_content_is_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let (first, second) = (data_set("1.2.3.4.5", "first"), data_set("1.2.3.4.5", "second"));
    let Ok(Stored::New(instance)) = store(&spool, "1.2.3.4.5", &first).await else { panic!() };
    assert_eq!(store(&spool, "1.2.3.4.5", &first).await.unwrap(), Stored::Duplicate(instance.clone()));
    for _ in 0..2 {
        let Ok(Stored::Conflict(apart)) = store(&spool, "1.2.3.4.5", &second).await else { panic!() };
        assert!(apart.path.ends_with("conflicts/1.2.3/1.2.3.4.5.1.dcm"));
    }
    let kept = std::fs::read(&instance.path).unwrap();
    assert!(kept.ends_with(&first));
}

#[tokio::test]
async fn what_is_not_what_it_says_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let mismatch = store(&spool, "1.2.3.4.6", &data_set("1.2.3.4.5", "a")).await;
    assert!(matches!(mismatch, Err(SpoolError::Mismatch { attribute: "SOP Instance UID", .. })));
    assert!(matches!(store(&spool, "1.2.3.4.6", &[0; 40]).await, Err(SpoolError::Unreadable(_))));
    let mut dropped = spool.receive(arrival("1.2.3.4.7")).await.unwrap();
    dropped.write(&vec![0; 400_000]).await.unwrap();
    drop(dropped);
    assert_eq!(files(&dir.path().join("studies")) + files(&dir.path().join("incoming")), 0);
}

#[tokio::test]
async fn a_data_set_that_ends_too_early_is_refused_and_set_aside_where_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let whole = data_set("1.2.3.4.5", "a description");
    let cut = &whole[..whole.len() - 2];
    assert!(matches!(store(&spool, "1.2.3.4.5", cut).await, Err(SpoolError::Unreadable(_))));
    let Ok(Stored::New(instance)) = store(&spool, "1.2.3.4.5", &whole).await else { panic!() };
    drop(spool);

    let file = std::fs::File::options().write(true).open(&instance.path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 2).unwrap();
    let (_, left) = open(dir.path());
    assert!(left.is_empty());
    assert!(dir.path().join("quarantine/1.2.3.4.5.dcm").is_file());
}

#[tokio::test]
async fn a_full_disk_refuses_and_a_second_process_too() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(dir.path(), &config::Spool { min_free_mib: u64::MAX }).unwrap();
    assert!(matches!(spool.receive(arrival("1.2")).await, Err(SpoolError::OutOfSpace { .. })));
    let second = Spool::open(dir.path(), &config::Spool { min_free_mib: 0 });
    assert!(matches!(second, Err(SpoolError::InUse { .. })));
}

#[tokio::test]
async fn failed_studies_and_unreadable_files_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let Ok(Stored::New(instance)) = store(&spool, "1.2.3.4.5", &data_set("1.2.3.4.5", "a")).await else { panic!() };
    spool
        .fail(&Study { uid: instance.study.clone(), patient: instance.patient, instances: vec![instance] })
        .await
        .unwrap();
    assert!(dir.path().join("failed/1.2.3/1.2.3.4.5.dcm").is_file());
    drop(spool);

    std::fs::create_dir_all(dir.path().join("studies/9.8/stray")).unwrap();
    std::fs::create_dir(dir.path().join("studies/9.9")).unwrap();
    std::fs::write(dir.path().join("studies/9.9/9.9.1.dcm"), "scrap").unwrap();
    std::fs::write(dir.path().join("incoming/4.part"), "scrap").unwrap();
    let (_, left) = open(dir.path());
    assert!(left.is_empty());
    assert!(dir.path().join("quarantine/9.9.1.dcm").is_file());
    assert!(dir.path().join("studies/9.8/stray").is_dir());
    assert_eq!((files(&dir.path().join("studies")), files(&dir.path().join("incoming"))), (1, 0));
}
