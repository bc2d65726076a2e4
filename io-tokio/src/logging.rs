//! Where log lines go: to standard error, for people or for programs, and into a short memory that the console shows.
//!
//! Every line of a node says what happened (`event`, and a sentence), which node it is, what became of local data and
//! whether it is tried again; [`kinds`](crate::events::kinds) knows that of every kind of event. A line that would be
//! said for ever, of a peer that is gone for good, grows rare by itself.

mod recent;
mod record;
mod repeats;
mod stderr;

use std::sync::{Arc, Mutex, PoisonError};

use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

pub use self::recent::{Recent, Remembered};
use self::record::Fields;
pub use self::record::Record;
use self::repeats::{Passed, Repeats};
pub use self::stderr::Stderr;
pub(crate) use self::stderr::{dropped, written};

/// Takes a record that is to be kept or written.
pub trait Sink: Send + Sync + 'static {
    /// Takes it.
    fn take(&self, record: &Record);

    /// So many lines were held back since the last call.
    fn held_back(&self, lines: u64);
}

/// Turns events into [`Record`]s, without those that only repeat what was said.
pub struct Lines<S> {
    sink: S,
    repeats: Mutex<Repeats>,
}

impl<S: Sink> Lines<S> {
    /// Lines for this sink.
    pub fn new(sink: S) -> Self {
        Self { sink, repeats: Mutex::default() }
    }
}

impl<C: Subscriber + for<'a> LookupSpan<'a>, S: Sink> Layer<C> for Lines<S> {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, C>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        // Another layer of this kind may have come first.
        if extensions.get_mut::<Fields>().is_none() {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            extensions.insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, C>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_missing(outer);
            }
        }
        let record = Record::new(event.metadata(), fields);
        let passed = self.repeats.lock().unwrap_or_else(PoisonError::into_inner).judge(record);
        let Passed { records, held_back } = passed;
        for record in &records {
            self.sink.take(record);
        }
        if held_back > 0 {
            self.sink.held_back(held_back);
        }
    }
}

impl<S: Sink> Sink for Arc<S> {
    fn take(&self, record: &Record) {
        S::take(self, record);
    }

    fn held_back(&self, lines: u64) {
        S::held_back(self, lines);
    }
}

#[cfg(test)]
mod tests;
