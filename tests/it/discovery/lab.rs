//! Hosts with network stacks of their own on one switch: network namespaces of Linux. Nothing outside of them is touched.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::{Node, Place};

/// Some hosts, each with an interface `eth0`, and the switch that they are plugged into.
pub(super) struct Lab {
    prefix: String,
    hosts: Vec<String>,
}

static LABS: AtomicU64 = AtomicU64::new(0);

impl Lab {
    /// Hosts of these names with the addresses 10.77.0.1, 10.77.0.2, ... and link-local ones. `None`, said aloud, where the
    /// system gives no namespaces.
    pub(super) fn of(hosts: &[&str]) -> Option<Self> {
        let prefix = format!("sad{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let mut lab = Self { prefix, hosts: Vec::new() };
        // Only what a system may not have is a reason not to test: everything after that must work.
        if let Err(why) = lab.try_out() {
            let text = format!("\nLOUD: not tested, because this system gives no network namespaces: {why}\n");
            // Past the capture of the test harness: this must be seen.
            io::stderr().write_all(text.as_bytes()).expect("stderr is there");
            return None;
        }
        for (index, host) in hosts.iter().enumerate() {
            lab.plug(host, &format!("10.77.0.{}/24", index + 1));
        }
        Some(lab)
    }

    /// Makes the switch, and an interface that is thrown away.
    fn try_out(&mut self) -> Result<(), String> {
        let switch = self.name("switch");
        ip(&["netns", "add", &switch])?;
        self.hosts.push("switch".to_owned());
        ip(&["-n", &switch, "link", "add", "name", "try0", "type", "veth", "peer", "name", "try1"])?;
        ip(&["-n", &switch, "link", "del", "dev", "try0"])?;
        ip(&["-n", &switch, "link", "add", "name", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "dev", "br0", "up"])
    }

    fn plug(&mut self, host: &str, address: &str) {
        let (name, cable) = (self.name(host), cable(host));
        ip(&["netns", "add", &name]).expect("one more namespace");
        self.hosts.push(host.to_owned());
        // Addresses are there at once, instead of after seconds of asking whether somebody else has them.
        let no_wait = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad";
        ip(&["netns", "exec", &name, "sh", "-c", no_wait]).expect("a namespace has settings");
        self.ip("switch", &["link", "add", "name", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name]);
        self.ip("switch", &["link", "set", "dev", &cable, "master", "br0", "up"]);
        self.ip(host, &["link", "set", "dev", "lo", "up"]);
        self.ip(host, &["addr", "add", address, "brd", "+", "dev", "eth0"]);
        self.ip(host, &["link", "set", "dev", "eth0", "up"]);
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Runs `ip` for a host.
    #[track_caller]
    pub(super) fn ip(&self, host: &str, args: &[&str]) {
        let name = self.name(host);
        ip(&[&["-n", &name], args].concat()).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Pulls the cable of a host.
    pub(super) fn cut_off(&self, host: &str) {
        self.ip("switch", &["link", "set", "dev", &cable(host), "down"]);
    }

    /// Plugs it in again.
    pub(super) fn plug_in(&self, host: &str) {
        self.ip("switch", &["link", "set", "dev", &cable(host), "up"]);
    }

    /// A program on a host.
    pub(super) fn command(&self, host: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host)]).arg(program);
        command
    }

    /// Starts a node on a host.
    pub(super) fn start(&self, host: &str, place: &Place, options: &[&str]) -> Node {
        let node = place.command(&["--json", "node", "start"]);
        let mut command = self.command(host, node.get_program());
        command.args(node.get_args()).args(options);
        for (name, value) in node.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Node::of(command)
    }

    /// Sends datagrams from a host to these places, in bursts as fast as it can.
    pub(super) fn flood(&self, host: &str, to: &'static [&'static str], datagram: Vec<u8>) -> Flood {
        let place = format!("/run/netns/{}", self.name(host));
        let on = Arc::new(AtomicBool::new(true));
        let go_on = on.clone();
        let thread = std::thread::spawn(move || {
            let namespace = std::fs::File::open(&place).expect("the namespace is there");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
            let socket = UdpSocket::bind("0.0.0.0:0").expect("there is a free port");
            let mut sent = 0;
            while go_on.load(Ordering::Relaxed) {
                // Several times what the queue of a socket holds, again and again. If it were full at all times, no friend's
                // datagram would get in, whatever the node did.
                for _ in 0..250 {
                    sent += to.iter().filter(|at| socket.send_to(&datagram, at).is_ok()).count() as u64;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            sent
        });
        Flood { on, thread: Some(thread) }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &self.hosts {
            drop(ip(&["netns", "del", &self.name(host)]));
        }
    }
}

/// Runs until it is ended or dropped.
pub(super) struct Flood {
    on: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Flood {
    /// Ends it, and says how many datagrams were sent.
    pub(super) fn end(mut self) -> u64 {
        self.on.store(false, Ordering::Relaxed);
        self.thread.take().expect("ended once").join().expect("it ran well")
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
    }
}

/// The interface of the switch that leads to a host.
fn cable(host: &str) -> String {
    format!("to-{host}")
}

fn ip(args: &[&str]) -> Result<(), String> {
    let ran: io::Result<Output> = Command::new("ip").args(args).stdin(Stdio::null()).output();
    match ran {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim())),
        Err(error) => Err(format!("ip (of the package iproute2) cannot be run: {error}")),
    }
}
