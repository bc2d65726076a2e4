//! Every setting, said once: its name, its default, what it means. The configuration file that `config init` writes, what
//! `config show` prints, and the check that the documents name every setting come from here.

/// What is to be known of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub(super) key: Key,
    /// Its heading in the configuration file.
    pub group: &'static str,
    /// Its name, the same in all layers.
    pub name: &'static str,
    /// What holds when nobody sets it.
    pub default: Preset,
    /// What it means and why the default is what it is, in lines of a comment.
    pub about: &'static str,
}

/// What holds when nobody sets a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This value, as it stands in a configuration file.
    Value(&'static str),
    /// No fixed value.
    Varies {
        /// What holds then.
        is: &'static str,
        /// A value that could be set.
        example: &'static str,
    },
}

impl Preset {
    /// A value as it stands in a configuration file: the default, or an example where that varies.
    #[must_use]
    pub const fn sample(self) -> &'static str {
        match self {
            Self::Value(value) => value,
            Self::Varies { example, .. } => example,
        }
    }

    /// The default for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Value(value) => value.trim_matches(['"', '[', ']']),
            Self::Varies { is, .. } => is,
        }
    }
}

macro_rules! catalog {
    ($($group:literal { $($key:ident = $name:literal, $default:expr, $about:literal;)+ })+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Key { $($($key),+),+ }

        impl Key {
            pub(super) const fn name(self) -> &'static str {
                match self { $($(Self::$key => $name),+),+ }
            }
        }

        /// Every setting, in the order of the configuration file.
        pub const CATALOG: &[Setting] = &[
            $($(Setting { key: Key::$key, group: $group, name: $name, default: $default, about: $about }),+),+
        ];
    };
}

use Preset::{Value, Varies};

catalog! {
    "The node" {
        DataDir = "data_dir",
            Varies { is: "~/.local/share/softadastra", example: r#""/var/lib/softadastra""# },
            "Where the node keeps its data. Only in a file outside of the data directory.\n\
             Default: $XDG_DATA_HOME/softadastra, else ~/.local/share/softadastra.";
        NodeId = "node_id",
            Varies { is: "the name the directory was born with", example: r#""till-1""# },
            "The operator's name of the node: 1 to 64 of [A-Za-z0-9._-]. One that differs from the\n\
             directory's is refused: it says that this is the wrong directory.";
        LockWait = "lock_wait",
            Varies { is: "5s for `node start` (not at all when a node answers there), 1s else", example: r#""5s""# },
            "How long to wait for another process to let go of the data directory.";
        Timeout = "timeout", Value(r#""1m""#),
            "How long a command waits for each answer of the node that runs there; 0s: as long as it takes.\n\
             Where an answer may take long, such as that to backup, the silence of the node is what counts.";
    }
    "The log and the store" {
        Durability = "durability", Value(r#""always""#),
            "When a write is answered: always (synced: it survives a power cut), or a sync interval such\n\
             as 100ms (a power cut may take that much).";
        MaxValueLen = "max_value_len", Value(r#""1MiB""#),
            "The greatest value, at most 64MiB. A larger one holds up all behind it on a slow link.";
        MaxPendingBytes = "max_pending_bytes", Value(r#""64MiB""#),
            "Writes that may wait for the disk before further ones wait outside.";
        FirstSegment = "first_segment", Value(r#""1MiB""#),
            "The size of the first log segment, 64KiB to 1GiB. Each has twice the size of the one before.";
        MaxSegment = "max_segment", Value(r#""64MiB""#),
            "The size to which segments grow.";
        SnapshotAfter = "snapshot_after", Value(r#""16MiB""#),
            "A snapshot is taken when the log has outgrown this, and the live data.";
    }
    "Links" {
        Listen = "listen",
            Varies { is: "nowhere", example: r#"["0.0.0.0:4444", "[::]:4444"]"# },
            "Where to take links: HOST:PORT each. A node that only dials needs no open port.";
        Peers = "peers",
            Varies { is: "none", example: r#"["192.0.2.10:4444"]"# },
            "Whom to dial besides those remembered in network.json: HOST:PORT, a ticket, a node id or a\n\
             public key each. A ticket holds the secret of the network: then keep this file at mode 0600.";
        Trust = "trust",
            Varies { is: "the strictest that there is something for", example: r#""network""# },
            "Whom to let in: network (whoever holds the secret), pinned (trusted keys), open (anybody).";
        Insecure = "insecure", Value("false"),
            "Take links from other machines although anybody may come in, to read and write everything.";
        Compress = "compress", Value("true"),
            "Compress what is sent where that pays. Lengths then tell a little about content.";
    }
    "Discovery" {
        Discovery = "discovery", Value(r#""off""#),
            "Find the other nodes of the network: off, listen (hear them, and send nothing) or announce (be\n\
             found as well). Datagrams are sealed with the secret of the network and say nothing about data,\n\
             but whoever is on the local network can read names, keys and addresses.";
        AutoConnect = "auto_connect", Value("false"),
            "Dial whoever is found. Needs the secret of a network, or a list of trusted keys.";
        DiscoveryMdns = "discovery_mdns", Value("false"),
            "List the node by mDNS/DNS-SD as a service of the type _softadastra._tcp, so that browsers of\n\
             services on the local network show it. Nothing else comes of it; it needs no discovery.\n\
             Only where every host there is trusted: any of them can fill the memory of the node then.";
        DiscoveryTargets = "discovery_targets", Value(r#"["multicast"]"#),
            "Where to announce and to ask: multicast, broadcast, IP or IP:PORT each. Routers pass on neither\n\
             of the first two.";
        DiscoveryInterfaces = "discovery_interfaces",
            Varies { is: "all that are up, but for point-to-point ones", example: r#"["eth0", "192.0.2.5"]"# },
            "Which interfaces to use, by name or address.";
        DiscoveryPort = "discovery_port", Value("4444"),
            "The UDP port, the same for all nodes. Several nodes of one machine share it.";
        DiscoveryAdvertise = "discovery_advertise",
            Varies { is: "where the node listens", example: r#"["198.51.100.7:4444"]"# },
            "Where links are taken, as others reach it: IP:PORT each. For a node behind a forwarded port.";
        DiscoveryInterval = "discovery_interval", Value(r#""30s""#),
            "The pause between announcements, 1s to 1h. The first ones come sooner.";
        DiscoveryStaleAfter = "discovery_stale_after", Value(r#""90s""#),
            "A node not heard for this long is stale; not below discovery_interval. Unless it is set: three\n\
             intervals, if that is more.";
        DiscoveryExpireAfter = "discovery_expire_after", Value(r#""5m""#),
            "A node not heard for this long is lost, and dialled no more; not below discovery_stale_after.\n\
             Unless it is set: ten intervals, if that is more.";
        DiscoveryPruneAfter = "discovery_prune_after", Value(r#""1h""#),
            "A node not heard for this long is shown no more; not below discovery_expire_after.";
    }
    "Delivery" {
        RequiredAcks = "required_acks", Value("1"),
            "How many other replicas must hold an operation durably before it counts as acknowledged.";
        AckTimeout = "ack_timeout", Value(r#""15s""#),
            "A link on which something stays unanswered for so long is made anew. Beyond what a slow disk\n\
             takes.";
        MaxRetries = "max_retries", Value("8"),
            "After so many broken links without progress, operations are shown as failed. They are kept\n\
             and tried on.";
        AutoTick = "auto_tick", Value("true"),
            "Send by itself; false: only `softadastra sync tick` sends, for links that cost money.";
        MemberLease = "member_lease", Value(r#""30d""#),
            "A replica not heard for so long no longer holds back the collection of deleted keys.";
    }
    "Conflicts and clocks" {
        ConflictPolicy = "conflict_policy", Value(r#""last_write_wins""#),
            "What stands when two writes to a key had not seen each other: last_write_wins, keep_local,\n\
             apply_remote, or keep_both (the later one stands, until somebody resolves it).";
        ClockPolicy = "clock_policy", Value(r#""warn""#),
            "What to do about a peer whose clock is off: warn, or refuse its links.";
        MaxClockSkew = "max_clock_skew", Value(r#""5m""#),
            "From where on a clock is off. Any time service keeps within it.";
    }
    "Metrics and console" {
        Http = "http",
            Varies { is: "nowhere", example: r#""127.0.0.1:9464""# },
            "Serve metrics, health and the console at this IP:PORT.";
        HttpExpose = "http_expose", Value("false"),
            "Serve them beyond this machine. Nothing is encrypted: put a proxy with TLS before it.";
    }
    "Output" {
        Log = "log",
            Varies { is: "by -v and -q: info for a node, warn else", example: r#""info""# },
            "What is logged: a filter such as info or softadastra=debug.";
        LogFormat = "log_format", Value(r#""human""#),
            "The form of log lines on standard error: human, or json (one object a line).";
        Color = "color", Value(r#""auto""#),
            "When to colour: auto (on a terminal, unless NO_COLOR is set), always, never.";
        Json = "json", Value("false"),
            "Answer in JSON.";
    }
}

impl Key {
    /// Whether a file may give it as a list.
    pub(super) const fn is_list(self) -> bool {
        matches!(
            self,
            Self::Listen | Self::Peers | Self::DiscoveryTargets | Self::DiscoveryInterfaces | Self::DiscoveryAdvertise
        )
    }

    pub(super) fn find(name: &str) -> Option<Self> {
        CATALOG.iter().find(|setting| setting.name == name).map(|setting| setting.key)
    }
}

/// The names of all settings, for messages and documentation.
pub fn names() -> impl Iterator<Item = &'static str> {
    CATALOG.iter().map(|setting| setting.name)
}

/// A configuration file with every setting in it, commented out, and what it means.
#[must_use]
pub fn commented_file() -> String {
    let mut text = String::from(
        "# Settings of a softadastra node. Each line that begins with `#` and a name shows the default, or an\n\
         # example where the default varies: remove the `#` to set it.\n\
         # The environment (SOFTADASTRA_DATA_DIR, ...) stands above this file, and flags above both.\n",
    );
    let mut group = "";
    for setting in CATALOG {
        if setting.group != group {
            group = setting.group;
            text.push_str(&format!("\n## {group}\n"));
        }
        text.push('\n');
        for line in setting.about.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        if let Preset::Varies { is, .. } = setting.default
            && !setting.about.contains("Default: ")
        {
            text.push_str(&format!("# Default: {is}.\n"));
        }
        text.push_str(&format!("#{} = {}\n", setting.name, setting.default.sample()));
    }
    text
}
