//! Programs on a host: they write, read what they wrote, and read what others wrote.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use softadastra::{Batch, Client, Error, LocalState, ScanOptions};
use tokio::time::sleep;

use super::host::{Host, hold};
use super::memory::{Memory, Number, Told, parse};
use crate::chance;

/// Keys that all programs write begin so.
pub const SHARED: &[u8] = b"shared/";

const OWN_KEYS: u64 = 4;
const SHARED_KEYS: u64 = 3;

/// How often everything that is there is read.
const READ_EVERY: Duration = Duration::from_millis(40);

/// Writes one thing after the other, until peace or the end of the machine.
pub async fn program(host: Arc<Host>, client: Client, program: usize) {
    let (Some(script), Some(memories)) =
        (host.common.script.hosts.get(host.index), host.common.memories.get(host.index))
    else {
        return;
    };
    let Some(memory) = memories.get(program) else { return };
    let name = format!("{}.{program}", host.name);
    while host.common.is_busy() {
        let number = hold(memory).number();
        let bits = |what| {
            chance::mix(chance::mix(host.common.script.seed, host.index as u64, 400 + program as u64), number, what)
        };
        sleep(Duration::from_millis(chance::below(bits(0), script.pause + 1))).await;
        let value = hold(memory).value(number);
        let own = |suffix: &str| format!("{name}/{suffix}");
        let key = own(&chance::below(bits(1), OWN_KEYS).to_string());
        let result = match chance::below(bits(2), 10) {
            0 => {
                hold(memory).begin(vec![(key.clone(), None)]);
                client.remove(key.clone()).await.map(drop)
            }
            1 | 2 => {
                hold(memory).begin(vec![(own("twin/a"), Some(number)), (own("twin/b"), Some(number))]);
                let mut batch = Batch::new();
                batch.put(own("twin/a"), value.clone()).put(own("twin/b"), value);
                client.batch(batch).await.map(drop)
            }
            3 | 4 => {
                hold(memory).begin_shared(number);
                let shared = [SHARED, chance::below(bits(3), SHARED_KEYS).to_string().as_bytes()].concat();
                client.put(shared, value).await.map(drop)
            }
            _ => {
                hold(memory).begin(vec![(key.clone(), Some(number))]);
                client.put(key.clone(), value).await.map(drop)
            }
        };
        let told = take(&result);
        hold(memory).answered(told);
        host.common.record.mark(format!("write {}", as_str(told)));
        match &result {
            Ok(()) => host.note(format_args!("{name} wrote {number}")),
            Err(error) => host.note(format_args!("{name} was refused {number} ({}): {error}", as_str(told))),
        }
        if let Err(error) = read_own(&host, &client, memory) {
            host.broken(format_args!("{error}"));
        }
    }
}

fn take(result: &Result<(), Error>) -> Told {
    match result {
        Ok(()) => Told::Acknowledged,
        Err(error) if error.local() == LocalState::Unknown => Told::Unknown,
        Err(_) => Told::Refused,
    }
}

const fn as_str(told: Told) -> &'static str {
    match told {
        Told::Acknowledged => "acknowledged",
        Told::Refused => "refused",
        Told::Unknown => "unknown",
    }
}

/// A program reads what it wrote.
fn read_own(host: &Host, client: &Client, memory: &Mutex<Memory>) -> Result<(), String> {
    let mut memory = hold(memory);
    let keys: Vec<String> = memory.keys().map(str::to_owned).collect();
    for key in keys {
        let value = client.get(&key).map_err(|error| format!("{key} cannot be read: {error}"))?;
        let number = value.as_ref().and_then(|value| parse(&value.bytes)).map(|(_, number)| number);
        memory.read_at_home(&key, number, false)?;
        hold(&host.seen).read(&key, number)?;
    }
    Ok(())
}

/// Reads everything again and again.
pub async fn readers(host: Arc<Host>, client: Client) {
    loop {
        if let Err(error) = read(&host, &client, false) {
            host.broken(format_args!("{error}"));
        }
        sleep(READ_EVERY).await;
    }
}

/// Reads everything at one instant and holds it against what programs were told and readers have seen. `reopened`: no
/// program of this host has written since the node was opened, and all bytes are looked at again.
///
/// # Errors
/// The promise that is broken.
pub fn read(host: &Host, client: &Client, reopened: bool) -> Result<(), String> {
    let page = match client.scan(&ScanOptions { limit: 10_000, ..ScanOptions::default() }) {
        Ok(page) => page,
        Err(error) => return Err(format!("reading fails: {error}")),
    };
    let mut shown: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen = hold(&host.seen);
    for item in &page.items {
        let key = String::from_utf8_lossy(&item.key).into_owned();
        let (program, number) = parse(&item.value.bytes).ok_or_else(|| format!("{key} shows what nobody wrote"))?;
        let memory = host.common.memory(program).ok_or_else(|| format!("{key} shows what no program wrote"))?;
        let fresh = seen.is_fresh(&key, (program, number)) || reopened;
        memory.read_anywhere(&key, number, &item.value.bytes, fresh)?;
        shown.insert(key, number);
    }
    let of = |key: &str| -> Number { shown.get(key).copied() };
    for memories in &host.common.memories {
        for memory in memories {
            let keys: Vec<String> = hold(memory).keys().map(str::to_owned).collect();
            keys.iter().try_for_each(|key| seen.read(key, of(key)))?;
        }
    }
    for mut memory in host.memories() {
        let keys: Vec<String> = memory.keys().map(str::to_owned).collect();
        keys.iter().try_for_each(|key| memory.read_at_home(key, of(key), reopened))?;
        let twins: Vec<Number> = keys.iter().filter(|key| key.contains("/twin/")).map(|key| of(key)).collect();
        if twins.windows(2).any(|pair| matches!(pair, [a, b] if a != b)) {
            return Err(format!("{keys:?}: of two keys written together one shows another write: {twins:?}"));
        }
    }
    Ok(())
}
