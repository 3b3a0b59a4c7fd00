//! Whether somebody has to look after the service: studies and reports that stand still, and a disk that fills up.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::ledger::{Ledger, LedgerError, Line};
use crate::spool::{self, SpoolError};

/// A destination that is down is on its way back; after so long, somebody has to look.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Health that could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The disk cannot be asked.
    #[error(transparent)]
    Disk(#[from] SpoolError),
}

/// How much it matters. The worse is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// All is well.
    Green,
    /// It may mend itself.
    Yellow,
    /// Somebody has to do something.
    Red,
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// How much it matters.
    pub colour: Colour,
    /// What it is and what to do, in one line without patient data.
    pub what: String,
}

/// Everything that is not as it should be, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Nothing where all is well.
    pub concerns: Vec<Concern>,
}

impl Health {
    /// Looks into the ledger and at the disk of a state directory, on which `spool.min_free_mib` has to stay free.
    pub fn of(ledger: &Ledger, state: &Path, min_free_mib: u64, now: SystemTime) -> Result<Self, HealthError> {
        let troubles = ledger.troubles()?;
        let mut health = Self::default();
        if troubles.failed > 0 {
            let what = format!(
                "{} could not be reported; see `auscult queue list`",
                counted(troubles.failed, "study", "studies")
            );
            health.add(Colour::Red, what);
        }
        if troubles.undelivered > 0 {
            let reports = counted(troubles.undelivered, "delivery was", "deliveries were");
            health.add(Colour::Red, format!("{reports} given up; see failed/ and `auscult queue list`"));
        }
        for line in &troubles.lines {
            if let Some(concern) = waiting(line, now) {
                health.concerns.push(concern);
            }
        }
        if let Some(concern) = space(spool::free_mib(state)?, min_free_mib) {
            health.concerns.push(concern);
        }
        health.concerns.sort_by_key(|concern| std::cmp::Reverse(concern.colour));
        Ok(health)
    }

    /// Notes a further concern; the worst stays first.
    pub fn add(&mut self, colour: Colour, what: String) {
        let behind = self.concerns.iter().take_while(|concern| concern.colour >= colour).count();
        self.concerns.insert(behind, Concern { colour, what });
    }

    /// That of the worst concern.
    pub fn colour(&self) -> Colour {
        self.concerns.iter().map(|concern| concern.colour).max().unwrap_or(Colour::Green)
    }
}

/// One line.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "health {}", self.colour())?;
        for (index, concern) in self.concerns.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            f.write_str(&concern.what)?;
        }
        Ok(())
    }
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A destination whose reports were tried and have not arrived.
fn waiting(line: &Line, now: SystemTime) -> Option<Concern> {
    if line.tried == 0 {
        return None;
    }
    let since = now.duration_since(line.oldest).unwrap_or_default();
    let colour = if since > PATIENCE { Colour::Red } else { Colour::Yellow };
    let (reports, minutes) = (counted(line.waiting, "report waits", "reports wait"), since.as_secs() / 60);
    let what = format!("{reports} for {}, since {minutes} min; see `auscult check`", line.destination);
    Some(Concern { colour, what })
}

fn space(free_mib: u64, min_free_mib: u64) -> Option<Concern> {
    let (colour, consequence) = match free_mib {
        _ if free_mib < min_free_mib => (Colour::Red, "images are refused"),
        _ if free_mib < 2 * min_free_mib => (Colour::Yellow, "images will be refused soon"),
        _ => return None,
    };
    let what = format!("{free_mib} MiB free, spool.min_free_mib is {min_free_mib}: {consequence}; free space");
    Some(Concern { colour, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tried: u64, minutes: u64) -> Option<Concern> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let oldest = now - Duration::from_secs(60 * minutes);
        waiting(&Line { destination: "pacs".into(), waiting: 2, tried, oldest }, now)
    }

    #[test]
    fn a_destination_is_a_concern_once_it_was_tried_in_vain() {
        assert_eq!(line(0, 90), None);
        let yellow = line(1, 5).unwrap();
        assert_eq!(yellow.colour, Colour::Yellow);
        assert_eq!(yellow.what, "2 reports wait for pacs, since 5 min; see `auscult check`");
        assert_eq!(line(2, 61).unwrap().colour, Colour::Red);
    }

    #[test]
    fn a_disk_is_told_of_before_images_are_refused() {
        let colour = |free| space(free, 512).map(|concern| concern.colour);
        assert_eq!([2000, 1024, 1023, 511].map(colour), [None, None, Some(Colour::Yellow), Some(Colour::Red)]);
    }

    #[test]
    fn the_worst_concern_stands_first_and_gives_the_colour() {
        let mut health = Health::default();
        assert_eq!((health.colour(), health.to_string().as_str()), (Colour::Green, "health green"));
        health.add(Colour::Yellow, "a".into());
        health.add(Colour::Red, "b".into());
        assert_eq!((health.colour(), health.to_string().as_str()), (Colour::Red, "health red: b; a"));
    }
}
