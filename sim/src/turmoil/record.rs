//! What happened on all hosts, in one story, and the first promise that broke.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use crate::trace::Trace;

/// Shared by everybody who has something to tell.
#[derive(Debug)]
pub struct Record {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    trace: Trace,
    marks: BTreeMap<String, u64>,
    broken: Option<String>,
    now: Duration,
}

impl Record {
    /// An empty story, which keeps its lines or only their hash.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        let inner = Inner { trace: Trace::new(keep), marks: BTreeMap::new(), broken: None, now: Duration::ZERO };
        Self { inner: Mutex::new(inner) }
    }

    /// The simulation has come to this point; hosts know the time better.
    pub fn turn_to(&self, now: Duration) {
        self.hold().now = now;
    }

    /// Adds a line.
    pub fn note(&self, who: &str, line: fmt::Arguments<'_>) {
        let mut inner = self.hold();
        let at = turmoil::sim_elapsed().unwrap_or(inner.now);
        inner.trace.note(at.as_micros() as u64, format_args!("{who:<4} {line}"));
    }

    /// Counts something that should happen now and then.
    pub fn mark(&self, what: impl Into<String>) {
        *self.hold().marks.entry(what.into()).or_default() += 1;
    }

    /// A promise was broken. Only the first one counts.
    pub fn broken(&self, who: &str, what: fmt::Arguments<'_>) {
        self.note(who, format_args!("BROKEN: {what}"));
        self.hold().broken.get_or_insert_with(|| format!("{who}: {what}"));
    }

    /// The first promise that was broken.
    #[must_use]
    pub fn first_broken(&self) -> Option<String> {
        self.hold().broken.clone()
    }

    /// Ends the story.
    #[must_use]
    pub fn take(&self) -> (Trace, BTreeMap<String, u64>) {
        let mut inner = self.hold();
        (std::mem::replace(&mut inner.trace, Trace::new(false)), std::mem::take(&mut inner.marks))
    }

    fn hold(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Panics on this thread since this was last asked. A task that panics would otherwise just be gone.
#[must_use]
pub fn take_panics() -> Vec<String> {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
            before(panic);
        }));
    });
    PANICS.with_borrow_mut(std::mem::take)
}
