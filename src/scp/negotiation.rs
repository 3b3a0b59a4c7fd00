//! Which associations and presentation contexts are accepted (PS3.8 9.3.2-9.3.4, PS3.7 annex D).

use std::collections::HashSet;

use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderASCEReason as AcseReason,
    AssociationRJServiceProviderPresentationReason as PresentationReason, AssociationRJServiceUserReason as UserReason,
    AssociationRJSource, AssociationRQ, PresentationContextProposed, PresentationContextResult,
    PresentationContextResultReason as ContextResult, RequestorRoles, UserVariableItem,
};

use crate::config::{self, CalledAeTitle};
use crate::dimse::{APPLICATION_CONTEXT, pdu, sop_class, transfer_syntax};
use crate::ids::{AeTitle, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, SopClassUid, TransferSyntaxUid};

/// A presentation context that both sides use.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) id: u8,
    pub(super) abstract_syntax: SopClassUid,
    pub(super) transfer_syntax: TransferSyntaxUid,
    /// What the peer is in it (PS3.7 D.3.3.4).
    pub(super) roles: RequestorRoles,
}

impl Context {
    pub(super) fn is_commitment(&self) -> bool {
        self.abstract_syntax.as_str() == sop_class::STORAGE_COMMITMENT
    }

    /// Whether the peer may ask for commitment in it. Reports are taken in either role: some peers report without
    /// having negotiated that they may.
    pub(super) fn may_ask_commitment(&self) -> bool {
        self.is_commitment() && self.roles.scu
    }
}

/// What the peer is without negotiation: who requests the association is SCU (PS3.7 D.3.3.4).
const DEFAULT_ROLES: RequestorRoles = RequestorRoles { scu: true, scp: false };

/// What a station offers to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Storage,
    StorageAndCommitment,
}

/// What was agreed.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) calling: AeTitle,
    pub(super) contexts: Vec<Context>,
    /// Longest P-DATA-TF that the peer takes.
    pub(super) largest: u32,
}

/// Why an association does not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("all {0} associations are in use (scp.max_associations); the peer may try again")]
    Busy(usize),
    #[error("protocol version 1 is not among the peer's")]
    ProtocolVersion,
    #[error("the application context is not DICOM's")]
    ApplicationContext,
    #[error("no presentation context is proposed")]
    NoContext,
    #[error("the called AE title is not {0}: set {0} at the peer, or scp.called_ae_title = \"any\" here")]
    Called(AeTitle),
    #[error("the calling AE title is none: set a valid one at the peer")]
    Calling,
    #[error("presentation context IDs must be odd and differ")]
    ContextIds,
    #[error("the peer's maximum length holds no message")]
    MaximumLength,
}

impl Refusal {
    /// The A-ASSOCIATE-RJ that says so (PS3.8 9.3.4); `None` where a field of the request is wrong and A-ABORT is due.
    pub(super) fn reject(&self) -> Option<AssociationRJ> {
        let (result, source) = match self {
            Self::Busy(_) => (
                AssociationRJResult::Transient,
                AssociationRJSource::ServiceProviderPresentation(PresentationReason::LocalLimitExceeded),
            ),
            Self::ProtocolVersion => permanent_acse(AcseReason::ProtocolVersionNotSupported),
            Self::NoContext => permanent_acse(AcseReason::NoReasonGiven),
            Self::ApplicationContext => permanent_user(UserReason::ApplicationContextNameNotSupported),
            Self::Called(_) => permanent_user(UserReason::CalledAETitleNotRecognized),
            Self::Calling => permanent_user(UserReason::CallingAETitleNotRecognized),
            Self::ContextIds | Self::MaximumLength => return None,
        };
        Some(AssociationRJ { result, source })
    }
}

fn permanent_acse(reason: AcseReason) -> (AssociationRJResult, AssociationRJSource) {
    (AssociationRJResult::Permanent, AssociationRJSource::ServiceProviderASCE(reason))
}

fn permanent_user(reason: UserReason) -> (AssociationRJResult, AssociationRJSource) {
    (AssociationRJResult::Permanent, AssociationRJSource::ServiceUser(reason))
}

/// Decides about a request: what was agreed, and the A-ASSOCIATE-AC that says so.
pub(super) fn negotiate(
    request: &AssociationRQ,
    settings: &config::Scp,
    offer: Offer,
) -> Result<(Agreement, AssociationAC), Refusal> {
    let calling = admit(request, settings)?;
    let largest = pdu::largest_to_send(&request.user_variables).ok_or(Refusal::MaximumLength)?;
    let roles = proposed_roles(request);
    let mut ids = HashSet::new();
    let (mut contexts, mut results) = (Vec::new(), Vec::new());
    for proposed in &request.presentation_contexts {
        if proposed.id % 2 == 0 || !ids.insert(proposed.id) {
            return Err(Refusal::ContextIds);
        }
        let context = accept(proposed, offer, roles);
        results.push(result(proposed.id, &context));
        contexts.extend(context.ok());
    }
    let mut user_variables = vec![
        UserVariableItem::MaxLength(settings.max_pdu_bytes),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.into()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.into()),
    ];
    if let Some(roles) = roles.filter(|_| contexts.iter().any(Context::is_commitment)) {
        let class = sop_class::STORAGE_COMMITMENT.into();
        user_variables.push(UserVariableItem::ScuScpRoleSelectionSubItem(class, roles));
    }
    let answer = AssociationAC {
        protocol_version: 1,
        calling_ae_title: request.calling_ae_title.clone(),
        called_ae_title: request.called_ae_title.clone(),
        application_context_name: APPLICATION_CONTEXT.into(),
        presentation_contexts: results,
        user_variables,
    };
    Ok((Agreement { calling, contexts, largest }, answer))
}

fn admit(request: &AssociationRQ, settings: &config::Scp) -> Result<AeTitle, Refusal> {
    if request.protocol_version & 1 == 0 {
        return Err(Refusal::ProtocolVersion);
    }
    if request.application_context_name.trim_end_matches(['\0', ' ']) != APPLICATION_CONTEXT {
        return Err(Refusal::ApplicationContext);
    }
    let own = &settings.ae_title;
    let called_own = request.called_ae_title.parse().is_ok_and(|called: AeTitle| called == *own);
    if settings.called_ae_title == CalledAeTitle::Own && !called_own {
        return Err(Refusal::Called(own.clone()));
    }
    if request.presentation_contexts.is_empty() {
        return Err(Refusal::NoContext);
    }
    request.calling_ae_title.parse().map_err(|_| Refusal::Calling)
}

/// The roles that the peer proposes for Storage Commitment, all of which are accepted.
fn proposed_roles(request: &AssociationRQ) -> Option<RequestorRoles> {
    let of_commitment = |class: &str| class.trim_end_matches(['\0', ' ']) == sop_class::STORAGE_COMMITMENT;
    request.user_variables.iter().find_map(|item| match item {
        UserVariableItem::ScuScpRoleSelectionSubItem(class, roles) if of_commitment(class) => Some(*roles),
        _ => None,
    })
}

fn accept(
    proposed: &PresentationContextProposed,
    offer: Offer,
    commitment_roles: Option<RequestorRoles>,
) -> Result<Context, ContextResult> {
    let abstract_syntax: SopClassUid =
        proposed.abstract_syntax.parse().map_err(|_| ContextResult::AbstractSyntaxNotSupported)?;
    let (transfer_syntax, roles) = match abstract_syntax.as_str() {
        sop_class::STORAGE_COMMITMENT if offer == Offer::StorageAndCommitment => {
            (transfer_syntax::choose_uncompressed(&proposed.transfer_syntaxes), commitment_roles)
        }
        sop_class::VERIFICATION => (transfer_syntax::choose(&proposed.transfer_syntaxes), None),
        _ if sop_class::is_storage(&abstract_syntax) => (transfer_syntax::choose(&proposed.transfer_syntaxes), None),
        _ => return Err(ContextResult::AbstractSyntaxNotSupported),
    };
    let transfer_syntax = transfer_syntax.ok_or(ContextResult::TransferSyntaxesNotSupported)?;
    Ok(Context { id: proposed.id, abstract_syntax, transfer_syntax, roles: roles.unwrap_or(DEFAULT_ROLES) })
}

fn result(id: u8, context: &Result<Context, ContextResult>) -> PresentationContextResult {
    let (reason, syntax) = match context {
        Ok(context) => (ContextResult::Acceptance, context.transfer_syntax.as_str()),
        Err(reason) => (reason.clone(), transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN),
    };
    PresentationContextResult { id, reason, transfer_syntax: syntax.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};

    fn request(contexts: &[(u8, &str, &[&str])]) -> AssociationRQ {
        let context = |(id, abstract_syntax, syntaxes): &(u8, &str, &[&str])| PresentationContextProposed {
            id: *id,
            abstract_syntax: (*abstract_syntax).to_owned(),
            transfer_syntaxes: syntaxes.iter().map(|&s| s.to_owned()).collect(),
        };
        AssociationRQ {
            protocol_version: 3,
            calling_ae_title: "PACS".into(),
            called_ae_title: "AUSCULT".into(),
            application_context_name: APPLICATION_CONTEXT.into(),
            presentation_contexts: contexts.iter().map(context).collect(),
            user_variables: vec![UserVariableItem::MaxLength(0)],
        }
    }

    const ECHO: (u8, &str, &[&str]) = (1, sop_class::VERIFICATION, &[IMPLICIT_VR_LITTLE_ENDIAN]);

    #[test]
    fn each_context_gets_its_own_result() {
        let dx = "1.2.840.10008.5.1.4.1.1.1.1";
        let contexts: &[(u8, &str, &[&str])] = &[
            ECHO,
            (3, dx, &["1.2.840.10008.1.2.4.70", EXPLICIT_VR_LITTLE_ENDIAN]),
            (5, "1.2.840.10008.5.1.4.1.2.2.1", &[IMPLICIT_VR_LITTLE_ENDIAN]),
            (7, dx, &["1.2.840.10008.1.2.4.100"]),
        ];
        let (agreement, answer) = negotiate(&request(contexts), &config::Scp::default(), Offer::Storage).unwrap();
        assert_eq!(agreement.contexts.len(), 2);
        assert_eq!(agreement.contexts[1].transfer_syntax.as_str(), EXPLICIT_VR_LITTLE_ENDIAN);
        assert_eq!(agreement.largest, pdu::OUR_LARGEST);
        let reasons: Vec<_> = answer.presentation_contexts.into_iter().map(|c| c.reason).collect();
        use ContextResult::*;
        assert_eq!(reasons, [Acceptance, Acceptance, AbstractSyntaxNotSupported, TransferSyntaxesNotSupported]);
    }

    #[test]
    fn commitment_is_accepted_where_it_is_offered_with_the_roles_that_are_proposed() {
        let commitment = (1, sop_class::STORAGE_COMMITMENT, &["1.2.840.10008.1.2.2", IMPLICIT_VR_LITTLE_ENDIAN][..]);
        let negotiated = |offer, proposed: Option<(bool, bool)>| {
            let mut request = request(&[commitment]);
            let item = |class: &str, (scu, scp)| {
                UserVariableItem::ScuScpRoleSelectionSubItem(class.into(), RequestorRoles { scu, scp })
            };
            request.user_variables.push(item("1.2.840.10008.5.1.4.1.1.1", (true, true)));
            request.user_variables.extend(proposed.map(|roles| item("1.2.840.10008.1.20.1\0", roles)));
            let (agreement, answer) = negotiate(&request, &config::Scp::default(), offer).unwrap();
            let roles = answer.user_variables.into_iter().find_map(|item| match item {
                UserVariableItem::ScuScpRoleSelectionSubItem(class, roles) => Some((class, roles.scu, roles.scp)),
                _ => None,
            });
            (agreement.contexts.into_iter().next(), roles)
        };
        let (refused, roles) = negotiated(Offer::Storage, Some((false, true)));
        assert!(refused.is_none() && roles.is_none());
        let (context, roles) = negotiated(Offer::StorageAndCommitment, None);
        let context = context.unwrap();
        assert!(context.may_ask_commitment() && roles.is_none());
        assert_eq!(context.transfer_syntax.as_str(), IMPLICIT_VR_LITTLE_ENDIAN);
        let (context, roles) = negotiated(Offer::StorageAndCommitment, Some((false, true)));
        let context = context.unwrap();
        assert!(!context.may_ask_commitment() && context.is_commitment());
        assert_eq!(roles, Some((sop_class::STORAGE_COMMITMENT.into(), false, true)));
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let settings = config::Scp::default();
        let refused = |change: fn(&mut AssociationRQ)| {
            let mut request = request(&[ECHO]);
            change(&mut request);
            negotiate(&request, &settings, Offer::Storage).unwrap_err()
        };
        assert_eq!(refused(|r| r.protocol_version = 2), Refusal::ProtocolVersion);
        assert_eq!(refused(|r| r.application_context_name = "1.2.3".into()), Refusal::ApplicationContext);
        assert_eq!(refused(|r| r.called_ae_title = "OTHER".into()), Refusal::Called(settings.ae_title.clone()));
        assert_eq!(refused(|r| r.calling_ae_title = "\u{1b}[31m".into()), Refusal::Calling);
        assert_eq!(refused(|r| r.presentation_contexts.clear()), Refusal::NoContext);
        assert_eq!(refused(|r| r.presentation_contexts[0].id = 2), Refusal::ContextIds);
        assert_eq!(refused(|r| r.user_variables = vec![UserVariableItem::MaxLength(1)]), Refusal::MaximumLength);
    }
}
