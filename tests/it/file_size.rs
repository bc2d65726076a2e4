//! A limit on the size of files is a full disk, not the end of the node.
#![cfg(target_os = "linux")]

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::{Node, Place};

impl Node {
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Pid::from_raw(self.pid().cast_signed()), Resource::Fsize, limit).expect("our own child");
    }
}

#[test]
fn a_node_outlives_the_file_size_limit() {
    let place = Place::new();
    let node = place.start();
    node.limit_files(Some(200 << 10));
    let value = "v".repeat(16 << 10);
    let mut runs = (0..64).map(|n| place.run(&["--json", "store", "put", &format!("k{n}"), &value]));
    let refused = runs.find(|ran| ran.code != 0).expect("the limit is met");
    assert!(refused.error()["message"].as_str().unwrap().contains("file size limit"), "{refused:?}");
    assert_eq!(refused.error()["code"], "disk_full", "{refused:?}");
    assert_eq!(place.run(&["store", "get", "k0"]).ok().trim_end(), value, "reads go on");
    node.stop();
    let _without_limit = place.start();
    assert_eq!(place.run(&["store", "get", "k0"]).ok().trim_end(), value);
    place.run(&["store", "put", "after", "v"]).ok();
}
