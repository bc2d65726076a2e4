//! Notices that the path of a served directory leads elsewhere: what is written then would be found by nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use softadastra_core::disk::{DiskError, DiskErrorKind};
use tokio::sync::watch;

use super::Loss;
use crate::held_dir::HeldDir;

/// So often it is looked when nothing is written.
pub(super) const IDLE: Duration = Duration::from_secs(2);

/// A write is answered at most so long after the directory was seen in its place.
pub(super) const BUSY: Duration = Duration::from_millis(100);

/// What keeps an eye on a directory, and on the one that it stands in.
#[derive(Debug)]
pub(super) struct Keeping {
    dirs: Vec<Arc<HeldDir>>,
    looked: Mutex<Instant>,
    loss: watch::Sender<Option<Loss>>,
}

impl Keeping {
    /// Looks at once: a directory that was moved before this is not served.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(super) fn begin(dirs: Vec<Arc<HeldDir>>) -> Result<Self, DiskError> {
        let keeping = Self { dirs, looked: Mutex::new(Instant::now()), loss: watch::Sender::new(None) };
        keeping.look()?;
        Ok(keeping)
    }

    /// Looks whether the paths still lead to the directories. Once they did not, that is the answer for ever.
    ///
    /// # Errors
    /// What became of them.
    pub(super) fn look(&self) -> Result<(), DiskError> {
        if let Some(loss) = &*self.loss.borrow() {
            return Err(loss.error.clone());
        }
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let Some((dir, lost)) = self.dirs.iter().find_map(|dir| Some((dir, dir.lost()?))) else { return Ok(()) };
        let error = DiskError { kind: DiskErrorKind::Io, message: format!("{} {lost}", dir.path().display()) };
        let loss = Loss { error: error.clone(), became: lost.as_str(), local: lost.local(), next: lost.next() };
        self.loss.send_replace(Some(loss));
        Err(error)
    }

    /// As [`Self::look`], if that was not done for so long.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(super) fn look_every(&self, interval: Duration) -> Result<(), DiskError> {
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.elapsed() < interval && self.loss.borrow().is_none() {
            return Ok(());
        }
        self.look()
    }

    /// Completes when a look has found the directory gone.
    pub(super) fn lost(&self) -> impl Future<Output = Loss> + Send + 'static {
        let mut news = self.loss.subscribe();
        async move {
            let loss = news.wait_for(Option::is_some).await.map(|loss| loss.clone()).ok().flatten();
            match loss {
                Some(loss) => loss,
                // The disk has ended, and nothing was lost.
                None => std::future::pending().await,
            }
        }
    }
}
