//! `softadastra` without a command: a session. On a terminal lines are edited, completed and remembered; from anywhere else
//! commands are read line by line.
//!
//! The commands are those of the command line, by the same definitions; each is carried out as if it had been given
//! there, with the options of the session before its own. Nothing is held open between two of them, so that a node can
//! be started and stopped meanwhile.

mod complete;
mod history;
mod keys;
mod terminal;
mod words;

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal as _};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use clap::{Command as Definition, CommandFactory as _, FromArgMatches as _};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use softadastra_core::error::Code;
use tokio::runtime::Runtime;

use self::complete::Prompter;
use super::args::{Cli, Command, NodeCommand, StoreCommand};
use super::output::{Done, Failure, Output};
use super::{Stage, carry_out, code_of, of_clap, settings_of};
use crate::control::{Fault, Remote};
use crate::logging::Recent;
use crate::settings::Settings;

/// What ends a session, besides the end of its input.
const LEAVE: &str = "exit";

/// What is shown before each line.
const PROMPT: &str = "softadastra> ";

/// The commands of a session: all others, and the one that ends it.
fn definition() -> Definition {
    let leave = Definition::new(LEAVE).visible_alias("quit").about("Leave the session; so does Ctrl-D");
    // What a command says stands above what the session was started with.
    Cli::command().args_override_self(true).subcommand(leave)
}

/// Runs a session to its end. `args` are those of the process: options only.
pub(super) fn run(args: Vec<OsString>, settings: &Settings, quiet: bool) -> Result<ExitCode, Failure> {
    let (runtime, recent) = Stage::session(settings, quiet)?;
    let session = Session { args, definition: definition(), runtime: Rc::new(runtime), recent };
    let on_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let code =
        if on_terminal { session.converse(settings, quiet)? } else { session.read(io::stdin().lock(), settings)? };
    if let Ok(runtime) = Rc::try_unwrap(session.runtime) {
        runtime.shutdown_background();
    }
    Ok(code)
}

struct Session {
    args: Vec<OsString>,
    definition: Definition,
    runtime: Rc<Runtime>,
    recent: Arc<Recent>,
}

/// What became of a line.
enum Ended {
    /// Its command ended so.
    Command(ExitCode),
    /// It ends the session.
    Session,
}

impl Session {
    /// Reads commands from anything that is no terminal. Goes on after one that fails; the exit status is that of the
    /// first that did.
    fn read(&self, mut input: impl BufRead, settings: &Settings) -> Result<ExitCode, Failure> {
        let mut first_failure = ExitCode::SUCCESS;
        let (mut text, mut bytes, mut number, mut begun_at) = (String::new(), Vec::new(), 0_u64, 0);
        loop {
            let before = text.len();
            bytes.clear();
            let is_over = input.read_until(b'\n', &mut bytes).map_err(|error| Fault::io("read stdin", &error))? == 0;
            let is_text = str::from_utf8(&bytes).map(|read| text.push_str(read)).is_ok();
            if before == 0 {
                begun_at = number + 1;
            }
            number += 1;
            if !is_text {
                let what = format!("line {number}: it is not text in UTF-8");
                let fault =
                    Fault::new(Code::InvalidArgument, what, "correct it; values of any bytes are put from a file");
                let code = code_of(Err(Failure::Usage(fault)), &mut Output::new(settings.json, false, settings.color));
                first_failure = if first_failure == ExitCode::SUCCESS { code } else { first_failure };
                text.clear();
                continue;
            }
            let line = words::split(&text);
            if is_over && line.goes_on && !text.trim().is_empty() {
                let what = format!("line {begun_at}: a quote is still open, or a backslash stands at the end");
                return Err(Failure::Usage(Fault::new(Code::InvalidArgument, what, "close it")));
            }
            if !line.goes_on {
                let words = line.words.into_iter().map(|word| word.text).collect();
                match self.carry_out(words, Some(begun_at))? {
                    Ended::Session => return Ok(first_failure),
                    Ended::Command(code) if first_failure == ExitCode::SUCCESS => first_failure = code,
                    Ended::Command(_) => {}
                }
                text.clear();
            }
            if is_over {
                return Ok(first_failure);
            }
        }
    }

    /// Edits lines on a terminal until somebody leaves. Failures were told on the spot, so the end is a good one.
    fn converse(&self, settings: &Settings, quiet: bool) -> Result<ExitCode, Failure> {
        let _restored = terminal::Guard::keep(&self.runtime);
        let config = Config::builder().completion_type(CompletionType::List).bracketed_paste(true).build();
        let mut editor = Editor::<Prompter, FileHistory>::with_config(config).map_err(|error| unreadable(&error))?;
        let (runtime, dir) = (self.runtime.clone(), settings.data_dir.clone());
        let keys = Box::new(move |begun: &str| runtime.block_on(keys::beginning_with(&dir, begun)));
        editor.set_helper(Some(Prompter::new(self.definition.clone(), keys)));
        let file = history::file();
        if let Some(file) = &file {
            history::load(&mut editor, file);
        }
        if !quiet && !settings.json {
            self.greet(settings)?;
        }
        loop {
            let line = match editor.readline(PROMPT) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(unreadable(&error).into()),
            };
            history::remember(&mut editor, &line);
            let words = words::split(&line).words.into_iter().map(|word| word.text).collect();
            if matches!(self.carry_out(words, None)?, Ended::Session) {
                break;
            }
        }
        if let Some(file) = &file {
            history::save(&mut editor, file);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says what the session works on.
    fn greet(&self, settings: &Settings) -> Result<(), Failure> {
        let dir = settings.data_dir.display();
        let there = match self.runtime.block_on(Remote::connect(&settings.data_dir)) {
            Ok(Some(_)) => "a node runs there",
            Ok(None) if settings.data_dir.exists() => "no node runs there: commands work on the directory themselves",
            Ok(None) => "it does not exist yet: `init` creates it",
            Err(_) => "the node there does not answer",
        };
        let mut out = Output::new(false, false, settings.color);
        out.text(&format!("softadastra {} on {dir}; {there}.\n", env!("CARGO_PKG_VERSION")))?;
        out.text("`help` lists the commands, Tab completes, Ctrl-D leaves.\n")?;
        out.flush()
    }

    /// Carries out the command that these words are. Its failure is told, and the session goes on; only output that
    /// nobody takes ends it.
    fn carry_out(&self, mut words: Vec<String>, line: Option<u64>) -> Result<Ended, Failure> {
        // As it stands in every document.
        if words.first().is_some_and(|word| word == "softadastra") {
            words.remove(0);
        }
        if words.is_empty() {
            return Ok(Ended::Command(ExitCode::SUCCESS));
        }
        let args: Vec<OsString> = self.args.iter().cloned().chain(words.into_iter().map(OsString::from)).collect();
        let matches = match self.definition.clone().try_get_matches_from(&args) {
            Ok(matches) => matches,
            Err(error) => return Ok(Ended::Command(of_clap(&args, &error, line))),
        };
        if matches.subcommand_name() == Some(LEAVE) {
            return Ok(Ended::Session);
        }
        let cli = match Cli::from_arg_matches(&matches) {
            Ok(cli) => cli,
            Err(error) => return Ok(Ended::Command(of_clap(&args, &error, line))),
        };
        let (settings, failed) = settings_of(&cli);
        let mut out = Output::new(settings.json, cli.global.quiet, settings.color);
        let ended = match (failed, cli.command) {
            (Some(fault), _) => Err(Failure::Usage(fault)),
            (None, None) => {
                Err(Failure::Usage(Fault::new(Code::InvalidArgument, "there is no command", "`help` lists them")))
            }
            (None, Some(command)) => {
                super::run(command, &settings, Stage::Session(&self.runtime, &self.recent), &mut out)
            }
        };
        let ended = ended.and_then(|done| out.flush().map(|()| done));
        match ended {
            Err(Failure::ClosedPipe) => Err(Failure::ClosedPipe),
            ended => Ok(Ended::Command(code_of(ended.map_err(|failure| at_line(failure, line)), &mut out))),
        }
    }
}

/// Names the line of a file of commands.
fn at_line(failure: Failure, line: Option<u64>) -> Failure {
    let name = |fault: Fault| match line {
        Some(number) => Fault { message: format!("line {number}: {}", fault.message), ..fault },
        None => fault,
    };
    match failure {
        Failure::Fault(fault) => Failure::Fault(name(fault)),
        Failure::Usage(fault) => Failure::Usage(name(fault)),
        Failure::ClosedPipe => Failure::ClosedPipe,
    }
}

fn unreadable(error: &ReadlineError) -> Fault {
    Fault::new(Code::IoError, format!("cannot read the terminal: {error}"), "")
}

/// Carries a command out until it ends or is interrupted; those that end in order by themselves are left to do so.
pub(super) async fn interruptible(
    command: Command,
    settings: &Settings,
    recent: Arc<Recent>,
    out: &mut Output,
) -> Result<Done, Failure> {
    let ends_itself = matches!(
        command,
        Command::Demo
            | Command::Top { .. }
            | Command::Status { watch: true, .. }
            | Command::Node(NodeCommand::Start(_))
            | Command::Store(StoreCommand::Import { .. } | StoreCommand::Export { .. })
    );
    if ends_itself {
        return carry_out(command, settings, recent, out).await;
    }
    let is_watch = matches!(command, Command::Store(StoreCommand::Watch { .. }));
    tokio::select! {
        done = carry_out(command, settings, recent, out) => done,
        listening = tokio::signal::ctrl_c() => {
            listening.map_err(|error| Fault::io("listen for an interrupt", &error))?;
            if is_watch {
                // It has no other end.
                return Ok(Done::Yes);
            }
            Err(Fault::new(Code::InvalidState, "interrupted; what was already answered is done", "").into())
        }
    }
}
