//! How an HL7 message reaches its receiver: one at a time, in order, again with the same control ID until it is
//! acknowledged.

use std::time::Duration;

use tokio::task::spawn_blocking;

use super::carrier::TryError;
use crate::config;
use crate::hl7::{Acknowledgement, Connection, Message, Verdict};
use crate::ids::SopInstanceUid;
use crate::ledger::Pending;

/// How often a receiver may find an error in a message before the message is given up and the next one has its turn.
/// A receiver that is only being repaired has found its way by then: with the default times, after four hours.
const MOST_ERRORS: u32 = 20;

/// Brings messages to one receiver, over one connection as long as messages follow each other.
pub(super) struct Messenger {
    host: String,
    port: u16,
    connect: Duration,
    response: Duration,
    connection: Option<Connection>,
    /// The message that the receiver last found an error in, and how often in a row.
    objected: Option<(SopInstanceUid, u32)>,
}

impl Messenger {
    pub(super) fn new(host: &str, port: u16, times: &config::Delivery) -> Self {
        Self {
            host: host.to_owned(),
            port,
            connect: Duration::from_secs(times.connect_seconds),
            response: Duration::from_secs(times.response_seconds),
            connection: None,
            objected: None,
        }
    }

    /// Brings one message; what the receiver said. No later message overtakes one that was not acknowledged.
    pub(super) async fn carry(&mut self, pending: &Pending) -> Result<String, TryError> {
        let file = pending.file.clone();
        let octets = spawn_blocking(move || std::fs::read(file)).await;
        let octets = octets.map_err(|_| TryError::NotNow("unreadable".into()))?;
        let octets = octets.map_err(|error| TryError::NotNow(error.to_string()))?;
        let message = Message::restored(octets).ok_or(TryError::Refused("its file holds no HL7 message".into()))?;
        let unreachable = |error: &dyn std::fmt::Display| TryError::Unreachable(error.to_string());
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.host, self.port, self.connect).await.map_err(|error| unreachable(&error))?,
        };
        let answer = connection.send(&message, self.response).await.map_err(|error| unreachable(&error))?;
        self.connection = Some(connection);
        self.judge(&pending.report.sop_instance, &answer)
    }

    fn judge(&mut self, message: &SopInstanceUid, answer: &Acknowledgement) -> Result<String, TryError> {
        let said = |verdict: &str| match answer.text.is_empty() {
            true => verdict.to_owned(),
            false => format!("{verdict}: {}", answer.text),
        };
        match answer.verdict {
            Verdict::Accepted => {
                self.objected = None;
                Ok(said("acknowledged"))
            }
            Verdict::Rejected => Err(TryError::Unreachable(said("rejected (AR)"))),
            Verdict::Error => {
                let before = self.objected.take().filter(|(objected, _)| objected == message);
                let times = before.map_or(0, |(_, times)| times) + 1;
                if times >= MOST_ERRORS {
                    return Err(TryError::Refused(said(&format!(
                        "the receiver found an error in it {times} times (AE)"
                    ))));
                }
                self.objected = Some((message.clone(), times));
                Err(TryError::Unreachable(said("the receiver found an error in it (AE)")))
            }
        }
    }

    /// Ends the connection, if there is one.
    pub(super) fn close(&mut self) {
        self.connection = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(verdict: Verdict) -> Acknowledgement {
        Acknowledgement { verdict, control_id: "A".into(), text: "full".into() }
    }

    #[test]
    fn an_error_is_tried_again_until_it_is_the_messages_fault() {
        let mut messenger = Messenger::new("localhost", 1, &config::Delivery::default());
        let (first, second): (SopInstanceUid, SopInstanceUid) = ("2.25.1".parse().unwrap(), "2.25.2".parse().unwrap());
        let refused = |tried: Result<String, TryError>| matches!(tried, Err(TryError::Refused(_)));
        for _ in 1..MOST_ERRORS {
            assert!(!refused(messenger.judge(&first, &answer(Verdict::Error))));
        }
        assert!(!refused(messenger.judge(&second, &answer(Verdict::Error))), "another message begins anew");
        for _ in 2..MOST_ERRORS {
            assert!(!refused(messenger.judge(&second, &answer(Verdict::Error))));
        }
        assert!(refused(messenger.judge(&second, &answer(Verdict::Error))));
        for _ in 0..2 * MOST_ERRORS {
            let rejected = messenger.judge(&first, &answer(Verdict::Rejected));
            assert!(matches!(rejected, Err(TryError::Unreachable(why)) if why == "rejected (AR): full"));
        }
        assert_eq!(messenger.judge(&first, &answer(Verdict::Accepted)).unwrap(), "acknowledged: full");
    }
}
