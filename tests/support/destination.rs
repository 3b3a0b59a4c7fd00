//! A Storage SCP in the test's own process that takes reports, refuses them, loses answers or says nothing, and keeps
//! what every report said.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use auscult::dimse::{APPLICATION_CONTEXT, CommandSet, DataSet, Part, Pdu, Request, Response, Status, Wire};
use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextResult, PresentationContextResultReason, UserVariableItem,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::document::{Document, EXPLICIT, IMPLICIT};

/// No test waits so long.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// Largest P-DATA-TF taken and sent.
const LARGEST: u32 = 16_384;

/// What a destination does with those who call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers 0x0000.
    Takes,
    /// Answers every so many-th object with this status, the others with 0x0000.
    RefusesEvery(usize, Status),
    /// Stores every object, and hangs up instead of answering every so many-th.
    LosesEvery(usize),
    /// Answers 0x0000 after this time.
    Slow(Duration),
    /// Serves one association and leaves further callers waiting for their answer until it has ended.
    OneAtATime,
    /// Accepts connections and never says a word.
    BlackHole,
    /// Refuses connections.
    Down,
}

/// What has happened at a destination so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What was stored, re-sends included, in the order of arrival.
    pub stored: Vec<Document>,
    /// What was refused, and how.
    pub refused: Vec<(Document, Status)>,
    /// Answers that were lost.
    pub lost: usize,
    /// Connections that a black hole took.
    pub swallowed: usize,
    /// Connections that callers took back from a black hole.
    pub given_up: usize,
    /// Most associations that were open at the same time.
    pub most_at_once: usize,
    open: usize,
    objects: usize,
}

/// One association, counted while it is open.
struct Counted(Arc<Mutex<Seen>>);

impl Counted {
    fn new(seen: &Arc<Mutex<Seen>>) -> Self {
        let mut counts = seen.lock().unwrap();
        counts.open += 1;
        counts.most_at_once = counts.most_at_once.max(counts.open);
        Self(seen.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lock().unwrap().open -= 1;
    }
}

/// A destination on a port of this machine.
pub struct Destination {
    /// The port.
    pub port: u16,
    behaviour: watch::Sender<Behaviour>,
    seen: Arc<Mutex<Seen>>,
    _runtime: Runtime,
}

impl Destination {
    /// Starts one.
    pub fn start(behaviour: Behaviour) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sender, receiver) = watch::channel(behaviour);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let socket = runtime.block_on(async { bound(0) });
        let port = socket.local_addr().unwrap().port();
        runtime.spawn(listen(socket, Caller { behaviour: receiver, seen: seen.clone(), turn: Arc::default() }));
        Self { port, behaviour: sender, seen, _runtime: runtime }
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// What has happened here.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Its table for the daemon's configuration.
    pub fn table(&self, name: &str) -> String {
        format!(
            "[[destination]]\nkind = \"dicom\"\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = {}\nae_title = \"PACS\"\n",
            self.port
        )
    }
}

/// A socket that holds a port; until it listens, connections to it are refused.
fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], port).into()).unwrap();
    socket
}

/// What every connection needs.
#[derive(Clone)]
struct Caller {
    behaviour: watch::Receiver<Behaviour>,
    seen: Arc<Mutex<Seen>>,
    /// Whoever holds it is served alone.
    turn: Arc<tokio::sync::Mutex<()>>,
}

async fn listen(mut socket: TcpSocket, mut caller: Caller) {
    let port = socket.local_addr().unwrap().port();
    loop {
        if caller.behaviour.wait_for(|now| *now != Behaviour::Down).await.is_err() {
            return;
        }
        let listener = socket.listen(64).unwrap();
        if accept(&listener, &mut caller).await.is_err() {
            return;
        }
        drop(listener);
        socket = bound(port);
    }
}

/// Accepts until the destination goes down; fails when its test has ended.
async fn accept(listener: &TcpListener, caller: &mut Caller) -> Result<(), watch::error::RecvError> {
    let mut behaviour = caller.behaviour.clone();
    loop {
        tokio::select! {
            down = behaviour.wait_for(|now| *now == Behaviour::Down) => return down.map(drop),
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let caller = caller.clone();
                tokio::spawn(async move {
                    let mut behaviour = caller.behaviour.clone();
                    tokio::select! {
                        _ = behaviour.wait_for(|now| *now == Behaviour::Down) => {}
                        _ = caller.serve(stream) => {}
                    }
                });
            }
        }
    }
}

/// A whole DIMSE message.
struct Message {
    context: u8,
    request: Request,
    data_set: Vec<u8>,
}

impl Caller {
    async fn serve(mut self, mut stream: TcpStream) -> Option<()> {
        if *self.behaviour.borrow() == Behaviour::BlackHole {
            return self.swallow(&mut stream).await;
        }
        let mut wire = Wire::over_tcp(stream, 1 << 20, FOR_EVER);
        let Pdu::AssociateRq(request) = wire.read().await.ok()? else { return None };
        let turn = self.turn.clone();
        let alone = *self.behaviour.borrow() == Behaviour::OneAtATime;
        let _alone = if alone { Some(turn.lock().await) } else { None };
        let _counted = Counted::new(&self.seen);
        let answer = agreed(&request);
        let syntaxes = answer.presentation_contexts.clone();
        wire.send(&Pdu::AssociateAc(answer)).await.ok()?;
        loop {
            let message = next_message(&mut wire).await?;
            let response = match message.request {
                Request::Echo(id, _) => Response::to_echo(id),
                Request::Store(request) => {
                    let syntax = syntaxes.iter().find(|context| context.id == message.context)?;
                    let document = Document::read(&message.data_set, &syntax.transfer_syntax);
                    Response::to_store(&request, self.take(document).await?)
                }
                _ => return None,
            };
            wire.send_command(message.context, &response.command_set(), LARGEST).await.ok()?;
        }
    }

    /// Holds a connection until the caller or the destination gives up.
    async fn swallow(&mut self, stream: &mut TcpStream) -> Option<()> {
        self.seen.lock().unwrap().swallowed += 1;
        let mut scrap = [0; 4096];
        loop {
            tokio::select! {
                _ = self.behaviour.wait_for(|now| *now != Behaviour::BlackHole) => return None,
                read = stream.read(&mut scrap) => match read {
                    Ok(1..) => {}
                    _ => {
                        self.seen.lock().unwrap().given_up += 1;
                        return None;
                    }
                },
            }
        }
    }

    /// The status for an object; `None` where the connection ends instead.
    async fn take(&mut self, document: Document) -> Option<Status> {
        let behaviour = *self.behaviour.borrow();
        if let Behaviour::Slow(time) = behaviour {
            tokio::time::sleep(time).await;
        }
        if behaviour == Behaviour::BlackHole {
            self.behaviour.wait_for(|now| *now != Behaviour::BlackHole).await.ok()?;
            return None;
        }
        let mut seen = self.seen.lock().unwrap();
        seen.objects += 1;
        match behaviour {
            Behaviour::RefusesEvery(count, status) if seen.objects.is_multiple_of(count) => {
                seen.refused.push((document, status));
                return Some(status);
            }
            Behaviour::LosesEvery(count) if seen.objects.is_multiple_of(count) => {
                seen.stored.push(document);
                seen.lost += 1;
                return None;
            }
            _ => seen.stored.push(document),
        }
        Some(Status::SUCCESS)
    }
}

/// Accepts every context that is offered in a syntax that [`Document`] reads.
fn agreed(request: &AssociationRQ) -> AssociationAC {
    let contexts = request.presentation_contexts.iter().map(|proposed| {
        let offered =
            |syntax: &&str| proposed.transfer_syntaxes.iter().any(|t| t.trim_end_matches(['\0', ' ']) == *syntax);
        let chosen = [EXPLICIT, IMPLICIT].into_iter().find(offered);
        PresentationContextResult {
            id: proposed.id,
            reason: match chosen {
                Some(_) => PresentationContextResultReason::Acceptance,
                None => PresentationContextResultReason::TransferSyntaxesNotSupported,
            },
            transfer_syntax: chosen.unwrap_or(IMPLICIT).to_owned(),
        }
    });
    AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: contexts.collect(),
        user_variables: vec![UserVariableItem::MaxLength(LARGEST)],
    }
}

/// The next message; `None` at the end of the association.
async fn next_message(wire: &mut Wire<TcpStream>) -> Option<Message> {
    let (mut command, mut data_set, mut request) = (Vec::new(), Vec::new(), None);
    loop {
        let values = match wire.read().await.ok()? {
            Pdu::Data(values) => values,
            Pdu::ReleaseRq => {
                wire.send(&Pdu::ReleaseRp).await.ok()?;
                return None;
            }
            _ => return None,
        };
        for value in values {
            let value = value.ok()?;
            let context = value.context;
            match value.part {
                Part::Command => command.extend_from_slice(&value.fragment),
                Part::DataSet => data_set.extend_from_slice(&value.fragment),
            }
            match (value.part, value.last) {
                (Part::Command, true) => {
                    let decoded = Request::decode(&CommandSet::decode(&command).ok()?).ok()?;
                    if let Request::Echo(_, DataSet::Absent) = decoded {
                        return Some(Message { context, request: decoded, data_set });
                    }
                    request = Some(decoded);
                }
                (Part::DataSet, true) => return Some(Message { context, request: request.take()?, data_set }),
                _ => {}
            }
        }
    }
}
