//! The Storage, Storage Commitment and Verification SCU: one association to a peer, objects sent over it, each answer a status.
//!
//! No retries and no queue here: who sends decides what to do with a failure.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::dimse::command::CommandError;
use crate::dimse::pdu::PduError;
use crate::dimse::{Abort, Status, WireError, sop_class, transfer_syntax};
use crate::ids::{AeTitle, SopClassUid, TransferSyntaxUid};
use crate::instance::HeaderError;

mod association;
mod commitment;
mod connect;
mod inbox;
mod object;
mod peer;

pub use association::Association;
pub use commitment::report_outcome;
pub use object::Object;

/// Presentation contexts that fit into one association: the odd numbers of one octet (PS3.8 9.3.2.2).
pub const MAX_CONTEXTS: usize = 128;

/// Whom to call, as whom, and how long to wait.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The peer's AE title.
    pub called: AeTitle,
    /// Our AE title.
    pub calling: AeTitle,
    /// Patience for the name's resolution and the TCP connection together.
    pub connect: Duration,
    /// Patience for each answer, and for each piece of an object to be taken.
    pub response: Duration,
    /// Largest P-DATA-TF that we take, in bytes.
    pub max_pdu: u32,
}

/// Why a peer did not give a status, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ScuError {
    /// The host name has no address.
    #[error("{host} cannot be resolved: {source}; correct the host name, or use an address")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nothing listens there.
    #[error("{address} refuses the connection; start the peer, or correct the port")]
    ConnectionRefused {
        /// Host and port.
        address: String,
    },
    /// The network does not lead there.
    #[error("{address} cannot be reached: {source}; check address, routing and firewall")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The peer took too long.
    #[error("timed out after {} s while {doing}", .after.as_secs())]
    TimedOut {
        /// What was being waited for.
        doing: &'static str,
        /// How long.
        after: Duration,
    },
    /// The peer rejected the association (PS3.8 9.3.4).
    #[error("association rejected ({permanence}): {words}")]
    Rejected {
        /// Permanent or transient.
        permanence: &'static str,
        /// The reason and its remedy.
        words: String,
    },
    /// The peer aborted the association.
    #[error("association aborted {0}; the peer's log says why")]
    Aborted(Abort),
    /// The peer closed the connection.
    #[error("the peer closed the connection while {doing}; its log may say why")]
    Closed {
        /// What was going on.
        doing: &'static str,
    },
    /// The connection broke.
    #[error("connection lost while {doing}: {source}")]
    Lost {
        /// What was going on.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The peer accepts the class of an object not at all, or not in its transfer syntax.
    #[error("the peer does not accept {name} in transfer syntax {transfer_syntax}; enable both there", name = sop_class::name(.sop_class).unwrap_or(.sop_class.as_str()))]
    NoContext {
        /// SOP class of the object.
        sop_class: SopClassUid,
        /// Its transfer syntax.
        transfer_syntax: TransferSyntaxUid,
    },
    /// The peer does not keep to the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// An object could not be read to its end, so the association had to be aborted.
    #[error("{path} could not be read to its end: {cause}; the association was aborted")]
    Unfinished {
        /// The file, or where the object came from.
        path: PathBuf,
        /// What went wrong.
        cause: String,
    },
    /// The file to send is no readable DICOM object.
    #[error(transparent)]
    Unreadable(HeaderError),
    /// The object to send cannot be read.
    #[error("{path}: {cause}")]
    Object {
        /// The file, or where the object came from.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

impl ScuError {
    /// Whether the association goes on after it: only this one object could not be sent.
    pub fn concerns_one_object(&self) -> bool {
        matches!(self, Self::NoContext { .. } | Self::Object { .. } | Self::Unreadable(_))
    }

    fn from_wire(error: WireError, doing: &'static str) -> Self {
        match error {
            WireError::Silence(after) => Self::TimedOut { doing, after },
            WireError::Closed | WireError::Cut => Self::Closed { doing },
            WireError::Io(source) => Self::Lost { doing, source },
            WireError::Pdu(error) => error.into(),
        }
    }
}

impl From<PduError> for ScuError {
    fn from(error: PduError) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<CommandError> for ScuError {
    fn from(error: CommandError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// One presentation context to propose: an abstract syntax in one transfer syntax.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// SOP class.
    pub abstract_syntax: SopClassUid,
    /// The only transfer syntax of this context.
    pub transfer_syntax: TransferSyntaxUid,
    /// What we are in this context.
    pub role: Role,
}

/// What we are in a presentation context (PS3.7 D.3.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// SCU, as the requestor of an association is by default.
    #[default]
    User,
    /// SCP, which has to be proposed and accepted.
    Provider,
}

impl Proposal {
    /// Adds what an object needs to be sent and is not there yet.
    pub fn extend(proposals: &mut Vec<Self>, object: &Object) {
        for transfer_syntax in object.offers() {
            let proposal = Self { abstract_syntax: object.sop_class.clone(), transfer_syntax, role: Role::User };
            if !proposals.contains(&proposal) {
                proposals.push(proposal);
            }
        }
    }
}

/// C-ECHO on an association of its own (PS3.7 9.1.5).
pub async fn echo(peer: &Peer) -> Result<Status, ScuError> {
    let known = |_| ScuError::Protocol("internal: a constant is no UID".into());
    let proposal = Proposal {
        abstract_syntax: sop_class::VERIFICATION.parse().map_err(known)?,
        transfer_syntax: transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN.parse().map_err(known)?,
        role: Role::User,
    };
    let mut association = Association::open(peer, &[proposal]).await?;
    let status = association.echo().await?;
    association.release().await.map(|()| status)
}

/// Sends DICOM files in the syntax they are in, over one association as long as it holds, and tells of each file
/// what became of it. An error is returned only when no association comes about; the files that are left then
/// have not been told of.
pub async fn send_files(
    peer: &Peer,
    files: &[PathBuf],
    mut told: impl FnMut(&Path, Result<Status, ScuError>),
) -> Result<(), ScuError> {
    let mut objects = Vec::new();
    for path in files {
        match open_object(path).await {
            Ok(object) => objects.push((path.as_path(), object)),
            Err(error) => told(path, Err(error)),
        }
    }
    let mut rest = objects.as_slice();
    while !rest.is_empty() {
        let sent = send_some(peer, rest, &mut told).await?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Sends objects over one association until it ends or its contexts do not fit; how many were told of.
async fn send_some(
    peer: &Peer,
    objects: &[(&Path, Object)],
    told: &mut impl FnMut(&Path, Result<Status, ScuError>),
) -> Result<usize, ScuError> {
    let mut proposals = Vec::new();
    let mut count = 0;
    for (_, object) in objects {
        let mut more = proposals.clone();
        Proposal::extend(&mut more, object);
        if more.len() > MAX_CONTEXTS {
            break;
        }
        proposals = more;
        count += 1;
    }
    let mut association = Association::open(peer, &proposals).await?;
    for (number, (path, object)) in objects.iter().take(count).enumerate() {
        let outcome = association.store(object).await;
        let ended = outcome.as_ref().is_err_and(|error| !error.concerns_one_object());
        told(path, outcome);
        if ended {
            return Ok(number + 1);
        }
    }
    if let Err(error) = association.release().await {
        tracing::debug!(%error, "release");
    }
    Ok(count)
}

async fn open_object(path: &Path) -> Result<Object, ScuError> {
    let owned = path.to_owned();
    let panicked = |_| ScuError::Object { path: path.to_owned(), cause: "the parser failed on it".into() };
    spawn_blocking(move || Object::open(&owned)).await.map_err(panicked)?
}
