//! What a backup consists of, as JSON.

use serde::{Deserialize, Serialize};
use softadastra_core::disk::DiskErrorKind;
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::Lsn;

use super::MANIFEST_FILE;
use super::files::{Digested, Reading, put_file};
use crate::disk::DynDisk;
use crate::model::BackupReport;

/// Every file is stored as one.
const SCHEMA: &str = "softadastra.backup/1";

/// Some are stored in parts, which readers of the first form would not look for.
const SCHEMA_WITH_TAILS: &str = "softadastra.backup/2";

/// A manifest names a few files; more than this is something else.
const MAX_MANIFEST: u64 = 64 << 20;

/// What a backup consists of. Written when everything it names is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `softadastra.backup/1`, or `/2` when a file has tails: fields may be added, none changes its meaning.
    pub schema: String,
    /// Version of the software that wrote it.
    pub written_by: String,
    /// When the copying began, in milliseconds since 1970.
    pub made_at_ms: u64,
    /// The operator's name of the node.
    pub node_id: String,
    /// The history that wrote the log: 32 hex digits.
    pub replica_id: String,
    /// The log: 32 hex digits. Only a backup of this log can bring this one up to date.
    pub log_id: String,
    /// Everything up to this position is in it.
    pub durable_lsn: u64,
    /// Snapshot first, then segments in order.
    pub files: Vec<ManifestFile>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name in the log directory.
    pub name: String,
    /// The name in the backup of all of it, or of its beginning.
    pub stored_as: String,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3: 64 hex digits.
    pub blake3: String,
    /// What it had grown by at later backups, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tails: Vec<Tail>,
}

/// What a file had grown by since the backup before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// Its name in the backup.
    pub stored_as: String,
    /// Its length.
    pub bytes: u64,
}

impl Manifest {
    pub(super) fn new(files: Vec<ManifestFile>, log_id: &str, pinned: &crate::driver::Files) -> Self {
        Self {
            schema: if files.iter().all(|file| file.tails.is_empty()) { SCHEMA } else { SCHEMA_WITH_TAILS }.to_owned(),
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            made_at_ms: pinned.at.0,
            node_id: pinned.node_id.to_string(),
            replica_id: pinned.replica.to_string(),
            log_id: log_id.to_owned(),
            durable_lsn: pinned.manifest.durable.0,
            files,
        }
    }

    /// The manifest of a backup directory; `None` when there is none.
    pub(super) async fn read(disk: &dyn DynDisk) -> Result<Option<Self>, Error> {
        let mut reading = match Reading::try_open(disk, u64::MAX, MANIFEST_FILE).await {
            Ok(reading) => reading,
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(crate::data_dir::disk_failed(&error)),
        };
        let bytes = reading.bytes(MAX_MANIFEST).await?;
        reading.close().await?;
        Self::parse(&bytes).map(Some)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let unreadable = |error: serde_json::Error| {
            Error::new(Code::WalCorrupt, format!("{MANIFEST_FILE} cannot be read: {error}"), "choose another backup")
        };
        let Head { schema } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if schema != SCHEMA && schema != SCHEMA_WITH_TAILS {
            return Err(Error::new(
                Code::FormatTooNew,
                format!("{MANIFEST_FILE} has the schema {schema:?}, not {SCHEMA_WITH_TAILS:?}"),
                "use the version of this software that wrote it",
            ));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        let refused = |what: String| {
            Err(Error::new(Code::WalCorrupt, format!("{MANIFEST_FILE} names {what}"), "choose another backup"))
        };
        for file in &manifest.files {
            let Some(parts) = file.parts() else {
                return refused(format!("parts of {:?} that are longer than all of it", file.name));
            };
            if let Some(name) = parts.iter().map(|part| part.stored_as).chain([&*file.name]).find(|name| !plain(name)) {
                return refused(format!("the file {name:?}, which is no plain name"));
            }
        }
        Ok(manifest)
    }

    /// Puts this manifest in the place of the one before, durably.
    pub(super) async fn write(&self, disk: &dyn DynDisk, id: u64) -> Result<(), Error> {
        let mut json = serde_json::to_vec_pretty(self).expect("strings and numbers always encode");
        json.push(b'\n');
        put_file(disk, id, MANIFEST_FILE, json.into()).await
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Of a backup of which nothing was copied.
    pub(super) fn report(&self) -> BackupReport {
        BackupReport {
            durable_lsn: Lsn(self.durable_lsn),
            files: self.files.len() as u64,
            copied_files: 0,
            bytes: self.bytes(),
            copied_bytes: 0,
        }
    }
}

/// A file of a backup that holds a log file, or the next part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) stored_as: &'a str,
    pub(super) bytes: u64,
}

impl Part<'_> {
    /// Compares it with what is there. Its name holds a part of its hash.
    pub(super) fn compare(&self, found: &Digested) -> Result<(), Error> {
        let hex = found.hash.to_hex();
        if found.bytes != self.bytes {
            return Err(differs(self.stored_as, &format!("has {} bytes, not {}", found.bytes, self.bytes)));
        }
        match self.stored_as.rsplit_once('.') {
            Some((_, hash)) if hex.starts_with(hash) => Ok(()),
            _ => Err(differs(self.stored_as, "is not what was written: its hash differs")),
        }
    }
}

fn differs(stored_as: &str, how: &str) -> Error {
    Error::new(
        Code::WalCorrupt,
        format!("{stored_as} of the backup {how}"),
        "choose another backup, and check the disk that this one is on",
    )
}

impl ManifestFile {
    pub(super) fn new(name: String, digest: &Digested) -> Self {
        let blake3 = digest.hash.to_hex().to_string();
        let stored_as = format!("{name}.{}", blake3.get(..16).unwrap_or_default());
        Self { name, stored_as, bytes: digest.bytes, blake3, tails: Vec::new() }
    }

    /// The same, grown by what `tail` is; `whole` is the hash of all of it.
    pub(super) fn grown(mut self, tail: &Digested, whole: &blake3::Hasher) -> Self {
        let hex = tail.hash.to_hex();
        let stored_as = format!("{}+{}.{}", self.name, self.bytes, hex.get(..16).unwrap_or_default());
        self.tails.push(Tail { stored_as, bytes: tail.bytes });
        self.bytes += tail.bytes;
        self.blake3 = whole.finalize().to_hex().to_string();
        self
    }

    /// What it is stored in, in order; `None` when the lengths contradict each other.
    pub(super) fn parts(&self) -> Option<Vec<Part<'_>>> {
        let mut first = self.bytes;
        for tail in &self.tails {
            first = first.checked_sub(tail.bytes)?;
        }
        let tails = self.tails.iter().map(|tail| Part { stored_as: &tail.stored_as, bytes: tail.bytes });
        Some([Part { stored_as: &self.stored_as, bytes: first }].into_iter().chain(tails).collect())
    }

    pub(super) fn compare(&self, found: &Digested) -> Result<(), Error> {
        let what = if found.bytes != self.bytes {
            format!("has {} bytes, not {}", found.bytes, self.bytes)
        } else if found.hash.to_hex().as_str() != self.blake3 {
            "is not what was written: its hash differs".to_owned()
        } else {
            return Ok(());
        };
        Err(differs(&self.stored_as, &what))
    }
}
