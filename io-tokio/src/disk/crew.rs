//! Threads that work out what lies ahead in a log while it is opened.

use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use softadastra_core::wal::scan::{Crew, Piece, Worked};

/// More would wait for the one thread that replays.
const MOST: usize = 3;

/// A piece, and who waits for what comes of it.
type Job = (Piece, SyncSender<Worked>);

/// As many threads as there are processors beside the one that replays. They begin with the first piece, and end with this.
/// The one that replays works too, rather than wait.
#[derive(Debug)]
pub(super) struct Threads {
    wanted: usize,
    jobs: Option<Arc<Jobs>>,
    waited_for: VecDeque<Receiver<Worked>>,
}

impl Threads {
    /// `None` where there is but one processor.
    pub(super) fn of_this_machine() -> Option<Self> {
        let wanted = std::thread::available_parallelism().map_or(1, NonZero::get).saturating_sub(1).min(MOST);
        (wanted > 0).then_some(Self { wanted, jobs: None, waited_for: VecDeque::new() })
    }

    fn jobs(&mut self) -> &Jobs {
        self.jobs.get_or_insert_with(|| {
            let jobs = Arc::new(Jobs::default());
            for _ in 0..self.wanted {
                let jobs = jobs.clone();
                // Without any, whoever waits for a piece works it out.
                drop(std::thread::Builder::new().name("sada-open".to_owned()).spawn(move || jobs.serve()));
            }
            jobs
        })
    }
}

impl Crew for Threads {
    fn begin(&mut self, piece: Piece) {
        let (done, waits) = sync_channel(1);
        self.jobs().push((piece, done));
        self.waited_for.push_back(waits);
    }

    fn end(&mut self) -> Option<Worked> {
        let wanted = self.waited_for.pop_front()?;
        loop {
            match wanted.try_recv() {
                Ok(worked) => return Some(worked),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            match self.jobs().take() {
                Some(job) => work(job),
                // All are being worked out.
                None => return wanted.recv().ok(),
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(jobs) = &self.jobs {
            jobs.end();
        }
    }
}

/// Pieces that nobody has begun to work out.
#[derive(Debug, Default)]
struct Jobs {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// No more will come.
    over: bool,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.more.notify_one();
    }

    fn take(&self) -> Option<Job> {
        self.lock().jobs.pop_front()
    }

    fn end(&self) {
        let mut queue = self.lock();
        queue.over = true;
        queue.jobs.clear();
        drop(queue);
        self.more.notify_all();
    }

    /// Works out what comes, until no more does.
    fn serve(&self) {
        let mut queue = self.lock();
        while !queue.over {
            queue = match queue.jobs.pop_front() {
                Some(job) => {
                    drop(queue);
                    work(job);
                    self.lock()
                }
                None => self.more.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

fn work((piece, done): Job) {
    // A panic costs the crew, not whoever waits: the replay does the same by itself, and meets it there if it is to be met.
    if let Ok(worked) = catch_unwind(AssertUnwindSafe(|| piece.work())) {
        // An opening that failed waits for nothing any more.
        drop(done.send(worked));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use softadastra_core::config::Config;
    use softadastra_core::dice::Seed;
    use softadastra_core::disk::{DiskOp, DiskResult, Lane};
    use softadastra_core::node::Start;

    use super::*;
    use crate::disk::{Disk, FsDisk};
    use crate::driver::bring_up;
    use crate::world::SystemClock;
    use crate::{Batch, Client, ClientOptions};

    const KEYS: u32 = 16_000;

    fn options(dir: &std::path::Path) -> ClientOptions {
        ClientOptions::persistent(dir).snapshot_after(1 << 40)
    }

    fn key(number: u32) -> String {
        format!("key-{number:06}")
    }

    /// Long enough for many pieces of several segments, and of a snapshot.
    async fn write(dir: &std::path::Path) -> Client {
        let client = Client::open(options(dir)).await.unwrap();
        for start in (0..KEYS).step_by(400) {
            let mut batch = Batch::new();
            for number in start..start + 400 {
                batch.put(key(number), vec![number as u8; 400]);
            }
            client.batch(batch).await.unwrap();
        }
        client
    }

    async fn read_back(dir: &std::path::Path) {
        let client = Client::open(options(dir)).await.unwrap();
        for number in 0..KEYS {
            let value = client.get(key(number)).unwrap().expect("it was answered");
            assert_eq!(value.bytes, vec![number as u8; 400], "{number}");
        }
        client.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_threads_have_read_of_a_log_is_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).await.close().await.unwrap();
        read_back(dir.path()).await;
    }

    #[tokio::test]
    async fn what_threads_have_read_of_a_snapshot_is_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let client = write(dir.path()).await;
        client.snapshot().await.unwrap();
        client.close().await.unwrap();
        read_back(dir.path()).await;
    }

    /// Its crew has so many threads, and counts what it is given and what it gives back.
    struct Watched {
        disk: FsDisk,
        wanted: usize,
        counts: Arc<[AtomicUsize; 2]>,
    }

    impl Disk for Watched {
        fn submit(&self, lane: Lane, op: DiskOp) -> impl Future<Output = DiskResult> + Send + 'static {
            self.disk.submit(lane, op)
        }

        fn crew(&self) -> Option<Box<dyn Crew>> {
            let threads = Threads { wanted: self.wanted, jobs: None, waited_for: VecDeque::new() };
            Some(Box::new(Counted(threads, self.counts.clone())))
        }

        async fn finish(self) {
            self.disk.finish().await;
        }
    }

    #[derive(Debug)]
    struct Counted(Threads, Arc<[AtomicUsize; 2]>);

    impl Crew for Counted {
        fn begin(&mut self, piece: Piece) {
            self.1[0].fetch_add(1, Relaxed);
            self.0.begin(piece);
        }

        fn end(&mut self) -> Option<Worked> {
            let worked = self.0.end()?;
            self.1[1].fetch_add(1, Relaxed);
            Some(worked)
        }
    }

    #[tokio::test]
    async fn whoever_waits_works_too_and_alone_where_no_thread_is_to_be_had() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).await.close().await.unwrap();
        for wanted in [0, 1, MOST] {
            let counts = Arc::default();
            let disk = FsDisk::open(&dir.path().join("wal"), None).unwrap();
            let disk = Watched { disk, wanted, counts: Arc::clone(&counts) };
            let (clock, seed, config) = (SystemClock::start(), Seed::from_number(1), Config::default());
            let opened = bring_up(Some(&disk), &clock, seed, config, Start::OpenExisting).await;
            assert_eq!(opened.unwrap().report.keys as u32, KEYS);
            disk.finish().await;
            let [begun, ended] = &*counts;
            assert!(begun.load(Relaxed) > 10, "{counts:?} of {wanted}");
            assert_eq!(begun.load(Relaxed), ended.load(Relaxed), "of {wanted}");
        }
    }
}
