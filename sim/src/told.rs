//! The stories that this thread has told, each as one number: a story told again must be the same.

use std::cell::RefCell;

thread_local! {
    static TOLD: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A world has come to its end with this trace hash.
pub(crate) fn note(hash: u64) {
    TOLD.with_borrow_mut(|told| told.push(hash));
}

/// The trace hashes of all worlds that have ended on this thread since this was last asked, in their order.
#[must_use]
pub fn take() -> Vec<u64> {
    TOLD.with_borrow_mut(std::mem::take)
}
