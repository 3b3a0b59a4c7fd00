//! Small objects that share a file.

use super::*;

/// Commits objects of one study in one group.
async fn store_together(spool: &Spool, uids: &[&str]) -> Vec<Instance> {
    let (mut group, mut answers) = (Vec::new(), Vec::new());
    for uid in uids {
        let mut incoming = spool.receive(announced(uid), Expected::Small);
        incoming.gather(data_set(uid, &"a description of some length ".repeat(2)).into());
        incoming.gather(Bytes::from_static(&[0xE0, 0x7F, 0x10, 0, 0, 0x40, 0, 0]));
        incoming.gather(Bytes::from_static(&[7; 0x4000]));
        let (answer, answered) = tokio::sync::oneshot::channel();
        group.push((incoming.checked().unwrap(), answer));
        answers.push(answered);
    }
    let work = commit::Work::new(&spool.0.layout, spool.ledger(), &settings(), spool.0._lock.clone()).unwrap();
    work.commit(group.into_iter());
    let mut stored = Vec::new();
    for answered in answers {
        match answered.await.unwrap().unwrap() {
            Stored::New(instance, _) => stored.push(instance),
            other => panic!("{other:?}"),
        }
    }
    stored
}

const TOGETHER: [&str; 3] = ["1.2.3.4.1", "1.2.3.4.2", "1.2.3.4.3"];

#[tokio::test]
async fn small_objects_that_come_together_share_a_file_until_the_last_of_them_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let stored = store_together(&spool, &TOGETHER).await;
    let (images, pack) = (dir.path().join("images"), stored[0].location.file().to_owned());
    assert_eq!((files(&images), pack.extension().unwrap().to_str().unwrap()), (1, "pack"));
    for (instance, uid) in stored.iter().zip(TOGETHER) {
        assert_eq!(Instance::open(&instance.location).unwrap(), *instance);
        assert_eq!(instance.sop_instance.as_str(), uid);
        let again = store(&spool, uid, b"other").await;
        assert!(matches!(again, Err(SpoolError::Unreadable(_))), "{again:?}");
    }
    close(spool, dir.path());

    let (spool, left) = open(dir.path());
    assert_eq!(left.into_iter().map(|waiting| waiting.instance).collect::<Vec<_>>(), stored);
    conclude(&spool, &stored[1], SystemTime::now());
    assert_eq!(spool.tidy(&keeping(), SystemTime::now()).unwrap().files, 1);
    assert!(Instance::open(&stored[0].location).is_ok() && Instance::open(&stored[2].location).is_ok());
    assert!(Instance::open(&stored[1].location).is_err(), "its space is free");
    assert_eq!(files(&dir.path().join("headers")), 1);
    close(spool, dir.path());

    let (spool, left) = open(dir.path());
    assert_eq!(left.len(), 2);
    [&stored[0], &stored[2]].iter().for_each(|instance| conclude(&spool, instance, SystemTime::now()));
    assert_eq!(spool.tidy(&keeping(), SystemTime::now()).unwrap().files, 2);
    assert!(!pack.exists());
}

#[tokio::test]
async fn a_pack_without_records_is_adopted_as_far_as_it_still_has_its_images() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let stored = store_together(&spool, &TOGETHER).await;
    close(spool, dir.path());
    forget_the_ledger(dir.path());
    let (spool, left) = open(dir.path());
    let mut adopted: Vec<Instance> = left.into_iter().map(|waiting| waiting.instance).collect();
    adopted.sort_by(|a, b| a.location.cmp(&b.location));
    assert_eq!(adopted, stored);

    conclude(&spool, &stored[0], SystemTime::now());
    assert_eq!(spool.tidy(&keeping(), SystemTime::now()).unwrap().files, 1);
    close(spool, dir.path());
    forget_the_ledger(dir.path());
    let (_spool, left) = open(dir.path());
    assert_eq!(left.len(), 2, "the one that went is not missed");
}

#[tokio::test]
async fn a_damaged_pack_is_set_aside_and_every_image_in_it_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let stored = store_together(&spool, &TOGETHER).await;
    close(spool, dir.path());
    let file = std::fs::File::options().write(true).open(stored[0].location.file()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 2).unwrap();
    let (spool, left) = open(dir.path());
    assert!(left.is_empty());
    assert_eq!((files(&dir.path().join("quarantine")), files(&dir.path().join("images"))), (1, 0));
    let detail = spool.ledger().details(&stored[0].study).unwrap().remove(0);
    assert!(detail.line.state == "failed" && detail.images.iter().all(|image| image.state == "failed"));
}
