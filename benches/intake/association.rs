//! One association of the load generator, on a blocking socket without Nagle's delay.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::object::SOP_CLASS;
use crate::stream::{self, STORAGE_CONTEXT, VERIFICATION_CONTEXT};

/// How long a server may be silent before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most of an object that is handed to the socket at once; between two pieces the deadline is looked at.
const PIECE_BYTES: usize = 1 << 20;
/// P-DATA-TF length for a server that takes any.
const UNLIMITED: usize = 131_072;

const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
/// Derived from a UUID, like all UIDs here.
const IMPLEMENTATION_CLASS: &str = "2.25.196013410226463285463837480521413921283";

/// Where to call.
#[derive(Debug, Clone, Copy)]
pub struct Address {
    /// Port on this machine.
    pub port: u16,
    /// Called AE title.
    pub called: &'static str,
}

/// An association that was accepted.
#[derive(Debug)]
pub struct Association {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    largest: usize,
}

impl Association {
    /// Connects and associates, for C-ECHO and for objects of one transfer syntax.
    pub fn open(address: Address, transfer_syntax: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", address.port)).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let answers = BufReader::new(stream.try_clone()?);
        let mut association = Self { stream, answers, largest: UNLIMITED };
        association.stream.write_all(&request(address.called, transfer_syntax))?;
        let (kind, answer) = association.read_pdu()?;
        ensure!(kind == 2, "the association was not accepted: PDU type {kind:02X}");
        association.largest = largest(&answer);
        Ok(association)
    }

    /// Longest P-DATA-TF that the server takes.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Sends whole PDUs; fails when the deadline comes first.
    pub fn send(&mut self, octets: &[u8], deadline: Instant) -> Result<()> {
        for piece in octets.chunks(PIECE_BYTES) {
            ensure!(Instant::now() < deadline, "not done when its time was up");
            self.stream.write_all(piece)?;
        }
        Ok(())
    }

    /// The status of the answer to what was sent.
    pub fn answer(&mut self) -> Result<u16> {
        let mut command = Vec::new();
        loop {
            let (kind, values) = self.read_pdu()?;
            ensure!(kind == 4, "PDU type {kind:02X} instead of an answer");
            let Some(&[_, _, _, _, _, control]) = values.first_chunk() else { bail!("an answer without a value") };
            command.extend(values.get(6..).unwrap_or_default());
            if control & 2 == 2 {
                return stream::status(&command).context("an answer without a status");
            }
        }
    }

    /// Releases, and waits for the server to say so.
    pub fn release(mut self) -> Result<()> {
        self.stream.write_all(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0])?;
        let (kind, _) = self.read_pdu()?;
        ensure!(kind == 6, "PDU type {kind:02X} instead of A-RELEASE-RP");
        Ok(())
    }

    fn read_pdu(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut header = [0; 6];
        self.answers.read_exact(&mut header).context("the server closed the connection")?;
        let [kind, _, l0, l1, l2, l3] = header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        ensure!(length <= 1 << 20, "a PDU of {length} octets");
        let mut rest = vec![0; usize::try_from(length)?];
        self.answers.read_exact(&mut rest)?;
        Ok((kind, rest))
    }
}

/// A-ASSOCIATE-RQ (PS3.8 9.3.2).
fn request(called: &str, transfer_syntax: &str) -> Vec<u8> {
    let mut fields = vec![0, 1, 0, 0];
    fields.extend(format!("{called:<16}{:<16}", "INTAKEBENCH").bytes());
    fields.extend([0; 32]);
    put_item(&mut fields, 0x10, APPLICATION_CONTEXT.as_bytes());
    for (id, sop_class, syntax) in [
        (STORAGE_CONTEXT, SOP_CLASS, transfer_syntax),
        (VERIFICATION_CONTEXT, "1.2.840.10008.1.1", IMPLICIT_LITTLE_ENDIAN),
    ] {
        let mut context = vec![id, 0, 0, 0];
        put_item(&mut context, 0x30, sop_class.as_bytes());
        put_item(&mut context, 0x40, syntax.as_bytes());
        put_item(&mut fields, 0x20, &context);
    }
    let mut user = Vec::new();
    put_item(&mut user, 0x51, &16_384_u32.to_be_bytes());
    put_item(&mut user, 0x52, IMPLEMENTATION_CLASS.as_bytes());
    put_item(&mut fields, 0x50, &user);
    let mut pdu = vec![1, 0];
    pdu.extend(u32::try_from(fields.len()).unwrap_or(u32::MAX).to_be_bytes());
    pdu.extend(fields);
    pdu
}

fn put_item(to: &mut Vec<u8>, kind: u8, value: &[u8]) {
    to.extend([kind, 0]);
    to.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend(value);
}

/// Maximum Length (PS3.8 D.1) among the items of an A-ASSOCIATE-AC.
fn largest(answer: &[u8]) -> usize {
    let user = items(answer.get(68..).unwrap_or_default()).find(|(kind, _)| *kind == 0x50);
    let announced = user.and_then(|(_, user)| items(user).find(|(kind, _)| *kind == 0x51));
    let octets = announced.and_then(|(_, value)| value.first_chunk().copied()).unwrap_or_default();
    match u32::from_be_bytes(octets) {
        0 => UNLIMITED,
        length => usize::try_from(length).unwrap_or(UNLIMITED),
    }
}

fn items(mut octets: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let ([kind, _, l0, l1], rest) = octets.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([*l0, *l1]).into())?;
        octets = rest;
        Some((*kind, value))
    })
}
