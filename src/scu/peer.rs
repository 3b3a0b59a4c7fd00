//! Whom to call: its usual times, and its name in messages.

use std::fmt;
use std::time::Duration;

use super::Peer;
use crate::config;
use crate::ids::AeTitle;

impl Peer {
    /// A peer with the default times and PDU size.
    pub fn new(host: &str, port: u16, called: AeTitle, calling: AeTitle) -> Self {
        let times = config::Delivery::default();
        Self {
            host: host.to_owned(),
            port,
            called,
            calling,
            connect: Duration::from_secs(times.connect_seconds),
            response: Duration::from_secs(times.response_seconds),
            max_pdu: config::Scp::default().max_pdu_bytes,
        }
    }
}

/// `AE@host:port`
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.called, self.host, self.port)
    }
}
