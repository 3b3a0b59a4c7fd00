//! The load generator: many associations at once, or one after the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, LazyLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow, ensure};

use crate::association::{Address, Association};
use crate::object::Object;
use crate::outcome::Outcome;
use crate::stream::{self, Stream};

/// Distinguishes the UIDs of this run from those of every other.
static RUN: LazyLock<u64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
});
static OBJECTS: AtomicU64 = AtomicU64::new(1);

/// How long a measurement takes at most beyond its length, for answers that are due.
const GRACE: Duration = Duration::from_secs(120);

/// When an association has sent enough.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After one object.
    Once,
}

/// Sends objects over several associations at once, each as fast as it is answered.
pub fn at_once(address: Address, object: &Object, associations: usize, until: Until) -> Result<Outcome> {
    let mut opened = Vec::with_capacity(associations);
    for _ in 0..associations {
        opened.push(Association::open(address, object.transfer_syntax)?);
    }
    let largest = opened.first().map_or(0, Association::largest);
    let stream = Stream::encode(object, largest)?;
    let start = Barrier::new(associations);
    let mut whole = Outcome::default();
    thread::scope(|scope| {
        let workers: Vec<_> = opened
            .into_iter()
            .map(|association| scope.spawn(|| converse(association, stream.clone(), &start, until)))
            .collect();
        for worker in workers {
            whole.join(worker.join().map_err(|_| anyhow!("a thread of the load generator panicked"))??);
        }
        Ok(whole)
    })
}

fn converse(mut association: Association, mut stream: Stream, start: &Barrier, until: Until) -> Result<Outcome> {
    let warm = match until {
        Until::Elapsed(_) => store(&mut association, &mut stream, Instant::now() + GRACE),
        Until::Once => Ok(0),
    };
    start.wait();
    let began = Instant::now();
    let status = warm?;
    ensure!(status == 0, "the first object was answered with status {status:04X}");
    let mut outcome = Outcome::default();
    loop {
        let sent = Instant::now();
        let status = store(&mut association, &mut stream, began + GRACE)?;
        outcome.note(status, sent.elapsed());
        let enough = match until {
            Until::Elapsed(length) => began.elapsed() >= length,
            Until::Once => true,
        };
        if enough {
            break;
        }
    }
    outcome.seconds = began.elapsed().as_secs_f64();
    association.release()?;
    Ok(outcome)
}

fn store(association: &mut Association, stream: &mut Stream, deadline: Instant) -> Result<u16> {
    let [head, body] = stream.numbered(*RUN, OBJECTS.fetch_add(1, Ordering::Relaxed));
    association.send(head, deadline)?;
    association.send(body, deadline)?;
    association.answer()
}

/// Opens association after association, each for one C-ECHO, or for one object where there is one.
pub fn in_turn(
    address: Address,
    transfer_syntax: &str,
    object: Option<&Object>,
    most: u64,
    length: Duration,
) -> Result<Outcome> {
    let first = Association::open(address, transfer_syntax)?;
    let mut stream = object.map(|object| Stream::encode(object, first.largest())).transpose()?;
    first.release()?;
    let echo = stream::echo();
    let mut outcome = Outcome::default();
    let began = Instant::now();
    while outcome.done < most && began.elapsed() < length {
        let sent = Instant::now();
        let mut association = Association::open(address, transfer_syntax)?;
        let status = match &mut stream {
            Some(stream) => store(&mut association, stream, sent + GRACE)?,
            None => {
                association.send(&echo, sent + GRACE)?;
                association.answer()?
            }
        };
        association.release()?;
        outcome.note(status, sent.elapsed());
    }
    outcome.seconds = began.elapsed().as_secs_f64();
    Ok(outcome)
}
