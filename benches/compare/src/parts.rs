//! Parts of scenes that are played by a process of their own, because its memory, its processor time and its files are
//! what is measured. The program starts itself again; the two speak in lines.

use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;

use crate::ending::Process;
use crate::engine::Fault;
use crate::hearing::Lines;
use crate::scenes;

/// What a process of this program can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Holds a million keys in a node, and says what memory each takes.
    KeysInNode,
    /// Holds a million keys in an ordered map, and says what memory each takes.
    KeysInMap,
    /// Writes to a few keys what nobody takes, and says what memory each write takes.
    Pending,
    /// Passes on between others.
    Relay,
    /// Holds a million keys and has nothing to do.
    IdleNode,
    /// Are linked to it and have nothing to do.
    IdlePeers,
}

impl Part {
    /// Plays it, in this process, to its end.
    ///
    /// # Errors
    /// Those of what it does.
    pub(crate) fn play(self, dir: &Path) -> Result<(), Fault> {
        match self {
            Self::KeysInNode => scenes::memory::keys_in_node(dir),
            Self::KeysInMap => scenes::memory::keys_in_map(),
            Self::Pending => scenes::memory::pending(),
            Self::Relay => scenes::fleet::relay(dir),
            Self::IdleNode => scenes::idle::node(dir),
            Self::IdlePeers => scenes::idle::peers(),
        }
    }
}

/// How long a part may say nothing. The longest is that of the idle peers: each takes a million keys.
const PATIENCE: Duration = Duration::from_secs(600);

/// A process that plays a part. It ends when this is dropped.
pub(crate) struct Player {
    process: Process,
    orders: ChildStdin,
    lines: Lines,
    who: String,
    patience: Duration,
}

impl Player {
    /// Starts it on a directory.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(part: Part, dir: &Path) -> Result<Self, Fault> {
        let name = part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let mut command = Command::new(std::env::current_exe()?);
        Self::of(command.args(["--part", &name, "--dir"]).arg(dir), name, PATIENCE)
    }

    fn of(command: &mut Command, name: String, patience: Duration) -> Result<Self, Fault> {
        let mut process = Process::heard(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let orders = process.pipes().stdin.take().ok_or("a process without stdin")?;
        let lines = Lines::of(process.pipes().stdout.take().ok_or("a process without stdout")?);
        Ok(Self { process, orders, lines, who: format!("the process that plays {name}"), patience })
    }

    /// The next line it says.
    ///
    /// # Errors
    /// When it has ended, and when it says nothing for [`PATIENCE`].
    pub(crate) fn hear(&mut self) -> Result<String, Fault> {
        match self.lines.next(&self.who, self.patience)? {
            Some(line) => Ok(line.text),
            None => Err(self.process.early_end(&self.who)),
        }
    }

    /// The next line it says, as a number.
    ///
    /// # Errors
    /// When it has ended, or says something else.
    pub(crate) fn number(&mut self) -> Result<f64, Fault> {
        Ok(self.hear()?.parse()?)
    }

    /// Tells it something.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), Fault> {
        writeln!(self.orders, "{line}")?;
        Ok(self.orders.flush()?)
    }

    /// Its process.
    #[must_use]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Says something to the process that has started this one.
pub(crate) fn say(what: impl std::fmt::Display) {
    println!("{what}");
}

/// What the process that has started this one says next; `None` when it has ended.
pub(crate) fn listen() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

/// Resident memory of a process, in bytes; without pages of files, such as that of its program.
///
/// # Errors
/// Where the system does not say.
pub(crate) fn resident(process: u32) -> Result<f64, Fault> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let mut pages = text.split(' ').skip(1).map(str::parse::<f64>);
    let mut next = || pages.next().ok_or("no resident memory in statm");
    let (resident, of_files) = (next()??, next()??);
    Ok((resident - of_files) * rustix::param::page_size() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_falls_silent_or_ends_is_named() {
        let heard = |script: &str, patience| {
            let mut command = Command::new("sh");
            let player =
                Player::of(command.args(["-c", script]), "nothing".to_owned(), Duration::from_millis(patience));
            player.unwrap().hear().map_err(|error| error.to_string())
        };
        assert_eq!(heard("echo 5; exec sleep 60", 60_000), Ok("5".to_owned()));
        let who = "the process that plays nothing";
        assert_eq!(heard("exec sleep 60", 200), Err(format!("{who} has said nothing for 0.2 s")));
        let why = format!("{who} was ended by SIGKILL; it said last: why");
        assert_eq!(heard("echo why >&2; kill -KILL $$", 60_000), Err(why));
    }
}
