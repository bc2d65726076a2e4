//! What the loop does about commands.

use futures_util::FutureExt;
use softadastra_core::node::Node;
use softadastra_core::time::Now;

use super::command::{Command, Files, FilesJob, Waiting, tell};
use super::desk::Desk;
use super::{Driver, closed, nothing_on_disk};
use crate::disk::Disk;
use crate::world::{Clock, Net};

impl<D: Disk, C: Clock, N: Net> Driver<D, C, N> {
    pub(super) fn command(&mut self, desk: &mut Desk, now: Now, command: Command) {
        let node = &mut *desk.node;
        match command {
            Command::Snapshot { answer } => match node.snapshot(now) {
                Ok(request) => desk.wait(request, Waiting::Snapshot(answer)),
                Err(error) => tell(answer, Err(error)),
            },
            Command::Flush { answer } => match node.flush(now) {
                Ok(request) => desk.wait(request, Waiting::Flush(answer)),
                Err(error) => tell(answer, Err(error)),
            },
            Command::Resolve { conflict, body, answer } => match node.resolve(now, conflict, body) {
                Ok(request) => desk.wait(request, Waiting::Resolve(answer)),
                Err(error) => tell(answer, Err(error)),
            },
            Command::WithFiles { job } => self.begin_job(node, now, job),
            Command::StartTransport { start, answer } => self.start_transport(*start, answer),
            Command::StopTransport { answer } => self.stop_transport(node, now, answer),
            Command::StartDiscovery { start, answer } => self.start_discovery(node, now, *start, answer),
            Command::StopDiscovery { answer } => self.stop_discovery(node, now, answer),
            Command::Act(act) => act(node, now),
            Command::Close { answer } => {
                self.closers.push(answer);
                self.begin_close(node, now);
            }
        }
    }

    fn begin_job(&mut self, node: &mut Node, now: Now, job: FilesJob) {
        /// The log counts its file ids from 0; this many are out of its reach.
        const BEYOND_THE_LOG: u64 = 1 << 63;
        let files = self.disk.clone().ok_or_else(nothing_on_disk).and_then(|disk| {
            if self.closing {
                return Err(closed());
            }
            let manifest = node.pin_files()?;
            self.jobs_begun += 1;
            let status = node.status();
            Ok(Files {
                manifest,
                disk,
                first_id: BEYOND_THE_LOG | (self.jobs_begun << 32),
                node_id: status.node_id,
                replica: status.replica,
                at: now.wall,
            })
        });
        let pinned = files.is_ok();
        let work = job(files);
        if pinned {
            self.jobs.spawn(work);
        } else {
            // Only has bad news to pass on.
            work.now_or_never();
        }
    }

    pub(super) fn begin_close(&mut self, node: &mut Node, now: Now) {
        if !self.closing {
            self.closing = true;
            self.leave_network(node, now);
            node.close(now);
        }
    }
}
