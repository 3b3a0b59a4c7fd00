//! A full disk: images are refused and nothing else, what was acknowledged is kept, and room is all it takes to go on.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::audit::{kept, settled};
use crate::support::destination::{Behaviour, Destination};
use crate::support::image::{Fate, Image};
use crate::support::load::Sender;
use crate::support::{Service, wait_for};

/// Rows and columns of an image of a quarter of a mebibyte, which is declined.
const LARGE: (u16, u16) = (128, 2048);
/// Images that a full disk has to refuse before the tests believe it.
const REFUSALS: usize = 12;
const SETTINGS: &str = "[delivery]\nconnect_seconds = 2\nresponse_seconds = 2\nretry_first_seconds = 1\n\
                        retry_max_seconds = 2\n";

/// A file system of its own in a temporary directory.
struct Disk {
    path: std::path::PathBuf,
}

impl Disk {
    /// Mounts one; a line says where that is not allowed.
    fn mount(directory: &TempDir) -> Option<Self> {
        let path = directory.path().join("state");
        fs::create_dir(&path).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"], &path);
        if !mounted {
            eprintln!("skipped: mounting a tmpfs needs root");
        }
        mounted.then_some(Self { path })
    }

    fn enlarge(&self) {
        assert!(mount(&["-o", "remount,size=256m"], &self.path));
    }

    /// Writes until not a byte is free.
    fn fill_up(&self) {
        let mut ballast = File::create(self.path.join("ballast")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

/// A daemon on a disk that its images have filled while the destination was down. The fields are dropped in this
/// order: the disk is unmounted before the service's directory goes.
struct Scene {
    sender: Sender,
    destination: Destination,
    random: fastrand::Rng,
    disk: Disk,
    service: Service,
}

impl Scene {
    fn full() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::mount(&directory)?;
        let destination = Destination::start(Behaviour::Down);
        let service = Service::start_in(directory, &[], &format!("{SETTINGS}{}", destination.table("pacs")));
        let (sender, random) = (Sender::to(service.port), fastrand::Rng::with_seed(7));
        let mut scene = Self { sender, destination, random, disk, service };
        scene.send_until_refused();
        Some(scene)
    }

    fn refused(&self) -> usize {
        self.sender.ledger.count(|fate| matches!(fate, Fate::Refused(_)))
    }

    /// Sends studies, faster than they leave the spool, until the disk has refused enough.
    fn send_until_refused(&mut self) {
        let until = self.refused() + REFUSALS;
        wait_for("refusals", || {
            self.sender.try_send(&Image::study(&mut self.random, &[LARGE; 8]));
            (self.refused() >= until).then_some(())
        });
        self.check();
    }

    /// Sends studies for longer than one needs to be complete: the reports of what is in the spool have no room.
    fn send_while_reports_fail(&mut self) {
        let (acknowledged, until) = (self.sender.ledger.acknowledged(), Instant::now() + Duration::from_secs(4));
        while Instant::now() < until {
            self.sender.try_send(&Image::study(&mut self.random, &[LARGE; 2]));
        }
        self.check();
        assert_eq!(self.sender.ledger.acknowledged(), acknowledged, "an image found room where there is none");
    }

    fn check(&mut self) {
        let refused_otherwise = |fate| matches!(fate, Fate::Refused(status) if status != 0xA700);
        assert_eq!(self.sender.ledger.count(refused_otherwise), 0, "{:?}", self.sender.ledger.images().values());
        assert_eq!(self.sender.ledger.count(|fate| fate == Fate::Unknown), 0, "an image got no answer");
        assert!(self.service.is_running());
    }

    /// Room comes, and with it, without any other help, intake and reports.
    fn mend(mut self) {
        self.disk.enlarge();
        let study = Image::study(&mut self.random, &[LARGE; 2]);
        self.sender.send(&study);
        self.destination.behave(Behaviour::Takes);
        kept(&self.sender, &[&self.destination]);
        settled(&self.sender, &[&self.destination]);
    }
}

#[test]
fn a_nearly_full_disk_refuses_and_goes_on_by_itself() {
    let Some(scene) = Scene::full() else { return };
    scene.mend();
}

#[test]
fn a_disk_without_a_free_byte_loses_nothing() {
    let Some(mut scene) = Scene::full() else { return };
    scene.disk.fill_up();
    scene.send_while_reports_fail();
    scene.mend();
}

#[test]
fn a_kill_on_a_full_disk_loses_nothing() {
    let Some(mut scene) = Scene::full() else { return };
    scene.disk.fill_up();
    scene.service.restart_after_kill();
    scene.send_while_reports_fail();
    scene.service.restart_after_kill();
    scene.mend();
}
