//! A node under a service manager: it says when it is ready, that it is alive, and that it stops.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Node, Place};

/// The socket of a service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn at(place: &Place) -> Self {
        let socket = UnixDatagram::bind(place.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(socket)
    }

    /// The next thing that is told, by its first line.
    fn hears(&self) -> String {
        let mut buffer = [0; 256];
        let count = self.0.recv(&mut buffer).expect("something is told in time");
        String::from_utf8_lossy(&buffer[..count]).lines().next().unwrap().to_owned()
    }
}

fn start(place: &Place, args: &[&str], notify: &str, watchdog: &str) -> Node {
    let mut command = place.command(&[&["--json", "--log-format", "json"], args].concat());
    command.env("NOTIFY_SOCKET", notify).env("WATCHDOG_USEC", watchdog);
    Node::of(command)
}

/// The settings of the unit in `docs/deploy`.
fn unit() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deploy/softadastra.service");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.is_empty());
    lines.map(|line| line.split_once('=').unwrap()).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_command_of_the_unit_tells_when_it_is_ready_alive_and_stopping() {
    let unit = unit();
    assert_eq!((unit["Type"].as_str(), unit["Restart"].as_str()), ("notify", "on-failure"));
    assert!(unit["WatchdogSec"].ends_with('s') && unit["RestartPreventExitStatus"] == "2");
    let command = &unit["ExecStart"];
    let args = command.strip_prefix("/usr/local/bin/softadastra --data-dir /var/lib/softadastra ").unwrap();
    let args: Vec<&str> = args.split(' ').collect();

    let place = Place::new();
    let manager = Manager::at(&place);
    let notify = place.path().join("notify");
    let node = start(&place, &args, notify.to_str().unwrap(), "200000");
    assert_eq!(manager.hears(), "READY=1");
    assert_eq!(place.run(&["node", "info", "--json"]).data("softadastra.node/1")["running"], true);
    for _ in 0..3 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    assert_eq!(node.stop().code, 0);
    while let told = manager.hears()
        && told != "STOPPING=1"
    {
        assert_eq!(told, "WATCHDOG=1");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_is_told_as_well_and_nothing_more_without_a_watchdog() {
    use std::os::linux::net::SocketAddrExt as _;
    let place = Place::new();
    let name = format!("softadastra-test-{}", place.path().file_name().unwrap().to_str().unwrap());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager(UnixDatagram::bind_addr(&address).unwrap());
    manager.0.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let node = start(&place, &["node", "start"], &format!("@{name}"), "0");
    assert_eq!(manager.hears(), "READY=1");
    node.stop();
    assert_eq!(manager.hears(), "STOPPING=1");
}

#[test]
fn a_manager_that_does_not_listen_is_told_in_the_log_and_holds_up_nothing() {
    for (nowhere, watchdog) in [("/nonexistent/notify", "20000"), ("no-path", "20000")] {
        let place = Place::new();
        let node = start(&place, &["node", "start"], nowhere, watchdog);
        place.run(&["store", "put", "k", "v"]).ok();
        let ran = node.stop();
        assert_eq!(ran.code, 0);
        let told: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let unheard: Vec<&Value> = told.iter().filter(|line| line["event"] == "service_manager_unheard").collect();
        assert!(!unheard.is_empty() && unheard.len() < 10, "said, and not for ever: {told:#?}");
        assert_eq!((&unheard[0]["level"], &unheard[0]["retry"]), (&"WARN".into(), &"after_a_change".into()));
    }
}
