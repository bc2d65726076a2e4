//! Where metrics and the console are served: told by whoever serves them, shown to whoever asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use softadastra_core::error::Code;

use crate::control::answer;
use crate::control::fault::Fault;

/// Whether metrics and the console are served, as it stands.
#[derive(Clone, Debug, Default)]
pub struct HttpStanding(Arc<Mutex<Standing>>);

#[derive(Clone, Debug, Default)]
enum Standing {
    #[default]
    Off,
    Served {
        address: SocketAddr,
        link: String,
    },
    Failed {
        address: SocketAddr,
        error: String,
    },
}

impl HttpStanding {
    /// They are served here; this link opens the console.
    pub fn served(&self, address: SocketAddr, link: String) {
        self.set(Standing::Served { address, link });
    }

    /// They should be served here, and are not, for this reason.
    pub fn failed(&self, address: SocketAddr, error: String) {
        self.set(Standing::Failed { address, error });
    }

    fn set(&self, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    fn get(&self) -> Standing {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn in_short(&self) -> answer::Http {
        let told = |state: &str, address: Option<SocketAddr>, error| answer::Http {
            state: state.to_owned(),
            address: address.map(|address| address.to_string()),
            error,
        };
        match self.get() {
            Standing::Off => told("off", None, None),
            Standing::Served { address, .. } => told("served", Some(address), None),
            Standing::Failed { address, error } => told("failed", Some(address), Some(error)),
        }
    }

    pub(super) fn link(&self) -> Result<String, Fault> {
        let (what, next) = match self.get() {
            Standing::Served { link, .. } => return Ok(link),
            Standing::Failed { address, error } => (
                format!("no console is served: cannot serve it at {address}: {error}"),
                "see to it, or choose another port; it is tried again by itself",
            ),
            Standing::Off => {
                ("no console is served".to_owned(), "start the node with `--http 127.0.0.1:9464`, or set `http`")
            }
        };
        Err(Fault::new(Code::InvalidState, what, next))
    }
}
