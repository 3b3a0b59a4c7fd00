//! What a daemon did on its disk and its sockets, read from `strace -f -y -xx`.

use std::collections::HashMap;

/// The system calls to trace.
pub const CALLS: &str = "trace=openat,fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,pwrite64,writev,\
                         sendto,sendmsg";

/// One thing that happened, in the order in which it took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes were written to a file.
    Written {
        /// The file.
        path: String,
        /// How many.
        bytes: usize,
    },
    /// A file was created.
    Created(String),
    /// A file or directory was synced.
    Synced(String),
    /// A file got a further, or another, name.
    Named {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// Bytes were handed to a socket.
    Sent(Vec<u8>),
}

/// Reads a trace. What must be over to count (a sync, a name) counts when the call returns; what must not come too
/// early (bytes to a socket, to a file) counts when the call begins.
pub fn events(trace: &str) -> Vec<Event> {
    let mut unfinished: HashMap<&str, String> = HashMap::new();
    let mut events = Vec::new();
    for line in trace.lines() {
        let Some((process, call)) = line.trim_start().split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some((begun, _)) = call.split_once("<unfinished ...>") {
            events.extend(at_its_begin(begun));
            unfinished.insert(process, begun.to_owned());
        } else if let Some((_, rest)) = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>")) {
            let whole = format!("{}{rest}", unfinished.remove(process).unwrap_or_default());
            events.extend(at_its_end(&whole));
        } else {
            events.extend(at_its_begin(call));
            events.extend(at_its_end(call));
        }
    }
    events
}

fn at_its_begin(call: &str) -> Option<Event> {
    let (name, arguments) = call.split_once('(')?;
    if !["write", "pwrite64", "writev", "sendto", "sendmsg"].contains(&name) {
        return None;
    }
    let target = descriptor(arguments)?;
    if target.starts_with("socket:") || target.starts_with("TCP") {
        return Some(Event::Sent(strings(arguments).concat()));
    }
    let bytes = match name {
        "writev" => numbers_after(arguments, "iov_len="),
        // strace shortens the string, not the count behind it.
        _ => {
            let (_, count) = arguments.rsplit_once('"')?;
            count.trim_start_matches(['.', ',', ' ']).split([',', ')', ' ']).next()?.parse().ok()?
        }
    };
    Some(Event::Written { path: target, bytes })
}

fn at_its_end(call: &str) -> Option<Event> {
    let (name, arguments) = call.split_once('(')?;
    let (_, result) = call.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    match name {
        "fsync" | "fdatasync" => Some(Event::Synced(descriptor(arguments)?)),
        "openat" if arguments.contains("O_CREAT") => Some(Event::Created(path(strings(arguments).first()?))),
        "rename" | "renameat" | "renameat2" | "link" | "linkat" => {
            let names = strings(arguments);
            Some(Event::Named { from: path(names.first()?), to: path(names.get(1)?) })
        }
        _ => None,
    }
}

/// The path of the first argument, a descriptor that `-y` annotates: `12<\x2f\x74>`.
fn descriptor(arguments: &str) -> Option<String> {
    let (number, rest) = arguments.split_once('<')?;
    number.parse::<u32>().ok()?;
    let target = rest.split(['>', '(']).next()?;
    let bytes = if target.starts_with("\\x") { unescaped(target) } else { target.as_bytes().to_vec() };
    Some(path(&bytes))
}

fn path(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every quoted string.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unescaped).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    text.split("\\x").filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect()
}

fn numbers_after(text: &str, key: &str) -> usize {
    let number =
        |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<usize>().ok());
    text.split(key).skip(1).filter_map(number).sum::<usize>()
}

#[test]
fn a_call_that_another_thread_interrupts_counts_at_its_end() {
    let trace = "7 fsync(12<\\x2f\\x61> <unfinished ...>\n\
                 8 write(9<socket:[77]>, \"\\x04\\x00\", 2 <unfinished ...>\n\
                 7 <... fsync resumed>) = 0\n\
                 8 <... write resumed>) = 2\n\
                 7 fsync(12<\\x2f\\x61>) = -1 EIO (Input/output error)\n\
                 7 linkat(AT_FDCWD</x>, \"\\x2f\\x61\", AT_FDCWD</x>, \"\\x2f\\x62\", 0) = 0\n\
                 7 write(5<\\x2f\\x63>, \"\\x00\"..., 70000) = 70000\n";
    let expected = [
        Event::Sent(vec![4, 0]),
        Event::Synced("/a".into()),
        Event::Named { from: "/a".into(), to: "/b".into() },
        Event::Written { path: "/c".into(), bytes: 70_000 },
    ];
    assert_eq!(events(trace), expected);
}
