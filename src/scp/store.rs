//! C-STORE (PS3.7 9.1.1, PS3.4 B.2): the data set goes to the spool as it arrives, and the status tells the truth.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::time::timeout;

use super::Arrived;
use super::association::{Association, Fault};
use super::negotiation::Context;
use crate::dimse::command::StoreRq;
use crate::dimse::{DataSet, Part, Priority, Rush, Status};
use crate::instance::{HeaderError, Instance, Urgency};
use crate::ledger::Disposal;
use crate::spool::{Announced, Incoming, SpoolError, Stored};

/// What is not taken, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: Status,
    pub(super) why: String,
}

impl Refused {
    pub(super) fn new(status: Status, why: &str) -> Self {
        Self { status, why: why.to_owned() }
    }
}

impl From<SpoolError> for Refused {
    fn from(error: SpoolError) -> Self {
        let status = match &error {
            SpoolError::Mismatch { .. } => Status::MISMATCH,
            SpoolError::Unreadable(HeaderError::NotDicom { .. } | HeaderError::Identity { .. }) => {
                Status::CANNOT_UNDERSTAND
            }
            SpoolError::Panic { .. } => Status::PROCESSING_FAILURE,
            SpoolError::Unreadable(HeaderError::Io { .. })
            | SpoolError::Io { .. }
            | SpoolError::OutOfSpace { .. }
            | SpoolError::InUse { .. }
            | SpoolError::Ledger(_)
            | SpoolError::TooManyContents { .. } => Status::OUT_OF_RESOURCES,
        };
        Self { status, why: error.to_string() }
    }
}

impl Association {
    /// Takes the data set of a C-STORE-RQ, whatever becomes of it, and says what did.
    pub(super) async fn store(&mut self, context: &Context, request: &StoreRq) -> Result<Status, Fault> {
        let outcome = match request.data_set {
            DataSet::Absent => Err(Refused::new(Status::CANNOT_UNDERSTAND, "the C-STORE-RQ comes without a data set")),
            DataSet::Follows => match self.receive(context, request).await? {
                Ok(incoming) => {
                    self.expected = incoming.size();
                    self.keep(incoming).await
                }
                Err(refused) => Err(refused),
            },
        };
        let stats = &self.station.stats;
        match outcome {
            Ok(()) => {
                self.tally.stored += 1;
                stats.instances_stored.fetch_add(1, Relaxed);
                Ok(Status::SUCCESS)
            }
            Err(Refused { status, why }) => {
                self.tally.refused += 1;
                stats.instances_refused.fetch_add(1, Relaxed);
                let instance = request.sop_instance.as_ref().map_or("none", |uid| uid.as_str());
                tracing::warn!(calling = self.agreement.calling.as_str(), instance, %status, why, "instance refused");
                Ok(status)
            }
        }
    }

    /// Reads the data set to its end, also when nothing of it is kept: the association goes on behind it.
    async fn receive(&mut self, context: &Context, request: &StoreRq) -> Result<Result<Incoming, Refused>, Fault> {
        let mut sink = self.begin(context, request);
        loop {
            if let Ok(incoming) = &mut sink
                && incoming.is_full()
                && self.pour(context, incoming).await? == Rush::Complete
            {
                return Ok(sink);
            }
            let value = self.next_fragment(context.id, Part::DataSet).await?;
            let last = value.last;
            self.station.stats.count(&value.fragment);
            if let Ok(incoming) = &mut sink {
                incoming.gather(value.fragment);
            }
            if last {
                return Ok(sink);
            }
        }
    }

    /// Puts on the disk what was gathered, and what comes while that goes on.
    async fn pour(&mut self, context: &Context, incoming: &mut Incoming) -> Result<Rush, Fault> {
        let (link, stats) = (&mut self.link, &self.station.stats);
        let rush = |take: &mut dyn FnMut(&[u8]) -> ControlFlow<()>| {
            link.rush(context.id, |fragment| {
                stats.count(fragment);
                take(fragment)
            })
        };
        incoming.pour(rush).await
    }

    fn begin(&self, context: &Context, request: &StoreRq) -> Result<Incoming, Refused> {
        let sop_class =
            request.sop_class.clone().filter(|class| *class == context.abstract_syntax).ok_or_else(|| {
                Refused::new(Status::SOP_CLASS_NOT_SUPPORTED, "its SOP class is not that of its presentation context")
            })?;
        let sop_instance = request.sop_instance.clone().ok_or_else(|| {
            Refused::new(Status::INVALID_INSTANCE, "the C-STORE-RQ has no valid Affected SOP Instance UID")
        })?;
        if !crate::dimse::sop_class::is_storage(&sop_class) {
            return Err(Refused::new(
                Status::SOP_CLASS_NOT_SUPPORTED,
                "a C-STORE on a context that is not for storage",
            ));
        }
        let announced = Announced {
            sop_class,
            sop_instance,
            transfer_syntax: context.transfer_syntax.clone(),
            calling: self.agreement.calling.clone(),
            urgency: self.urgency(request.priority),
        };
        Ok(self.station.spool.receive(announced, self.expected))
    }

    /// What the sender asks for, or the administrator for this sender.
    fn urgency(&self, priority: Priority) -> Urgency {
        let configured = self.station.settings.borrow().urgent_ae_titles.contains(&self.agreement.calling);
        if configured || priority == Priority::High { Urgency::Urgent } else { Urgency::Routine }
    }

    /// Makes the object durable and passes it on. The place in the queue is taken first, so that nothing durable
    /// is ever without one; a queue that is closed belongs to a service that stops and finds the object at its
    /// next start.
    async fn keep(&self, incoming: Incoming) -> Result<(), Refused> {
        let received = Instant::now();
        let place = timeout(self.station.silence(), self.station.stored.reserve()).await.map_err(|_| {
            Refused::new(Status::OUT_OF_RESOURCES, "the queue is full: studies arrive faster than they are analysed")
        })?;
        let calling = self.agreement.calling.as_str();
        let announce = |instance: Instance, urgency| {
            if let Ok(place) = place {
                place.send(Arrived { instance, calling: self.agreement.calling.clone(), received, urgency });
            }
        };
        match incoming.commit().await? {
            Stored::New(instance, urgency) => announce(instance, urgency),
            Stored::Same(instance) => {
                tracing::debug!(calling, instance = %instance.sop_instance, "the same object again");
            }
            Stored::Other(instance, urgency, disposal) => {
                let then = match disposal {
                    Disposal::Report => "both are reported",
                    Disposal::Aside => "this one is kept aside and not reported (spool.other_content)",
                };
                tracing::warn!(
                    calling, instance = %instance.sop_instance, kept_as = %instance.location, then,
                    "another content under a SOP Instance UID that is known"
                );
                if disposal == Disposal::Report {
                    announce(instance, urgency);
                }
            }
        }
        Ok(())
    }
}
