//! What one round of one cell measured: a rate, latencies, bytes that reached the device.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Latencies from 1 us to a minute, three digits.
#[must_use]
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order")
}

/// One round of one cell.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Operations a second, or whatever else the column says.
    pub(crate) value: f64,
    /// Microseconds of each operation; empty where single ones were not timed.
    pub(crate) latency: Histogram<u64>,
    /// Bytes written to the device per operation, by anybody on this machine; `None` where the kernel does not tell.
    pub(crate) device: Option<f64>,
    /// Microseconds of processor time per operation, of all threads of this program, in user mode and in the kernel;
    /// `None` where it was not counted.
    pub(crate) cpu: Option<f64>,
}

impl Sample {
    /// A figure of which nothing else is known.
    #[must_use]
    pub(crate) fn of(value: f64) -> Self {
        Self { value, latency: latencies(), device: None, cpu: None }
    }
}

/// Measures one round.
pub(crate) struct Stopwatch {
    began: Instant,
    cpu: Duration,
    device: Option<Device>,
    latency: Histogram<u64>,
    operations: u64,
}

impl Stopwatch {
    /// Begins a round on the device that `dir` lies on.
    #[must_use]
    pub(crate) fn start(dir: &Path) -> Self {
        Self { device: Device::of(dir), latency: latencies(), operations: 0, cpu: cpu_time(), began: Instant::now() }
    }

    /// How long the round has lasted.
    #[must_use]
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// One operation, asked for at `began`, is answered now.
    pub(crate) fn done(&mut self, began: Instant) {
        self.latency.saturating_record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX).max(1));
        self.operations += 1;
    }

    /// So many operations are done; nobody timed each.
    pub(crate) fn count(&mut self, operations: u64) {
        self.operations += operations;
    }

    /// Takes over what threads of the round have measured.
    pub(crate) fn add(&mut self, latency: &Histogram<u64>) {
        self.operations += latency.len();
        self.latency.add(latency).expect("all histograms have one shape");
    }

    /// Ends the round.
    #[must_use]
    pub(crate) fn stop(self) -> Sample {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu = cpu_time().saturating_sub(self.cpu).as_secs_f64() * 1e6;
        let operations = self.operations.max(1) as f64;
        let device = self.device.and_then(|device| device.written()).map(|bytes| bytes as f64);
        Sample {
            value: self.operations as f64 / seconds,
            latency: self.latency,
            device: device.map(|bytes| bytes / operations),
            cpu: Some(cpu / operations),
        }
    }
}

/// What this program has had of the processors.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The kernel's own count of sectors written to a block device.
struct Device {
    stat: PathBuf,
    before: u64,
}

impl Device {
    fn of(dir: &Path) -> Option<Self> {
        let dev = std::fs::metadata(dir).ok()?.dev();
        let (major, minor) = ((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff_ff00));
        let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
        let before = Self::sectors(&stat)?;
        Some(Self { stat, before })
    }

    /// The seventh figure of the line, always in units of 512 bytes (kernel documentation, block/stat).
    fn sectors(stat: &Path) -> Option<u64> {
        std::fs::read_to_string(stat).ok()?.split_whitespace().nth(6)?.parse().ok()
    }

    fn written(&self) -> Option<u64> {
        Some(Self::sectors(&self.stat)?.saturating_sub(self.before) * 512)
    }
}

/// The value in the middle; of two, the lower.
#[must_use]
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
