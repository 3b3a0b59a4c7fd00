//! A large data set that comes in a rush: one thread reads it into one buffer, and hands it on from there. What comes so
//! passes through the processor's cache once, and no other thread is woken for it.

use std::io;
use std::net::TcpStream as Socket;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpStream;

use super::pdu::{self, HEADER_BYTES};
use super::wire::{PIECE_BYTES, Wire, acknowledge_now};

/// How long the thread waits for more.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
/// How long a rush lasts at most.
const LONGEST: Duration = Duration::from_millis(500);

/// How much is read at once, where that much is there: several PDUs, and no more than stays in a core's own cache.
const ROOM_BYTES: usize = 512 * 1024;

/// What a read begins at a multiple of. Elsewhere the kernel's copy takes half as long again, where the octets come from
/// this core (AMD EPYC, "Zen 3": 9 ms instead of 6 for 15 MB).
const LINE_BYTES: usize = 64;

/// How a rush ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rush {
    /// With the last fragment of the data set.
    Complete,
    /// With anything else: the peer paused, or what comes next is no fragment of this data set. [`Wire::read`] goes on.
    Over,
}

/// What the octets received so far begin with.
enum Next {
    /// Octets are missing of what a PDU begins with, or of its whole.
    Missing,
    /// A whole P-DATA-TF of so many octets.
    Values(usize),
    Other,
}

/// Octets received, in a buffer that is used again and again: there is room for one whole PDU and the next header.
struct Inbox {
    room: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Inbox {
    fn new(received: &[u8], data_bound: usize) -> Self {
        let mut room = received.to_vec();
        let length = (data_bound + 2 * HEADER_BYTES).max(ROOM_BYTES).max(received.len());
        room.resize(length + 2 * LINE_BYTES, 0);
        Self { room, begin: 0, end: received.len() }
    }

    fn octets(&self) -> &[u8] {
        self.room.get(self.begin..self.end).unwrap_or_default()
    }

    fn next(&self, data_bound: u32) -> Next {
        let received = self.octets();
        let Some(octets) = received.first_chunk::<HEADER_BYTES>() else {
            return Next::Missing;
        };
        match pdu::header(*octets, data_bound) {
            Ok((4, length)) if received.len() < HEADER_BYTES + length => Next::Missing,
            Ok((4, length)) => Next::Values(length),
            _ => Next::Other,
        }
    }

    /// Room for what comes next, behind what is still needed.
    fn free(&mut self) -> &mut [u8] {
        let left = self.end - self.begin;
        let end = self.room.as_ptr().align_offset(LINE_BYTES) + left.next_multiple_of(LINE_BYTES);
        self.room.copy_within(self.begin..self.end, end - left);
        (self.begin, self.end) = (end - left, end);
        self.room.get_mut(end..).unwrap_or_default()
    }

    /// Reads what is there, as far as there is room; whether any came.
    fn fill(&mut self, stream: &Socket) -> io::Result<bool> {
        let free = self.free();
        loop {
            match rustix::io::read(stream, &mut *free) {
                Ok(count) => {
                    self.end += count;
                    if (1..=PIECE_BYTES).contains(&(self.end - self.begin)) {
                        acknowledge_now(stream);
                    }
                    return Ok(count > 0);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    if poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&PAUSE))? == 0 {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Inbox {
    fn rush(
        &mut self,
        socket: &Socket,
        data_bound: u32,
        context: u8,
        mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> io::Result<Rush> {
        let began = Instant::now();
        loop {
            match self.next(data_bound) {
                Next::Missing if began.elapsed() > LONGEST => return Ok(Rush::Over),
                Next::Missing if self.fill(socket)? => {}
                Next::Missing | Next::Other => return Ok(Rush::Over),
                Next::Values(length) => {
                    let values = self.octets().get(HEADER_BYTES..HEADER_BYTES + length).unwrap_or_default();
                    let Some((mut fragments, last)) = pdu::data_set_fragments(values, context) else {
                        return Ok(Rush::Over);
                    };
                    let taken = fragments.try_for_each(&mut take);
                    drop(fragments);
                    self.begin += HEADER_BYTES + length;
                    match taken {
                        _ if last => return Ok(Rush::Complete),
                        ControlFlow::Break(()) => return Ok(Rush::Over),
                        ControlFlow::Continue(()) => {}
                    }
                }
            }
        }
    }
}

impl Wire<TcpStream> {
    /// Hands on fragments of the data set of `context` while they keep coming, until `take` breaks off. It blocks its
    /// thread for half a second at most, and longer only where `take` does. The wire stands between two PDUs then as
    /// before: what the rush does not understand is left for [`Wire::read`].
    pub fn rush(&mut self, context: u8, take: impl FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<Rush> {
        // The runtime would wake for every segment that comes.
        let socket = self.stream.take().ok_or(io::ErrorKind::NotConnected)?.into_std()?;
        let mut inbox = Inbox::new(&self.received, usize::try_from(self.data_bound).unwrap_or_default());
        let end = inbox.rush(&socket, self.data_bound, context, take);
        self.received = BytesMut::from(inbox.octets());
        self.stream = Some(TcpStream::from_std(socket)?);
        end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::super::pdu::{Abort, Ending, Part, Pdu, put_data};
    use super::*;

    const BOUND: u32 = 20_000;
    const CONTEXT: u8 = 3;

    /// What is read in rushes alone, as [`Wire::read`] would leave it: all fragments, and what comes behind them.
    async fn rushed(sent: Vec<u8>, pieces: usize) -> (Vec<u8>, Rush, Result<Pdu, super::super::WireError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::over_tcp(listener.accept().await.unwrap().0, BOUND, Duration::from_secs(20));
        peer.set_nodelay(true).unwrap();
        // From a thread of its own: a rush lets no other task have this one.
        let sender = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for piece in sent.chunks(pieces) {
                    peer.write_all(piece).await.unwrap();
                }
                drop(peer);
            });
        });
        let mut taken = Vec::new();
        let rush = loop {
            let before = taken.len();
            let rush = wire.rush(CONTEXT, |fragment| {
                taken.extend_from_slice(fragment);
                ControlFlow::Continue(())
            });
            if rush.as_ref().is_ok_and(|rush| *rush == Rush::Complete)
                || (taken.len() == before && sender.is_finished())
            {
                break rush.unwrap();
            }
        };
        sender.join().unwrap();
        (taken, rush, wire.read().await)
    }

    fn data(context: u8, part: Part, octets: &[u8], ending: Ending, longest: u32) -> Vec<u8> {
        let mut pdus = Vec::new();
        put_data(&mut pdus, context, part, octets, ending, longest);
        pdus
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_data_set_arrives_whole_and_what_follows_is_left(
            length in 0..200_000_usize, longest in 64..BOUND, pieces in 1000..300_000_usize,
        ) {
            let octets: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            let mut sent = data(CONTEXT, Part::DataSet, &octets, Ending::Last, longest);
            sent.extend(pdu::encode(&Pdu::ReleaseRq).unwrap());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (taken, rush, next) = runtime.block_on(rushed(sent, pieces));
            prop_assert_eq!(taken, octets);
            prop_assert_eq!(rush, Rush::Complete);
            prop_assert!(matches!(next, Ok(Pdu::ReleaseRq)), "{:?}", next);
        }
    }

    proptest! {
        #[test]
        fn a_read_begins_on_a_line_of_its_own(received in 0..70_000_usize, used in 0..70_000_usize, bound in 4096..2_000_000_usize) {
            let octets: Vec<u8> = (0..received).map(|place| (place % 251) as u8).collect();
            let mut inbox = Inbox::new(&octets, bound);
            for _ in 0..2 {
                inbox.begin = inbox.end.min(inbox.begin + used);
                let left = inbox.octets().to_vec();
                let free = inbox.free();
                prop_assert_eq!(free.as_ptr().align_offset(LINE_BYTES), 0);
                prop_assert!(left.len() + free.len() >= bound + 2 * HEADER_BYTES);
                prop_assert_eq!(inbox.octets(), left);
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_fragment_of_this_data_set_ends_it_untouched() {
        let more = |behind: Vec<u8>| {
            let mut sent = data(CONTEXT, Part::DataSet, &[1; 30_000], Ending::More, BOUND);
            sent.extend(behind);
            sent
        };
        let abort = pdu::encode(&Pdu::Abort(Abort::BY_USER)).unwrap();
        let (taken, rush, next) = rushed(more(abort), usize::MAX).await;
        assert_eq!((taken.len(), rush), (30_000, Rush::Over));
        assert!(matches!(next, Ok(Pdu::Abort(Abort::BY_USER))), "{next:?}");

        for (context, part) in [(CONTEXT + 2, Part::DataSet), (CONTEXT, Part::Command)] {
            let (taken, rush, next) = rushed(more(data(context, part, &[2; 9], Ending::Last, BOUND)), usize::MAX).await;
            assert_eq!((taken.len(), rush), (30_000, Rush::Over));
            let Ok(Pdu::Data(mut values)) = next else { panic!("{next:?}") };
            let value = values.next().unwrap().unwrap();
            assert_eq!((value.context, value.part, value.fragment.len()), (context, part, 9));
        }
        for wrong in [vec![4, 0, 0xFF, 0xFF, 0xFF, 0xFF], vec![4, 0, 0, 0, 0, 6, 0, 0, 0, 90, CONTEXT, 0], vec![9; 6]] {
            let (taken, rush, next) = rushed(more(wrong), usize::MAX).await;
            assert_eq!((taken.len(), rush), (30_000, Rush::Over));
            match next {
                Err(super::super::WireError::Pdu(_)) => {}
                Ok(Pdu::Data(mut values)) => assert!(values.next().unwrap().is_err()),
                other => panic!("{other:?}"),
            }
        }
        let (taken, rush, next) = rushed(more(vec![4, 0, 0, 0, 1, 0, 0]), usize::MAX).await;
        assert_eq!((taken.len(), rush), (30_000, Rush::Over));
        assert!(matches!(next, Err(super::super::WireError::Cut)), "{next:?}");
    }

    #[tokio::test]
    async fn who_takes_no_more_breaks_it_off_between_two_pdus() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut wire = Wire::over_tcp(listener.accept().await.unwrap().0, BOUND, Duration::from_secs(20));
        peer.write_all(&data(CONTEXT, Part::DataSet, &[1; 3000], Ending::Last, 1000)).await.unwrap();
        let mut taken = 0;
        let rush = wire.rush(CONTEXT, |fragment| {
            taken += fragment.len();
            ControlFlow::Break(())
        });
        assert_eq!(rush.unwrap(), Rush::Over);
        let mut left = 0;
        while left + taken < 3000 {
            let Pdu::Data(values) = wire.read().await.unwrap() else { panic!("no P-DATA-TF") };
            left += values.map(|value| value.unwrap().fragment.len()).sum::<usize>();
        }
        assert!(taken < 1000 && left + taken == 3000);
    }
}
