//! The whole of a terminal, for as long as something is watched; then it is given back as it was.

use std::io;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::output::{Failure, Output};

/// Another page, without cursor, on which long lines are cut and not folded.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J";

/// All of that back.
const LEAVE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Rows of a terminal that does not say how many it has.
const ROWS: usize = 24;

/// A terminal that shows nothing but what is watched. Dropping it gives the terminal back.
pub(super) struct Screen {
    /// How the terminal was; keys that are pressed meanwhile are not shown.
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal on standard output; `None` when it cannot be had.
    pub(super) fn enter() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            // Ctrl-Z would leave the shell on this page.
            quiet.special_codes[SpecialCodeIndex::VSUSP] = 0;
            tcsetattr(io::stdin(), OptionalActions::Now, &quiet).ok()?;
        }
        let screen = Self { before };
        rustix::io::write(io::stdout(), ENTER).ok()?;
        Some(screen)
    }

    /// Shows a text in the place of the one before.
    pub(super) fn show(&self, text: &str, out: &mut Output) -> Result<(), Failure> {
        let rows = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        out.text(&page(text, if rows == 0 { ROWS } else { rows }))?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let _gone = rustix::io::write(io::stdout(), LEAVE);
        if let Some(before) = &self.before {
            let _gone = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// What overwrites a page without a flicker: each line up to its end, then the rest.
fn page(text: &str, rows: usize) -> String {
    let lines: Vec<String> = text.lines().take(rows).map(|line| format!("{line}\x1b[K")).collect();
    format!("\x1b[H{}\x1b[J", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_overwritten_line_by_line_and_never_scrolls() {
        assert_eq!(page("a\nb\n", 24), "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J");
        assert_eq!(page("a\nb\nc\n", 2), "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J");
        assert_eq!(page("", 2), "\x1b[H\x1b[J");
    }
}
