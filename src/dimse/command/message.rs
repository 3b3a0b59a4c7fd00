//! The messages themselves (PS3.7 9.3): requests that Auscult answers or makes, and responses.

use super::*;

/// What a command set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The peer wants something.
    Request(Request),
    /// The peer answers.
    Response(Response),
}

impl Message {
    /// Reads a request or a response, by its Command Field (0000,0100).
    pub fn decode(set: &CommandSet) -> Result<Self, CommandError> {
        match Request::decode(set) {
            Ok(request) => Ok(Self::Request(request)),
            Err(CommandError::Unexpected(_)) => Response::decode(set).map(Self::Response),
            Err(error) => Err(error),
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// C-ECHO-RQ (PS3.7 9.3.5): its Message ID, and whether the peer sends a data set nobody asked for.
    Echo(u16, DataSet),
    /// C-STORE-RQ (PS3.7 9.3.1).
    Store(StoreRq),
    /// N-ACTION-RQ (PS3.7 10.3.5): its type is the Action Type ID.
    Action(NormalizedRq),
    /// N-EVENT-REPORT-RQ (PS3.7 10.3.1): its type is the Event Type ID.
    EventReport(NormalizedRq),
    /// C-CANCEL-RQ (PS3.7 9.3.2.3): nothing to answer.
    Cancel,
    /// Any other request, to be answered with 0211.
    Other {
        /// Command Field (0000,0100).
        field: u16,
        /// Message ID (0000,0110).
        message_id: u16,
        /// Affected or Requested SOP Class UID.
        sop_class: Option<SopClassUid>,
        /// Whether a data set follows.
        data_set: DataSet,
    },
}

/// C-STORE-RQ (PS3.7 9.3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRq {
    /// Message ID (0000,0110).
    pub message_id: u16,
    /// Priority (0000,0700).
    pub priority: Priority,
    /// Affected SOP Class UID (0000,0002), when it is one.
    pub sop_class: Option<SopClassUid>,
    /// Affected SOP Instance UID (0000,1000), when it is one.
    pub sop_instance: Option<SopInstanceUid>,
    /// Whether a data set follows, as it must.
    pub data_set: DataSet,
}

impl Request {
    /// A C-ECHO-RQ.
    pub fn echo(message_id: u16) -> CommandSet {
        CommandSet::default()
            .with_uid(AFFECTED_SOP_CLASS, Some(VERIFICATION))
            .with_number(COMMAND_FIELD, C_ECHO_RQ)
            .with_number(MESSAGE_ID, message_id)
            .with_number(DATA_SET_TYPE, NO_DATA_SET)
    }

    /// A C-STORE-RQ of medium priority.
    pub fn store(message_id: u16, sop_class: &SopClassUid, sop_instance: &SopInstanceUid) -> CommandSet {
        CommandSet::default()
            .with_uid(AFFECTED_SOP_CLASS, Some(sop_class.as_str()))
            .with_number(COMMAND_FIELD, C_STORE_RQ)
            .with_number(MESSAGE_ID, message_id)
            .with_number(PRIORITY, Priority::Medium.code())
            .with_number(DATA_SET_TYPE, A_DATA_SET)
            .with_uid(AFFECTED_SOP_INSTANCE, Some(sop_instance.as_str()))
    }

    /// Reads a request. What makes it unanswerable is an error; a bad UID is not, it has a status of its own.
    pub fn decode(set: &CommandSet) -> Result<Self, CommandError> {
        let field = set.required(COMMAND_FIELD, "Command Field (0000,0100)")?;
        if field & RESPONSE != 0 {
            return Err(CommandError::Unexpected(field));
        }
        if field == C_CANCEL_RQ {
            return Ok(Self::Cancel);
        }
        let message_id = set.required(MESSAGE_ID, "Message ID (0000,0110)")?;
        let data_set = set.data_set()?;
        Ok(match field {
            C_ECHO_RQ => Self::Echo(message_id, data_set),
            C_STORE_RQ => Self::Store(StoreRq {
                message_id,
                priority: Priority::from_code(set.number(PRIORITY).unwrap_or_default()),
                sop_class: set.uid(AFFECTED_SOP_CLASS),
                sop_instance: set.uid(AFFECTED_SOP_INSTANCE),
                data_set,
            }),
            N_ACTION_RQ => Self::Action(NormalizedRq::action(set, message_id, data_set)),
            N_EVENT_REPORT_RQ => Self::EventReport(NormalizedRq::event_report(set, message_id, data_set)),
            _ => Self::Other {
                field,
                message_id,
                sop_class: set.uid(AFFECTED_SOP_CLASS).or_else(|| set.uid(REQUESTED_SOP_CLASS)),
                data_set,
            },
        })
    }
}

/// A response: to which message, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Command Field (0000,0100).
    pub field: u16,
    /// Message ID Being Responded To (0000,0120).
    pub responding_to: u16,
    /// Affected SOP Class UID (0000,0002).
    pub sop_class: Option<SopClassUid>,
    /// Affected SOP Instance UID (0000,1000).
    pub sop_instance: Option<SopInstanceUid>,
    /// Status (0000,0900).
    pub status: Status,
    /// Action Type ID (0000,1008) or Event Type ID (0000,1002), by the Command Field.
    pub type_id: Option<u16>,
    /// Whether a data set follows; none does where Auscult answers.
    pub data_set: DataSet,
}

impl Response {
    /// C-ECHO-RSP (PS3.7 9.3.5.2).
    pub fn to_echo(message_id: u16) -> Self {
        Self {
            field: C_ECHO_RQ | RESPONSE,
            responding_to: message_id,
            sop_class: VERIFICATION.parse().ok(),
            sop_instance: None,
            status: Status::SUCCESS,
            type_id: None,
            data_set: DataSet::Absent,
        }
    }

    /// C-STORE-RSP (PS3.7 9.3.1.2).
    pub fn to_store(request: &StoreRq, status: Status) -> Self {
        Self {
            field: C_STORE_RQ | RESPONSE,
            responding_to: request.message_id,
            sop_class: request.sop_class.clone(),
            sop_instance: request.sop_instance.clone(),
            status,
            type_id: None,
            data_set: DataSet::Absent,
        }
    }

    /// The answer to an operation that Auscult does not perform (PS3.7 C.5.18).
    pub fn unrecognized(field: u16, message_id: u16, sop_class: Option<SopClassUid>) -> Self {
        Self {
            field: field | RESPONSE,
            responding_to: message_id,
            sop_class,
            sop_instance: None,
            status: Status::UNRECOGNIZED_OPERATION,
            type_id: None,
            data_set: DataSet::Absent,
        }
    }

    /// Reads a response.
    pub fn decode(set: &CommandSet) -> Result<Self, CommandError> {
        let field = set.required(COMMAND_FIELD, "Command Field (0000,0100)")?;
        if field & RESPONSE == 0 {
            return Err(CommandError::Unexpected(field));
        }
        Ok(Self {
            field,
            responding_to: set.required(RESPONDING_TO, "Message ID Being Responded To (0000,0120)")?,
            sop_class: set.uid(AFFECTED_SOP_CLASS),
            sop_instance: set.uid(AFFECTED_SOP_INSTANCE),
            status: Status::new(set.required(STATUS, "Status (0000,0900)")?),
            type_id: set.number(type_element(field)),
            data_set: set.data_set().unwrap_or(DataSet::Absent),
        })
    }

    /// Its command set. A failure carries its meaning as Error Comment (0000,0902).
    pub fn command_set(&self) -> CommandSet {
        let comment = (!self.status.is_stored()).then(|| self.status.words());
        let type_id = self.type_id.map(|id| CommandSet::default().with_number(type_element(self.field), id));
        type_id
            .unwrap_or_default()
            .with_uid(AFFECTED_SOP_CLASS, self.sop_class.as_ref().map(SopClassUid::as_str))
            .with_number(COMMAND_FIELD, self.field)
            .with_number(RESPONDING_TO, self.responding_to)
            .with_number(DATA_SET_TYPE, NO_DATA_SET)
            .with_number(STATUS, self.status.code())
            .with_text(ERROR_COMMENT, comment.and_then(|words| words.get(..words.len().min(64))))
            .with_uid(AFFECTED_SOP_INSTANCE, self.sop_instance.as_ref().map(SopInstanceUid::as_str))
    }
}

/// Where a response says which action or event it answers.
fn type_element(field: u16) -> u16 {
    if field & !RESPONSE == N_ACTION_RQ { ACTION_TYPE } else { EVENT_TYPE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_request_comes_back_as_it_went() {
        let (class, instance) = ("1.2.840.10008.5.1.4.1.1.1".parse().unwrap(), "1.2.3".parse().unwrap());
        let sent = Request::store(9, &class, &instance);
        let Ok(Request::Store(got)) = Request::decode(&CommandSet::decode(&sent.encode()).unwrap()) else { panic!() };
        assert_eq!((got.message_id, got.priority, got.data_set), (9, Priority::Medium, DataSet::Follows));
        assert_eq!((got.sop_class.as_ref(), got.sop_instance.as_ref()), (Some(&class), Some(&instance)));
        let answer = Response::to_store(&got, Status::MISMATCH);
        assert_eq!(Response::decode(&answer.command_set()), Ok(answer));
    }

    #[test]
    fn a_bad_uid_can_still_be_answered_and_an_unknown_operation_too() {
        let set = Request::store(1, &"1.2".parse().unwrap(), &"1.2.3".parse().unwrap())
            .with_text(AFFECTED_SOP_INSTANCE, Some("../../etc"));
        let Ok(Request::Store(got)) = Request::decode(&set) else { panic!() };
        assert_eq!(got.sop_instance, None);
        let find = set.with_number(COMMAND_FIELD, 0x0020);
        assert!(matches!(Request::decode(&find), Ok(Request::Other { field: 0x0020, message_id: 1, .. })));
        let answer = Response::unrecognized(0x0020, 1, None).command_set();
        assert_eq!((answer.number(COMMAND_FIELD), answer.number(STATUS)), (Some(0x8020), Some(0x0211)));
        assert_eq!(Request::decode(&answer), Err(CommandError::Unexpected(0x8020)));
    }
}
