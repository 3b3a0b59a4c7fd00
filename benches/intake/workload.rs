//! What is sent, and what Auscult must reach with it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::limits::{self, Limits};
use crate::load::{self, Until};
use crate::object::{Object, Pixels};
use crate::outcome::Outcome;
use crate::servers::Kind;

/// How objects are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// Several associations, each object after object.
    AtOnce {
        /// How many.
        associations: usize,
    },
    /// Associations one after the other, for one C-ECHO each.
    EchoInTurn,
    /// Associations one after the other, for one object each.
    StoreInTurn,
    /// Several associations, one object each, all at the same time.
    OnceEach {
        /// How many.
        associations: usize,
    },
}

/// What Auscult must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Nothing is asked.
    None,
    /// This share of the disk's durable rate.
    OfDurable(f64),
    /// This share of the disk's durable rate, or `storescp`'s rate where the disk is faster than that.
    OfDurableOrStorescp(f64),
    /// So many a second.
    PerSecond(f64),
    /// Fewer MB than this over those at rest.
    MemoryMb(f64),
}

/// One line of the table of contents.
#[derive(Debug)]
pub struct Workload {
    /// Its name in options and JSON.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What an image is made of.
    pub pixels: Pixels,
    /// How it is sent.
    pub sending: Sending,
    /// What Auscult must reach.
    pub target: Target,
}

const DX: Pixels = Pixels::Native { rows: 3000, columns: 2500 };
const JPEG: Pixels = Pixels::Jpeg { bytes: 130_000 };
/// Sequential associations of one measurement.
const IN_TURN: u64 = 500;

/// All workloads.
pub const WORKLOADS: [Workload; 7] = [
    Workload {
        name: "dx-1",
        title: "15 MB DX, 1 association",
        pixels: DX,
        sending: Sending::AtOnce { associations: 1 },
        target: Target::OfDurableOrStorescp(0.9),
    },
    Workload {
        name: "dx-8",
        title: "15 MB DX, 8 associations",
        pixels: DX,
        sending: Sending::AtOnce { associations: 8 },
        target: Target::OfDurableOrStorescp(0.9),
    },
    Workload {
        name: "jpeg-1",
        title: "130 KB JPEG, 1 association",
        pixels: JPEG,
        sending: Sending::AtOnce { associations: 1 },
        target: Target::None,
    },
    Workload {
        name: "jpeg-8",
        title: "130 KB JPEG, 8 associations",
        pixels: JPEG,
        sending: Sending::AtOnce { associations: 8 },
        target: Target::OfDurable(0.9),
    },
    Workload {
        name: "echo",
        title: "500 associations in turn, a C-ECHO each",
        pixels: JPEG,
        sending: Sending::EchoInTurn,
        target: Target::PerSecond(300.0),
    },
    Workload {
        name: "store",
        title: "500 associations in turn, a 130 KB JPEG each",
        pixels: JPEG,
        sending: Sending::StoreInTurn,
        target: Target::None,
    },
    Workload {
        name: "memory",
        title: "64 associations at once, 100 MB each",
        pixels: Pixels::Native { rows: 8000, columns: 6250 },
        sending: Sending::OnceEach { associations: 64 },
        target: Target::MemoryMb(300.0),
    },
];

impl Workload {
    /// Associations at a time.
    pub fn width(&self) -> usize {
        match self.sending {
            Sending::AtOnce { associations } | Sending::OnceEach { associations } => associations,
            Sending::EchoInTurn | Sending::StoreInTurn => 1,
        }
    }

    /// Whether a kind of server is measured with it. The large images are for one that forgets them: nobody has the
    /// space to keep them.
    pub fn suits(&self, kind: Kind) -> bool {
        !matches!(self.sending, Sending::OnceEach { .. })
            || matches!(kind, Kind::AuscultDeclines | Kind::AuscultAnalyses)
    }

    /// Puts the load on a server.
    pub fn put_on(&self, server: crate::association::Address, object: &Object, length: Duration) -> Result<Outcome> {
        let in_turn = |sent| load::in_turn(server, object.transfer_syntax, sent, IN_TURN, length * 2);
        match self.sending {
            Sending::AtOnce { associations } => load::at_once(server, object, associations, Until::Elapsed(length)),
            Sending::OnceEach { associations } => load::at_once(server, object, associations, Until::Once),
            Sending::EchoInTurn => in_turn(None),
            Sending::StoreInTurn => in_turn(Some(object)),
        }
    }

    /// What this machine does with the same bytes and without DICOM.
    pub fn limits(&self, state: &Path, bytes: usize, length: Duration) -> Result<Option<Limits>> {
        if matches!(self.sending, Sending::EchoInTurn | Sending::OnceEach { .. }) {
            return Ok(None);
        }
        let durable = |copy| limits::durable(state, bytes, self.width(), length, copy);
        Ok(Some(Limits {
            loopback: limits::loopback(bytes, self.width(), length / 4)?,
            durable: durable(limits::Copy::Kept)?,
            given_back: durable(limits::Copy::GivenBack)?,
            received: limits::received(state, bytes, self.width(), length)?,
        }))
    }
}
