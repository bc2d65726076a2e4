//! The token that opens the console: who has it may read everything on the node, and settle conflicts.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use softadastra_core::error::{Code, Error};
use zeroize::Zeroizing;

/// The name of its file inside a data directory.
pub const FILE_NAME: &str = "http.token";

/// Hex digits of a token: 256 bits.
const DIGITS: usize = 64;

/// A token, never shown but on purpose.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The token of a data directory, made when there is none. Blocks.
    ///
    /// # Errors
    /// [`Code::InvalidState`] when others can read its file, or it holds something else; [`Code::IoError`].
    pub fn of(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE_NAME);
        match File::open(&path) {
            Ok(file) => Self::read(&path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(&path),
            Err(error) => Err(failed("open", &path, &error)),
        }
    }

    fn read(path: &Path, file: File) -> Result<Self, Error> {
        let mode = file.metadata().map_err(|error| failed("look at", path, &error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(unusable(path, "others than its owner may read it"));
        }
        let mut text = Zeroizing::new(String::new());
        let read = file.take(1024).read_to_string(&mut text);
        read.map_err(|error| failed("read", path, &error))?;
        let token = text.trim();
        if token.len() != DIGITS || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unusable(path, "it holds no token"));
        }
        Ok(Self(Zeroizing::new(token.to_owned())))
    }

    fn make(path: &Path) -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; DIGITS / 2]);
        getrandom::fill(&mut *bytes)
            .map_err(|error| Error::new(Code::IoError, format!("no random bytes: {error}"), "try again"))?;
        let token = Self(Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect()));
        let draft = path.with_extension("token.new");
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(|mut file| {
                file.write_all(token.0.as_bytes())?;
                file.sync_all()?;
                fs::rename(&draft, path)
            });
        written.map_err(|error| failed("write", path, &error))?;
        Ok(token)
    }

    /// Its text, to be shown to the owner of the node.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is it. Takes as long for any other text of the same length.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        // Hashes are compared in constant time, and say nothing of how much was right.
        blake3::hash(self.0.as_bytes()) == blake3::hash(given)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(Code::IoError, format!("cannot {doing} {}: {error}", path.display()), "see to the file")
}

fn unusable(path: &Path, why: &str) -> Error {
    let next = "remove it: a new one is made when the node starts";
    Error::new(Code::InvalidState, format!("the console's token {} cannot be used: {why}", path.display()), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::of(dir.path()).unwrap();
        let path = dir.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Token::of(dir.path()).unwrap();
        assert!(token.is(again.reveal().as_bytes()) && token.reveal().len() == DIGITS);
        for wrong in [&b""[..], b"0", &token.reveal().as_bytes()[..63], &[b'0'; 64], &[b'x'; 1000]] {
            assert!(!token.is(wrong));
        }
        assert!(!format!("{token:?}").contains(token.reveal()));
        fs::remove_file(&path).unwrap();
        assert_ne!(Token::of(dir.path()).unwrap().reveal(), token.reveal());
    }

    #[test]
    fn a_token_that_others_read_or_that_is_none_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        drop(Token::of(dir.path()).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Token::of(dir.path()).unwrap_err();
        assert!(error.what().contains("others than its owner"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "abc", &"g".repeat(64), &"0".repeat(2000)] {
            fs::write(&path, text).unwrap();
            assert!(Token::of(dir.path()).unwrap_err().what().contains("holds no token"), "{text:?}");
        }
    }
}
