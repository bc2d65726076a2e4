//! How long the node is waited for, and what is said meanwhile.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use softadastra_core::error::{Code, LocalState};
use tokio::time::{Instant, timeout};

use super::{Kind, Remote};
use crate::control::fault::Fault;
use crate::lock::DirLock;

/// A node that has not answered after this is spoken of: it may be frozen, or its disk may hang.
const SLOW: Duration = Duration::from_secs(5);

/// How long a node is waited for, unless somebody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long one node is waited for.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub(super) dir: PathBuf,
    /// `None` waits as long as it takes.
    pub(super) limit: Option<Duration>,
}

impl Patience {
    pub(super) fn with(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), limit: Some(PATIENCE) }
    }

    /// Waits for an answer. Where work may take long, what counts is how long the node answers nothing at all.
    pub(super) async fn wait<T>(&self, kind: Kind, answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let mut answer = pin!(answer);
        let (mut heard, mut told) = (Instant::now(), false);
        loop {
            let left = self.limit.map_or(SLOW, |limit| limit.saturating_sub(heard.elapsed()));
            if let Ok(answered) = timeout(left.min(SLOW), answer.as_mut()).await {
                return answered;
            }
            let lives = async { matches!(kind, Kind::Work) && answers(&self.dir).await };
            let lives = tokio::select! {
                answered = answer.as_mut() => return answered,
                lives = lives => lives,
            };
            if lives {
                heard = Instant::now();
            } else if self.limit.is_some_and(|limit| heard.elapsed() >= limit) {
                return Err(self.given_up(kind));
            } else if !told && heard.elapsed() >= SLOW {
                told = true;
                tracing::warn!("{} and does not answer; waiting on", self.holder());
            }
        }
    }

    /// Who it is that does not answer.
    fn holder(&self) -> String {
        let dir = self.dir.display();
        match DirLock::holder(&self.dir) {
            Some(holder) => format!("process {} ({}) holds {dir}", holder.pid, holder.command),
            None => format!("a node listens on {dir}"),
        }
    }

    fn given_up(&self, kind: Kind) -> Fault {
        let seconds = self.limit.unwrap_or_default().as_secs();
        let message = format!("{} and has not answered for {seconds} s", self.holder());
        let next = "see whether that process is stopped or its disk hangs; --timeout SECONDS waits longer";
        match kind {
            Kind::Read => Fault::new(Code::IoError, message, next),
            Kind::Order | Kind::Work => {
                Fault::new(Code::IoError, format!("{message}; whether it is done is unknown"), next)
            }
            Kind::Write => Fault {
                local_state: LocalState::Unknown.as_str().to_owned(),
                ..Fault::new(Code::Unknown, message, next)
            },
        }
    }
}

/// Whether the node on a directory answers a question at once.
async fn answers(dir: &Path) -> bool {
    let ask = async {
        let mut sender = Remote::reach(dir).await.ok().flatten()?;
        let request = Request::get("/v1/store/size").header(hyper::header::HOST, "softadastra");
        sender.send_request(request.body(Full::new(Bytes::new())).ok()?).await.ok()
    };
    timeout(SLOW, ask).await.is_ok_and(|answer| answer.is_some())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::task::JoinSet;

    use super::*;
    use crate::control::backend::Backend as _;
    use crate::control::socket;
    use crate::held_dir::HeldDir;

    /// A node that answers how large it is, if it lives, and nothing else before `work` is over.
    async fn node(listener: UnixListener, lives: bool, work: Duration) {
        let mut answering = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            answering.spawn(answer(stream, lives, work));
        }
    }

    async fn answer(mut stream: UnixStream, lives: bool, work: Duration) {
        let mut request = [0; 4096];
        let count = stream.read(&mut request).await.unwrap();
        let size = request[..count].starts_with(b"GET /v1/store/size");
        if !size || !lives {
            tokio::time::sleep(work).await;
        }
        let body = match size {
            true => r#"{"schema":"softadastra.size/1","data":{"keys":1,"tombstones":0,"live_bytes":0}}"#,
            false => r#"{"schema":"softadastra.backup/1","data":{"dir":"b","files":1,"bytes":1,"last_lsn":1}}"#,
        };
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        drop(stream.write_all(text.as_bytes()).await);
    }

    /// How long it took until a backup was given up, if it was.
    async fn backup(lives: bool, work: Duration) -> Option<Duration> {
        let dir = tempfile::tempdir().unwrap();
        let listener = socket::listen(&HeldDir::open(dir.path()).unwrap()).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(node(listener, lives, work));
        let mut remote = Remote::connect(dir.path()).await.unwrap().unwrap();
        let began = Instant::now();
        let done = remote.backup(Path::new("b")).await;
        let given_up = done.is_err_and(|fault| fault.message.contains("has not answered for 60 s"));
        given_up.then(|| began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn long_work_is_waited_for_as_long_as_the_node_answers_anything() {
        assert_eq!(backup(true, Duration::from_secs(3600)).await, None);
        let given_up = backup(false, Duration::from_secs(3600)).await.unwrap();
        assert!(given_up >= PATIENCE && given_up < PATIENCE + 3 * SLOW, "{given_up:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_not_answered_is_in_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(node(
            socket::listen(&HeldDir::open(dir.path()).unwrap()).unwrap(),
            true,
            Duration::from_secs(3600),
        ));
        let mut remote = Remote::connect(dir.path()).await.unwrap().unwrap().within(Some(Duration::from_secs(7)));
        let began = Instant::now();
        let fault = remote.put("k".into(), "v".into(), None).await.unwrap_err();
        assert_eq!((fault.code.as_str(), fault.local_state.as_str()), ("unknown", "unknown"));
        let told = fault.to_string();
        assert!(
            told.contains("not answered for 7 s; whether this write is kept is unknown until the key is read; see"),
            "{told}"
        );
        assert!(began.elapsed() < Duration::from_secs(8));
    }
}
