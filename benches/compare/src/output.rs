//! Whether the tables can be printed. The standard library takes a stdout that is closed, or only to be read from, for one that
//! swallows everything.

use std::io::{Error, Result};
use std::os::fd::AsFd as _;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;

/// Looks whether there is a stdout that can be written to.
///
/// # Errors
/// When it was closed, or is only to be read from.
pub(crate) fn look() -> Result<()> {
    let out = std::io::stdout();
    if at_start::was_closed() || fcntl_getfl(out.as_fd())? & OFlags::RWMODE == OFlags::RDONLY {
        Err(Error::from(Errno::BADF))
    } else {
        Ok(())
    }
}

/// The standard library opens `/dev/null` where it finds stdout closed, before `main`: this looks before that.
#[cfg(target_os = "linux")]
mod at_start {
    use std::os::fd::BorrowedFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    static CLOSED: AtomicBool = AtomicBool::new(false);

    #[allow(unsafe_code, reason = "nothing else runs as early")]
    #[used]
    // SAFETY: the section holds pointers to functions that are called one after the other before `main`, with arguments that may be ignored;
    // this one needs nothing of the standard library that is not there yet.
    #[unsafe(link_section = ".init_array")]
    static LOOK: extern "C" fn() = look;

    #[allow(unsafe_code, reason = "stdout has no owner that could be asked")]
    extern "C" fn look() {
        // SAFETY: it is borrowed for one system call, which says so if there is no such descriptor.
        let out = unsafe { BorrowedFd::borrow_raw(1) };
        CLOSED.store(rustix::io::fcntl_getfd(out).is_err(), Ordering::Relaxed);
    }

    pub(super) fn was_closed() -> bool {
        CLOSED.load(Ordering::Relaxed)
    }
}

/// Elsewhere nobody can tell.
#[cfg(not(target_os = "linux"))]
mod at_start {
    pub(super) fn was_closed() -> bool {
        false
    }
}
