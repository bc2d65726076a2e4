//! A node that takes links, is stopped, killed, frozen and started again.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::{PATIENCE, until};
use crate::support::{Node, Place, Ran};

/// Where peers listen at their first start: loopback, any free port.
const ANYWHERE: &str = "127.0.0.1:0";

/// A node in a place of its own.
pub(super) struct Peer {
    name: String,
    place: Place,
    /// Where it listened last, and listens again.
    listen: String,
    address: String,
    options: Vec<String>,
    node: Option<Node>,
}

/// What a node says of itself and of what it delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) digest: String,
    pub(super) exact: bool,
    /// What it claims to hold of each history.
    pub(super) vector: Vec<(String, u64)>,
    pub(super) accepted: u64,
    pub(super) acknowledged: u64,
    /// Queued, in flight, failed.
    pub(super) rest: (u64, u64, u64),
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) taken: u64,
    pub(super) divergences: u64,
}

impl State {
    /// Own operations that nobody else is known to hold.
    pub(super) fn pending(&self) -> u64 {
        self.rest.0 + self.rest.1 + self.rest.2
    }
}

impl Peer {
    /// A node that was never started.
    pub(super) fn new(name: &str) -> Self {
        Self::with(name, &[])
    }

    /// A node that is always started with these options.
    pub(super) fn with(name: &str, options: &[&str]) -> Self {
        Self::at(Place::empty(), name, options)
    }

    /// The same, in this place.
    pub(super) fn at(place: Place, name: &str, options: &[&str]) -> Self {
        place.run(&["init", "--node-id", name]).ok();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self { name: name.to_owned(), place, listen: ANYWHERE.to_owned(), address: String::new(), options, node: None }
    }

    /// Listens elsewhere from the next start on.
    pub(super) fn listening_at(mut self, listen: &str) -> Self {
        self.listen = listen.to_owned();
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it, at the address where it was before, and waits until it takes links there.
    pub(super) fn up(&mut self) {
        self.up_with(&[]);
    }

    /// Starts it with these options besides its own.
    pub(super) fn up_with(&mut self, more: &[&str]) {
        assert!(self.node.is_none(), "{} runs already", self.name);
        let mut options = vec!["--listen", &self.listen];
        options.extend(self.options.iter().map(String::as_str));
        options.extend(more);
        self.node = Some(self.place.start_with(&options));
        // A port that somebody else has taken in the meantime is waited for.
        until("it takes links", || !self.listening().is_empty());
        self.address = self.listening().remove(0);
        if self.listen == ANYWHERE {
            self.listen.clone_from(&self.address);
        }
    }

    /// Where it takes links.
    pub(super) fn listening(&self) -> Vec<String> {
        let listening = self.ask("/v1/node")["listening"].clone();
        listening.as_array().unwrap().iter().map(|address| address.as_str().unwrap().to_owned()).collect()
    }

    /// Where others dial it.
    pub(super) fn address(&self) -> &str {
        assert!(!self.address.is_empty(), "{} was never started", self.name);
        &self.address
    }

    pub(super) fn node(&self) -> &Node {
        self.node.as_ref().unwrap_or_else(|| panic!("{} is down", self.name))
    }

    /// Kills it as a crash would.
    pub(super) fn kill(&mut self) {
        self.node.take().unwrap_or_else(|| panic!("{} is down", self.name)).kill();
    }

    /// Stops it in order.
    pub(super) fn stop(&mut self) -> Ran {
        let ran = self.node.take().unwrap_or_else(|| panic!("{} is down", self.name)).stop();
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }

    /// Stops its process without telling it, or lets it run on.
    pub(super) fn freeze(&self, frozen: bool) {
        self.node().signal(if frozen { Signal::STOP } else { Signal::CONT });
    }

    pub(super) fn log(&self) -> String {
        self.node.as_ref().map_or_else(|| "it is down".to_owned(), Node::log)
    }

    /// Waits until it has logged this.
    #[track_caller]
    pub(super) fn until_logged(&self, text: &str) {
        let begun = Instant::now();
        while !self.log().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "{} does not log {text:?}:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) fn run(&self, args: &[&str]) -> Ran {
        self.place.run(args)
    }

    /// Runs a command with this on standard input.
    pub(super) fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        self.place.run_with(args, input)
    }

    /// The ticket with which others join, at this address if it is given.
    pub(super) fn ticket(&self, address: Option<&str>) -> String {
        let mut args = vec!["--json", "ticket"];
        args.extend(address.map(|address| ["--address", address]).into_iter().flatten());
        self.run(&args).data("softadastra.ticket/1")["ticket"].as_str().unwrap().to_owned()
    }

    /// Joins the network of another one, and dials it for ever.
    pub(super) fn join(&self, other: &Peer) {
        self.join_at(other, None);
    }

    /// Joins the network of another one, and dials it at this address.
    pub(super) fn join_at(&self, other: &Peer, address: Option<&str>) {
        self.run(&["join", &other.ticket(address)]).ok();
    }

    /// Writes, and gives how long that took, start of the command included.
    pub(super) fn put(&self, key: &str, value: &str) -> Duration {
        let begun = Instant::now();
        self.run(&["store", "put", key, value]).ok();
        begun.elapsed()
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        let ran = self.run(&["store", "get", key, "--raw"]);
        (ran.code == 0).then(|| ran.out())
    }

    pub(super) fn import(&self, records: &str) {
        self.run_with(&["store", "import", "--quiet"], records.as_bytes()).ok();
    }

    /// All of it, in the order of keys.
    pub(super) fn export(&self) -> Vec<u8> {
        let ran = self.run(&["store", "export", "--quiet"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    }

    /// What a route of the running node answers.
    #[track_caller]
    pub(super) fn ask(&self, path: &str) -> Value {
        let mut socket = UnixStream::connect(self.control()).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        let document: Value = serde_json::from_str(body).unwrap();
        document["data"].clone()
    }

    fn control(&self) -> PathBuf {
        self.place.data().join("control.sock")
    }

    /// Keys that have a value.
    pub(super) fn keys(&self) -> u32 {
        number(&self.ask("/v1/store/size")["keys"]) as u32
    }

    /// Keys and delivery at one moment: no other operation comes in between.
    pub(super) fn state(&self) -> State {
        let digest = self.ask("/v1/status")["digest"].as_str().unwrap().to_owned();
        State { digest, ..self.delivery(&self.ask("/v1/sync")) }
    }

    /// The same of a node that does not run, opened for this alone.
    pub(super) fn state_at_rest(&self) -> State {
        assert!(self.node.is_none(), "{} runs", self.name);
        let digest =
            self.run(&["--json", "status"]).data("softadastra.status/1")["digest"].as_str().unwrap().to_owned();
        State { digest, ..self.delivery(&self.run(&["--json", "sync", "status"]).data("softadastra.sync/1")) }
    }

    fn delivery(&self, sync: &Value) -> State {
        let delivery = &sync["delivery"];
        let [accepted, acknowledged, queued, in_flight, failed] =
            ["accepted", "acknowledged", "queued", "in_flight", "failed"].map(|name| number(&delivery[name]));
        assert_eq!(acknowledged + queued + in_flight + failed, accepted, "{}: {delivery}", self.name);
        assert_eq!(sync["halted"], Value::Null, "{}: {sync}", self.name);
        let claims = sync["vector"].as_array().unwrap().iter();
        let vector = claims.map(|claim| (claim["replica_id"].as_str().unwrap().to_owned(), number(&claim["seq"])));
        let [sent, received, taken] = ["sent", "received", "taken"].map(|name| number(&sync["traffic"][name]));
        State {
            digest: String::new(),
            exact: sync["exact"].as_bool().unwrap(),
            vector: vector.collect(),
            accepted,
            acknowledged,
            rest: (queued, in_flight, failed),
            sent,
            received,
            taken,
            divergences: number(&sync["divergences"]),
        }
    }

    /// What `peers` says of the other one; nothing when it does not know that name.
    pub(super) fn peer(&self, name: &str) -> Option<Value> {
        let peers = self.ask("/v1/peers")["peers"].as_array().unwrap().clone();
        peers.into_iter().find(|peer| peer["node_id"] == name)
    }

    /// Waits until the link to this one is in a state.
    #[track_caller]
    pub(super) fn until_peer(&self, name: &str, state: &str) {
        until(&format!("{} has {name} {state}", self.name), || {
            self.peer(name).is_some_and(|peer| peer["state"] == state)
        });
    }
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a count"))
}
