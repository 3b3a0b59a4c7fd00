//! PDUs on a byte stream (PS3.8 9.1, 9.3.1): framed, bounded before they are buffered, and timed.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::dimse::command::CommandSet;
use crate::dimse::pdu::{self, Abort, Ending, HEADER_BYTES, Part, Pdu, PduError};

/// Room made in the buffer for one read, before longer PDUs came.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// A PDU of which more is missing is read to its end alone: what comes behind it would be copied to another buffer.
pub(super) const ALONE_BYTES: usize = 16 * 1024;
/// How long the peer has to read our last words before the socket closes.
const LINGER: Duration = Duration::from_secs(2);
/// What is read and thrown away meanwhile.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Why nothing more comes over a wire.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer closed between two PDUs.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed inside a PDU.
    #[error("the peer closed the connection inside a PDU")]
    Cut,
    /// No whole PDU came, or none could be sent, in time.
    #[error("silence for {} s", .0.as_secs())]
    Silence(Duration),
    /// What came is no PDU.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// The operating system's word.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
}

/// The first piece of a PDU that is written in two is no longer: the headers of PDU and presentation data value.
pub(super) const PIECE_BYTES: usize = 64;

/// One connection, seen as PDUs.
#[derive(Debug)]
pub struct Wire<S> {
    /// Nothing while a rush has it, and when it is lost.
    pub(super) stream: Option<S>,
    pub(super) received: BytesMut,
    /// The longest PDU so far: room grows with what was received, never with what was declared.
    longest: usize,
    pub(super) data_bound: u32,
    patience: Duration,
    /// Tells the peer at once that its bytes are here.
    acknowledge: fn(&S),
}

impl Wire<TcpStream> {
    /// A wire over TCP, without Nagle's delay: a DIMSE answer is one small segment that someone waits for.
    pub fn over_tcp(stream: TcpStream, data_bound: u32, patience: Duration) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        Self { acknowledge: acknowledge_now, ..Self::new(stream, data_bound, patience) }
    }
}

/// Ends the kernel's delay of an acknowledgement that is due. A peer with Nagle's algorithm (DCMTK, unless it is told
/// otherwise) writes a PDU in two pieces and sends the second when the first is acknowledged: 40 ms for every PDU.
pub(super) fn acknowledge_now(stream: &impl AsFd) {
    if let Err(error) = rustix::net::sockopt::set_tcp_quickack(stream, true) {
        tracing::debug!(%error, "TCP_QUICKACK");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A wire that takes P-DATA of at most `data_bound` bytes and waits `patience` for each whole PDU.
    pub fn new(stream: S, data_bound: u32, patience: Duration) -> Self {
        Self { stream: Some(stream), received: BytesMut::new(), longest: 0, data_bound, patience, acknowledge: |_| {} }
    }

    /// Changes how long each PDU may take.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The next PDU. Dropping the future loses nothing.
    pub async fn read(&mut self) -> Result<Pdu, WireError> {
        let patience = self.patience;
        timeout(patience, self.read_whole()).await.unwrap_or(Err(WireError::Silence(patience)))
    }

    async fn read_whole(&mut self) -> Result<Pdu, WireError> {
        loop {
            let mut missing = 0;
            if let Some(octets) = self.received.first_chunk::<HEADER_BYTES>() {
                let (_, length) = pdu::header(*octets, self.data_bound)?;
                let whole = HEADER_BYTES + length;
                if self.received.len() >= whole {
                    self.longest = self.longest.max(whole);
                    return Ok(pdu::decode(self.received.split_to(whole).freeze())?);
                }
                missing = whole - self.received.len();
            }
            self.read_more(missing).await?;
            if (1..=PIECE_BYTES).contains(&self.received.len()) {
                self.stream.as_ref().inspect(|stream| (self.acknowledge)(stream));
            }
        }
    }

    /// Reads what comes next, where so much is missing of a PDU.
    async fn read_more(&mut self, missing: usize) -> Result<(), WireError> {
        let most = if missing > ALONE_BYTES { missing + HEADER_BYTES } else { READ_BYTES };
        if self.received.capacity() - self.received.len() < most.min(ALONE_BYTES) {
            self.received.reserve(most.min(self.longest.max(READ_BYTES)));
        }
        let stream = self.stream.as_mut().ok_or(WireError::Cut)?;
        match stream.read_buf(&mut (&mut self.received).limit(most)).await? {
            0 if self.received.is_empty() => Err(WireError::Closed),
            0 => Err(WireError::Cut),
            _ => Ok(()),
        }
    }

    /// Sends bytes that are whole PDUs.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let stream = self.stream.as_mut().ok_or(WireError::Cut)?;
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        timeout(self.patience, write).await.map_err(|_| WireError::Silence(self.patience))?.map_err(WireError::Io)
    }

    /// Sends one PDU.
    pub async fn send(&mut self, pdu: &Pdu) -> Result<(), WireError> {
        self.write(&pdu::encode(pdu)?).await
    }

    /// Sends a command set in PDUs of at most `largest` bytes.
    pub async fn send_command(&mut self, context: u8, command: &CommandSet, largest: u32) -> Result<(), WireError> {
        let mut bytes = Vec::new();
        pdu::put_data(&mut bytes, context, Part::Command, &command.encode(), Ending::Last, largest);
        self.write(&bytes).await
    }

    /// Sends A-ABORT and closes.
    pub async fn abort(mut self, abort: Abort) {
        self.patience = LINGER;
        if self.send(&Pdu::Abort(abort)).await.is_ok() {
            self.close().await;
        }
    }

    /// Closes such that the peer can still read what was sent last: a socket closed with unread bytes in it
    /// resets the connection, and takes an A-ABORT or A-ASSOCIATE-RJ in flight with it.
    pub async fn close(self) {
        let Some(mut stream) = self.stream else { return };
        let _ = timeout(LINGER, async {
            stream.shutdown().await?;
            let mut scrap = [0; 4096];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match stream.read(&mut scrap).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            io::Result::Ok(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn pdus_arrive_whole_in_whatever_pieces_they_come() {
        let (mut peer, ours) = tokio::io::duplex(3);
        let mut wire = Wire::new(ours, 1000, Duration::from_secs(5));
        let mut bytes = pdu::encode(&Pdu::ReleaseRq).unwrap();
        bytes.extend(pdu::encode(&Pdu::ReleaseRp).unwrap());
        let sender = tokio::spawn(async move { peer.write_all(&bytes).await });
        assert_eq!(wire.read().await.unwrap(), Pdu::ReleaseRq);
        assert_eq!(wire.read().await.unwrap(), Pdu::ReleaseRp);
        sender.await.unwrap().unwrap();
        assert!(matches!(wire.read().await, Err(WireError::Closed)));
    }

    #[tokio::test]
    async fn silence_half_a_pdu_and_too_long_a_pdu_end_it() {
        let (mut peer, ours) = tokio::io::duplex(64);
        let mut wire = Wire::new(ours, 1000, SOON);
        assert!(matches!(wire.read().await, Err(WireError::Silence(SOON))));
        peer.write_all(&[5, 0, 0]).await.unwrap();
        assert!(matches!(wire.read().await, Err(WireError::Silence(SOON))));
        drop(peer);
        assert!(matches!(wire.read().await, Err(WireError::Cut)));

        let (mut peer, ours) = tokio::io::duplex(64);
        let mut wire = Wire::new(ours, 1000, SOON);
        peer.write_all(&[4, 0, 0xFF, 0xFF, 0xFF, 0xFF]).await.unwrap();
        assert!(matches!(wire.read().await, Err(WireError::Pdu(PduError::TooLong { bound: 1000, .. }))));
        assert!(wire.received.capacity() <= 2 * READ_BYTES);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_does_not_hold_us() {
        let (_peer, ours) = tokio::io::duplex(8);
        let mut wire = Wire::new(ours, 1000, SOON);
        assert!(matches!(wire.write(&[0; 100]).await, Err(WireError::Silence(SOON))));
    }
}
