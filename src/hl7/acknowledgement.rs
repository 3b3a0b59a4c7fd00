//! What a receiver answers to a message (HL7 v2.5.1 chapter 2.9 and 2.14.8, segment MSA).

use super::mllp::MllpError;

/// An acknowledgement that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// What the receiver did.
    pub verdict: Verdict,
    /// Message Control ID (MSA-2) of the message that it answers.
    pub control_id: String,
    /// What it says beside that (MSA-3, or the first ERR segment), printable, at most 120 characters.
    pub text: String,
}

/// Acknowledgement Code (MSA-1, table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// AA or CA: it has the message.
    Accepted,
    /// AE or CE: it found an error in the message, or failed to work with it.
    Error,
    /// AR or CR: it rejects the message.
    Rejected,
}

impl Acknowledgement {
    /// Reads a message that came back. Its delimiter is the one that it declares.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, MllpError> {
        let text = String::from_utf8_lossy(octets);
        let segments: Vec<&str> = text.split(['\r', '\n']).filter(|segment| !segment.is_empty()).collect();
        let strange = |what| MllpError::Strange { what };
        let header = segments.first().filter(|first| first.starts_with("MSH"));
        let delimiter = header.and_then(|msh| msh.chars().nth(3)).ok_or(strange("the answer is no HL7 message"))?;
        let of = |name: &str| {
            let fields = segments.iter().map(move |segment| segment.split(delimiter).collect::<Vec<_>>());
            let name = name.to_owned();
            fields.into_iter().find(move |fields| fields.first().is_some_and(|first| *first == name))
        };
        let answer = of("MSA").ok_or(strange("the answer has no MSA segment"))?;
        let field = |fields: &[&str], number: usize| fields.get(number).map_or("", |field| field.trim()).to_owned();
        let verdict = match field(&answer, 1).as_str() {
            "AA" | "CA" => Verdict::Accepted,
            "AE" | "CE" => Verdict::Error,
            "AR" | "CR" => Verdict::Rejected,
            _ => return Err(strange("the answer has no acknowledgement code")),
        };
        let error = of("ERR").map(|fields| field(&fields, 8)).unwrap_or_default();
        let said = [field(&answer, 3), error].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let text = said.chars().filter(|character| !character.is_control()).take(120).collect();
        Ok(Self { verdict, control_id: field(&answer, 2), text })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Acknowledgement, String> {
        Acknowledgement::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn acknowledgements_are_read() {
        let accepted = parse("MSH|^~\\&|RIS||AUSCULT||20260101||ACK^R01|9|P|2.5.1\rMSA|AA|A12\r").unwrap();
        assert_eq!((accepted.verdict, accepted.control_id.as_str()), (Verdict::Accepted, "A12"));
        let error = parse("MSH#^~\\&#RIS\nMSA#AE#A12\nERR#^^^207########no such patient").unwrap();
        assert_eq!((error.verdict, error.text.as_str()), (Verdict::Error, ""));
        let error = parse("MSH|^~\\&|RIS\rMSA|AE|A12\rERR||PID^1|204|E||||unknown key").unwrap();
        assert_eq!(error.text, "unknown key");
        let rejected = parse("MSH|^~\\&\rMSA|AR|A12|queue full\r").unwrap();
        assert_eq!((rejected.verdict, rejected.text.as_str()), (Verdict::Rejected, "queue full"));
    }

    #[test]
    fn anything_else_is_strange() {
        for text in ["", "hello", "MSH", "MSH|^~\\&|RIS\r", "MSH|^~\\&\rMSA|XX|1\r", "PID|1\rMSA|AA|1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Acknowledgement::parse(&octets);
            let _ = Acknowledgement::parse(&[b"MSH|^~\\&\rMSA|".as_slice(), &octets].concat());
        }
    }
}
