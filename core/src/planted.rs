//! Known bugs, planted to prove that the simulator can fail. No build that anybody ships holds any: without `--cfg planted`
//! this module is empty, and every `planted!` in the code is the constant `false`.

#[cfg(planted)]
use core::sync::atomic::{AtomicU32, Ordering};

#[cfg(planted)]
static CHOSEN: AtomicU32 = AtomicU32::new(0);

/// Plants the bug of this name, for the whole process.
#[cfg(planted)]
pub fn choose(name: &str) {
    CHOSEN.store(number(name), Ordering::Relaxed);
}

#[cfg(planted)]
pub(crate) fn is(name: &str) -> bool {
    CHOSEN.load(Ordering::Relaxed) == number(name)
}

/// The names are few: 32 bits of FNV-1a tell them apart.
#[cfg(planted)]
const fn number(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let (mut hash, mut rest) = (0x811c_9dc5_u32, bytes);
    while let [byte, more @ ..] = rest {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        rest = more;
    }
    hash
}

#[cfg(not(planted))]
pub(crate) const fn is(_: &str) -> bool {
    false
}
