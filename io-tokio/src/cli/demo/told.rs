//! The story as it is told: to people line by line, to programs at the end.

use tokio::time::Instant;

use super::millis;
use crate::cli::output::{Failure, Output};
use crate::control::answer::DemoStep;

/// Tells the steps and remembers them.
pub(super) struct Teller<'a> {
    out: &'a mut Output,
    steps: Vec<DemoStep>,
    began: Instant,
}

impl<'a> Teller<'a> {
    pub(super) fn new(out: &'a mut Output) -> Self {
        Self { out, steps: Vec::new(), began: Instant::now() }
    }

    pub(super) fn opening(&mut self, text: &str) -> Result<(), Failure> {
        self.say(&format!("{text}\n"))
    }

    /// A new step begins.
    pub(super) fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.close_step();
        self.steps.push(DemoStep { title: title.to_owned(), told: Vec::new(), took_ms: 0 });
        let heading = self.out.paint().bold(format_args!("{}. {title}", self.steps.len()));
        self.say(&format!("\n{heading}\n"))
    }

    /// Somebody did or saw something.
    pub(super) fn says(&mut self, who: &str, what: impl AsRef<str>) -> Result<(), Failure> {
        let what = what.as_ref();
        if let Some(step) = self.steps.last_mut() {
            step.told.push(format!("{who}: {what}"));
        }
        self.say(&format!("   {who:<10} {what}\n"))
    }

    /// The story is over.
    pub(super) fn end(mut self) -> Vec<DemoStep> {
        self.close_step();
        self.steps
    }

    fn close_step(&mut self) {
        if let Some(step) = self.steps.last_mut() {
            step.took_ms = millis(self.began.elapsed());
        }
        self.began = Instant::now();
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        if self.out.is_json() {
            return Ok(());
        }
        self.out.text(text)?;
        self.out.flush()
    }
}
