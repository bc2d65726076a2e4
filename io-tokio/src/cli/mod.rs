//! The command line: one command a run, or many in a session. `docs/json.md` is the reference of what `--json` prints.
//!
//! A command goes to the node that runs on the data directory when one answers on its control socket; else it locks
//! the directory and works in this process. What it prints is the same.

mod args;
mod config;
mod console;
mod delivery;
mod demo;
mod discovery;
mod doctor;
mod export;
mod filter;
mod import;
mod input;
mod links;
mod man;
mod network;
mod node;
mod output;
mod progress;
mod render;
mod screen;
mod service;
mod session;
mod site;
mod sound;
mod store;
mod top;
mod upkeep;
mod watching;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser as _};
use softadastra_core::error::Code;
use softadastra_core::transport::ticket::Ticket;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::args::{Cli, Command, ConfigCommand, NodeCommand};
use self::filter::log_filter;
use self::output::{Done, Failure, Output};
use self::watching::Pace;
use crate::control::Fault;
use crate::control::answer::{ErrorEnvelope, Version};
use crate::descriptors;
use crate::logging::{Lines, Recent, Stderr};
use crate::settings::{Layers, Settings};

/// Runs the command line of this process and says how it ended: 0 done, 1 failed, 2 usage.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return of_clap(&args, &error, None),
    };
    let (settings, failed) = settings_of(&cli);
    let mut out = Output::new(settings.json, cli.global.quiet, settings.color);
    let ended = match (failed, cli.command) {
        (Some(fault), _) => Err(Failure::Usage(fault)),
        (None, None) => {
            return session::run(args, &settings, cli.global.quiet)
                .unwrap_or_else(|failure| code_of(Err(failure), &mut out));
        }
        (None, Some(command)) => {
            run(command, &settings, Stage::Alone { verbose: cli.global.verbose, quiet: cli.global.quiet }, &mut out)
        }
    };
    code_of(ended.and_then(|done| out.flush().map(|()| done)), &mut out)
}

/// Tells a failure, and gives the exit status. What was logged on the way is written before it returns.
fn code_of(ended: Result<Done, Failure>, out: &mut Output) -> ExitCode {
    let code = told(ended, out);
    // Who does not read by now does not hold up the end.
    let _everything = output::log_is_written();
    code
}

fn told(ended: Result<Done, Failure>, out: &mut Output) -> ExitCode {
    let (code, fault) = match ended {
        Ok(Done::Yes) | Err(Failure::ClosedPipe) => return ExitCode::SUCCESS,
        Ok(Done::No) => return ExitCode::FAILURE,
        Err(Failure::Fault(fault)) => (ExitCode::FAILURE, fault),
        Err(Failure::Usage(fault)) => (ExitCode::from(2), fault),
    };
    // What was answered before the failure comes before it.
    if matches!(out.flush(), Err(Failure::ClosedPipe)) {
        return ExitCode::SUCCESS;
    }
    out.fault(&fault);
    code
}

/// Where a command is carried out: in a process of its own, or in a session that has all it needs.
#[derive(Clone, Copy)]
enum Stage<'a> {
    Alone { verbose: u8, quiet: bool },
    Session(&'a Runtime, &'a Arc<Recent>),
}

impl Stage<'_> {
    /// What the commands of a session share.
    fn session(settings: &Settings, quiet: bool) -> Result<(Runtime, Arc<Recent>), Failure> {
        let recent = start_logging(0, settings, quiet, false)?;
        input::taken_by_a_session();
        let runtime = Self::runtime(false)?;
        {
            let _within = runtime.enter();
            survive_file_size_limit()?;
        }
        Ok((runtime, recent))
    }

    fn runtime(serves: bool) -> Result<Runtime, Failure> {
        descriptors::check(serves)?;
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if !serves {
            // One for the engine, one for the connection: the command itself runs on the main thread.
            runtime.worker_threads(2);
        }
        runtime.enable_all().build().map_err(|error| Fault::io("start the runtime", &error).into())
    }

    fn carry_out(self, command: Command, settings: &Settings, out: &mut Output) -> Result<Done, Failure> {
        let (verbose, quiet) = match self {
            Self::Alone { verbose, quiet } => (verbose, quiet),
            Self::Session(runtime, recent) => {
                return runtime.block_on(session::interruptible(command, settings, recent.clone(), out));
            }
        };
        let serves = matches!(command, Command::Node(NodeCommand::Start(_)));
        // What goes wrong in the demonstration is meant to.
        let recent = start_logging(verbose, settings, quiet || matches!(command, Command::Demo), serves)?;
        let runtime = Self::runtime(serves)?;
        let done = runtime.block_on(async {
            survive_file_size_limit()?;
            carry_out(command, settings, recent, out).await
        });
        // A thread that waits for input that nobody needs any more must not hold up the end.
        runtime.shutdown_background();
        done
    }
}

fn run(command: Command, settings: &Settings, stage: Stage<'_>, out: &mut Output) -> Result<Done, Failure> {
    match command {
        Command::Version => out.answer(&Version { version: env!("CARGO_PKG_VERSION").to_owned() })?,
        Command::Config(ConfigCommand::Show) => config::show(settings, out)?,
        Command::Config(ConfigCommand::Init { file }) => config::init(settings, file, out)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "softadastra", &mut script);
            out.bytes(&script)?;
        }
        Command::Man { dir } => out.answer(&man::write(&dir)?)?,
        command => {
            sound::for_any_command(settings)?;
            return stage.carry_out(command, settings, out);
        }
    }
    Ok(Done::Yes)
}

/// Beyond the file size limit (`ulimit -f`, `LimitFSIZE=`) a write raises SIGXFSZ, whose default is to kill. With any
/// handler the write fails with EFBIG instead, which is treated as a full disk. The handler stays when this returns.
fn survive_file_size_limit() -> Result<(), Failure> {
    let number = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(number).map(drop).map_err(|error| Fault::io("take the signal SIGXFSZ", &error).into())
}

async fn carry_out(
    command: Command,
    settings: &Settings,
    recent: Arc<Recent>,
    out: &mut Output,
) -> Result<Done, Failure> {
    match command {
        Command::Init { node_id, new_history } => node::init(settings, node_id, new_history, out).await,
        Command::Node(NodeCommand::Start(args)) => node::start(settings, args, recent, out).await,
        Command::Node(NodeCommand::Info) => site::run(settings, out, upkeep::NodeInfo).await,
        Command::Config(ConfigCommand::Check) => config::check(settings, out).await,
        Command::Doctor => doctor::run(settings, out).await,
        Command::Status { watch: false, .. } => site::run(settings, out, upkeep::Status).await,
        Command::Status { watch: true, interval, count } => {
            watching::run(settings, upkeep::Status, Pace::of(interval, count), out).await
        }
        Command::Top { interval, count } => {
            watching::run(settings, top::Top::default(), Pace::of(interval, count), out).await
        }
        Command::Console => site::run(settings, out, upkeep::Console).await,
        Command::Snapshot => site::run(settings, out, upkeep::Snapshot).await,
        Command::Backup { dir, verify: false } => site::run(settings, out, upkeep::Backup { dir }).await,
        Command::Backup { dir, verify: true } => upkeep::verify_backup(&dir, out).await,
        Command::Restore { dir, node_id } => upkeep::restore(settings, &dir, node_id, out).await,
        Command::Wal(command) => upkeep::wal(settings, &command, out).await,
        Command::Ticket { address, new_secret } => {
            site::run(settings, out, network::Ticket::of(address, new_secret)?).await
        }
        Command::Join { ticket, leave } => site::run(settings, out, network::Join::of(ticket, leave)?).await,
        Command::Connect { peer } => site::run(settings, out, network::Connect::of(peer)?).await,
        Command::Disconnect { peer } => site::run(settings, out, network::Disconnect::of(peer)?).await,
        Command::Peers { command } => site::run(settings, out, network::Peers::of(command)?).await,
        Command::Discovery(command) => site::run(settings, out, command).await,
        Command::Sync(command) => site::run(settings, out, command).await,
        Command::Conflicts(command) => site::run(settings, out, delivery::Conflicts::of(command)?).await,
        Command::Demo => demo::run(out).await,
        Command::Store(command) => site::run(settings, out, store::Action::of(command)?).await,
        Command::Version | Command::Config(_) | Command::Completions { .. } | Command::Man { .. } => {
            unreachable!("carried out without a runtime")
        }
    }
}

/// The settings of a command, and what is wrong with them if it minds; then they say only how to tell.
fn settings_of(cli: &Cli) -> (Settings, Option<Fault>) {
    match layers(cli) {
        Ok(settings) => (settings, None),
        Err(fault) => {
            let mut unset = Settings::default();
            unset.json = cli.global.json;
            // What needs no settings must not fail by them.
            let needs_none = matches!(
                cli.command,
                Some(Command::Version | Command::Completions { .. } | Command::Man { .. } | Command::Demo)
            );
            (unset, Some(fault).filter(|_| !needs_none))
        }
    }
}

/// The layers of settings, flags on top.
fn layers(cli: &Cli) -> Result<Settings, Fault> {
    let global = &cli.global;
    let mut layers = Layers::from_process();
    layers.config.clone_from(&global.config);
    for item in &global.set {
        let (key, value) = item.split_once('=').ok_or_else(|| {
            Fault::new(Code::InvalidArgument, format!("--set {item:?} is not KEY=VALUE"), "correct it")
        })?;
        layers.flags.push(("--set", key.to_owned(), value.into()));
    }
    if let Some(dir) = &global.data_dir {
        layers.flags.push(("--data-dir", "data_dir".to_owned(), dir.into()));
    }
    if let Some(when) = global.color {
        layers.flags.push(("--color", "color".to_owned(), when.name().into()));
    }
    if let Some(seconds) = global.timeout {
        layers.flags.push(("--timeout", "timeout".to_owned(), format!("{seconds}s").into()));
    }
    if let Some(level) = &global.log_level {
        layers.flags.push(("--log-level", "log".to_owned(), level.into()));
    }
    if let Some(format) = &global.log_format {
        layers.flags.push(("--log-format", "log_format".to_owned(), format.into()));
    }
    if global.json {
        layers.flags.push(("--json", "json".to_owned(), "true".into()));
    }
    if let Some(Command::Node(NodeCommand::Start(start))) = &cli.command {
        layers.flags.extend(start.listen.iter().map(|text| ("--listen", "listen".to_owned(), text.into())));
        layers.flags.extend(start.peer.iter().map(|text| ("--peer", "peers".to_owned(), text.into())));
        if start.insecure {
            layers.flags.push(("--insecure", "insecure".to_owned(), "true".into()));
        }
        if let Some(address) = &start.http {
            layers.flags.push(("--http", "http".to_owned(), address.into()));
        }
        if start.http_expose {
            layers.flags.push(("--http-expose", "http_expose".to_owned(), "true".into()));
        }
        if let Some(mode) = &start.discovery {
            layers.flags.push(("--discovery", "discovery".to_owned(), mode.into()));
        }
        if start.auto_connect {
            layers.flags.push(("--auto-connect", "auto_connect".to_owned(), "true".into()));
        }
    }
    let mut settings = layers.resolve()?;
    // Said in full wherever it is said: who reads it may be in another directory.
    settings.data_dir = std::path::absolute(&settings.data_dir)
        .map_err(|error| Fault::io(format_args!("find {}", settings.data_dir.display()), &error))?;
    Ok(settings)
}

fn start_logging(verbose: u8, settings: &Settings, quiet: bool, serves: bool) -> Result<Arc<Recent>, Failure> {
    let default = match (quiet, verbose, serves) {
        (true, 0, _) => "error",
        (_, 0, true) => "info",
        (_, 0, false) => "warn",
        (_, 1, _) => "warn,softadastra=debug",
        _ => "trace",
    };
    let filter = log_filter(settings, default)?;
    let stderr = Stderr::new(settings.log_format, Output::paints_stderr(settings.color))
        .map_err(|error| Fault::io("start the thread that writes log lines", &error))?;
    let recent = Arc::new(Recent::default());
    // Only a node that runs is ever asked for its latest lines.
    let kept = serves.then(|| Lines::new(recent.clone()).with_filter(LevelFilter::INFO));
    let log = tracing_subscriber::registry().with(Lines::new(stderr).with_filter(filter)).with(kept);
    let started = log.try_init();
    started.map_err(|error| Fault::new(Code::InvalidState, format!("logging cannot start: {error}"), ""))?;
    Ok(recent)
}

/// Help and versions go to stdout and are done; everything else is a mistake in the arguments, which of a file of commands
/// stand in this line.
fn of_clap(args: &[OsString], error: &clap::Error, line: Option<u64>) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe is a quiet exit here too.
        drop(error.print());
        return ExitCode::SUCCESS;
    }
    let wants_json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let rendered = error.render().to_string();
    let hidden = Ticket::hide_in(&rendered);
    let shown = output::shortened(&hidden);
    let at = line.map_or_else(String::new, |number| format!("line {number}: "));
    let text = shown.trim_start_matches("error: ");
    if wants_json {
        let message = text.split("\n\nFor more information").next().unwrap_or_default().trim();
        let fault = Fault::new(Code::InvalidArgument, format!("{at}{message}"), "see `softadastra help`");
        let document = serde_json::to_string(&ErrorEnvelope::new(fault)).expect("a fault is text");
        // When stderr is closed there is nobody left to tell.
        drop(writeln!(io::stderr(), "{}", output::inert(document)));
    } else if line.is_some() || shown != rendered {
        drop(write!(io::stderr(), "error: {at}{text}"));
    } else {
        drop(error.print());
    }
    ExitCode::from(2)
}
