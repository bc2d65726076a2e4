//! The form of a book on disk, and what must be true of the file before it is believed.
//!
//! It holds the node's secret key. It is replaced as a whole (written beside, synced, renamed), and never made anew in
//! place of one that cannot be read: a node that silently became another one would be a stranger to all its peers.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use softadastra_core::error::{Code, Error};
use softadastra_core::ids::NodeId;
use softadastra_core::transport::address::Address;
use softadastra_core::transport::identity::{Identity, NetworkSecret, NodeKey};
use softadastra_core::transport::trust::TrustMode;
use zeroize::Zeroizing;

use super::content::{Content, KnownPeer};
use crate::data_dir;
use crate::held_dir::HeldDir;

/// Name of the file in a data directory.
pub const FILE_NAME: &str = "network.json";

/// Name of one that is not whole yet.
const DRAFT: &str = "network.json.new";

const SCHEMA: &str = "softadastra.network/1";

/// What every version has in common.
#[derive(Deserialize)]
struct Head {
    schema: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    schema: String,
    /// The public half of the identity: tells that the secret half beneath is the one that was written.
    key: String,
    /// 32 bytes in base64.
    identity: Zeroizing<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network_secret: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trust: Option<String>,
    #[serde(default)]
    trusted_keys: Vec<String>,
    #[serde(default)]
    pins: BTreeMap<String, String>,
    #[serde(default)]
    peers: Vec<PeerForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    forgotten_keys: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    addresses: Vec<Address>,
    /// Disconnected by hand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
}

/// Reads the file of a data directory; `None` when there is none.
///
/// # Errors
/// [`Code::TransportError`] when others may read it, or it is damaged; [`Code::FormatTooNew`]; [`Code::IoError`].
pub(super) fn read(dir: &HeldDir) -> Result<Option<Content>, Error> {
    let path = dir.path().join(FILE_NAME);
    let failed = |error: &io::Error| data_dir::failed("reading", &path, error);
    let mut file = match dir.open_file(FILE_NAME, OFlags::RDONLY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    // Asked of the open file, so that it cannot be another one than is read.
    let mode = file.metadata().map_err(|error| failed(&error))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::new(
            Code::TransportError,
            format!(
                "{} holds this node's secret key and can be used by other users of this machine (mode {mode:04o})",
                path.display()
            ),
            "run `chmod 600` on it; if somebody may have read it, change the network secret too",
        ));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => damaged(&path, "it is not text"),
        _ => failed(&error),
    })?;
    parse(&path, &text).map(Some)
}

/// Puts the file in place, whole or not at all, durable when this returns.
///
/// # Errors
/// [`Code::DiskFull`]; [`Code::IoError`], also when the path of the directory does not lead to it any more.
pub(super) fn write(dir: &HeldDir, content: &Content) -> Result<(), Error> {
    let path = dir.path().join(FILE_NAME);
    dir.in_place()?;
    let text = Zeroizing::new(serde_json::to_string_pretty(&Form::of(content)).map_err(|error| {
        Error::new(Code::InternalError, format!("writing {}: {error}", path.display()), "report this as a fault")
    })?);
    let put = || -> io::Result<()> {
        // The mode holds only for a file that is created; one that a crash left behind is brought to it.
        let mut file = dir.open_file(DRAFT, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        dir.rename(DRAFT, FILE_NAME)?;
        dir.sync()
    };
    put().map_err(|error| data_dir::failed("writing", &path, &error))
}

impl Form {
    fn of(content: &Content) -> Self {
        let peers = content.peers.iter().map(|peer| PeerForm {
            key: peer.key.map(|key| key.to_string()),
            addresses: peer.addresses.clone(),
            held: peer.held,
        });
        Self {
            schema: SCHEMA.to_owned(),
            key: content.identity.key().to_string(),
            identity: Zeroizing::new(STANDARD.encode(*content.identity.seed())),
            network_secret: content.secret.as_ref().map(NetworkSecret::reveal),
            trust: content.chosen_mode.map(|mode| mode.as_str().to_owned()),
            trusted_keys: content.trusted.iter().map(ToString::to_string).collect(),
            pins: content.pins.iter().map(|(node, key)| (node.to_string(), key.to_string())).collect(),
            peers: peers.collect(),
            forgotten_keys: content.forgotten.iter().map(ToString::to_string).collect(),
        }
    }

    /// What it says, or what is wrong with it. Nothing of the secrets may show in that.
    fn content(self) -> Result<Content, String> {
        let seed: Zeroizing<[u8; 32]> = STANDARD
            .decode(self.identity.as_bytes())
            .ok()
            .and_then(|bytes| Zeroizing::new(bytes).as_slice().try_into().ok())
            .map(Zeroizing::new)
            .ok_or("the identity is not 32 bytes in base64")?;
        let mut content = Content::of(Identity::from_seed(&seed));
        if content.identity.key() != key(&self.key)? {
            return Err("the identity does not belong to the key beside it".to_owned());
        }
        if let Some(text) = self.network_secret {
            content.secret = Some(NetworkSecret::from_text(&text).ok_or("the network secret is not one")?);
        }
        if let Some(name) = self.trust {
            content.chosen_mode = Some(mode(&name).ok_or_else(|| format!("{name:?} is no trust mode"))?);
        }
        content.trusted = self.trusted_keys.iter().map(|text| key(text)).collect::<Result<_, _>>()?;
        for (name, pinned) in self.pins {
            let node = NodeId::new(&name).map_err(|_| format!("{name:?} is no node id"))?;
            content.pin(node, key(&pinned)?);
        }
        for peer in self.peers {
            let key = peer.key.as_deref().map(key).transpose()?;
            let known = KnownPeer { key, addresses: peer.addresses, held: peer.held };
            content.remember(known).map_err(|error| error.what().to_owned())?;
        }
        content.forgotten = self.forgotten_keys.iter().map(|text| key(text)).collect::<Result<_, _>>()?;
        Ok(content)
    }
}

fn parse(path: &Path, text: &str) -> Result<Content, Error> {
    // Of an error of the parser only the place is told: its words may quote what stands there.
    let place = |error: &serde_json::Error| {
        damaged(path, &format!("line {}, column {} cannot be read", error.line(), error.column()))
    };
    let head: Head = serde_json::from_str(text).map_err(|error| place(&error))?;
    if head.schema != SCHEMA {
        return Err(Error::new(
            Code::FormatTooNew,
            format!("{} has the form {:?}; this version reads {SCHEMA:?}", path.display(), head.schema),
            "use the version of the software that wrote it",
        ));
    }
    let form: Form = serde_json::from_str(text).map_err(|error| place(&error))?;
    form.content().map_err(|why| damaged(path, &why))
}

fn key(text: &str) -> Result<NodeKey, String> {
    text.parse().map_err(|_| format!("{text:?} is no public key"))
}

/// The mode of a stable name.
fn mode(name: &str) -> Option<TrustMode> {
    [TrustMode::Network, TrustMode::Pinned, TrustMode::Open].into_iter().find(|mode| mode.as_str() == name)
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::new(
        Code::TransportError,
        format!("{} is damaged: {why}; data and local work are untouched", path.display()),
        "put a copy of the file back; without one, move it away and reopen: the node gets a new identity, which its \
         peers must trust by hand",
    )
}

#[cfg(test)]
mod tests;
