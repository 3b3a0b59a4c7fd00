//! Just enough of Rust's grammar to see code without its comments, and the paths in it.

use std::path::Path;

/// A source text without comments and without the contents of its literals; line numbers are kept.
pub struct Source {
    code: String,
}

/// How paths that lead to a room are written in a file.
#[derive(Clone, Copy)]
pub enum Paths<'a> {
    /// `crate::room`, or enough `super::` for a file at this path below `src/`.
    InCrate { depth: &'a Path },
    /// `auscult::room`
    InDoor,
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    PathSeparator,
    Other(char),
}

impl Source {
    pub fn new(text: &str) -> Self {
        Self { code: blank(text) }
    }

    /// Lines that are neither blank nor comment nor in a `#[cfg(test)] mod tests { .. }`.
    pub fn code_lines(&self) -> usize {
        let mut lines = 0;
        let mut test_depth = None;
        let mut depth = 0_usize;
        for line in self.code.lines().filter(|line| !line.trim().is_empty()) {
            let opens = line.matches('{').count();
            let closes = line.matches('}').count();
            if test_depth.is_none() && line.trim_start().starts_with("mod tests {") {
                test_depth = Some(depth);
            }
            lines += usize::from(test_depth.is_none() && line.trim() != "#[cfg(test)]");
            depth = (depth + opens).saturating_sub(closes);
            test_depth = test_depth.filter(|outside| depth > *outside);
        }
        lines
    }

    /// Words that say that something is missing, with their lines; `text` is the whole text, comments included.
    pub fn unfinished(&self, text: &str) -> Vec<(usize, &'static str)> {
        let macros = ["todo!", "unimplemented!"].map(|word| (self.code.as_str(), word));
        let notes = ["TODO", "FIXME"].map(|word| (text, word));
        let lines = |(text, word): (&str, &'static str)| {
            let with_word = |(number, line): (usize, &str)| line.contains(word).then_some((number + 1, word));
            text.lines().enumerate().filter_map(with_word).collect::<Vec<_>>()
        };
        macros.into_iter().chain(notes).flat_map(lines).collect()
    }

    /// The rooms that are named in paths, with their lines.
    pub fn rooms_used(&self, paths: Paths) -> Vec<(usize, String)> {
        let tokens = tokens(&self.code);
        let mut rooms = Vec::new();
        let mut blocks = Vec::new();
        for at in 0..tokens.len() {
            match word(&tokens, at) {
                Some("crate") if matches!(paths, Paths::InCrate { .. }) && !is_after_dollar(&tokens, at) => {
                    rooms.extend(first_segments(&tokens, at + 1));
                }
                Some("auscult") if matches!(paths, Paths::InDoor) => rooms.extend(first_segments(&tokens, at + 1)),
                Some("super") if !is_path_separator(&tokens, at.wrapping_sub(1)) => {
                    let Paths::InCrate { depth } = paths else { continue };
                    let modules = module_depth(depth) + blocks.iter().filter(|is_module| **is_module).count();
                    let (climbed, end) = climb(&tokens, at);
                    if climbed == modules {
                        rooms.extend(first_segments(&tokens, end));
                    }
                }
                _ => {}
            }
            match tokens.get(at) {
                Some((_, Token::Other('{'))) => blocks.push(at >= 2 && word(&tokens, at - 2) == Some("mod")),
                Some((_, Token::Other('}'))) => drop(blocks.pop()),
                _ => {}
            }
        }
        rooms
    }
}

type Tokens<'a> = [(usize, Token<'a>)];

fn word<'a>(tokens: &Tokens<'a>, at: usize) -> Option<&'a str> {
    match tokens.get(at) {
        Some((_, Token::Word(word))) => Some(word),
        _ => None,
    }
}

fn is_path_separator(tokens: &Tokens, at: usize) -> bool {
    matches!(tokens.get(at), Some((_, Token::PathSeparator)))
}

fn is_after_dollar(tokens: &Tokens, at: usize) -> bool {
    matches!(tokens.get(at.wrapping_sub(1)), Some((_, Token::Other('$'))))
}

/// How many modules lie between the crate's root and the code of a file: 1 for `room.rs` and `room/mod.rs`.
fn module_depth(path: &Path) -> usize {
    path.iter().count() - usize::from(path.ends_with("mod.rs"))
}

/// From the first `super` on: how many there are, and where the path goes on with `::`.
fn climb(tokens: &Tokens, from: usize) -> (usize, usize) {
    let mut at = from;
    while word(tokens, at) == Some("super") && is_path_separator(tokens, at + 1) {
        at += 2;
    }
    ((at - from) / 2, at.saturating_sub(1))
}

/// The segments right below a path's `::` at `at`: one, or those of a group.
fn first_segments(tokens: &Tokens, at: usize) -> Vec<(usize, String)> {
    if !is_path_separator(tokens, at) {
        return Vec::new();
    }
    match tokens.get(at + 1) {
        Some((line, Token::Word(name))) => vec![(*line, (*name).to_owned())],
        Some((line, Token::Other('*'))) => vec![(*line, "*".to_owned())],
        Some((_, Token::Other('{'))) => group(tokens, at + 2),
        _ => Vec::new(),
    }
}

/// The first segments of a `{a::b, c::{d, e}}` whose contents begin at `from`.
fn group(tokens: &Tokens, from: usize) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let (mut depth, mut expected) = (1, true);
    for (line, token) in tokens.iter().skip(from) {
        match token {
            Token::Other('{') => depth += 1,
            Token::Other('}') if depth == 1 => break,
            Token::Other('}') => depth -= 1,
            Token::Other(',') if depth == 1 => expected = true,
            Token::Word(name) if expected => {
                expected = false;
                names.push((*line, (*name).to_owned()));
            }
            _ => {}
        }
    }
    names.retain(|(_, name)| name != "self");
    names
}

fn tokens(code: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for (line, number) in code.lines().zip(1..) {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let (token, length) = if is_word(first) {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Token::Word(rest.get(..length).unwrap_or_default()), length)
            } else if rest.starts_with("::") {
                (Token::PathSeparator, 2)
            } else {
                (Token::Other(first), first.len_utf8())
            };
            tokens.push((number, token));
            rest = rest.get(length..).unwrap_or_default().trim_start();
        }
    }
    tokens
}

/// Comments become spaces, the contents of literals underscores.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let (length, filler) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), ' '),
            '/' if rest.starts_with("/*") => (block_comment(rest), ' '),
            '"' => (quoted(rest, '"'), '_'),
            '\'' => (character(rest), '_'),
            'r' | 'b' | 'c' if !(before.is_alphanumeric() || before == '_') => (prefixed(rest), '_'),
            _ => (0, ' '),
        };
        let length = if length == 0 { first.len_utf8() } else { length };
        let piece = rest.get(..length).unwrap_or(rest);
        let is_plain = piece.chars().count() == 1;
        code.extend(piece.chars().map(|c| if is_plain || c == '\n' { c } else { filler }));
        before = piece.chars().last().unwrap_or(' ');
        rest = rest.get(length..).unwrap_or_default();
    }
    code
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let step = match rest {
            _ if rest.starts_with("/*") => {
                depth += 1;
                2
            }
            _ if rest.starts_with("*/") => {
                depth -= 1;
                2
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of a literal that begins and ends with `quote`, escapes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of a character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), _) => quoted(text, '\''),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// Length of a literal with a prefix (`b"`, `r#"`, `br##"`); 0 for a word.
fn prefixed(text: &str) -> usize {
    let prefix = text.find(|c| !matches!(c, 'r' | 'b' | 'c')).unwrap_or(text.len());
    let (letters, rest) = text.split_at(prefix);
    if letters.len() > 2 || rest.is_empty() {
        return 0;
    }
    if letters == "b" && rest.starts_with('\'') {
        return prefix + character(rest);
    }
    if !letters.contains('r') {
        return if rest.starts_with('"') { prefix + quoted(rest, '"') } else { 0 };
    }
    let hashes = rest.find(|c| c != '#').unwrap_or(0);
    let end = format!("\"{}", "#".repeat(hashes));
    match rest.get(hashes..).and_then(|rest| rest.strip_prefix('"')) {
        Some(body) => prefix + hashes + 1 + body.find(&end).map_or(body.len(), |at| at + end.len()),
        None => 0,
    }
}
