//! Threads that work out what lies ahead in a log while it is opened.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use softadastra_core::wal::scan::{Crew, Piece, Worked};

/// More would wait for the one thread that replays.
const MOST: usize = 3;

/// A piece, and who waits for what comes of it.
type Job = (Piece, SyncSender<Worked>);

/// As many threads as there are processors beside the one that replays. They begin with the first piece, and end with this.
#[derive(Debug)]
pub(super) struct Threads {
    wanted: usize,
    jobs: Option<Sender<Job>>,
    waited_for: VecDeque<Receiver<Worked>>,
}

impl Threads {
    /// `None` where there is but one processor.
    pub(super) fn of_this_machine() -> Option<Self> {
        let wanted = std::thread::available_parallelism().map_or(1, NonZero::get).saturating_sub(1).min(MOST);
        (wanted > 0).then_some(Self { wanted, jobs: None, waited_for: VecDeque::new() })
    }

    fn jobs(&mut self) -> &Sender<Job> {
        self.jobs.get_or_insert_with(|| {
            let (jobs, queue) = channel();
            let queue = Arc::new(Mutex::new(queue));
            for _ in 0..self.wanted {
                let queue = queue.clone();
                // Without any, nobody takes what is asked for, and the replay does without.
                drop(std::thread::Builder::new().name("sada-open".to_owned()).spawn(move || serve(&queue)));
            }
            jobs
        })
    }
}

impl Crew for Threads {
    fn begin(&mut self, piece: Piece) {
        let (done, waits) = sync_channel(1);
        // Whoever waits learns that nobody took it.
        drop(self.jobs().send((piece, done)));
        self.waited_for.push_back(waits);
    }

    fn end(&mut self) -> Option<Worked> {
        self.waited_for.pop_front()?.recv().ok()
    }
}

fn serve(queue: &Mutex<Receiver<Job>>) {
    loop {
        // Held while waiting: the next one waits for the lock instead.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((piece, done)) = job else { return };
        // An opening that failed waits for nothing any more.
        drop(done.send(piece.work()));
    }
}

#[cfg(test)]
mod tests {
    use crate::{Batch, Client, ClientOptions};

    /// Long enough for many pieces of several segments.
    #[tokio::test]
    async fn what_threads_have_read_of_a_log_is_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let options = || ClientOptions::persistent(dir.path()).snapshot_after(1 << 40);
        let client = Client::open(options()).await.unwrap();
        let key = |number: u32| format!("key-{number:06}");
        for start in (0..16_000).step_by(400) {
            let mut batch = Batch::new();
            for number in start..start + 400 {
                batch.put(key(number), vec![number as u8; 200]);
            }
            client.batch(batch).await.unwrap();
        }
        client.close().await.unwrap();
        let client = Client::open(options()).await.unwrap();
        for number in 0..16_000 {
            let value = client.get(key(number)).unwrap().expect("it was answered");
            assert_eq!(value.bytes, vec![number as u8; 200], "{number}");
        }
        client.close().await.unwrap();
    }
}
