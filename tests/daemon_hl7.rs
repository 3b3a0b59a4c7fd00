//! Messages for the RIS, to a receiver that refuses, is slow and resets: each at least once, in order, with the same
//! control ID on a repeat.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use support::{AUSCULT, Service, checkout, run, stderr, stdout, wait_for};

/// What the receiver does with one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Accepts,
    FindsAnError,
    Rejects,
    /// Ends the connection without an answer.
    Resets,
    /// Resets the connection in the middle of the message.
    BreaksOff,
    /// Answers for another message.
    Strays,
    /// Never answers.
    Sleeps,
}

/// Every whole message with what became of it, in the order in which they came.
type Seen = Arc<Mutex<Vec<(String, Mood)>>>;

/// A receiver that goes through `moods`, one for each message, and accepts everything after them.
fn receiver(moods: &'static [Mood]) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let record = seen.clone();
    std::thread::spawn(move || {
        // Those that sleep stay open: a closed connection would be an answer.
        let mut asleep = Vec::new();
        let mut moods = moods.iter().copied().chain(std::iter::repeat(Mood::Accepts)).peekable();
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            loop {
                if moods.peek() == Some(&Mood::BreaksOff) {
                    // What is not read of it makes a reset of the end.
                    if connection.read_exact(&mut [0; 16]).is_ok() {
                        moods.next();
                    }
                    break;
                }
                let Some(message) = next_message(&mut connection) else { break };
                let mood = moods.next().unwrap();
                record.lock().unwrap().push((message.clone(), mood));
                let code = match mood {
                    Mood::Accepts | Mood::Strays => "AA",
                    Mood::FindsAnError => "AE",
                    Mood::Rejects => "AR",
                    Mood::Resets | Mood::BreaksOff => break,
                    Mood::Sleeps => {
                        asleep.push(connection);
                        break;
                    }
                };
                let id = if mood == Mood::Strays { "other" } else { control_id(&message) };
                let answer =
                    format!("\x0BMSH|^~\\&|RIS||AUSCULT||20260101||ACK^R01|1|P|2.5.1\rMSA|{code}|{id}\r\x1C\r");
                let _ = connection.write_all(answer.as_bytes());
            }
        }
    });
    (port, seen)
}

fn next_message(connection: &mut TcpStream) -> Option<String> {
    let mut octets = Vec::new();
    while !octets.ends_with(&[0x1C, 0x0D]) {
        let mut octet = [0];
        connection.read_exact(&mut octet).ok()?;
        octets.push(octet[0]);
    }
    assert_eq!(octets[0], 0x0B);
    Some(String::from_utf8(octets[1..octets.len() - 2].to_vec()).unwrap())
}

fn field(message: &str, segment: &str, number: usize) -> String {
    let segment = message.split('\r').find(|line| line.starts_with(segment)).unwrap();
    segment.split('|').nth(number).unwrap_or_default().to_owned()
}

fn control_id(message: &str) -> &str {
    message.split('|').nth(9).unwrap()
}

fn service(port: u16) -> Service {
    Service::start(&format!(
        "[delivery]\nretry_first_seconds = 1\nretry_max_seconds = 1\nresponse_seconds = 2\n[[destination]]\n\
         kind = \"hl7\"\nname = \"ris\"\nhost = \"127.0.0.1\"\nport = {port}\nsending_facility = \"RADIOLOGY\"\n\
         receiving_application = \"RIS\""
    ))
}

fn send(service: &Service, file: &Path) {
    let output = run(AUSCULT, &["send", "--port", &service.port.to_string(), file.to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

fn accepted(seen: &Seen) -> Vec<String> {
    let seen = seen.lock().unwrap();
    seen.iter().filter(|(_, mood)| *mood == Mood::Accepts).map(|(message, _)| message.clone()).collect()
}

const STUDIES: [(&str, &str); 3] = [
    ("testdata/pneumonia-dx-jpeg", "52101004^Present^SCT"),
    ("testdata/pneumonia-pa-and-lateral/dx-pa.dcm", ""),
    ("testdata/ct-slice", ""),
];

#[test]
fn every_message_arrives_in_order_whatever_the_receiver_does() {
    use Mood::{BreaksOff, FindsAnError, Rejects, Resets, Sleeps, Strays};
    let (port, seen) =
        receiver(&[Rejects, Resets, BreaksOff, FindsAnError, Mood::Accepts, Sleeps, Strays, BreaksOff, Resets]);
    let mut service = service(port);
    for (number, (study, _)) in STUDIES.iter().enumerate() {
        send(&service, &checkout(study));
        // One after the other, so that their order is known; the first is still being refused.
        wait_for("a queued report", || (service.log().matches("report queued").count() > number).then_some(()));
    }
    let messages =
        wait_for("the messages", || Some(accepted(&seen)).filter(|messages| messages.len() == STUDIES.len()));
    assert!(service.stop().success());

    let seen = seen.lock().unwrap();
    let mut order: Vec<&str> = seen.iter().map(|(message, _)| control_id(message)).collect();
    assert!(order.len() > STUDIES.len() + 4, "{order:?}");
    order.dedup();
    let ids: Vec<&str> = messages.iter().map(|message| control_id(message)).collect();
    assert_eq!(order, ids, "no message overtakes one that was not acknowledged, and a repeat has the same ID");
    for (again, _) in seen.iter() {
        let first = seen.iter().find(|(first, _)| control_id(first) == control_id(again)).unwrap();
        assert_eq!(&first.0, again, "a repeat says the same");
    }
    let conclusion = |message: &str| message.split('\r').find(|line| line.contains("Conclusion")).unwrap().to_owned();
    assert!(conclusion(&messages[0]).contains("Possible pneumonia. Score "), "{}", messages[0]);
    assert!(messages[0].contains(STUDIES[0].1), "{}", messages[0]);
    assert!(conclusion(&messages[2]).contains("NOT ANALYSED"), "{}", messages[2]);
    for message in &messages {
        let header = message.split('\r').next().unwrap();
        assert!(
            header.starts_with("MSH|^~\\&|AUSCULT|RADIOLOGY|RIS||") && header.ends_with("|UNICODE UTF-8"),
            "{header}"
        );
        assert!(!field(message, "PID", 3).is_empty() && field(message, "OBR", 25) == "P", "{message}");
    }
}

#[test]
fn a_message_waits_through_a_restart_for_a_receiver_that_is_not_there() {
    let port = support::free_port();
    let mut service = service(port);
    send(&service, &checkout(STUDIES[0].0));
    wait_for("a try", || service.log().contains("not delivered").then_some(()));
    service.restart_after_kill();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    let message = next_message(&mut connection).unwrap();
    assert!(message.contains("Possible pneumonia"), "{message}");
    let answer = format!("\x0BMSH|^~\\&|R\rMSA|AA|{}\r\x1C\r", control_id(&message));
    connection.write_all(answer.as_bytes()).unwrap();
    wait_for("the delivery", || service.log().contains("acknowledged").then_some(()));
}
