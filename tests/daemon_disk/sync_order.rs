//! Before a C-STORE is answered 0x0000, the image's file is synced, and then the directory in which it has its final
//! name. A stand-in for pulling the plug.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use auscult::dimse::{CommandSet, Part, Pdu, Response, Status, pdu};

use super::trace::{CALLS, Event, events};
use crate::support::audit::settled;
use crate::support::destination::{Behaviour, Destination};
use crate::support::image::Image;
use crate::support::load::Sender;
use crate::support::{Service, installed, run};

/// What is in a received file besides its data set, at most.
const FILE_META: usize = 2048;

/// Rows of 4096 pixels, so that no two images' files have sizes that could be confused.
fn sizes(from: u16) -> Vec<(u16, u16)> {
    (from..from + 8).map(|rows| (rows, 4096)).collect()
}

#[test]
fn every_success_comes_after_the_file_and_its_directory_are_synced() {
    if !installed("strace") {
        return;
    }
    if !run("strace", &["-D", "-o", "/dev/null", "true"]).status.success() {
        eprintln!("skipped: strace may not trace here");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let strace = ["strace", "-D", "-f", "-y", "-xx", "-s", "600", "-e", CALLS, "-o", trace.to_str().unwrap()];
    let destination = Destination::start(Behaviour::Takes);
    let mut service = Service::start_under(&strace, &destination.table("pacs"));
    let sender = Sender::to(service.port);
    let mut random = fastrand::Rng::with_seed(11);
    let studies = [20, 28, 36].map(|rows| Image::study(&mut random, &sizes(rows)));
    std::thread::scope(|threads| {
        for study in &studies {
            threads.spawn(|| sender.send(study));
        }
    });
    settled(&sender, &[&destination]);
    assert!(service.stop().success());

    let images: Vec<Image> = studies.concat();
    let lengths = images.iter().map(|image| (image.sop_instance.clone(), image.data_set().len())).collect();
    let state = service.state();
    let events = events(&fs::read_to_string(&trace).unwrap());
    let answered = answered(&events, &lengths, &state).unwrap_or_else(|fault| panic!("{fault}"));
    let lacking: Vec<_> = lengths.keys().filter(|uid| !answered.contains(*uid)).collect();
    assert!(lacking.is_empty(), "no success answer in the trace for {lacking:?}");
}

/// The images that were answered 0x0000 when they were durable; an error names one that was not.
fn answered(events: &[Event], lengths: &BTreeMap<String, usize>, state: &Path) -> Result<BTreeSet<String>, String> {
    let mut disk = Disk::default();
    let mut answered = BTreeSet::new();
    for event in events {
        match event {
            Event::Sent(bytes) => {
                let Some(uid) = success(bytes) else { continue };
                let Some(length) = lengths.get(&uid) else { continue };
                disk.holds(*length, state).map_err(|fault| format!("{uid} was answered, but {fault}"))?;
                answered.insert(uid);
            }
            other => disk.follow(other),
        }
    }
    Ok(answered)
}

/// The SOP Instance UID of a C-STORE-RSP with status 0x0000.
fn success(bytes: &[u8]) -> Option<String> {
    let Pdu::Data(mut values) = pdu::decode(bytes.to_vec().into()).ok()? else { return None };
    let value = values.next()?.ok().filter(|value| value.part == Part::Command)?;
    let response = Response::decode(&CommandSet::decode(&value.fragment).ok()?).ok()?;
    let is_store = response.field == 0x8001 && response.status == Status::SUCCESS;
    response.sop_instance.filter(|_| is_store).map(|uid| uid.as_str().to_owned())
}

/// What would be there after a power failure.
#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<String, File>,
    /// Names that their directory has not been synced with.
    volatile: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct File {
    written: usize,
    /// What was written at once: an image each, where several share a file.
    pieces: Vec<usize>,
    is_synced: bool,
}

impl Disk {
    fn follow(&mut self, event: &Event) {
        match event {
            Event::Created(path) => {
                self.files.insert(path.clone(), File::default());
                self.volatile.insert(path.clone());
            }
            Event::Written { path, bytes } => {
                let file = self.files.entry(path.clone()).or_default();
                file.written += bytes;
                file.pieces.push(*bytes);
                file.is_synced = false;
            }
            Event::Synced(path) => {
                if let Some(file) = self.files.get_mut(path) {
                    file.is_synced = true;
                }
                self.volatile.retain(|name| Path::new(name).parent() != Some(Path::new(path)));
            }
            Event::Named { from, to } => {
                self.volatile.insert(to.clone());
                if let Some(file) = self.files.remove(from) {
                    self.files.insert(to.clone(), file);
                }
            }
            Event::Sent(_) => {}
        }
    }

    /// Whether a file with a data set of this length would be there.
    fn holds(&self, length: usize, state: &Path) -> Result<(), String> {
        let image = length..length + FILE_META;
        let of_this_size =
            |file: &File| image.contains(&file.written) || file.pieces.iter().any(|piece| image.contains(piece));
        let mut found = 0;
        for (path, file) in
            self.files.iter().filter(|(path, file)| Path::new(path).starts_with(state) && of_this_size(file))
        {
            found += 1;
            if !file.is_synced {
                return Err(format!("{path} was not synced"));
            }
            if self.volatile.contains(path) {
                return Err(format!("the directory of {path} was not synced"));
            }
        }
        if found == 0 { Err("no file of its size was written".into()) } else { Ok(()) }
    }
}

#[test]
fn an_order_that_a_power_failure_would_show_is_found() {
    let (part, name, uid) = ("/s/incoming/1", "/s/studies/7/1.dcm", "1.2.3");
    let request =
        auscult::dimse::Request::store(1, &"1.2.840.10008.5.1.4.1.1.1".parse().unwrap(), &uid.parse().unwrap());
    let Ok(auscult::dimse::Request::Store(request)) = auscult::dimse::Request::decode(&request) else { panic!() };
    let mut answer = Vec::new();
    let response = Response::to_store(&request, Status::SUCCESS).command_set().encode();
    pdu::put_data(&mut answer, 1, Part::Command, &response, pdu::Ending::Last, 16_384);
    let durable = [
        Event::Created(part.into()),
        Event::Written { path: part.into(), bytes: 5100 },
        Event::Synced(part.into()),
        Event::Named { from: part.into(), to: name.into() },
        Event::Synced("/s/studies/7".into()),
        Event::Sent(answer),
    ];
    let lengths = BTreeMap::from([(uid.to_owned(), 5000)]);
    let judge = |order: &[usize]| {
        let events: Vec<Event> = order.iter().map(|place| durable[*place].clone()).collect();
        answered(&events, &lengths, Path::new("/s")).map(|answered| answered.len())
    };
    assert_eq!(judge(&[0, 1, 2, 3, 4, 5]), Ok(1));
    assert_eq!(judge(&[0, 1, 3, 4, 5, 2]), Err(format!("{uid} was answered, but {name} was not synced")));
    assert_eq!(judge(&[0, 2, 1, 3, 4, 5]), Err(format!("{uid} was answered, but {name} was not synced")));
    let unnamed = format!("{uid} was answered, but the directory of {name} was not synced");
    assert_eq!(judge(&[0, 1, 2, 3, 5, 4]), Err(unnamed.clone()));
    assert_eq!(judge(&[0, 1, 2, 4, 3, 5]), Err(unnamed));
    assert_eq!(judge(&[5, 0, 1, 2, 3, 4]), Err(format!("{uid} was answered, but no file of its size was written")));
}
