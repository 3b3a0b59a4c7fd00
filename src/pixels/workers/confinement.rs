//! What a worker may do once it is set up: compute, read the file that it is given, answer. It opens
//! nothing, connects to nothing, starts nothing.
//!
//! Limits on memory, time and descriptors hold everywhere. The filter of system calls (seccomp) needs a kernel that
//! has it, as Linux does on x86-64, ARM64 and RISC-V.

use std::collections::BTreeMap;
use std::io;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};

use crate::pixels::Bounds;

/// Octets of memory that a decoder needs for a pixel, at most: the code stream twice, OpenJPEG's coefficients and
/// samples of 32 bits, the cells.
const MEMORY_PER_PIXEL: u64 = 24;
/// Octets of address space that a worker needs for itself: program, libraries, stack, what its allocator keeps.
const MEMORY_AT_REST: u64 = 256 << 20;
/// Descriptors: socket, canvas, standard error, the file.
const DESCRIPTORS: u64 = 8;

/// What a worker may use, whatever it is given to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Octets of its address space, the canvas among them.
    pub memory: u64,
    /// Octets of its canvas: two a pixel.
    pub canvas: u64,
}

impl Limits {
    pub fn of(bounds: &Bounds) -> Self {
        let memory = bounds.max_pixels.saturating_mul(MEMORY_PER_PIXEL).saturating_add(MEMORY_AT_REST);
        let canvas = bounds.max_pixels.saturating_mul(2);
        Self { memory: memory.saturating_add(canvas), canvas }
    }
}

/// How far a worker could be confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Confinement {
    /// Limits and filter.
    Full,
    /// The kernel takes no filter: limits only.
    LimitsOnly,
}

/// Confines the calling process for the rest of its life.
pub(super) fn confine(limits: &Limits) -> io::Result<Confinement> {
    // Where there is no such file, the kernel chooses by size only.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // Its parent hangs up when it ends; this ends a worker in the middle of an image, too.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, most) in [
        (Resource::As, limits.memory),
        (Resource::Fsize, 0),
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
    ] {
        // Where the administrator set less, less it is.
        let most = getrlimit(resource).maximum.map_or(most, |set| set.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    match filter().map(|filter| seccompiler::apply_filter(&filter)) {
        Ok(Ok(())) => Ok(Confinement::Full),
        _ => Ok(Confinement::LimitsOnly),
    }
}

/// The system calls of a decoder; every other one fails with EPERM. Not ending the process keeps images decodable where
/// a later C library tries something new first.
fn filter() -> Result<BpfProgram, seccompiler::Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    // Memory, but of no file, and none to be executed.
    let plain = masked(2, libc::PROT_EXEC, 0)?;
    let anonymous = masked(3, libc::MAP_ANONYMOUS, libc::MAP_ANONYMOUS)?;
    calls.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![plain.clone(), anonymous])?]);
    calls.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![plain])?]);
    // Only abort() signals, and only the worker itself.
    let own = u64::from(std::process::id());
    let itself = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?;
    calls.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![itself])?]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    Ok(SeccompFilter::new(calls, refuse, SeccompAction::Allow, architecture)?.try_into()?)
}

/// That of the bits `mask` of an argument those in `value` are set.
fn masked(argument: u8, mask: i32, value: i32) -> Result<SeccompCondition, seccompiler::Error> {
    let [mask, value] = [mask, value].map(|bits| u64::from(bits.unsigned_abs()));
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)?)
}

const CALLS: [i64; 23] = [
    // The file, the socket.
    libc::SYS_read,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_close,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // What the C library and Rust's do at times: locks, time, seeds, abort and exit.
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn the_filter_leaves_memory_and_takes_files_sockets_processes_and_threads() {
        let Ok(filter) = filter() else { return };
        let refused = thread::spawn(move || {
            // The filter holds for the thread that takes it.
            if seccompiler::apply_filter(&filter).is_err() {
                return None;
            }
            let memory: Vec<u8> = (0..8 << 20).map(|octet| octet as u8).collect();
            Some([
                File::open("/dev/null").map(drop),
                File::create(format!("/tmp/{}", memory.len())).map(drop),
                TcpStream::connect("127.0.0.1:9").map(drop),
                UnixStream::pair().map(drop),
                Command::new("/bin/true").status().map(drop),
                thread::Builder::new().spawn(|| ()).map(drop),
            ])
        });
        match refused.join().unwrap() {
            Some(refused) => {
                let kinds = refused.map(|tried| tried.map_err(|error| error.kind()));
                assert_eq!(kinds, [Err(PermissionDenied); 6]);
            }
            None => assert!(std::fs::metadata("/proc/sys/kernel/seccomp").is_err()),
        }
    }

    #[test]
    fn limits_follow_from_the_largest_image() {
        let limits = Limits::of(&Bounds { max_pixels: 1 << 20 });
        assert_eq!((limits.canvas, limits.memory), (2 << 20, (24 + 2 + 256) << 20));
        assert_eq!(Limits::of(&Bounds { max_pixels: u64::MAX }).canvas, u64::MAX);
    }
}
