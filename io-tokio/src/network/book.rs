//! What is kept, changed only together with the file.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use softadastra_core::dice::{Secrets, Seed};
use softadastra_core::error::Error;
use softadastra_core::ids::NodeId;
use softadastra_core::transport::identity::{Identity, NetworkSecret, NodeKey};
use softadastra_core::transport::trust::TrustMode;

use super::content::Content;
use super::file;
use super::spec::PeerSpec;
use crate::data_dir;
use crate::held_dir::HeldDir;
use crate::{events, off_thread};

/// Who a node is on the network, and whom it knows there: the file `network.json` of a data directory. Clones share it.
///
/// A file that cannot be used does not keep the node from working locally: every call about the network gives the
/// reason instead, until the file is mended and the node reopened.
#[derive(Clone)]
pub struct Book {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` keeps everything in memory.
    dir: Option<Arc<HeldDir>>,
    /// What the file holds, or why it cannot be used.
    content: Mutex<Result<Content, Error>>,
    /// It was said that it cannot be used.
    told: AtomicBool,
    /// Seen first under way; written with the next change.
    pins: Mutex<Vec<(NodeId, NodeKey)>>,
    /// One change at a time, from reading to writing.
    changing: Mutex<()>,
    secrets: Mutex<Secrets>,
}

/// What the file of a data directory says, without opening it for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The public key of the node.
    pub(crate) key: NodeKey,
    /// It holds the secret of a network.
    pub(crate) in_network: bool,
    /// Whom it lets in, as far as the settings do not say.
    pub(crate) mode: TrustMode,
    /// How many peers are dialled at every start.
    pub(crate) peers: usize,
    /// The first of the peers asked for of which it does not say where they are.
    pub(crate) unknown: Option<Error>,
}

/// Reads the file of a data directory, and looks for these peers in it; `None` when there is none. Changes nothing, and blocks.
///
/// # Errors
/// Why it cannot be used, as [`Book::key`] says.
pub(crate) fn look(dir: &Path, named: &[PeerSpec]) -> Result<Option<Known>, Error> {
    let dir = match HeldDir::open(dir) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(data_dir::failed("opening", dir, &error)),
    };
    Ok(file::read(&dir)?.map(|content| Known {
        key: content.identity.key(),
        in_network: content.secret.is_some(),
        mode: content.mode(),
        peers: content.peers.len(),
        unknown: named.iter().find_map(|peer| content.named(peer).err()),
    }))
}

impl Book {
    /// A book of a new identity, which no file keeps. The same seed gives the same identity.
    #[must_use]
    pub fn in_memory(seed: &Seed) -> Self {
        Self::holding(None, Ok(Content::of(Identity::generate(&mut seed.secrets("identity")))), seed)
    }

    /// The book of a data directory; a missing file is made, with a new identity. Blocks; call it off the async threads,
    /// with the directory locked.
    pub(crate) fn open(dir: Arc<HeldDir>, seed: &Seed) -> Self {
        let content = file::read(&dir).and_then(|found| match found {
            Some(content) => Ok(content),
            None => {
                let content = Content::of(Identity::generate(&mut seed.secrets("identity")));
                file::write(&dir, &content)?;
                events::tell!(info, events::kinds::IDENTITY_CREATED, key = %content.identity.key(), "the node has a key now");
                Ok(content)
            }
        });
        Self::holding(Some(dir), content, seed)
    }

    fn holding(dir: Option<Arc<HeldDir>>, content: Result<Content, Error>, seed: &Seed) -> Self {
        let inner = Inner {
            dir,
            content: Mutex::new(content),
            told: AtomicBool::new(false),
            pins: Mutex::default(),
            changing: Mutex::default(),
            secrets: Mutex::new(seed.secrets("network")),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The public key of the node.
    ///
    /// # Errors
    /// Why the book cannot be used: [`Code::TransportError`](softadastra_core::error::Code::TransportError) for a file
    /// that others can read or that is damaged, [`Code::FormatTooNew`](softadastra_core::error::Code::FormatTooNew), and
    /// those of reading it.
    pub fn key(&self) -> Result<NodeKey, Error> {
        self.read(|content| content.identity.key())
    }

    /// A secret for a new network.
    pub(crate) fn new_secret(&self) -> NetworkSecret {
        NetworkSecret::generate(&mut hold(&self.inner.secrets))
    }

    /// Says in the log why it cannot be used, if that is so: once, and to nobody who wants no links.
    pub(crate) fn tell_if_unusable(&self) {
        if let Err(error) = &*hold(&self.inner.content)
            && !self.inner.told.swap(true, Ordering::Relaxed)
        {
            events::tell!(error, events::kinds::NETWORK_BOOK_UNUSABLE, %error, "the node works, and opens no links");
        }
    }

    /// Looks at what is kept.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Content) -> T) -> Result<T, Error> {
        hold(&self.inner.content).as_ref().map(look).map_err(Clone::clone)
    }

    /// Changes what is kept, all of it or nothing: durable when this returns. Once begun it is carried out even if
    /// nobody waits for it. A book without a file changes at once, and asks for no thread: a simulation has none.
    ///
    /// # Errors
    /// Those of `change`; why the book cannot be used; those of writing the file.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Content) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.inner.clone().off_thread(move |inner| inner.change(change)).await
    }

    /// Notes a name that was pinned at first sight, without waiting for the disk: it is there for every later change,
    /// and is written with it or by [`Self::write_pins`].
    pub(crate) fn note_pin(&self, node: NodeId, key: NodeKey) {
        hold(&self.inner.pins).push((node, key));
    }

    /// Writes the pins that were noted. Several at once share one writing.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub(crate) async fn write_pins(&self) -> Result<(), Error> {
        let write = |inner: &Inner| {
            let written_by_another = hold(&inner.pins).is_empty();
            if written_by_another { Ok(()) } else { inner.change(|_| Ok(())) }
        };
        self.inner.clone().off_thread(write).await
    }
}

impl Inner {
    /// Blocks a thread of its own if there is a file to block on.
    async fn off_thread<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match self.dir {
            Some(_) => off_thread(move || work(&self)).await,
            None => work(&self),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Content) -> Result<T, Error>) -> Result<T, Error> {
        let _one_at_a_time = hold(&self.changing);
        let mut content = hold(&self.content).as_ref().map_err(Clone::clone)?.clone();
        let pins = std::mem::take(&mut *hold(&self.pins));
        for (node, key) in pins.iter().cloned() {
            content.pin(node, key);
        }
        let made = change(&mut content).and_then(|given| {
            if let Some(dir) = &self.dir {
                file::write(dir, &content)?;
            }
            Ok(given)
        });
        match made {
            Ok(given) => {
                *hold(&self.content) = Ok(content);
                Ok(given)
            }
            Err(error) => {
                // For the next change.
                hold(&self.pins).splice(..0, pins);
                Err(error)
            }
        }
    }
}

/// Nothing panics under these locks; what a panic elsewhere left behind is whole.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("dir", &self.inner.dir.as_ref().map(|dir| dir.path())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
