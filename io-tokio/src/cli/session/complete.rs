//! What Tab offers: commands, options and their values as the command line defines them, keys as the store holds them, and
//! files.

use clap::{Arg, Command};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::words::{self, Word};
use crate::control::fault::readable;

/// The keys that begin with this, or how they go on.
pub(super) type Keys = Box<dyn Fn(&str) -> Vec<String>>;

/// Completes lines, and says whether they are over.
pub(super) struct Prompter {
    definition: Command,
    keys: Keys,
    files: FilenameCompleter,
}

impl Prompter {
    pub(super) fn new(mut definition: Command, keys: Keys) -> Self {
        // Hands the global options down to the commands below.
        definition.build();
        Self { definition, keys, files: FilenameCompleter::new() }
    }

    /// What could stand at the end of this line, as it has to be typed, and where it would begin.
    fn candidates(&self, line: &str) -> (usize, Vec<Pair>) {
        let mut taken = words::split(line);
        let current = if taken.in_word { taken.words.pop() } else { None };
        let current = current.unwrap_or_else(|| Word { text: String::new(), start: line.len() });
        let before: Vec<&str> = taken.words.iter().map(|word| word.text.as_str()).collect();
        let before = before.strip_prefix(&["softadastra"]).unwrap_or(&before);
        let expected = Expected::after(&self.definition, before);
        let begun = current.text.as_str();
        let mut found: Vec<String> = match &expected {
            Expected::Value(arg) => return self.values(arg, line, &current),
            Expected::Next { command, .. } if begun.starts_with('-') => options(command),
            Expected::Next { command, .. } => subcommands(command),
        };
        found.retain(|text| text.starts_with(begun));
        if let Expected::Next { positional: Some(arg), .. } = expected
            && found.is_empty()
        {
            return self.values(arg, line, &current);
        }
        (current.start, found.iter().map(|text| pair(text)).collect())
    }

    fn values(&self, arg: &Arg, line: &str, current: &Word) -> (usize, Vec<Pair>) {
        let begun = current.text.as_str();
        let name = arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
        let found = match name {
            "KEY" | "PREFIX" => (self.keys)(begun),
            "FILE" | "DIR" => {
                let (start, mut found) = self.files.complete_path(line, line.len()).unwrap_or_default();
                found.retain(|pair| shows_as_it_is(&pair.display));
                return (start, found);
            }
            _ => arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        };
        let fitting = found.into_iter().filter(|text| text.starts_with(begun) && shows_as_it_is(text));
        (current.start, fitting.map(|text| pair(&text)).collect())
    }
}

/// Whether a terminal shows all of it, and is not steered by it: keys come from anybody who may write, and what is
/// completed is shown as it is.
fn shows_as_it_is(text: &str) -> bool {
    readable(text.as_bytes()) == text
}

fn pair(text: &str) -> Pair {
    Pair { display: text.to_owned(), replacement: words::quoted(text) }
}

fn subcommands(command: &Command) -> Vec<String> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| command.get_name().to_owned()).collect()
}

fn options(command: &Command) -> Vec<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(Arg::get_long).map(|long| format!("--{long}")).collect()
}

/// What may come next.
enum Expected<'a> {
    /// The value of an option.
    Value(&'a Arg),
    /// An option, a command below this one, or this argument.
    Next { command: &'a Command, positional: Option<&'a Arg> },
}

impl<'a> Expected<'a> {
    fn after(definition: &'a Command, words: &[&str]) -> Self {
        let mut command = definition;
        let mut given = 0;
        let mut value_of: Option<&Arg> = None;
        let mut literal = false;
        for word in words {
            if value_of.take().is_some() {
                continue;
            }
            if !literal && *word == "--" {
                literal = true;
            } else if let Some(long) = word.strip_prefix("--").filter(|_| !literal) {
                let option = command.get_arguments().find(|arg| arg.get_long() == Some(long));
                value_of = option.filter(|arg| arg.get_action().takes_values());
            } else if literal || !word.starts_with('-') || *word == "-" {
                match command.find_subcommand(word).filter(|_| given == 0 && !literal) {
                    Some(below) => command = below,
                    None => given += 1,
                }
            }
        }
        match value_of {
            Some(arg) => Self::Value(arg),
            None => Self::Next { command, positional: command.get_positionals().nth(given) },
        }
    }
}

impl Completer for Prompter {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(self.candidates(line.get(..pos).unwrap_or(line)))
    }
}

impl Validator for Prompter {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let goes_on = words::split(context.input()).goes_on;
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Hinter for Prompter {
    type Hint = String;
}

impl Highlighter for Prompter {}

impl Helper for Prompter {}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> (usize, Vec<String>) {
        let keys = |begun: &str| {
            ["till/1", "till/2", "two words", "till/\u{1b}]0;owned\u{7}", "till/\u{9b}31m", "till/\u{202e}1"]
                .map(str::to_owned)
                .into_iter()
                .filter(|key| key.starts_with(begun))
                .collect()
        };
        let prompter = Prompter::new(super::super::definition(), Box::new(keys));
        let (start, found) = prompter.candidates(line);
        (start, found.into_iter().map(|pair| pair.replacement).collect())
    }

    fn names(line: &str) -> Vec<String> {
        offered(line).1
    }

    #[test]
    fn commands_and_those_below_them_are_offered() {
        assert!(names("").iter().any(|name| name == "status") && names("").iter().any(|name| name == "exit"));
        assert_eq!(offered("sta"), (0, vec!["status".to_owned()]));
        assert_eq!(offered("sync t"), (5, vec!["tick".to_owned()]));
        assert_eq!(names("softadastra store si"), ["size"]);
        assert_eq!(names("--quiet store si"), ["size"]);
        assert_eq!(names("--set a=b store si"), ["size"]);
        assert_eq!(names("help store si"), ["size"]);
        assert!(names("status nonsense ").is_empty());
    }

    #[test]
    fn options_and_their_values_are_offered() {
        assert_eq!(names("store put k v --if"), ["--if-version"]);
        assert!(names("status --js").contains(&"--json".to_owned()), "global ones, too");
        assert_eq!(names("status --color al"), ["always"]);
        assert_eq!(names("completions f"), ["fish"]);
    }

    #[test]
    fn keys_are_offered_where_a_key_stands() {
        assert_eq!(offered("store get ti"), (10, vec!["till/1".to_owned(), "till/2".to_owned()]));
        assert_eq!(offered("store get tw"), (10, vec!["'two words'".to_owned()]));
        assert_eq!(offered("store get 'two w"), (10, vec!["'two words'".to_owned()]));
        assert_eq!(names("store list t").len(), 3);
        assert_eq!(names("store list --after till/"), ["till/1", "till/2"]);
        assert!(names("store put till/1 t").is_empty(), "no values");
    }
}
