//! How long a put on one node takes to be visible on another, over loopback, when nothing else goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::engine::Fault;
use crate::engines::baseline;
use crate::net::nodes::{close, delivered, join, key_of, listen, open, runtime};
use crate::net::noise;
use crate::plan::{Cell, Figure, Group, NODE};
use crate::sample::latencies;

const PUTS: u64 = 500;
const PAUSE: Duration = Duration::from_millis(2);

/// The figure of the goal: what is left of the 99th percentile when 300 us are taken from it.
pub(crate) const IN_SYNCS: &str = "(p99 - 300 us) in sync times";

/// The cells.
pub(crate) fn cells(cells: &mut Vec<Cell>) {
    cells.push(Cell::scene(Group::Visible, NODE, "one put after the other", |dir| {
        // The disk's own time in the same round.
        let sync = baseline::raw(dir, Duration::from_millis(300))?.latency.value_at_quantile(0.5) as f64;
        runtime()?.block_on(measure(dir, sync))
    }));
}

async fn measure(dir: &Path, sync: f64) -> Result<Vec<Figure>, Fault> {
    let (from, to) = (open(dir, "from").await?, open(dir, "to").await?);
    let address = listen(&from).await?;
    join(&to, &from, address).await?;
    let mut seen = to.watch(Bytes::new(), to.last_lsn()?)?;
    let (mut there, mut here) = (latencies(), latencies());
    for number in 0..PUTS + 50 {
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        let answer = async {
            from.put(key_of(number), noise(number, 100)).await?;
            Ok::<_, Fault>(began.elapsed())
        };
        let sight = async {
            let change = seen.next().await.ok_or("the other node has closed")?;
            let took = began.elapsed();
            if change.key == key_of(number) { Ok(took) } else { Err::<_, Fault>("another key than the one put".into()) }
        };
        let (answered, sighted) = tokio::try_join!(answer, sight)?;
        // The first ones find threads and caches cold.
        if number >= 50 {
            here.saturating_record(answered.as_micros() as u64);
            there.saturating_record(sighted.as_micros() as u64);
        }
    }
    delivered(&from).await?;
    close(&[&from, &to]).await?;
    let at = |quantile| there.value_at_quantile(quantile) as f64;
    Ok(vec![
        Figure::of(NODE, "one sync of the disk, us", sync),
        Figure::of(NODE, "answered, p50, us", here.value_at_quantile(0.5) as f64),
        Figure::of(NODE, "visible on the other, p50, us", at(0.5)),
        Figure::of(NODE, "p99, us", at(0.99)),
        Figure::of(NODE, IN_SYNCS, (at(0.99) - 300.0) / sync),
    ])
}
