//! The Minimal Lower Layer Protocol: a message between `<VT>` and `<FS><CR>`, and an acknowledgement the same way back.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::acknowledgement::Acknowledgement;
use super::message::Message;

const START: u8 = 0x0B;
const END: u8 = 0x1C;
const CARRIAGE_RETURN: u8 = 0x0D;
/// No acknowledgement is longer.
const LARGEST_ANSWER_BYTES: usize = 64 * 1024;

/// Why a message was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum MllpError {
    /// No connection.
    #[error("cannot connect to {address}: {source}; check host, port and firewall")]
    Connect {
        /// Host and port.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Ended(io::Error),
    /// No answer in time.
    #[error("no acknowledgement within {seconds} s")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },
    /// What came back is no acknowledgement of the message.
    #[error("{what}; check that an HL7 v2 receiver listens there")]
    Strange {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A connection to a receiver. After an error it is of no use.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects within `patience`.
    pub async fn open(host: &str, port: u16, patience: Duration) -> Result<Self, MllpError> {
        let failed = |source| MllpError::Connect { address: format!("{host}:{port}"), source };
        let connecting = timeout(patience, TcpStream::connect((host, port))).await;
        let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a message and waits for its acknowledgement, each within `patience`.
    pub async fn send(&mut self, message: &Message, patience: Duration) -> Result<Acknowledgement, MllpError> {
        let silent = |_| MllpError::Silent { seconds: patience.as_secs() };
        let mut frame = Vec::with_capacity(message.octets().len() + 3);
        frame.push(START);
        frame.extend_from_slice(message.octets());
        frame.extend([END, CARRIAGE_RETURN]);
        timeout(patience, self.stream.write_all(&frame)).await.map_err(silent)?.map_err(MllpError::Ended)?;
        let answer = timeout(patience, self.answer()).await.map_err(silent)??;
        let acknowledgement = Acknowledgement::parse(&answer)?;
        match acknowledgement.control_id == message.control_id() {
            true => Ok(acknowledgement),
            false => Err(MllpError::Strange { what: "the acknowledgement is that of another message" }),
        }
    }

    /// The content of the next frame; what stands before it is passed over.
    async fn answer(&mut self) -> Result<Vec<u8>, MllpError> {
        let too_long = MllpError::Strange { what: "the answer is longer than any acknowledgement" };
        let (mut answer, mut inside, mut before) = (Vec::new(), false, 0);
        loop {
            match (self.stream.read_u8().await.map_err(MllpError::Ended)?, inside) {
                (START, _) => {
                    answer.clear();
                    inside = true;
                }
                (END, true) => return Ok(answer),
                (octet, true) if answer.len() < LARGEST_ANSWER_BYTES => answer.push(octet),
                (_, false) if before < LARGEST_ANSWER_BYTES => before += 1,
                _ => return Err(too_long),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::hl7::Verdict;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Answers one message with the octets given, and ends.
    async fn receiver(answer: &'static [u8]) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            while !received.ends_with(&[END, CARRIAGE_RETURN]) {
                received.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
            received
        });
        (port, task)
    }

    async fn exchange(answer: &'static [u8]) -> (Result<Acknowledgement, MllpError>, Vec<u8>) {
        let (port, task) = receiver(answer).await;
        let message = Message::restored(b"MSH|^~\\&|A||||1||ORU^R01|C7|P|2.5.1\rOBX|1\r".to_vec()).unwrap();
        let mut connection = Connection::open("127.0.0.1", port, PATIENCE).await.unwrap();
        (connection.send(&message, PATIENCE).await, task.await.unwrap())
    }

    #[tokio::test]
    async fn a_message_goes_in_a_frame_and_its_acknowledgement_comes_back() {
        let (answer, received) = exchange(b"noise\x0BMSH|^~\\&\rMSA|AA|C7\r\x1C\r").await;
        assert_eq!(answer.unwrap().verdict, Verdict::Accepted);
        assert_eq!(received, b"\x0BMSH|^~\\&|A||||1||ORU^R01|C7|P|2.5.1\rOBX|1\r\x1C\r");
    }

    #[tokio::test]
    async fn what_is_no_acknowledgement_of_it_is_an_error() {
        assert!(matches!(exchange(b"\x0BMSH|^~\\&\rMSA|AA|C8\r\x1C\r").await.0, Err(MllpError::Strange { .. })));
        assert!(matches!(exchange(b"HTTP/1.1 400 Bad Request").await.0, Err(MllpError::Ended(_))));
        assert!(matches!(exchange(&[b'x'; 70_000]).await.0, Err(MllpError::Strange { .. })));
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        assert!(matches!(Connection::open("127.0.0.1", nobody, PATIENCE).await, Err(MllpError::Connect { .. })));
    }
}
