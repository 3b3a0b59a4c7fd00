//! The processes that decode images for another one, seen from outside.

use std::fs;

/// A worker of the process `parent` for images of at most `max_pixels`, if there is one; the youngest of several.
pub fn worker(parent: u32, max_pixels: u64) -> Option<u32> {
    let arguments = format!("\0decode-worker\0{max_pixels}\0");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    let is_worker = |process: &u32| {
        let command = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        command.ends_with(&arguments) && status(*process, "PPid") == Some(parent.to_string())
    };
    processes.filter(is_worker).max()
}

/// What `/proc` says of a process under this name; none where the process has ended.
pub fn status(process: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.map(|value| value.trim().to_owned())
}

/// The soft limit of a process that `/proc` calls so.
pub fn limit(process: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let values = text.lines().find_map(|line| line.strip_prefix(name))?;
    values.split_whitespace().next().map(str::to_owned)
}
