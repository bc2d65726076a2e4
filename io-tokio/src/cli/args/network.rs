//! Arguments of the commands about links, peers, delivery and conflicts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `softadastra node start`
#[derive(Args, Debug)]
pub(in crate::cli) struct Start {
    /// The node's name, 1 to 64 characters of [A-Za-z0-9._-]
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) node_id: Option<String>,
    /// Take links here: HOST:PORT, IPv6 in brackets, port 0 for any free one; may be given again
    #[arg(long, value_name = "ADDR")]
    pub(in crate::cli) listen: Vec<String>,
    /// Dial this peer, besides those that are remembered: HOST:PORT, for this run, or a ticket, which joins its network
    /// for good as `join` does; may be given again
    #[arg(long, value_name = "PEER")]
    pub(in crate::cli) peer: Vec<String>,
    /// Take links from other machines although anybody may come in, to read and write everything
    #[arg(long)]
    pub(in crate::cli) insecure: bool,

    /// Serve metrics, health and the console at this IP:PORT; `softadastra console` prints the link
    #[arg(long, value_name = "ADDR")]
    pub(in crate::cli) http: Option<String>,

    /// Serve them at an address that other machines reach, although nothing is encrypted
    #[arg(long)]
    pub(in crate::cli) http_expose: bool,

    /// Find the other nodes of the network: `announce` (be found as well), `listen` (send nothing) or `off`
    #[arg(long, value_name = "MODE", num_args = 0..=1, default_missing_value = "announce", require_equals = true)]
    pub(in crate::cli) discovery: Option<String>,

    /// Dial whoever is found
    #[arg(long)]
    pub(in crate::cli) auto_connect: bool,
}

/// `softadastra peers`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PeersCommand {
    /// Let this public key in, whatever the rules and even if it was forgotten; it takes over the name it gives, and the
    /// link of whoever had that name ends
    Trust {
        /// The key, as `softadastra node info` shows it on that node
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Give up a peer for good: no trust, and its links are refused until `peers trust`, `connect` or `join` of it; named
    /// as a node or a history, it no longer counts for delivery either
    Forget {
        /// Which: a node id, a public key, a replica id, or the HOST:PORT of a peer that is remembered
        #[arg(value_name = "NODE|KEY|REPLICA|ADDR")]
        name: String,
    },
}

/// `softadastra sync`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SyncCommand {
    /// Show how far everything got, and who holds what
    Status,
    /// Deliver once by hand: queue again what failed, and send what is ready
    Tick {
        /// Give up the bookkeeping of acknowledged operations as well; values stay
        #[arg(long)]
        prune: bool,
    },
    /// Queue again what failed, and dial every peer at once
    Retry,
    /// Show own operations by their state, and who holds them
    Outbox,
}

/// `softadastra conflicts`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConflictsCommand {
    /// List the conflicts on record
    List,
    /// Show both versions of one
    Show {
        /// Its number
        id: u64,
    },
    /// Settle one: the winner stands, unless something else is given
    Resolve {
        /// Its number
        id: u64,
        /// This value stands, literally; `-` reads it from stdin
        #[arg(long, value_name = "VALUE", allow_hyphen_values = true, conflicts_with_all = ["file", "delete"])]
        value: Option<OsString>,
        /// The content of this file stands; `-` is stdin
        #[arg(long, value_name = "FILE", conflicts_with = "delete")]
        file: Option<PathBuf>,
        /// The key is removed
        #[arg(long)]
        delete: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Cli;

    fn is_usage_error(args: &[&str]) -> bool {
        let parsed = Cli::try_parse_from(std::iter::once("softadastra").chain(args.iter().copied()));
        parsed.is_err_and(|error| error.exit_code() == 2)
    }

    #[test]
    fn mistakes_are_usage_errors() {
        let cases: &[&[&str]] = &[
            &["ticket", "till-1:4444"],
            &["join"],
            &["join", "a", "b"],
            &["connect"],
            &["disconnect"],
            &["peers", "trust"],
            &["peers", "forget"],
            &["peers", "shun", "a"],
            &["sync"],
            &["sync", "tick", "--purge"],
            &["conflicts"],
            &["conflicts", "show"],
            &["conflicts", "show", "first"],
            &["conflicts", "resolve", "1", "--value", "v", "--delete"],
            &["conflicts", "resolve", "1", "--value", "v", "--file", "f"],
            &["conflicts", "resolve", "1", "--file", "f", "--delete"],
            &["node", "start", "--listen"],
            &["discovery"],
            &["discovery", "start", "--mode", "off"],
            &["demo", "now"],
        ];
        for args in cases {
            assert!(is_usage_error(args), "{args:?}");
        }
    }

    #[test]
    fn lists_and_literal_values_are_taken() {
        let cases: &[&[&str]] = &[
            &["node", "start", "--listen", "0.0.0.0:1", "--listen", "[::1]:2", "--peer", "a:1", "--insecure"],
            &["ticket", "--address", "a:1", "--address", "b:1"],
            &["join", "-"],
            &["peers"],
            &["peers", "trust", "k"],
            &["node", "start", "--discovery", "--auto-connect"],
            &["node", "start", "--discovery=listen"],
            &["discovery", "start", "--mode", "listen", "--auto-connect"],
            &["sync", "tick", "--prune"],
            &["conflicts", "resolve", "1", "--value", "-5"],
        ];
        for args in cases {
            assert!(!is_usage_error(args), "{args:?}");
        }
    }
}
