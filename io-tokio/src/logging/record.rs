//! One log line, as its parts and as text.

use std::fmt::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use softadastra_core::transport::ticket::Ticket;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};

use crate::control::fault::readable;

/// The longest text of one field. Keys and errors are shorter; what a peer says may be anything.
const MOST_TEXT: usize = 4 << 10;

/// The name of the field that holds the sentence.
const MESSAGE: &str = "message";

/// Fields of an event, or of a span around it, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.push((field.name(), value));
    }

    /// Takes over what is not here yet.
    pub(super) fn add_missing(&mut self, outer: &Self) {
        for (name, value) in &outer.0 {
            if !self.0.iter().any(|(known, _)| known == name) {
                self.0.push((name, value.clone()));
            }
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, text(&format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, text(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.set(field, text(&value.to_string()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.set(field, text(&value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

/// Text of bounded length that holds no ticket, and cannot pass for a line of its own, nor steer a terminal.
fn text(text: &str) -> Value {
    let mut end = text.len().min(MOST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    let mut shown = readable(Ticket::hide_in(kept).as_bytes());
    if end < text.len() {
        shown.push('…');
    }
    shown.into()
}

/// One log line.
#[derive(Clone, Debug)]
pub struct Record {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// How loud it is.
    pub level: Level,
    /// Which part of the software it comes from.
    pub target: &'static str,
    /// The name of the event, if it has one.
    pub event: Option<String>,
    /// The sentence.
    pub message: String,
    /// Everything else, in order.
    pub fields: Vec<(&'static str, Value)>,
}

impl Record {
    pub(super) fn new(metadata: &Metadata<'static>, mut fields: Fields) -> Self {
        let string = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(text),
            Some(other) => Some(other.to_string()),
            None => None,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            level: *metadata.level(),
            target: metadata.target(),
            event: string(fields.take("event")),
            message: string(fields.take(MESSAGE)).unwrap_or_default(),
            fields: fields.0,
        }
    }

    /// A field, as text.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The line as one JSON object.
    #[must_use]
    pub fn json(&self) -> String {
        let mut line = String::with_capacity(256);
        let mut put = |name: &str, value: &Value| {
            line.push(if line.is_empty() { '{' } else { ',' });
            line.push_str(&format!("{}:{value}", Value::from(name)));
        };
        put("timestamp", &timestamp(self.at_ms).into());
        put("level", &self.level.as_str().into());
        if let Some(event) = &self.event {
            put("event", &event.as_str().into());
        }
        put(MESSAGE, &self.message.as_str().into());
        for (name, value) in &self.fields {
            put(name, value);
        }
        put("target", &self.target.into());
        line.push('}');
        line
    }

    /// The line for people.
    #[must_use]
    pub fn human(&self, color: bool) -> String {
        let mut line = String::with_capacity(160);
        let dim = |text: String| if color { format!("\x1b[2m{text}\x1b[0m") } else { text };
        let code = match self.level {
            Level::ERROR => "1;31",
            Level::WARN => "33",
            Level::INFO => "32",
            Level::DEBUG => "34",
            Level::TRACE => "35",
        };
        let level = format!("{:>5}", self.level.as_str());
        let level = if color { format!("\x1b[{code}m{level}\x1b[0m") } else { level };
        line.push_str(&format!("{} {level} {}", dim(timestamp(self.at_ms)), self.message));
        if let Some(event) = &self.event {
            line.push_str(&format!(" {}{event:?}", dim("event=".to_owned())));
        }
        for (name, value) in &self.fields {
            line.push_str(&format!(" {}", dim(format!("{name}="))));
            match value {
                Value::String(text) if is_plain(text) => line.push_str(text),
                // The text is escaped already; only what would end it early is still to be done.
                Value::String(text) => drop(write!(line, "\"{}\"", text.replace('"', "'"))),
                other => line.push_str(&other.to_string()),
            }
        }
        line
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', '"', '='])
}

/// A moment in UTC, to the millisecond.
fn timestamp(at_ms: u64) -> String {
    let (seconds, ms) = (at_ms / 1000, at_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in the calendar that repeats every 400 years (146,097 days).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(timestamp(1_772_323_199_999), "2026-02-28T23:59:59.999Z");
        assert_eq!(timestamp(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_text_stays_one_line_of_bounded_length() {
        assert_eq!(text("a\nb\x1b[2J"), Value::from("a\\nb\\u{1b}[2J"));
        assert_eq!(text("join sadticketaeark (7)"), Value::from("join sadticket… (7)"));
        let long = text(&"ä".repeat(MOST_TEXT));
        assert_eq!(long.as_str().unwrap().chars().count(), MOST_TEXT / 2 + 1);
    }
}
