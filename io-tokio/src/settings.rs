//! What a person may set, and where each value came from: defaults < TOML file < `SOFTADASTRA_*` environment < flags.
//!
//! Every setting is one key with a text form, the same in all layers: `durability = "100ms"` in the file,
//! `SOFTADASTRA_DURABILITY=100ms` in the environment, `--set durability=100ms` on the command line. A key that is not
//! known is refused by name, wherever it stands.

use std::ffi::OsString;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt, fs, io};

use rustix::fs::{Mode, OFlags};
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::NodeId;

use self::catalog::Key;
use crate::control::remote::PATIENCE;
use crate::held_dir::only_a_file;
use crate::options::Durability;

mod catalog;
mod discovery;
mod network;
#[cfg(test)]
mod tests;

pub use self::catalog::{CATALOG, Preset, Setting, commented_file, names};
pub use self::discovery::DiscoverySettings;
pub use self::network::{ConflictPolicy, NetworkSettings};

/// The prefix of environment variables.
pub const ENV_PREFIX: &str = "SOFTADASTRA_";

/// The name of the configuration file inside a data directory.
pub const FILE_NAME: &str = "softadastra.toml";

/// The data directory, beside whoever starts, when the environment names no home.
const FALLBACK_DIR: &str = "softadastra-data";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
    /// This flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::Flag(name) => write!(f, "the flag {name}"),
        }
    }
}

/// The form of log lines on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Human,
    /// One JSON object per event.
    Json,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorSetting {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Every setting, resolved. `None` leaves the engine's own default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the node keeps its data. Default: `$XDG_DATA_HOME/softadastra`, else
    /// `$HOME/.local/share/softadastra`, else `softadastra-data` in the working directory.
    pub data_dir: PathBuf,
    /// The operator's name of the node. Default: the name the directory was born with.
    pub node_id: Option<NodeId>,
    /// When a write counts as accepted: `always`, or a sync interval such as `100ms`. Default `always`.
    pub durability: Durability,
    /// The greatest length of a value in bytes, at most 64 MiB. Default 1 MiB.
    pub max_value_len: Option<u64>,
    /// Bytes of writes that may wait for the disk. Default 64 MiB.
    pub max_pending_bytes: Option<u64>,
    /// The size of the first log segment. Default 1 MiB.
    pub first_segment: Option<u64>,
    /// The size to which segments grow. Default 64 MiB.
    pub max_segment: Option<u64>,
    /// The log must outgrow this before a snapshot is taken. Default 16 MiB.
    pub snapshot_after: Option<u64>,
    /// How long to wait for another process to let go of the data directory. Default: five seconds for `node start`, one
    /// second for other commands, so that two of them started together do not fail each other.
    pub lock_wait: Option<Duration>,
    /// How long a command waits for each answer of a running node; zero: as long as it takes. Default one minute.
    pub timeout: Duration,
    /// What is logged: an `EnvFilter` directive such as `info` or `softadastra=debug`. Default by `-v` and `-q`.
    pub log: Option<String>,
    /// The form of log lines. Default `human`.
    pub log_format: LogFormat,
    /// When output is coloured. Default `auto`.
    pub color: ColorSetting,
    /// JSON instead of tables. Default no.
    pub json: bool,
    /// Where metrics, health and the console are served. Default: nowhere.
    pub http: Option<SocketAddr>,
    /// Serve them at an address that other machines reach. Default no: nothing is encrypted.
    pub http_expose: bool,
    /// Links and sync.
    pub network: NetworkSettings,
    /// Finding other nodes.
    pub discovery: DiscoverySettings,
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    chosen: Vec<Chosen>,
}

/// A setting that somebody has set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chosen {
    key: Key,
    text: String,
    source: Source,
}

/// What the settings are made from, before any of it is read.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file named by `--config`.
    pub config: Option<PathBuf>,
    /// The environment; only `SOFTADASTRA_*` is looked at, and `XDG_DATA_HOME` and `HOME` for the default directory.
    pub env: Vec<(OsString, OsString)>,
    /// Flags: the flag's name, the key, the value.
    pub flags: Vec<(&'static str, String, OsString)>,
}

impl Layers {
    /// Layers with the environment of this process.
    #[must_use]
    pub fn from_process() -> Self {
        Self { env: env::vars_os().collect(), ..Self::default() }
    }

    fn env(&self, name: &str) -> Option<&OsString> {
        self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    /// Reads the layers, later ones over earlier ones.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] naming the key and where it stands, when a key is unknown or its value is not of its
    /// kind; [`Code::IoError`] or [`Code::NotFound`] when the named file cannot be read.
    pub fn resolve(&self) -> Result<Settings, Error> {
        let mut settings = Settings::defaults(self.default_data_dir());
        let upper = self.upper_layers()?;
        let set_above = upper.iter().rev().find(|item| item.key == Key::DataDir);
        if let Some(path) = self.config.clone().or_else(|| self.env("SOFTADASTRA_CONFIG").map(PathBuf::from)) {
            let text = read_file(&path).map_err(|error| unreadable(&path, &error))?;
            for item in file_layer(&path, &text)? {
                settings.apply(item)?;
            }
            settings.file = Some(path);
        } else {
            if let Some(item) = set_above {
                settings.apply(item.clone())?;
            }
            let path = settings.data_dir.join(FILE_NAME);
            match read_file(&path) {
                Ok(text) => {
                    for item in file_layer(&path, &text)? {
                        if item.key == Key::DataDir {
                            return Err(refused(
                                item.key.name(),
                                &item.source,
                                "a file inside a data directory cannot move it",
                            ));
                        }
                        settings.apply(item)?;
                    }
                    settings.file = Some(path);
                }
                // No file, or no such directory: whoever opens the directory says what is wrong with it.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                // Nor can anybody else's directory be used; whether there is a file in it cannot even be told.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied && is_closed(&settings.data_dir, &path) => {}
                Err(error) => return Err(unreadable(&path, &error)),
            }
        }
        for item in upper {
            settings.apply(item)?;
        }
        Ok(settings)
    }

    /// Environment and flags, in the order in which they apply.
    fn upper_layers(&self) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        for (name, value) in &self.env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else { continue };
            let key = name.trim_start_matches(ENV_PREFIX);
            if key == "CONFIG" || is_service_link(key) {
                continue;
            }
            let source = Source::Env(name.to_owned());
            let key = Key::find(&key.to_ascii_lowercase())
                .filter(|_| key.bytes().all(|b| !b.is_ascii_lowercase()))
                .ok_or_else(|| unknown(name, &source))?;
            items.push(Item { key, value: value.clone(), source });
        }
        for (flag, name, value) in &self.flags {
            let source = Source::Flag(flag);
            let key = Key::find(name).ok_or_else(|| unknown(name, &source))?;
            items.push(Item { key, value: value.clone(), source });
        }
        Ok(items)
    }

    fn default_data_dir(&self) -> PathBuf {
        if let Some(base) = self.env("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
            return base.join("softadastra");
        }
        match self.env("HOME") {
            Some(home) => Path::new(home).join(".local/share/softadastra"),
            None => PathBuf::from(FALLBACK_DIR),
        }
    }
}

/// Whether a directory is closed to this user: not his own, or not to be looked into.
fn is_closed(dir: &Path, file: &Path) -> bool {
    let foreign = fs::metadata(dir).is_ok_and(|meta| meta.uid() != rustix::process::geteuid().as_raw());
    foreign || fs::symlink_metadata(file).is_err()
}

/// Kubernetes puts the address of every service into the environment of every pod; a service named `softadastra`
/// must not keep the node of the same name from starting.
fn is_service_link(key: &str) -> bool {
    key == "PORT" || key.starts_with("PORT_") || key.starts_with("SERVICE_HOST") || key.starts_with("SERVICE_PORT")
}

#[derive(Clone, Debug)]
struct Item {
    key: Key,
    value: OsString,
    source: Source,
}

fn file_layer(path: &Path, text: &str) -> Result<Vec<Item>, Error> {
    let source = Source::File(path.to_owned());
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text.bytes().take(span.start).filter(|&b| b == b'\n').count()) + 1;
        Error::new(
            Code::InvalidArgument,
            format!("{} line {line} is not TOML: {}", path.display(), error.message().trim()),
            "correct the file",
        )
    })?;
    table
        .into_iter()
        .map(|(name, value)| {
            let key = Key::find(&name).ok_or_else(|| unknown(&name, &source))?;
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Array(parts) if key.is_list() => {
                    let texts = parts.iter().map(|part| {
                        part.as_str().ok_or_else(|| refused(&name, &source, &format!("{} is no text", part.type_str())))
                    });
                    texts.collect::<Result<Vec<_>, _>>()?.join(",")
                }
                other => return Err(refused(&name, &source, &format!("{} is no text or number", other.type_str()))),
            };
            Ok(Item { key, value: value.into(), source: source.clone() })
        })
        .collect()
}

impl Default for Settings {
    /// Nothing set anywhere, not even the environment.
    fn default() -> Self {
        Self::defaults(PathBuf::from(FALLBACK_DIR))
    }
}

impl Settings {
    fn defaults(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            node_id: None,
            durability: Durability::Always,
            max_value_len: None,
            max_pending_bytes: None,
            first_segment: None,
            max_segment: None,
            snapshot_after: None,
            lock_wait: None,
            timeout: PATIENCE,
            log: None,
            log_format: LogFormat::Human,
            color: ColorSetting::Auto,
            json: false,
            http: None,
            http_expose: false,
            network: NetworkSettings::default(),
            discovery: DiscoverySettings::default(),
            file: None,
            chosen: Vec::new(),
        }
    }

    /// Where the value of the setting of this name came from.
    #[must_use]
    pub fn source(&self, name: &str) -> Source {
        self.chosen(name).map_or(Source::Default, |chosen| chosen.source.clone())
    }

    /// The value of a setting for people; tickets, which hold secrets, only by whose they are.
    #[must_use]
    pub fn shown(&self, setting: &Setting) -> String {
        let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
        match (setting.key, self.chosen(setting.name)) {
            (Key::DataDir, _) => self.data_dir.display().to_string(),
            (_, None) => setting.default.text().to_owned(),
            (Key::Peers, Some(_)) => list(self.network.peers.iter().map(ToString::to_string).collect()),
            (Key::Listen, Some(_)) => list(self.network.listen.clone()),
            (_, Some(chosen)) => chosen.text.clone(),
        }
    }

    fn chosen(&self, name: &str) -> Option<&Chosen> {
        self.chosen.iter().rev().find(|chosen| chosen.key.name() == name)
    }

    fn apply(&mut self, item: Item) -> Result<(), Error> {
        let Item { key, value, source } = item;
        if key == Key::DataDir {
            if value.is_empty() {
                return Err(refused(key.name(), &source, "it is empty"));
            }
            self.data_dir = PathBuf::from(&value);
        } else {
            let text = value.to_str().ok_or_else(|| refused(key.name(), &source, "it is not UTF-8"))?;
            self.apply_text(key, text, &source).map_err(|reason| refused(key.name(), &source, &reason))?;
        }
        // Of a peer, which may be a ticket, only what was made of it is kept.
        let text = if key == Key::Peers { String::new() } else { value.to_string_lossy().into_owned() };
        self.chosen.push(Chosen { key, text, source });
        Ok(())
    }

    /// Whether this is a flag that was given before: its values add up, those of other layers take each other's place.
    fn goes_on(&self, key: Key, source: &Source) -> bool {
        matches!(source, Source::Flag(_)) && self.source(key.name()) == *source
    }

    fn apply_text(&mut self, key: Key, text: &str, source: &Source) -> Result<(), String> {
        let network = &mut self.network;
        match key {
            Key::DataDir => unreachable!("paths need not be text and are applied before"),
            Key::NodeId => self.node_id = Some(NodeId::new(text).map_err(|error| error.to_string())?),
            Key::Durability if text == "always" => self.durability = Durability::Always,
            Key::Durability => {
                let every = parse_duration(text).ok_or_else(|| {
                    format!("{text:?} is neither \"always\" nor a duration such as \"100ms\", of 3650d at most")
                })?;
                self.durability = Durability::Interval(every);
            }
            Key::MaxValueLen => self.max_value_len = Some(size(text)?),
            Key::MaxPendingBytes => self.max_pending_bytes = Some(size(text)?),
            Key::FirstSegment => self.first_segment = Some(size(text)?),
            Key::MaxSegment => self.max_segment = Some(size(text)?),
            Key::SnapshotAfter => self.snapshot_after = Some(size(text)?),
            Key::LockWait => self.lock_wait = Some(duration(text)?),
            Key::Timeout => self.timeout = duration(text)?,
            Key::Log => self.log = Some(text.to_owned()),
            Key::LogFormat => {
                self.log_format = choice(text, &[("human", LogFormat::Human), ("json", LogFormat::Json)])?;
            }
            Key::Color => {
                let all =
                    [("auto", ColorSetting::Auto), ("always", ColorSetting::Always), ("never", ColorSetting::Never)];
                self.color = choice(text, &all)?;
            }
            Key::Http => {
                let address = text.parse().map_err(|_| format!("{text:?} is not IP:PORT, IPv6 in brackets"))?;
                self.http = Some(address);
            }
            Key::HttpExpose => self.http_expose = yes_or_no(text)?,
            Key::Json => self.json = yes_or_no(text)?,
            Key::Listen => {
                let listen = network::addresses(text)?;
                if !self.goes_on(key, source) {
                    self.network.listen.clear();
                }
                self.network.listen.extend(listen);
            }
            Key::Peers => {
                let peers = network::peers(text)?;
                if !self.goes_on(key, source) {
                    self.network.peers.clear();
                }
                self.network.peers.extend(peers);
            }
            Key::Trust => network.trust = Some(network::trust_mode(text)?),
            Key::Insecure => network.insecure = yes_or_no(text)?,
            Key::Compress => network.compress = Some(yes_or_no(text)?),
            Key::RequiredAcks => network.required_acks = network::count(text)?,
            Key::AckTimeout => network.ack_timeout = network::some_duration(text)?,
            Key::MaxRetries => network.max_retries = network::count(text)?,
            Key::ConflictPolicy => network.conflict_policy = Some(network::conflict_policy(text)?),
            Key::ClockPolicy => network.clock_policy = Some(network::clock_policy(text)?),
            Key::MaxClockSkew => network.max_clock_skew = network::some_duration(text)?,
            Key::MemberLease => network.member_lease = network::some_duration(text)?,
            Key::AutoTick => network.auto_tick = Some(yes_or_no(text)?),
            Key::Discovery
            | Key::DiscoveryTargets
            | Key::DiscoveryInterfaces
            | Key::DiscoveryPort
            | Key::DiscoveryAdvertise
            | Key::DiscoveryInterval
            | Key::DiscoveryStaleAfter
            | Key::DiscoveryExpireAfter
            | Key::DiscoveryPruneAfter
            | Key::DiscoveryMdns
            | Key::AutoConnect => self.discovery.apply(key, text)?,
        }
        Ok(())
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    choice(text, &[("true", true), ("false", false), ("1", true), ("0", false)])
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is not a duration such as \"5s\", of 3650d at most"))
}

fn choice<T: Copy>(text: &str, all: &[(&str, T)]) -> Result<T, String> {
    let found = all.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        format!("{text:?} is not one of {}", names.join(", "))
    })
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| format!("{text:?} is not a size such as 65536, \"64KiB\" or \"1MiB\""))
}

/// Bytes: a whole number, bare or with `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB` behind it.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The longest duration that a setting may have: more means for ever, and for ever is not counted.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// A duration: a whole number with `ms`, `s`, `m`, `h` or `d` behind it, of ten years at most.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_number(text)?;
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    };
    duration.filter(|duration| *duration <= LONGEST)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, unit.trim_start()))
}

fn unknown(name: &str, source: &Source) -> Error {
    let meant = name.trim_start_matches(ENV_PREFIX).to_ascii_lowercase();
    let nearest = names().map(|known| (edits(known, &meant), known)).min();
    let hint = match (nearest, source) {
        (Some((..=2, near)), Source::Env(_)) => format!("did you mean {ENV_PREFIX}{}?", near.to_ascii_uppercase()),
        (Some((..=2, near)), _) => format!("did you mean {near}?"),
        _ => format!("known are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Error::new(Code::InvalidArgument, format!("unknown setting {name:?} in {source}; {hint}"), "correct or remove it")
}

/// How many characters are to be added, removed or replaced to make one name of the other.
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, from) in one.bytes().enumerate() {
        let mut next = vec![line + 1];
        for (to, (before, above)) in other.bytes().zip(row.iter().zip(row.iter().skip(1))) {
            let left = next.last().copied().unwrap_or(0);
            next.push((before + usize::from(from != to)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn refused(name: &str, source: &Source, reason: &str) -> Error {
    Error::new(Code::InvalidArgument, format!("setting {name} from {source}: {reason}"), "correct it")
}

/// Reads a whole file. What is not a file is refused: a pipe would be waited for.
fn read_file(path: &Path) -> io::Result<String> {
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut file = fs::File::from(rustix::fs::open(path, how, Mode::empty())?);
    only_a_file(&file.metadata()?)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::IoError };
    Error::new(
        code,
        format!("the configuration file {} cannot be read: {error}", path.display()),
        "name a file that can be read",
    )
}
