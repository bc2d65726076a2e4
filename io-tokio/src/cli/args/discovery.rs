//! Arguments of the commands about discovery.

use clap::{Subcommand, ValueEnum};

use crate::discovery::DiscoveryMode;

/// `softadastra discovery`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DiscoveryCommand {
    /// Show whether nodes are looked for, by which interfaces, and what keeps them from being found
    Status,
    /// List the nodes that were found, with where to dial them; `connect` takes the address
    List,
    /// Look for nodes from now on until the node stops, as it is configured
    Start {
        /// `listen` hears others and sends nothing; `announce` is found as well [default: as configured]
        #[arg(long, value_name = "MODE")]
        mode: Option<Mode>,
        /// Dial whoever is found
        #[arg(long)]
        auto_connect: bool,
    },
    /// Say goodbye and look for nobody any more; links go on
    Stop,
}

/// Whether a node is seen by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Mode {
    Listen,
    Announce,
}

impl From<Mode> for DiscoveryMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Listen => Self::Listen,
            Mode::Announce => Self::Announce,
        }
    }
}
