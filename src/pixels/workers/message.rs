//! What the service and a worker say to each other: one message each way for an image, on a socket that keeps messages
//! apart.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv,
    recvmsg, send, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Confinement;
use crate::part10::Stretch;
use crate::pixels::codec::{Broken, Codec, Decoded};
use crate::pixels::grain::Step;
use crate::pixels::header::Header;

/// Octets of the longest message; both ends refuse longer ones.
const LONGEST: usize = 1024;

/// An image to be decoded; the file goes with it as a descriptor.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::pixels) struct Request {
    pub codec: Codec,
    pub header: Header,
    /// Where in the file the items of its encapsulated Pixel Data lie.
    pub items: Stretch,
    /// Octets that its code stream may have.
    pub longest: u64,
    /// How coarsely it may be decoded.
    pub coarsest: Step,
}

/// What a worker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Once, at its start.
    Ready(Confinement),
    /// Instead, where the operating system does not let it be confined: its error number.
    NotConfined(i32),
    /// The canvas has the image: cells of so many octets, little end first.
    Decoded { cell_bytes: usize, decoded: Decoded },
    /// The image cannot be decoded.
    Broken(Broken),
}

/// Sends a request and the file that it is about.
pub(super) fn ask(socket: BorrowedFd<'_>, request: &Request, file: BorrowedFd<'_>) -> io::Result<()> {
    let octets = serde_json::to_vec(request)?;
    let files = [file];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&octets)], &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Waits for a request; `None` once the service has hung up.
pub(super) fn asked(socket: BorrowedFd<'_>) -> io::Result<Option<(Request, OwnedFd)>> {
    let mut octets = [0; LONGEST];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut octets)], &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let file = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    match received.bytes {
        0 => Ok(None),
        length => {
            let file = file.ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
            Ok(Some((parsed(&octets, length)?, file)))
        }
    }
}

/// Sends an answer.
pub(super) fn answer(socket: impl AsFd, answer: &Answer) -> io::Result<()> {
    send(socket, &serde_json::to_vec(answer)?, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for an answer; `None` once the worker has hung up. Descriptors that come with it are not taken.
pub(super) fn answered(socket: BorrowedFd<'_>) -> io::Result<Option<Answer>> {
    let mut octets = [0; LONGEST];
    // A signal to the service is no answer: with a time to wait for, the kernel does not go on by itself.
    match retry_on_intr(|| recv(socket, &mut octets, RecvFlags::empty()).map(|(_, length)| length))? {
        0 => Ok(None),
        length => parsed(&octets, length).map(Some),
    }
}

fn parsed<T: DeserializeOwned>(octets: &[u8], length: usize) -> io::Result<T> {
    Ok(serde_json::from_slice(octets.get(..length).unwrap_or_default())?)
}
