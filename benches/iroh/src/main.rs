//! Two nodes of iroh-docs over loopback, for `cargo compare`: a document that both replicate, its store and that of its contents
//! on disk on both sides. Prints figures, each with its name; what goes wrong goes to the error output.

mod node;
#[path = "../../compare/src/values.rs"]
mod values;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use iroh_docs::AuthorId;
use iroh_docs::api::Doc;
use tokio::task::JoinSet;

use node::{Arrivals, Node};
use values::{key, noise, spread};

/// Operations of a stream: fewer than for others, who take 20,000.
const STREAMED: u64 = 5_000;
/// Operations that wait: fewer than for others, who take 100,000.
const PENDING: u64 = 20_000;
/// What both sides have beforehand.
const BEFORE: u64 = 1_000;
/// Writers, each with one write under way, or writes that have not arrived yet.
const WRITERS: u64 = 64;

/// Nothing may take longer: a comparison must not hang.
const PATIENCE: Duration = Duration::from_secs(90);

fn main() -> ExitCode {
    // A path need not be text.
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let what = arguments.first().and_then(|what| what.to_str());
    let done = match (what, &arguments[..]) {
        (Some("--version"), [_]) => {
            println!("{}", versions());
            return ExitCode::SUCCESS;
        }
        (Some("live"), [_, dir]) => play(live(Path::new(dir))),
        (Some("catch-up"), [_, dir]) => play(catch_up(Path::new(dir))),
        _ => Err(anyhow::anyhow!("wants --version, or one of live and catch-up with an empty directory")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("iroh-docs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The versions that this was built from, as `Cargo.lock` has them.
fn versions() -> String {
    let lock = include_str!("../Cargo.lock");
    let version = |name: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(format!("{name} {}", rest.split('"').next()?))
    };
    let names = ["iroh-docs", "iroh", "iroh-blobs", "iroh-gossip"];
    let known: Vec<String> = names.into_iter().filter_map(version).collect();
    match known.split_first() {
        Some((docs, others)) => format!("{docs} ({})", others.join(", ")),
        None => String::new(),
    }
}

/// Plays a scene and prints its figures.
fn play(scene: impl Future<Output = Result<Vec<Figure>>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, scene).await });
    // What is still under way may take as long as it likes; it ends with the process.
    runtime.shutdown_background();
    for (name, value) in done.with_context(|| format!("not done after {} s", PATIENCE.as_secs()))?? {
        println!("{name} {value}");
    }
    println!("done");
    Ok(())
}

/// A name that `cargo compare` knows, and what was measured.
type Figure = (&'static str, f64);

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Two nodes, and a document that the first one writes and both have.
struct Pair {
    here: Node,
    there: Node,
    from: Doc,
    to: Doc,
    author: AuthorId,
    arrivals: Arrivals,
}

impl Pair {
    async fn open(dir: &Path) -> Result<Self> {
        let (here, there) = (Node::open(&dir.join("from")).await?, Node::open(&dir.join("to")).await?);
        let from = here.docs.api().create().await?;
        let author = here.docs.api().author_default().await?;
        let to = there.docs.api().import_namespace(here.capability(&from).await?).await?;
        let arrivals = Arrivals::of(&to).await?;
        from.start_sync(Vec::new()).await?;
        to.start_sync(vec![here.address()?]).await?;
        arrivals.neighbour().await?;
        let pair = Self { here, there, from, to, author, arrivals };
        pair.write(0, BEFORE).await?;
        pair.arrivals.reach(BEFORE).await?;
        Ok(pair)
    }

    async fn put(doc: Doc, author: AuthorId, number: u64) -> Result<()> {
        doc.set_bytes(author, key(spread(number)).to_vec(), noise(number, 100)).await?;
        Ok(())
    }

    /// `count` writes by as many writers as there are, each of whom waits for their own answer.
    async fn write(&self, first: u64, count: u64) -> Result<()> {
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (doc, author) = (self.from.clone(), self.author);
            tasks.spawn(async move {
                for number in (first + writer..first + count).step_by(WRITERS as usize) {
                    Self::put(doc.clone(), author, number).await?;
                }
                Ok(())
            });
        }
        ended(tasks).await
    }

    /// Bytes that both have sent in datagrams.
    fn bytes(&self) -> u64 {
        self.here.sent() + self.there.sent()
    }

    /// Ends both, when they have the same.
    async fn close(self) -> Result<()> {
        let (from, to) = (self.here.entries(&self.from).await?, self.there.entries(&self.to).await?);
        if from != to || to.len() as u64 != self.arrivals.count() {
            bail!("{} entries here, {} there, {} told of", from.len(), to.len(), self.arrivals.count());
        }
        self.here.close().await?;
        self.there.close().await
    }
}

/// Waits until all tasks have ended well.
async fn ended(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// First at most 64 writes that the other side does not have yet, then 64 writers who wait for their own side only.
async fn live(dir: &Path) -> Result<Vec<Figure>> {
    let pair = Pair::open(dir).await?;
    let began = Instant::now();
    let mut writes = JoinSet::new();
    let mut arrived = 0;
    for number in 0..STREAMED {
        if number >= arrived + WRITERS {
            arrived = pair.arrivals.reach(BEFORE + number + 1 - WRITERS).await? - BEFORE;
        }
        writes.spawn(Pair::put(pair.from.clone(), pair.author, 1_000_000 + number));
        while let Some(ended) = writes.try_join_next() {
            ended??;
        }
    }
    ended(writes).await?;
    pair.arrivals.reach(BEFORE + STREAMED).await?;
    let window = began.elapsed();

    let (began, before) = (Instant::now(), pair.bytes());
    pair.write(2_000_000, STREAMED).await?;
    pair.arrivals.reach(BEFORE + 2 * STREAMED).await?;
    let (stream, bytes) = (began.elapsed(), pair.bytes() - before);
    pair.close().await?;
    Ok(vec![
        ("window", per_second(STREAMED, window)),
        ("stream", per_second(STREAMED, stream)),
        ("live-bytes", bytes as f64 / STREAMED as f64),
    ])
}

/// What was written while the other side had left the document.
async fn catch_up(dir: &Path) -> Result<Vec<Figure>> {
    let pair = Pair::open(dir).await?;
    pair.to.leave().await?;
    pair.write(1_000_000, PENDING).await?;
    if pair.arrivals.count() != BEFORE {
        bail!("the other side has left, and hears of writes all the same");
    }
    let (began, before) = (Instant::now(), pair.bytes());
    pair.to.start_sync(vec![pair.here.address()?]).await?;
    pair.arrivals.reach(BEFORE + PENDING).await?;
    let (took, bytes) = (began.elapsed(), pair.bytes() - before);
    pair.close().await?;
    Ok(vec![("catch-up", per_second(PENDING, took)), ("late-bytes", bytes as f64 / PENDING as f64)])
}
