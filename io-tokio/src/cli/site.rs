//! Where a command is carried out: by the node that answers on the control socket, else in this process.

use std::time::Duration;

use softadastra_core::error::{Code, LocalState};
use softadastra_core::wal;
use tokio::time::Instant;

use super::output::{Done, Failure, Output};
use crate::control::{Backend, Fault, Local, Remote};
use crate::options::Durability;
use crate::settings::Settings;
use crate::{Client, ClientOptions, events};

/// How long a command waits for another one to let go of the directory, unless configured.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// How often it looks meanwhile: whoever holds the lock may be a node whose socket is about to answer.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What a command does, on either backend.
pub(super) trait Act {
    /// Does it.
    async fn act<B: Backend>(self, backend: &mut B, out: &mut Output) -> Result<Done, Failure>;
}

/// Carries out an action where it can be.
pub(super) async fn run<A: Act>(settings: &Settings, out: &mut Output, action: A) -> Result<Done, Failure> {
    match reach(settings).await? {
        Site::Node(mut remote) => action.act(&mut remote, out).await,
        Site::Here(mut local) => {
            let done = action.act(&mut local, out).await;
            let closed = local.close().await;
            closed_after(done?, closed, settings.durability)
        }
    }
}

/// How a command ends whose work was done, when closing the directory after it went so.
///
/// What was answered is durable already, so a close that fails takes nothing away: repeating the command would do it
/// twice. With a sync interval it is the close that makes it durable.
fn closed_after(done: Done, closed: Result<(), Fault>, durability: Durability) -> Result<Done, Failure> {
    let Err(fault) = closed else { return Ok(done) };
    match durability {
        Durability::Always => {
            events::tell!(warn, events::kinds::NOT_CLOSED_CLEANLY,
                error = %fault,
                "the command is done, and what it wrote is kept; the next opening will be a recovery"
            );
            Ok(done)
        }
        Durability::Interval(_) => {
            let local_state = LocalState::Unknown.as_str().to_owned();
            let message = format!("what was written last was answered, but could not be synced: {}", fault.message);
            let next = "see to the disk, then read back what was written".to_owned();
            Err(Fault { message, local_state, next, ..fault }.into())
        }
    }
}

enum Site {
    Node(Remote),
    Here(Local),
}

/// The node that runs on the data directory, if one does.
pub(super) async fn node(settings: &Settings) -> Result<Option<Remote>, Fault> {
    let limit = Some(settings.timeout).filter(|limit| !limit.is_zero());
    Ok(Remote::connect(&settings.data_dir).await?.map(|remote| remote.within(limit)))
}

async fn reach(settings: &Settings) -> Result<Site, Fault> {
    let deadline = Instant::now() + settings.lock_wait.unwrap_or(LOCK_WAIT);
    loop {
        if let Some(remote) = node(settings).await? {
            return Ok(Site::Node(remote));
        }
        match Client::open(options(settings).create(false)).await {
            Ok(client) => return Ok(Site::Here(Local::for_one_command(client))),
            Err(error) if error.code() == Code::Locked && Instant::now() < deadline => {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            Err(error) => return Err(absent_or(settings, error.into())),
        }
    }
}

/// How the engine is to be opened by these settings.
pub(super) fn options(settings: &Settings) -> ClientOptions {
    let mut options =
        ClientOptions::local(&settings.data_dir).durability(settings.durability).sync(settings.network.sync_settings());
    if let Some(node_id) = &settings.node_id {
        options = options.node_id(node_id.clone());
    }
    if let Some(bytes) = settings.max_value_len {
        options = options.max_value_len(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if let Some(bytes) = settings.max_pending_bytes {
        options = options.max_pending_bytes(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if settings.first_segment.is_some() || settings.max_segment.is_some() {
        let defaults = wal::Settings::default();
        let first = settings.first_segment.unwrap_or(defaults.first_segment);
        options = options.segments(first, settings.max_segment.unwrap_or(defaults.max_segment.max(first)));
    }
    if let Some(bytes) = settings.snapshot_after {
        options = options.snapshot_after(bytes);
    }
    options
}

/// A missing directory is told with what creates one.
fn absent_or(settings: &Settings, fault: Fault) -> Fault {
    if !fault.is(Code::NotFound) {
        return fault;
    }
    let next = format!("create it with `softadastra init --data-dir {}`", settings.data_dir.display());
    Fault { next, ..fault }
}

#[cfg(test)]
mod tests {
    use softadastra_core::disk::DiskErrorKind;

    use super::*;
    use crate::data_dir::WAL_DIR;
    use crate::testing::{Rules, Verdict, world};

    /// Writes a key, and has the disk fail under the close that follows.
    async fn close_on_a_failing_disk(durability: Durability) -> (tempfile::TempDir, Result<(), Fault>) {
        let dir = tempfile::tempdir().unwrap();
        let rules = Rules::new();
        let options = ClientOptions::local(dir.path()).durability(durability);
        let client = Client::open_with(world(&dir.path().join(WAL_DIR), &rules), options).await.unwrap();
        let mut local = Local::for_one_command(client);
        local.put("k".into(), "v".into(), None).await.unwrap();
        rules.judge_commits(Verdict::Fail(DiskErrorKind::Io));
        let closed = local.close().await;
        (dir, closed)
    }

    #[tokio::test]
    async fn a_command_that_is_done_stays_done_when_its_close_fails() {
        let (dir, closed) = close_on_a_failing_disk(Durability::Always).await;
        assert!(closed.as_ref().is_err_and(|fault| fault.is(Code::Degraded)));
        let done = closed_after(Done::Yes, closed, Durability::Always);
        assert!(matches!(done, Ok(Done::Yes)), "{done:?}");
        let client = Client::open(ClientOptions::local(dir.path())).await.unwrap();
        assert_eq!(client.get("k").unwrap().unwrap().bytes, "v", "what was answered is there");
    }

    #[tokio::test]
    async fn what_only_the_close_makes_durable_is_in_doubt_when_it_fails() {
        let durability = Durability::Interval(Duration::from_secs(3600));
        let (_dir, closed) = close_on_a_failing_disk(durability).await;
        let Err(Failure::Fault(fault)) = closed_after(Done::Yes, closed, durability) else { panic!("it must be told") };
        assert_eq!((fault.code.as_str(), fault.local_state.as_str()), ("degraded", "unknown"));
        assert!(fault.message.contains("could not be synced"), "{fault}");
    }
}
