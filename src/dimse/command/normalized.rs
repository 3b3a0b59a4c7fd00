//! The DIMSE-N messages of Storage Commitment (PS3.7 10.3): N-ACTION asks, N-EVENT-REPORT tells the outcome.

use super::*;
use crate::dimse::sop_class::{STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE};

/// N-ACTION-RQ (PS3.7 10.3.5.1) or N-EVENT-REPORT-RQ (PS3.7 10.3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedRq {
    /// Message ID (0000,0110).
    pub message_id: u16,
    /// Requested SOP Class UID (0000,0003) or Affected SOP Class UID (0000,0002), when it is one.
    pub sop_class: Option<SopClassUid>,
    /// Requested SOP Instance UID (0000,1001) or Affected SOP Instance UID (0000,1000), when it is one.
    pub sop_instance: Option<SopInstanceUid>,
    /// Action Type ID (0000,1008) or Event Type ID (0000,1002).
    pub type_id: Option<u16>,
    /// Whether a data set follows.
    pub data_set: DataSet,
}

impl NormalizedRq {
    pub(super) fn action(set: &CommandSet, message_id: u16, data_set: DataSet) -> Self {
        Self {
            message_id,
            sop_class: set.uid(REQUESTED_SOP_CLASS),
            sop_instance: set.uid(REQUESTED_SOP_INSTANCE),
            type_id: set.number(ACTION_TYPE),
            data_set,
        }
    }

    pub(super) fn event_report(set: &CommandSet, message_id: u16, data_set: DataSet) -> Self {
        Self {
            message_id,
            sop_class: set.uid(AFFECTED_SOP_CLASS),
            sop_instance: set.uid(AFFECTED_SOP_INSTANCE),
            type_id: set.number(EVENT_TYPE),
            data_set,
        }
    }

    /// What is wrong with it, unless it concerns the well-known instance of Storage Commitment (PS3.7 10.1.4.1.10).
    pub fn of_commitment(&self) -> Result<(), Status> {
        match (self.sop_class.as_ref().map(SopClassUid::as_str), self.sop_instance.as_ref()) {
            (Some(STORAGE_COMMITMENT), Some(instance)) if instance.as_str() == STORAGE_COMMITMENT_INSTANCE => Ok(()),
            (Some(STORAGE_COMMITMENT), Some(_)) => Err(Status::NO_SUCH_INSTANCE),
            (Some(STORAGE_COMMITMENT), None) => Err(Status::INVALID_INSTANCE),
            _ => Err(Status::NO_SUCH_CLASS),
        }
    }
}

impl Request {
    /// An N-ACTION-RQ of Storage Commitment (PS3.4 J.3.2).
    pub fn commitment_action(message_id: u16, action_type: u16) -> CommandSet {
        CommandSet::default()
            .with_uid(REQUESTED_SOP_CLASS, Some(STORAGE_COMMITMENT))
            .with_number(COMMAND_FIELD, N_ACTION_RQ)
            .with_number(MESSAGE_ID, message_id)
            .with_number(DATA_SET_TYPE, A_DATA_SET)
            .with_uid(REQUESTED_SOP_INSTANCE, Some(STORAGE_COMMITMENT_INSTANCE))
            .with_number(ACTION_TYPE, action_type)
    }

    /// An N-EVENT-REPORT-RQ of Storage Commitment (PS3.4 J.3.3).
    pub fn commitment_event(message_id: u16, event_type: u16) -> CommandSet {
        CommandSet::default()
            .with_uid(AFFECTED_SOP_CLASS, Some(STORAGE_COMMITMENT))
            .with_number(COMMAND_FIELD, N_EVENT_REPORT_RQ)
            .with_number(MESSAGE_ID, message_id)
            .with_number(DATA_SET_TYPE, A_DATA_SET)
            .with_uid(AFFECTED_SOP_INSTANCE, Some(STORAGE_COMMITMENT_INSTANCE))
            .with_number(EVENT_TYPE, event_type)
    }
}

impl Response {
    /// N-ACTION-RSP (PS3.7 10.3.5.2), without an action reply.
    pub fn to_action(request: &NormalizedRq, status: Status) -> Self {
        Self::to_normalized(N_ACTION_RQ, request, status)
    }

    /// N-EVENT-REPORT-RSP (PS3.7 10.3.1.2), without an event reply.
    pub fn to_event_report(request: &NormalizedRq, status: Status) -> Self {
        Self::to_normalized(N_EVENT_REPORT_RQ, request, status)
    }

    /// Whether it answers an N-EVENT-REPORT-RQ.
    pub fn is_to_event_report(&self) -> bool {
        self.field == N_EVENT_REPORT_RQ | RESPONSE
    }

    fn to_normalized(field: u16, request: &NormalizedRq, status: Status) -> Self {
        Self {
            field: field | RESPONSE,
            responding_to: request.message_id,
            sop_class: request.sop_class.clone(),
            sop_instance: request.sop_instance.clone(),
            status,
            type_id: request.type_id,
            data_set: DataSet::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_the_wire(set: &CommandSet) -> Request {
        Request::decode(&CommandSet::decode(&set.encode()).unwrap()).unwrap()
    }

    #[test]
    fn asking_and_telling_come_back_as_they_went() {
        let Request::Action(action) = over_the_wire(&Request::commitment_action(5, 1)) else { panic!() };
        assert_eq!((action.message_id, action.type_id, action.data_set), (5, Some(1), DataSet::Follows));
        assert_eq!(action.of_commitment(), Ok(()));
        let Request::EventReport(event) = over_the_wire(&Request::commitment_event(6, 2)) else { panic!() };
        assert_eq!((event.message_id, event.type_id, event.of_commitment()), (6, Some(2), Ok(())));
        for answer in
            [Response::to_action(&action, Status::NO_SUCH_ACTION), Response::to_event_report(&event, Status::SUCCESS)]
        {
            assert_eq!(Response::decode(&CommandSet::decode(&answer.command_set().encode()).unwrap()), Ok(answer));
        }
        assert_eq!(Response::to_action(&action, Status::SUCCESS).field, 0x8130);
        assert_eq!(Response::to_event_report(&event, Status::SUCCESS).field, 0x8100);
    }

    #[test]
    fn another_class_or_instance_has_a_status_of_its_own() {
        let good = Request::commitment_action(1, 1);
        let status = |set: CommandSet| match over_the_wire(&set) {
            Request::Action(request) => request.of_commitment().unwrap_err(),
            other => panic!("{other:?}"),
        };
        assert_eq!(status(good.clone().with_uid(REQUESTED_SOP_CLASS, Some("1.2.3"))), Status::NO_SUCH_CLASS);
        assert_eq!(status(good.clone().with_uid(REQUESTED_SOP_INSTANCE, Some("1.2.3"))), Status::NO_SUCH_INSTANCE);
        assert_eq!(status(good.with_uid(REQUESTED_SOP_INSTANCE, Some("../etc"))), Status::INVALID_INSTANCE);
    }
}
