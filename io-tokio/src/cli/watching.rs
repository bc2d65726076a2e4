//! Looking at a running node again and again: on a terminal in place, elsewhere one look after the other.

use std::time::Duration;

use softadastra_core::error::Code;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::output::{Done, Failure, Human, Output};
use super::screen::Screen;
use super::site;
use super::upkeep::Status;
use crate::control::answer::{self, Answer};
use crate::control::backend::Backend as _;
use crate::control::{Fault, Remote};
use crate::settings::Settings;

/// How often to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    every: Duration,
    count: Option<u64>,
}

impl Pace {
    /// A look every so many seconds, so many of them.
    pub(super) fn of(seconds: u64, count: Option<u64>) -> Self {
        Self { every: Duration::from_secs(seconds), count }
    }
}

/// What is looked at.
pub(super) trait Scene {
    /// What one look shows.
    type Shown: Answer + Human;

    /// Looks.
    async fn look(&mut self, node: &mut Remote) -> Result<Self::Shown, Fault>;
}

impl Scene for Status {
    type Shown = answer::Status;

    async fn look(&mut self, node: &mut Remote) -> Result<answer::Status, Fault> {
        node.status().await
    }
}

/// Looks until somebody ends it, or often enough. On a terminal a node that goes away is waited for; elsewhere its end is
/// the end, and a failure.
pub(super) async fn run<S: Scene>(
    settings: &Settings,
    scene: S,
    pace: Pace,
    out: &mut Output,
) -> Result<Done, Failure> {
    let Some(node) = site::node(settings).await? else { return Err(nobody(settings).into()) };
    let mut ends = Ends::new()?;
    let screen = if out.is_terminal() { Screen::enter() } else { None };
    let last = tokio::select! {
        last = looks(scene, node, pace, screen.as_ref(), out) => last,
        () = ends.next() => Ok(String::new()),
    };
    drop(screen);
    // The page it stood on has gone with the screen.
    out.text(&last?)?;
    Ok(Done::Yes)
}

/// Looks as often as is wanted. Gives what a screen showed last.
async fn looks<S: Scene>(
    mut scene: S,
    mut node: Remote,
    pace: Pace,
    screen: Option<&Screen>,
    out: &mut Output,
) -> Result<String, Failure> {
    let mut ticks = interval(pace.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut resized = listen(SignalKind::window_change())?;
    let (mut shown, mut number) = (String::new(), 0);
    while pace.count.is_none_or(|count| number < count) {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = resized.recv() => {
                if let Some(screen) = screen {
                    screen.show(&shown, out)?;
                }
                continue;
            }
        }
        match (scene.look(&mut node).await, screen) {
            (Ok(seen), Some(screen)) => {
                shown = seen.human(out.paint());
                screen.show(&shown, out)?;
            }
            (Ok(seen), None) => {
                if number > 0 && !out.is_json() {
                    out.text("\n")?;
                }
                out.answer(&seen)?;
                out.flush()?;
            }
            (Err(fault), Some(screen)) => {
                shown = format!("{fault}\n\nWaiting for the node.\n");
                screen.show(&shown, out)?;
            }
            (Err(fault), None) => return Err(fault.into()),
        }
        number += 1;
    }
    Ok(shown)
}

fn nobody(settings: &Settings) -> Fault {
    let what = format!("no node runs on {}, so there is nothing to watch", settings.data_dir.display());
    Fault::new(Code::InvalidState, what, "start one with `softadastra node start`")
}

/// What ends a watch.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> Result<Self, Failure> {
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Fault::io("listen for signals", &error).into())
}
