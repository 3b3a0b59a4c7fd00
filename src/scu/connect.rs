//! From a peer's name to an answered A-ASSOCIATE-RQ (PS3.8 9.2, 9.3.2-9.3.4).

use std::collections::BTreeSet;
use std::io;

use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderPresentationReason as Presentation,
    AssociationRJServiceUserReason as User, AssociationRJSource as Source, AssociationRQ, PresentationContextProposed,
    RequestorRoles, UserVariableItem,
};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{MAX_CONTEXTS, Peer, Proposal, Role, ScuError};
use crate::dimse::{APPLICATION_CONTEXT, Abort, Pdu, Wire};
use crate::ids::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, SopClassUid};

const ASSOCIATING: &str = "waiting for the answer to the association request";

/// A TCP connection to the peer.
pub(super) async fn connect(peer: &Peer) -> Result<Wire<TcpStream>, ScuError> {
    let connecting = timeout(peer.connect, try_addresses(peer)).await;
    let stream = connecting.map_err(|_| ScuError::TimedOut { doing: "connecting", after: peer.connect })??;
    Ok(Wire::over_tcp(stream, peer.max_pdu, peer.response))
}

async fn try_addresses(peer: &Peer) -> Result<TcpStream, ScuError> {
    let resolve = |source| ScuError::Resolve { host: peer.host.clone(), source };
    let addresses = tokio::net::lookup_host((peer.host.as_str(), peer.port)).await.map_err(resolve)?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let address = format!("{}:{}", peer.host, peer.port);
    Err(match last {
        None => resolve(io::Error::new(io::ErrorKind::NotFound, "no address")),
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => ScuError::ConnectionRefused { address },
        Some(source) => ScuError::Unreachable { address, source },
    })
}

/// Asks for the association; the peer's A-ASSOCIATE-AC.
pub(super) async fn associate(
    wire: &mut Wire<TcpStream>,
    peer: &Peer,
    proposals: &[Proposal],
) -> Result<AssociationAC, ScuError> {
    let on_wire = |error| ScuError::from_wire(error, ASSOCIATING);
    wire.send(&Pdu::AssociateRq(request(peer, proposals))).await.map_err(on_wire)?;
    match wire.read().await.map_err(on_wire)? {
        Pdu::AssociateAc(accept) => Ok(accept),
        Pdu::AssociateRj(reject) => Err(rejected(peer, &reject)),
        Pdu::Abort(abort) => Err(ScuError::Aborted(abort)),
        Pdu::AssociateRq(_) | Pdu::Data(_) | Pdu::ReleaseRq | Pdu::ReleaseRp => {
            let _ = wire.send(&Pdu::Abort(Abort::UNEXPECTED_PDU)).await;
            Err(ScuError::Protocol("it answered the association request with another PDU".into()))
        }
    }
}

/// Whether the peer lets us be what we proposed to be (PS3.7 D.3.3.4).
pub(super) fn role_accepted(accept: &AssociationAC, proposal: &Proposal) -> bool {
    let class = proposal.abstract_syntax.as_str();
    proposal.role == Role::User
        || accept.user_variables.iter().any(|item| match item {
            UserVariableItem::ScuScpRoleSelectionSubItem(of, roles) => {
                roles.scp && of.trim_end_matches(['\0', ' ']) == class
            }
            _ => false,
        })
}

/// What we propose to be, for each class in which that is not only the SCU that a requestor is by default.
fn roles(proposals: &[Proposal]) -> Vec<UserVariableItem> {
    let is = |class: &SopClassUid, role| proposals.iter().any(|p| p.abstract_syntax == *class && p.role == role);
    let classes: BTreeSet<_> = proposals.iter().map(|proposal| &proposal.abstract_syntax).collect();
    let providing = classes.into_iter().filter(|class| is(class, Role::Provider));
    let item = |class: &SopClassUid| {
        let roles = RequestorRoles { scu: is(class, Role::User), scp: true };
        UserVariableItem::ScuScpRoleSelectionSubItem(class.to_string(), roles)
    };
    providing.map(item).collect()
}

fn request(peer: &Peer, proposals: &[Proposal]) -> AssociationRQ {
    let context = |(id, proposal): (u8, &Proposal)| PresentationContextProposed {
        id,
        abstract_syntax: proposal.abstract_syntax.to_string(),
        transfer_syntaxes: vec![proposal.transfer_syntax.to_string()],
    };
    let mut user_variables = vec![
        UserVariableItem::MaxLength(peer.max_pdu),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.into()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.into()),
    ];
    user_variables.extend(roles(proposals));
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: peer.calling.to_string(),
        called_ae_title: peer.called.to_string(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: numbered(proposals).map(context).collect(),
        user_variables,
    }
}

/// Proposals with their presentation context IDs, odd from 1.
pub(super) fn numbered(proposals: &[Proposal]) -> impl Iterator<Item = (u8, &Proposal)> {
    (1..=u8::MAX).step_by(2).zip(proposals).take(MAX_CONTEXTS)
}

fn rejected(peer: &Peer, reject: &AssociationRJ) -> ScuError {
    let permanence = match reject.result {
        AssociationRJResult::Permanent => "permanent",
        AssociationRJResult::Transient => "transient",
    };
    let words = match &reject.source {
        Source::ServiceUser(User::CallingAETitleNotRecognized) => {
            format!("the peer does not know our AE title {}: add it there", peer.calling)
        }
        Source::ServiceUser(User::CalledAETitleNotRecognized) => {
            format!("the peer is not called {}: correct its AE title here", peer.called)
        }
        Source::ServiceProviderPresentation(Presentation::LocalLimitExceeded | Presentation::TemporaryCongestion) => {
            format!("the peer is busy ({}): try again, or raise its limit of associations", reject.source)
        }
        source => format!("{source}: the peer's log may say more"),
    };
    ScuError::Rejected { permanence, words }
}
