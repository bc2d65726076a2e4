//! The near-limit of replication: a log on each side with group commit, and the same frames over TCP. It has no
//! versions, no conflicts, no encryption, no third node, and starts from nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use super::pair::{Follower, PATIENCE, Run, Side, frame};
use super::{noise, spread};
use crate::engine::{Fault, Key};
use crate::work::key;

/// Bytes of a value.
const VALUE: usize = 100;
/// A record: length of the value, key, value.
const RECORD: usize = 4 + 16 + VALUE;

/// An ordered map; a frame holds keys and values as they are.
#[derive(Default)]
pub(crate) struct Records(BTreeMap<Key, Vec<u8>>);

impl Side for Records {
    fn write(&mut self, first: u64, count: u64, frame: &mut Vec<u8>) -> Result<(), Fault> {
        frame.reserve(RECORD * count as usize);
        for number in first..first + count {
            frame.extend_from_slice(&(VALUE as u32).to_le_bytes());
            frame.extend_from_slice(&key(spread(number)));
            frame.extend_from_slice(&noise(number, VALUE));
        }
        Ok(())
    }

    fn written(&mut self, body: &[u8]) -> Result<(), Fault> {
        self.apply(body).map(drop)
    }

    fn apply(&mut self, body: &[u8]) -> Result<u64, Fault> {
        for record in body.chunks_exact(RECORD) {
            self.0.insert(Key::try_from(&record[4..20])?, record[20..].to_vec());
        }
        Ok((body.len() / RECORD) as u64)
    }
}

/// `count` records wait in the log of the primary; it connects, reads them from there and sends them.
///
/// # Errors
/// Those of disk and network.
pub(crate) fn catch_up(dir: &Path, count: u64) -> Result<Run, Fault> {
    let follower = Follower::start(&dir.join("there"), Records::default())?;
    let (path, mut here) = (dir.join("pending"), Records::default());
    let mut pending = Vec::new();
    for first in (0..count).step_by(1000) {
        pending.extend_from_slice(&frame(|body| here.write(first, 1000.min(count - first), body))?);
    }
    std::fs::write(&path, &pending)?;
    drop(pending);

    let began = Instant::now();
    let mut socket = TcpStream::connect(follower.address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut file = File::open(&path)?;
    let (mut piece, mut bytes) = (vec![0; 256 << 10], 0);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        socket.write_all(&piece[..read])?;
        bytes += read as u64;
    }
    let mut word = [0; 8];
    while u64::from_le_bytes(word) < count {
        socket.read_exact(&mut word)?;
        bytes += word.len() as u64;
    }
    let took = began.elapsed();
    socket.shutdown(std::net::Shutdown::Write)?;
    follower.finish()?;
    Ok(Run { took, bytes })
}
