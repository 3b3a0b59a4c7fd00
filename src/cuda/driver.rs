//! NVIDIA's driver, as far as one can know of it without using it.
#![allow(unsafe_code, reason = "only the loader knows whether it finds a library, and it is asked in C")]

use std::ffi::CStr;

/// The library that every driver brings, under the name that programs are linked to.
const LIBRARY: &CStr = c"libcuda.so.1";

/// Whether the driver's library can be loaded into this process.
pub(super) fn is_there() -> bool {
    // SAFETY: the name ends with a zero octet. Loading runs the library's initialisers; it is the library that a program
    // linked with CUDA gets at its start, nothing in it is called, and no pointer into it is kept.
    let handle = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    if handle.is_null() {
        return false;
    }
    // SAFETY: the handle comes from dlopen and is not used again.
    unsafe { libc::dlclose(handle) };
    true
}
