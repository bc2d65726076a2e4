//! One set of commands, two ways to carry them out: in this process, on a data directory that it has locked, or by the
//! node that runs on the directory, over its control socket.
//!
//! [`Backend`] is what both offer; [`Local`] works on an open client, [`Remote`] asks a [`server`], and a server answers
//! from a [`Local`]. The answers ([`answer`]) are the same types either way, so a command cannot tell, and prints the
//! same.

pub mod answer;
pub mod backend;
mod body;
mod connections;
pub mod fault;
pub mod local;
mod query;
pub mod remote;
pub mod server;
pub(crate) mod serving;
mod socket;

pub use backend::Backend;
pub use fault::Fault;
pub use local::Local;
pub use remote::Remote;

/// The name of the control socket inside a data directory.
pub const SOCKET_NAME: &str = "control.sock";
