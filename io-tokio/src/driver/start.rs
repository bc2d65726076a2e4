//! Bringing a node up, and asking things of its disk.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use softadastra_core::config::Config;
use softadastra_core::dice::Seed;
use softadastra_core::disk::{Completion, DiskError, DiskErrorKind, DiskOp, DiskRequest, DiskResult, IoToken};
use softadastra_core::error::{Code, Error};
use softadastra_core::node::{Node, Opening, OpeningState, RecoveryReport, Start};

use super::Shared;
use crate::disk::{Disk, OnItsWay};
use crate::world::Clock;

type Completed = Pin<Box<dyn Future<Output = (IoToken, DiskResult)> + Send>>;
/// Disk operations that have not completed.
pub(crate) type InFlight = FuturesUnordered<Completed>;

/// How an operation gets to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the disk's own means.
    Submitted,
    /// In the thread that waits for it, as [`Disk::carry_out`] says.
    Carried,
}

/// Queues a request at once, so that the order is that of the calls. `measured`: who is to know how long it took.
pub(crate) fn submit<D: Disk>(
    disk: Option<&D>,
    request: DiskRequest,
    way: Way,
    in_flight: &InFlight,
    measured: Option<&Arc<Shared>>,
) {
    let DiskRequest { token, lane, op } = request;
    let told_early = cfg!(planted = "driver_tells_before_the_disk") && matches!(op, DiskOp::Write { .. });
    let on_its_way = disk.map(|disk| -> OnItsWay {
        match way {
            Way::Submitted => Box::pin(disk.submit(lane, op)),
            Way::Carried => Box::pin(disk.carry_out(op)),
        }
    });
    match on_its_way {
        Some(_unheard) if told_early => in_flight.push(Box::pin(std::future::ready((token, Ok(Completion::Done))))),
        Some(completion) => {
            let measured = measured.map(|shared| (shared.clone(), shared.mono()));
            in_flight.push(Box::pin(async move {
                let result = completion.await;
                if let Some((shared, began)) = measured {
                    shared.measures().syncs.observe(shared.mono().since(began));
                }
                (token, result)
            }));
        }
        None => {
            let error = DiskError { kind: DiskErrorKind::Io, message: "there is no disk".to_owned() };
            in_flight.push(Box::pin(std::future::ready((token, Err(error)))));
        }
    }
}

/// A node that is up, and what it has asked of its disk already.
pub(crate) struct Opened {
    pub(super) node: Box<Node>,
    pub(crate) report: RecoveryReport,
    pub(super) in_flight: InFlight,
}

impl Opened {
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

/// Brings a node up. On failure everything asked of the disk has been waited for.
///
/// # Errors
/// Those of [`Opening`].
pub(crate) async fn bring_up<D: Disk, C: Clock>(
    disk: Option<&D>,
    clock: &C,
    seed: Seed,
    config: Config,
    start: Start,
) -> Result<Opened, Error> {
    let mut in_flight = InFlight::new();
    let crew = disk.and_then(Disk::crew);
    let mut opening = Opening::new(config, seed, clock.now(), start)?.with_crew(crew);
    loop {
        while let Some(request) = opening.poll_output(clock.now()) {
            submit(disk, request, Way::Submitted, &in_flight, None);
        }
        match opening.advance(clock.now()) {
            OpeningState::Ready(node, report) => return Ok(Opened { node, report, in_flight }),
            OpeningState::Failed(error) => {
                while in_flight.next().await.is_some() {}
                return Err(error);
            }
            OpeningState::Working(working) => opening = working,
        }
        if let Some((token, result)) = in_flight.next().await {
            opening.handle(clock.now(), token, result);
        } else if let Some(request) = opening.poll_output(clock.now()) {
            submit(disk, request, Way::Submitted, &in_flight, None);
        } else {
            return Err(Error::new(
                Code::InternalError,
                "opening the node came to a halt without an outcome",
                "report this as a fault of the software",
            ));
        }
    }
}
