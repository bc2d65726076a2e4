//! A browser of services on a host of its own: the daemon and the browser of Avahi, as Linux desktops have them.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::lab::Lab;

/// How long a list may take to show a service, or to lose it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs with mounts and processes of its own, so that nothing that the machine runs is met, and all of it ends with the first
/// process. Prints list after list, each with a `.` at its end.
const SCRIPT: &str = "mount -t tmpfs none /run && mkdir /run/dbus /run/avahi-daemon && cd \"$1\" || exit 1
    dbus-daemon --nofork --nopidfile --config-file=bus.conf 2> bus.log &
    until [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
    avahi-daemon --no-drop-root --no-chroot --no-rlimits --file=avahi.conf 2> avahi.log &
    while sleep 0.2; do
        avahi-browse --parsable --resolve --no-db-lookup --terminate \"$2\" 2> browse.log && echo .
    done";

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"#;

const AVAHI: &str = "[server]\nallow-interfaces=eth0\n[publish]\ndisable-publishing=yes\n";

/// A browser at work. It ends when it is dropped.
pub(super) struct Browser {
    child: Child,
    lines: Receiver<String>,
    dir: tempfile::TempDir,
}

/// A service as a browser shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    /// Address and port.
    pub(super) at: String,
    pub(super) text: String,
}

impl Browser {
    /// Browses services of this type on a host. `None`, said aloud, where there is no Avahi.
    pub(super) fn on(lab: &Lab, host: &str, service: &str) -> Option<Self> {
        for (program, package) in
            [("avahi-browse", "avahi-utils"), ("avahi-daemon", "avahi-daemon"), ("dbus-daemon", "dbus-daemon")]
        {
            if let Err(error) = Command::new(program).arg("--version").stdout(Stdio::null()).status() {
                let text = format!("\nLOUD: no browser of services is tested: {program} ({package}): {error}\n");
                // Past the capture of the test harness: this must be seen.
                io::stderr().write_all(text.as_bytes()).expect("stderr is there");
                return None;
            }
        }
        let dir = tempfile::tempdir().expect("there is room for a directory");
        for (name, content) in [("bus.conf", BUS), ("avahi.conf", AVAHI)] {
            std::fs::write(dir.path().join(name), content).expect("there is room for a file");
        }
        let mut command = lab.command(host, "unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh"]);
        command.arg(dir.path()).arg(service).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("unshare starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            let mut told = stdout.lines().map_while(Result::ok);
            while told.next().is_some_and(|line| tell.send(line).is_ok()) {}
        });
        Some(Self { child, lines, dir })
    }

    /// Waits until a list is as wanted.
    #[track_caller]
    pub(super) fn shows(&self, what: &str, wanted: impl Fn(&[Listed]) -> bool) {
        let begun = Instant::now();
        let (mut list, mut before) = (Vec::new(), Vec::new());
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            match &line.split(';').collect::<Vec<_>>()[..] {
                ["=", _, _, name, _, _, _, address, port, text @ ..] => list.push(Listed {
                    name: (*name).to_owned(),
                    at: format!("{address} {port}"),
                    text: text.join(";"),
                }),
                ["."] if wanted(&list) => return,
                ["."] => before = std::mem::take(&mut list),
                _ => {}
            }
        }
        let log = |name| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        let logs = ["bus.log", "avahi.log", "browse.log"].map(log).concat();
        panic!("waited in vain until {what}; the latest list: {before:#?}\n{logs}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
