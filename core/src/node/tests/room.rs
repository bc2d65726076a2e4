//! A disk whose free space hovers at the limit.

use super::*;
use crate::node::room::QUIET;

fn tight() -> Bench {
    let mut config = Config::default();
    (config.log.first_segment, config.log.max_segment) = (64 << 10, 64 << 10);
    let mut bench = Bench::on(MemDisk::new(), config, 1);
    bench.full = true;
    assert!((0..9).any(|_| !bench.wrote(60_000)), "there is an end to it");
    bench
}

impl Bench {
    /// Whether there was room for a value of this length.
    fn wrote(&mut self, len: usize) -> bool {
        let request = self.put("k", &format!("{}{}", self.replies.len(), "v".repeat(len)));
        self.run();
        let result = self.answer(request).unwrap().as_ref().map(|_| ());
        assert!(result.is_ok_and(|()| true) || result.is_err_and(|error| error.code() == Code::DiskFull));
        result.is_ok()
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        if self.node.poll_timeout().is_some_and(|at| at <= self.now.mono) {
            self.node.handle(self.now, Input::Timeout);
        }
        self.run();
    }

    fn told(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }
}

#[test]
fn a_disk_that_hovers_at_its_limit_is_told_of_once() {
    let mut bench = tight();
    assert!(matches!(bench.told()[..], [Event::DiskFull { .. }]));
    for _ in 0..20 {
        assert!(bench.wrote(10), "what is small fits where the log ends");
        bench.pass(Duration::from_secs(2));
        assert!(!bench.wrote(60_000), "what is large does not");
        bench.pass(Duration::from_secs(2));
    }
    assert_eq!((bench.told(), bench.node.status().health), (vec![], Health::DiskFull));
}

#[test]
fn room_is_told_of_when_there_has_been_some_for_a_while() {
    let mut bench = tight();
    bench.told();
    bench.full = false;
    bench.pass(QUIET * 2);
    assert_eq!(bench.told(), [], "nobody has tried");
    bench.full = true;
    assert!(!bench.wrote(60_000));
    bench.full = false;
    bench.pass(Duration::from_secs(1));
    assert!(bench.wrote(60_000));
    assert_eq!((bench.told(), bench.node.status().health), (vec![], Health::DiskFull), "it may have been luck");
    bench.pass(QUIET - Duration::from_secs(2));
    assert_eq!(bench.told(), []);
    bench.pass(Duration::from_secs(1));
    assert_eq!((bench.told(), bench.node.status().health), (vec![Event::DiskRoom], Health::Ready));
    bench.pass(QUIET * 2);
    assert_eq!(bench.told(), []);
}
