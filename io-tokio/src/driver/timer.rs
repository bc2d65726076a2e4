//! The one alarm of a loop.

use std::pin::Pin;

use softadastra_core::time::Instant;

use crate::world::Clock;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One alarm. Set again with every step of a busy node, so a later deadline does not touch it: it rings early then, and
/// is set anew.
#[derive(Default)]
pub(super) struct Timer {
    set: Option<(Instant, Sleep)>,
}

impl Timer {
    pub(super) fn set<C: Clock>(&mut self, wanted: Option<Instant>, clock: &C) {
        match (wanted, &self.set) {
            (None, _) => self.set = None,
            (Some(at), Some((earlier, _))) if *earlier <= at => {}
            (Some(at), _) => self.set = Some((at, Box::pin(clock.sleep_until(at)))),
        }
    }

    /// When it rings, at the earliest.
    pub(super) fn rings_at(&self) -> Option<Instant> {
        self.set.as_ref().map(|(at, _)| *at)
    }

    /// Completes when the alarm rings, and clears it; never without one.
    pub(super) async fn ring(&mut self) {
        match &mut self.set {
            Some((_, sleep)) => {
                sleep.await;
                self.set = None;
            }
            None => std::future::pending().await,
        }
    }
}
