//! Where answers, notes and errors go: tables for people or documents for programs, and a quiet end when nobody reads on.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use softadastra_core::error::Code;

use crate::control::Fault;
use crate::control::answer::{Answer, ErrorEnvelope};
use crate::control::fault::is_format;
use crate::logging;
use crate::settings::ColorSetting;

/// How a command ended, if not well.
#[derive(Debug)]
pub(super) enum Failure {
    /// It failed: exit 1.
    Fault(Fault),
    /// It was not a command that could be carried out: exit 2.
    Usage(Fault),
    /// Whoever read the output has gone. That is their right: a quiet exit.
    ClosedPipe,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<softadastra_core::error::Error> for Failure {
    fn from(error: softadastra_core::error::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl Failure {
    /// What a node says to the arguments of a command: one that it finds wrong in themselves is a mistake of the caller.
    pub(super) fn of_arguments(fault: Fault) -> Self {
        if fault.is(Code::InvalidArgument) { Self::Usage(fault) } else { Self::Fault(fault) }
    }

    /// A failure of writing output.
    pub(super) fn of_output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::Fault(Fault::io("write the output", error))
    }
}

/// How a command ended, if well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// Exit 0.
    Yes,
    /// The answer to a question was no: exit 1, without an error.
    No,
}

/// An answer that people can read.
pub(super) trait Human {
    /// The text, line end included.
    fn human(&self, paint: Paint) -> String;
}

/// Adds colour, or leaves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    fn of(stream: &impl anstream::stream::RawStream, setting: ColorSetting) -> Self {
        Self(match setting {
            ColorSetting::Always => true,
            ColorSetting::Never => false,
            ColorSetting::Auto => AutoStream::choice(stream) != ColorChoice::Never,
        })
    }

    /// No colour.
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self(false);

    fn wrap(self, code: &str, text: impl fmt::Display) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// For headings and names.
    pub(super) fn bold(self, text: impl fmt::Display) -> String {
        self.wrap("1", text)
    }

    /// For what went wrong.
    pub(super) fn red(self, text: impl fmt::Display) -> String {
        self.wrap("1;31", text)
    }
}

/// The output of one command.
pub(super) struct Output {
    out: BufWriter<io::StdoutLock<'static>>,
    json: bool,
    quiet: bool,
    paint: Paint,
    paint_err: Paint,
}

impl Output {
    pub(super) fn new(json: bool, quiet: bool, color: ColorSetting) -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            json,
            quiet,
            paint: Paint::of(&io::stdout(), color),
            paint_err: Paint::of(&io::stderr(), color),
        }
    }

    /// Whether log lines are coloured.
    pub(super) fn paints_stderr(color: ColorSetting) -> bool {
        Paint::of(&io::stderr(), color).0
    }

    /// Whether programs read this.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person reads this on a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    /// Whether to show that something is going on: only to people who look.
    pub(super) fn shows_progress(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// The colour of answers.
    pub(super) fn paint(&self) -> Paint {
        self.paint
    }

    /// An answer.
    pub(super) fn answer<T: Answer + Human>(&mut self, answer: &T) -> Result<(), Failure> {
        if self.json { self.document(answer) } else { self.text(&answer.human(self.paint)) }
    }

    /// An answer as a document, whoever reads it.
    pub(super) fn document<T: Answer>(&mut self, answer: &T) -> Result<(), Failure> {
        let document = serde_json::to_string(&answer.envelope()).expect("answers are trees of text and numbers");
        self.text(&inert(document))?;
        self.text("\n")
    }

    /// Text as it is.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| Failure::of_output(&error))
    }

    /// Hands everything to the operating system.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::of_output(&error))
    }

    /// Something a person may like to know; not part of the answer.
    pub(super) fn note(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.to_stderr(format_args!("{text}\n"));
        }
    }

    /// What went wrong.
    pub(super) fn fault(&self, fault: &Fault) {
        let fault = &Fault { message: shortened(&fault.message).into_owned(), ..fault.clone() };
        if self.json {
            let document = serde_json::to_string(&ErrorEnvelope::new(fault.clone()));
            self.to_stderr(format_args!("{}\n", inert(document.expect("a fault is text"))));
        } else if fault.is(Code::NotFound) && fault.message.starts_with("Key not found: ") {
            self.to_stderr(format_args!("{fault}\n"));
        } else {
            self.to_stderr(format_args!("{} {fault} [{}]\n", self.paint_err.red("error:"), fault.code));
        }
    }

    fn to_stderr(&self, text: fmt::Arguments<'_>) {
        // What was logged before stands before it. When stderr is closed, or is not read, there is nobody left to tell.
        if log_is_written() {
            drop(io::stderr().lock().write_fmt(text));
        }
    }
}

/// A text of bounded length: of one that is longer, its beginning and its end, and how much is left out between.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    const BEGINNING: usize = 3 << 10;
    const END: usize = 1 << 10;
    if text.len() <= BEGINNING + END {
        return text.into();
    }
    let (head, tail) = (text.floor_char_boundary(BEGINNING), text.ceil_char_boundary(text.len() - END));
    let (beginning, end) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{beginning} … {} bytes left out … {end}", tail - head).into()
}

/// A JSON document whose text cannot steer a terminal either: what shows nothing of itself, and stands in strings only,
/// is escaped.
pub(super) fn inert(document: String) -> String {
    let is_inert = |c: char| !(c.is_control() || is_format(c));
    if document.is_ascii() && !document.contains('\u{7f}') || document.chars().all(is_inert) {
        return document;
    }
    let mut escaped = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        if is_inert(c) {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            escaped.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

/// Whether all that was logged is written, or is so within a moment.
pub(super) fn log_is_written() -> bool {
    const PATIENCE: Duration = Duration::from_secs(1);
    logging::written(PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_means_the_same_and_steers_no_terminal() {
        let text = "till\u{9b}31m\u{7f}\u{202e}\u{e0041}ä日";
        let document = serde_json::to_string(text).unwrap();
        let shown = inert(document.clone());
        assert_eq!(shown, "\"till\\u009b31m\\u007f\\u202e\\udb40\\udc41ä日\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        assert_eq!(inert("{\"a\":1}".to_owned()), "{\"a\":1}");
    }

    #[test]
    fn an_error_is_no_longer_than_somebody_reads() {
        assert_eq!(shortened("a short one"), "a short one");
        let whole = format!("key {} is too long", "ä".repeat(1 << 20));
        let long = shortened(&whole);
        assert!(long.len() < 5000 && long.starts_with("key ä") && long.ends_with("is too long"), "{long}");
        assert!(long.contains(" bytes left out "), "{long}");
    }
}
