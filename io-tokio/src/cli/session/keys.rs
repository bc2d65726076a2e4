//! Keys for completion: asked of the node that runs, else read from the log as it lies there.

use std::path::Path;

use bytes::Bytes;

use crate::control::backend::Scan;
use crate::control::{Backend as _, Remote};
use crate::{data_dir, founding, lock};

/// So many are offered at once.
const MOST: usize = 100;

/// A log beyond this takes longer to read than a person waits for a Tab.
const GREATEST_LOG: u64 = 64 << 20;

/// How the keys that begin with `begun` go on: up to the next `/`, so that many keys are few choices. If there are more
/// than can be offered, `begun` is one of them, so that nothing is taken for the only way on.
pub(super) async fn beginning_with(dir: &Path, begun: &str) -> Vec<String> {
    let mut found = Found { begun: begun.to_owned(), choices: Vec::new() };
    // Completion is a convenience: what it cannot find out it does not offer.
    let _unknown = match Remote::connect(dir).await {
        Ok(Some(remote)) => ask(remote, &mut found).await,
        Ok(None) => read(dir, &mut found).await,
        Err(_) => None,
    };
    found.choices
}

async fn ask(mut remote: Remote, found: &mut Found) -> Option<()> {
    let mut scan = Scan { prefix: Bytes::from(found.begun.clone()), after: None, limit: 1 };
    while found.has_room() {
        let page = remote.scan(&scan).await.ok()?;
        let Some(record) = page.records.into_iter().next() else { break };
        scan.after = Some(found.take(&record.key));
    }
    Some(())
}

async fn read(dir: &Path, found: &mut Found) -> Option<()> {
    let wal = dir.join(data_dir::WAL_DIR);
    let bytes: u64 = std::fs::read_dir(&wal).ok()?.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum();
    if bytes > GREATEST_LOG {
        return None;
    }
    let _nobody_writes = lock::DirLock::share(dir).ok()?;
    let content = founding::inspect_dir(&wal).await.ok()?.content?;
    let from = Bytes::from(found.begun.clone());
    let mut passed = Bytes::new();
    for entry in content.store().scan_prefix(&from, None) {
        if !found.has_room() {
            break;
        }
        if entry.key() > &passed[..] {
            passed = found.take(entry.key());
        }
    }
    Some(())
}

struct Found {
    begun: String,
    choices: Vec<String>,
}

impl Found {
    fn has_room(&self) -> bool {
        self.choices.len() < MOST
    }

    /// Takes in a key, and says behind which key the next choice is.
    fn take(&mut self, key: &[u8]) -> Bytes {
        let end = key.iter().skip(self.begun.len()).position(|byte| *byte == b'/');
        let choice = end.and_then(|end| key.get(..=self.begun.len() + end)).unwrap_or(key);
        // What is not text cannot be typed.
        self.choices.extend(std::str::from_utf8(choice).map(str::to_owned));
        if !self.has_room() {
            self.choices.push(self.begun.clone());
        }
        let mut last = choice.to_vec();
        if end.is_some() {
            last.extend([0xff; 64]);
        }
        last.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, ClientOptions};

    #[tokio::test]
    async fn keys_go_on_to_the_next_slash() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::open(ClientOptions::local(dir.path())).await.unwrap();
        for key in ["a", "order/1", "order/2/x", "order/2/y", "orders", "z z"] {
            client.put(key, "v").await.unwrap();
        }
        client.put(vec![0xff, 0xfe], "v").await.unwrap();
        client.close().await.unwrap();
        let before = std::fs::read_dir(dir.path().join("wal")).unwrap().count();
        let at = async |begun: &str| beginning_with(dir.path(), begun).await;
        assert_eq!(at("").await, ["a", "order/", "orders", "z z"]);
        assert_eq!(at("order/").await, ["order/1", "order/2/"]);
        assert_eq!(at("order/2/").await, ["order/2/x", "order/2/y"]);
        assert_eq!(at("none").await, [""; 0]);
        assert_eq!(std::fs::read_dir(dir.path().join("wal")).unwrap().count(), before, "only read");
    }

    #[tokio::test]
    async fn more_keys_than_can_be_offered_do_not_look_like_all() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::open(ClientOptions::local(dir.path())).await.unwrap();
        let mut batch = crate::Batch::new();
        for n in 0..500 {
            batch.put(format!("key-{n:03}"), "v");
        }
        client.batch(batch).await.unwrap();
        client.close().await.unwrap();
        let found = beginning_with(dir.path(), "key").await;
        assert_eq!(
            (found.len(), found.first().unwrap().as_str(), found.last().unwrap().as_str()),
            (MOST + 1, "key-000", "key")
        );
    }
}
