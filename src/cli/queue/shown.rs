//! The queue as it is shown: the ledger's lines in an administrator's words, for text and JSON alike.

use std::time::SystemTime;

use chrono::{DateTime, Local};
use serde::Serialize;

use crate::instance::Urgency;
use crate::ledger::{DeliveryLine, ImageLine, ReportLine, StudyDetail, StudyLine};

/// A study as it is shown.
#[derive(Serialize)]
pub(super) struct Study<'a> {
    pub(super) study: &'a str,
    pub(super) state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'a str>,
    pub(super) urgency: &'static str,
    pub(super) images: u64,
    pub(super) waiting: u64,
    pub(super) to_deliver: u64,
    pub(super) undelivered: u64,
    pub(super) since: String,
    pub(super) changed: String,
}

impl<'a> Study<'a> {
    pub(super) fn of(line: &'a StudyLine) -> Self {
        let state = match line.state.as_str() {
            "closed" if line.to_deliver > 0 => "reported",
            "closed" if line.undelivered > 0 => "undelivered",
            "closed" => "done",
            "open" => "waiting",
            other => other,
        };
        Self {
            study: line.study.as_str(),
            state,
            reason: line.reason.as_deref(),
            urgency: match line.urgency {
                Urgency::Routine => "routine",
                Urgency::Urgent => "urgent",
            },
            images: line.images,
            waiting: line.waiting,
            to_deliver: line.to_deliver,
            undelivered: line.undelivered,
            since: time(line.first),
            changed: time(line.changed),
        }
    }
}

/// Everything about a study as it is shown.
#[derive(Serialize)]
pub(super) struct Detail<'a> {
    #[serde(flatten)]
    pub(super) study: Study<'a>,
    pub(super) images: Vec<Image<'a>>,
    pub(super) reports: Vec<Report<'a>>,
}

impl<'a> Detail<'a> {
    pub(super) fn of(detail: &'a StudyDetail) -> Self {
        Self {
            study: Study::of(&detail.line),
            images: detail.images.iter().map(Image::of).collect(),
            reports: detail.reports.iter().map(Report::of).collect(),
        }
    }
}

/// An image as it is shown.
#[derive(Serialize)]
pub(super) struct Image<'a> {
    pub(super) instance: &'a str,
    pub(super) sop_class: &'a str,
    pub(super) state: &'a str,
    pub(super) on_disk: String,
    pub(super) calling: &'a str,
    pub(super) received: String,
    pub(super) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) declined: Option<&'a str>,
}

impl<'a> Image<'a> {
    pub(super) fn of(line: &'a ImageLine) -> Self {
        Self {
            instance: line.sop_instance.as_str(),
            sop_class: line.sop_class.as_str(),
            state: if line.state == "covered" { "reported" } else { &line.state },
            on_disk: match line.kept.as_str() {
                "nothing" => "nothing".to_owned(),
                kept => format!("{kept} {}", line.file),
            },
            calling: &line.calling,
            received: time(line.received),
            bytes: line.bytes,
            score: line.score,
            declined: line.declined.as_deref(),
        }
    }
}

impl Image<'_> {
    /// What the model said of it, as the end of a line.
    pub(super) fn said(&self) -> String {
        match (self.score, self.declined) {
            (Some(score), _) => format!(", score {:.1} %", score * 100.0),
            (None, Some(reason)) => format!(", not analysed: {}", reason.replace('_', " ")),
            (None, None) => String::new(),
        }
    }
}

/// A report as it is shown.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) instance: &'a str,
    pub(super) headline: &'a str,
    pub(super) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<&'a str>,
    pub(super) deliveries: Vec<Delivery<'a>>,
}

impl<'a> Report<'a> {
    pub(super) fn of(line: &'a ReportLine) -> Self {
        Self {
            instance: line.sop_instance.as_str(),
            headline: &line.headline,
            created: time(line.created),
            file: line.file.as_deref(),
            deliveries: line.deliveries.iter().map(Delivery::of).collect(),
        }
    }
}

/// A delivery as it is shown.
#[derive(Serialize)]
pub(super) struct Delivery<'a> {
    pub(super) destination: &'a str,
    pub(super) state: &'a str,
    pub(super) attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) said: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_try: Option<String>,
    pub(super) changed: String,
}

impl<'a> Delivery<'a> {
    pub(super) fn of(line: &'a DeliveryLine) -> Self {
        Self {
            destination: &line.destination,
            state: &line.state,
            attempts: line.attempts,
            said: line.said.as_deref(),
            next_try: line.next.map(|next| if next > SystemTime::now() { time(next) } else { "now".to_owned() }),
            changed: time(line.changed),
        }
    }
}

impl Delivery<'_> {
    /// What the destination said and when it is asked again, as the end of a line.
    pub(super) fn said(&self) -> String {
        let next = self.next_try.as_ref().map(|next| format!(", next {next}")).unwrap_or_default();
        let said = self.said.map(|said| format!(": {said}")).unwrap_or_default();
        format!("{next}{said}")
    }
}

/// Local time to the second, as RFC 3339 writes it.
fn time(at: SystemTime) -> String {
    DateTime::<Local>::from(at).to_rfc3339_opts(chrono::SecondsFormat::Secs, false)
}
