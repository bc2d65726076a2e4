//! The command line, defined once: parsing, help and completions come from here.

mod discovery;
mod network;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use self::discovery::DiscoveryCommand;
pub(super) use self::network::{ConflictsCommand, PeersCommand, Start, SyncCommand};

/// A local-first key-value node: writes are durable here at once.
#[derive(Debug, Parser)]
#[command(
    name = "softadastra",
    bin_name = "softadastra",
    version,
    max_term_width = 100,
    after_help = "Without a command: a session, which takes commands on a terminal or line by line from stdin.\n\n\
                  Settings come from flags, then the environment (SOFTADASTRA_DATA_DIR, …), then the configuration file,\n\
                  then the defaults. Exit status: 0 done, 1 failed, 2 usage."
)]
pub(super) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(super) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Where the node keeps its data [default: ~/.local/share/softadastra]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The configuration file [default: softadastra.toml in the data directory, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Set any setting for this run, such as durability=100ms
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Print JSON, with a named and versioned schema
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// How long to wait for each answer of a running node; 0: as long as it takes [default: 60]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,
    /// Say nothing but answers and errors
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// What is logged: error, warn, info, debug, trace, or a filter such as softadastra=debug
    /// [default: info for a node that runs, warn else]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,

    /// How log lines are written: for people or for programs [default: human]
    #[arg(long, global = true, value_name = "human|json")]
    pub(super) log_format: Option<String>,

    /// When to colour [default: auto]
    #[arg(long, global = true, value_name = "WHEN")]
    pub(super) color: Option<When>,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl When {
    /// The name, as in a configuration file.
    #[must_use]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a data directory
    Init {
        /// The node's name, 1 to 64 characters of [A-Za-z0-9._-]
        #[arg(long, value_name = "ID")]
        node_id: Option<String>,
        /// Begin a new history where the log of a node was lost; the node keeps its key and its peers
        #[arg(long)]
        new_history: bool,
    },
    /// Show how the node does
    Status {
        /// Show it again and again, as long as the node runs; Ctrl-C ends
        #[arg(long)]
        watch: bool,
        /// How long to wait between two looks
        #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600), requires = "watch")]
        interval: u64,
        /// End after this many looks
        #[arg(long, value_name = "N", requires = "watch")]
        count: Option<u64>,
    },
    /// Watch the node at work: writes a second, peers and their lag, outbox, conflicts, disk; Ctrl-C ends
    Top {
        /// How long to wait between two looks
        #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
        interval: u64,
        /// End after this many looks
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Look for what is wrong with the node and its machine, and say what to do; exit 1 when a check fails
    Doctor,
    /// Run a node, or show who it is
    #[command(subcommand)]
    Node(NodeCommand),
    /// Read and write values
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print a ticket with which other nodes join this one; the first founds a network. Keep it like a key
    Ticket {
        /// Where this node is dialled, HOST:PORT; may be given again [default: where it listens]
        #[arg(long, value_name = "ADDR")]
        address: Vec<String>,
        /// Replace the secret of the network first: all links end, and who is to stay joins again by the new ticket
        #[arg(long)]
        new_secret: bool,
    },
    /// Join the network of a ticket, and dial the node that gave it, now and at every start
    Join {
        /// The ticket; `-` reads it from stdin, so that it stands in no history of a shell
        #[arg(value_name = "TICKET")]
        ticket: String,
        /// Leave the network this node is in, if it is another one
        #[arg(long)]
        leave: bool,
    },
    /// Dial a peer, now and at every start
    Connect {
        /// Which: HOST:PORT, a ticket, or the node id or public key of a peer that is known
        #[arg(value_name = "PEER")]
        peer: String,
    },
    /// End the link to a peer, and refuse its links until `connect`
    Disconnect {
        /// Which: its node id, public key, address or ticket
        #[arg(value_name = "PEER")]
        peer: String,
    },
    /// Show the peers, or say whom to trust and whom to forget
    ///
    /// STATE: connected (since when); connecting; available (to be dialled at once); waiting (the last dial failed, the
    /// next one follows); stale, expired (not heard for two minutes, for an hour; dialled on); faulted (somebody has to
    /// see to it, LAST ERROR says to what); away, dials us (it is not dialled from here); disconnected (by hand);
    /// remembered, configured (no node runs here).
    #[command(args_conflicts_with_subcommands = true)]
    Peers {
        /// What to do about them; nothing: show them
        #[command(subcommand)]
        command: Option<PeersCommand>,
    },
    /// Find the other nodes of the network, and see who was found
    #[command(subcommand)]
    Discovery(DiscoveryCommand),
    /// See to delivery
    #[command(subcommand)]
    Sync(SyncCommand),
    /// See and settle writes to one key that had not seen each other
    #[command(subcommand)]
    Conflicts(ConflictsCommand),
    /// Watch three nodes on this machine part, crash, disagree and come together; leaves nothing behind
    Demo,
    /// Print the link that opens the console of the running node in a browser; it holds a secret
    Console,

    /// Look at the write-ahead log, check it, repair it
    #[command(subcommand)]
    Wal(WalCommand),
    /// Write a snapshot now and remove the log segments it makes needless
    Snapshot,
    /// Copy the node's data into a directory, while it runs; again into the same one: only what is new
    Backup {
        /// Where to
        dir: PathBuf,
        /// Copy nothing; read the backup in DIR and check every byte
        #[arg(long)]
        verify: bool,
    },
    /// Build the data directory, which must be absent or empty, from a backup; the node starts a new history
    Restore {
        /// Where the backup is
        dir: PathBuf,
        /// The node's name [default: the name in the backup]
        #[arg(long, value_name = "ID")]
        node_id: Option<String>,
    },
    /// Show, check or write the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    Man {
        /// Where to, such as /usr/local/share/man/man1
        dir: PathBuf,
    },
    /// Print the version
    Version,
}

/// `softadastra node`
#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Show who the node is
    Info,
    /// Run the node in the foreground until SIGINT, SIGTERM or SIGHUP; creates the data directory when it is missing
    Start(Start),
}

/// A key, as text or as base64.
#[derive(Args, Debug)]
pub(super) struct Key {
    /// The key
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    pub(super) key: String,
    /// KEY is base64, for keys that are not text
    #[arg(long)]
    pub(super) key_base64: bool,
}

/// The keys that begin with something.
#[derive(Args, Debug)]
pub(super) struct Prefix {
    /// Only keys that begin with this
    #[arg(value_name = "PREFIX", allow_negative_numbers = true)]
    pub(super) positional: Option<String>,
    /// Only keys that begin with this
    #[arg(long = "prefix", value_name = "PREFIX", conflicts_with = "positional", allow_hyphen_values = true)]
    pub(super) option: Option<String>,
}

impl Prefix {
    /// The text, however it was given.
    #[must_use]
    pub(super) fn text(&self) -> &str {
        self.option.as_deref().or(self.positional.as_deref()).unwrap_or("")
    }
}

/// `softadastra store`
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Set a value
    Put {
        /// Which key
        #[command(flatten)]
        key: Key,
        /// The value, literally; `-` reads it from stdin. One that looks like an option of this program goes after `--`
        #[arg(allow_hyphen_values = true, required_unless_present = "file")]
        value: Option<OsString>,
        /// Read the value from this file; `-` is stdin
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        file: Option<PathBuf>,
        /// Only if the key is at this version; 0 means that it must be absent
        #[arg(long, value_name = "VERSION")]
        if_version: Option<u64>,
    },
    /// Print a value
    Get {
        /// Which key
        #[command(flatten)]
        key: Key,
        /// Write the value's bytes and nothing else
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    /// Remove a value
    Remove {
        /// Which key
        #[command(flatten)]
        key: Key,
    },
    /// Print true (exit 0) when the key has a value, else false (exit 1)
    Contains {
        /// Which key
        #[command(flatten)]
        key: Key,
    },
    /// List keys and values, in the order of keys
    List {
        /// Which keys
        #[command(flatten)]
        prefix: Prefix,
        /// Only keys after this one
        #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
        after: Option<String>,
        /// At most this many
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
        /// Only the keys, one per line
        #[arg(long, conflicts_with = "json")]
        keys: bool,
    },
    /// Print the number of keys
    Size,
    /// Read records, one JSON object per line: {"key":"…","value":"…"}
    Import {
        /// The file; `-` is stdin [default: stdin, unless it is a terminal]
        file: Option<PathBuf>,
    },
    /// Write records, one JSON object per line, in the order of keys
    Export {
        /// The file, replaced when the export is complete; `-` is stdout [default: stdout]
        file: Option<PathBuf>,
        /// Only keys that begin with this
        #[arg(long, value_name = "PREFIX", allow_hyphen_values = true, default_value = "")]
        prefix: String,
    },
    /// Print changes as they happen
    Watch {
        /// Which keys
        #[command(flatten)]
        prefix: Prefix,
        /// Begin after this position of the log; 0 shows all there is first [default: now]
        #[arg(long, value_name = "LSN")]
        from: Option<u64>,
        /// End after this many changes
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
}

/// `softadastra config`
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every setting as it holds, and where it comes from; secrets are left out
    Show,
    /// Check file, environment and flags, by themselves and together; a mistake is exit 2
    Check,
    /// Write a file with every setting in it, commented out
    Init {
        /// Where to; `-` is stdout [default: softadastra.toml in the data directory]
        file: Option<PathBuf>,
    },
}

/// `softadastra wal`
#[derive(Debug, Subcommand)]
pub(super) enum WalCommand {
    /// Show what the log consists of
    Inspect,
    /// Read all of the log and check it; damage is exit 1
    Verify,
    /// Salvage a damaged log into a new one and keep the damaged one aside
    Repair,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("softadastra").chain(args.iter().copied()))
    }

    fn put(args: &[&str]) -> (String, Option<OsString>) {
        match parse(&[&["store", "put"], args].concat()).expect("parses").command {
            Some(Command::Store(StoreCommand::Put { key, value, .. })) => (key.key, value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_are_literal() {
        for value in ["-5", "-x", "--unheard-of", "{\"a\":1}", "a  b", "", " ", "-", "--a=b", "ä"] {
            assert_eq!(put(&["k", value]), ("k".to_owned(), Some(value.into())), "{value:?}");
        }
        assert_eq!(put(&["k", "--", "-v"]), ("k".to_owned(), Some("-v".into())));
        assert_eq!(put(&["-7", "-8"]), ("-7".to_owned(), Some("-8".into())));
        assert_eq!(put(&["k", "-5", "--json"]), ("k".to_owned(), Some("-5".into())));
    }

    #[test]
    fn mistakes_are_usage_errors() {
        let cases: &[&[&str]] = &[
            &["store", "put", "k"],
            &["store", "put", "k", "v", "w"],
            &["store", "put", "k", "v", "--file", "f"],
            &["store", "get"],
            &["store", "get", "k", "--raw", "--json"],
            &["store", "list", "--limit", "x"],
            &["store"],
            &["sotre", "get", "k"],
            &["-v", "-q", "status"],
            &["--color", "red", "status"],
            &["completions", "tcl"],
        ];
        for args in cases {
            let error = parse(args).expect_err(&args.join(" "));
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
    }

    #[test]
    fn global_options_stand_anywhere() {
        let cli = parse(&["store", "get", "k", "--data-dir", "/d", "--json"]).unwrap();
        assert_eq!(cli.global.data_dir.unwrap(), PathBuf::from("/d"));
        assert!(cli.global.json);
        assert!(parse(&[]).unwrap().command.is_none());
    }
}
