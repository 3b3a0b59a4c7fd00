//! A PACS that sends: associations with images, the fate of each kept in a ledger, and what was not acknowledged sent
//! again later.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auscult::dimse::pdu::{self, Ending};
use auscult::dimse::{APPLICATION_CONTEXT, CommandSet, Part, Pdu, Request, Response, Status, Wire};
use dicom_ul::pdu::{AssociationRQ, PresentationContextProposed, UserVariableItem};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::document::EXPLICIT;
use super::image::{ANALYSED, CR, Fate, Image, Ledger, SMALL};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The only presentation context.
const CONTEXT: u8 = 1;

/// The sending side of a PACS.
pub struct Sender {
    /// What became of every image.
    pub ledger: Ledger,
    port: u16,
    runtime: Runtime,
}

impl Sender {
    /// A sender to a port of this machine.
    pub fn to(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { ledger: Ledger::default(), port, runtime }
    }

    /// Sends images over one association, whatever becomes of them.
    pub fn try_send(&self, images: &[Image]) {
        self.runtime.block_on(associate_and_send(self.port, images, &self.ledger));
    }

    /// Sends images of which every one must be acknowledged.
    pub fn send(&self, images: &[Image]) {
        self.try_send(images);
        let fates = self.ledger.images();
        let fate = |image: &Image| fates.get(&image.sop_instance).map(|(_, fate)| *fate);
        let others: Vec<_> = images.iter().map(fate).filter(|fate| *fate != Some(Fate::Acknowledged)).collect();
        assert!(others.is_empty(), "not acknowledged: {others:?}");
    }

    /// Sends so many studies of one to three images over several associations at once, and what is not acknowledged
    /// again, until the load is stopped.
    pub fn load(&self, seed: u64, associations: usize, studies: usize) -> Load {
        let (stop, again) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(VecDeque::new())));
        let left = Arc::new(AtomicUsize::new(studies));
        let senders = (0..associations).map(|number| {
            let source = Source {
                random: fastrand::Rng::with_seed(seed.wrapping_add(number as u64)),
                left: left.clone(),
                again: again.clone(),
                stop: stop.clone(),
            };
            self.runtime.spawn(source.send_all(self.port, self.ledger.clone()))
        });
        Load { senders: senders.collect(), stop }
    }

    /// Ends a load and waits until its last association is over.
    pub fn end(&self, load: Load) {
        load.stop.store(true, Ordering::Relaxed);
        for sender in load.senders {
            self.runtime.block_on(sender).unwrap();
        }
    }
}

/// Associations that are sending.
pub struct Load {
    senders: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// Where one of several associations takes its images from.
struct Source {
    random: fastrand::Rng,
    left: Arc<AtomicUsize>,
    again: Arc<Mutex<VecDeque<Image>>>,
    stop: Arc<AtomicBool>,
}

impl Source {
    async fn send_all(mut self, port: u16, ledger: Ledger) {
        while !self.stop.load(Ordering::Relaxed) {
            let images = self.next();
            if !images.is_empty() {
                associate_and_send(port, &images, &ledger).await;
            }
            let fates = ledger.images();
            for image in images {
                let acknowledged = fates.get(&image.sop_instance).is_some_and(|(_, fate)| *fate == Fate::Acknowledged);
                if !acknowledged && self.random.u8(0..4) > 0 {
                    self.again.lock().unwrap().push_back(image);
                }
            }
            let pause = Duration::from_millis(self.random.u64(20..80));
            tokio::time::sleep(pause).await;
        }
    }

    /// What comes next: half of the time what was not acknowledged or was held back, else a new study, of which a
    /// part is sometimes held back. Few are analysed: the model would be what the test waits for.
    fn next(&mut self) -> Vec<Image> {
        let held_back = if self.random.bool() { self.again.lock().unwrap().pop_front() } else { None };
        if let Some(image) = held_back {
            return vec![image];
        }
        let took_one = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took_one).is_err() {
            return Vec::new();
        }
        let mut sizes = vec![SMALL; self.random.usize(1..=3)];
        if self.random.u8(0..16) == 0 {
            sizes[0] = ANALYSED;
        }
        let mut study = Image::study(&mut self.random, &sizes);
        if study.len() > 1 && self.random.u8(0..5) == 0 {
            self.again.lock().unwrap().extend(study.pop());
        }
        study
    }
}

/// Sends images over one association; it ends early when the peer ends it.
async fn associate_and_send(port: u16, images: &[Image], ledger: &Ledger) {
    for image in images {
        ledger.note(image, Fate::Unsent);
    }
    let Some(mut wire) = associate(port).await else { return };
    for (message, image) in (1..).zip(images) {
        if store(&mut wire, message, image, ledger).await.is_none() {
            return;
        }
    }
    if wire.send(&Pdu::ReleaseRq).await.is_ok() {
        let _ = wire.read().await;
    }
}

async fn associate(port: u16) -> Option<Wire<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let mut wire = Wire::over_tcp(stream, 1 << 20, PATIENCE);
    let request = AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "SENDER".into(),
        called_ae_title: "AUSCULT".into(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: vec![PresentationContextProposed {
            id: CONTEXT,
            abstract_syntax: CR.into(),
            transfer_syntaxes: vec![EXPLICIT.into()],
        }],
        user_variables: vec![UserVariableItem::MaxLength(16_384)],
    };
    wire.send(&Pdu::AssociateRq(request)).await.ok()?;
    matches!(wire.read().await, Ok(Pdu::AssociateAc(_))).then_some(wire)
}

/// Sends one image; `None` when the association is over.
async fn store(wire: &mut Wire<TcpStream>, message: u16, image: &Image, ledger: &Ledger) -> Option<()> {
    const LARGEST: u32 = 16_384;
    let command = Request::store(message, &CR.parse().unwrap(), &image.sop_instance.parse().unwrap());
    wire.send_command(CONTEXT, &command, LARGEST).await.ok()?;
    let mut pdus = Vec::new();
    pdu::put_data(&mut pdus, CONTEXT, Part::DataSet, &image.data_set(), Ending::Last, LARGEST);
    wire.write(&pdus).await.ok()?;
    ledger.note(image, Fate::Unknown);
    let Ok(Pdu::Data(mut values)) = wire.read().await else { return None };
    let response = Response::decode(&CommandSet::decode(&values.next()?.ok()?.fragment).ok()?).ok()?;
    assert_eq!(response.responding_to, message);
    ledger.note(
        image,
        match response.status {
            Status::SUCCESS => Fate::Acknowledged,
            other => Fate::Refused(other.code()),
        },
    );
    Some(())
}
