//! What the doctor found, as people read it.

use super::counted;
use crate::cli::output::{Human, Paint};
use crate::control::answer::Doctor;

impl Human for Doctor {
    fn human(&self, paint: Paint) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            let state = match check.state.as_str() {
                "ok" => check.state.clone(),
                "skipped" => "-".to_owned(),
                bad => paint.red(bad),
            };
            // By what is seen: colour takes no room.
            let gap = " ".repeat("warning".len().saturating_sub(if state == "-" { 1 } else { check.state.len() }));
            let name = format!("{:width$}", check.name);
            text.push_str(&format!("{}  {state}{gap}  {}\n", paint.bold(name), check.found));
            if !check.next.is_empty() {
                text.push_str(&format!("{}  -> {}\n", " ".repeat(width + 2 + "warning".len()), check.next));
            }
        }
        let verdict = match (self.failed, self.warnings) {
            (0, 0) => "Nothing is wrong.".to_owned(),
            (0, warnings) => format!("It works; {} to see to.", counted(warnings, "thing", "things")),
            (failed, 0) => format!("{}.", counted(failed, "check failed", "checks failed")),
            (failed, warnings) => format!(
                "{}, and {} to see to.",
                counted(failed, "check failed", "checks failed"),
                counted(warnings, "thing", "things")
            ),
        };
        text.push_str(&format!("\n{verdict}\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::answer::Check;

    #[test]
    fn each_check_says_what_was_found_and_what_to_do() {
        let checks = vec![
            Check::ok("directory", "/d, of this user alone"),
            Check::warning("space", "1.0 GiB free", "make room"),
            Check::failed("log", "damage in /d/wal", "restore a backup"),
            Check::skipped("peers", "no node runs here"),
        ];
        let all = Doctor::of("/d".into(), checks.clone());
        assert_eq!((all.failed, all.warnings), (1, 1));
        assert_eq!(
            all.human(Paint::PLAIN),
            "directory  ok       /d, of this user alone\n\
             space      warning  1.0 GiB free\n\
             \x20                   -> make room\n\
             log        failed   damage in /d/wal\n\
             \x20                   -> restore a backup\n\
             peers      -        no node runs here\n\
             \n\
             1 check failed, and 1 thing to see to.\n"
        );
        let verdict = |range: std::ops::Range<usize>| {
            let text = Doctor::of("/d".into(), checks[range].to_vec()).human(Paint::PLAIN);
            text.lines().last().unwrap().to_owned()
        };
        assert_eq!(verdict(0..1), "Nothing is wrong.");
        assert_eq!(verdict(0..2), "It works; 1 thing to see to.");
        assert_eq!(verdict(2..3), "1 check failed.");
    }
}
