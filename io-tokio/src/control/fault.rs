//! An error as it crosses the control socket and as programs read it.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use softadastra_core::error::{Code, Error, LocalState};
use softadastra_core::transport::ticket::Ticket;

/// A failure in the four parts that every public face of the engine shows. No ticket that somebody has typed is repeated
/// in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The stable name of the failure, such as `not_found`.
    pub code: String,
    /// What happened, and where.
    pub message: String,
    /// What became of local data: `valid`, `unknown` or `damaged`.
    pub local_state: String,
    /// What to do next; empty when there is nothing to add.
    pub next: String,
}

impl Fault {
    /// A failure after which local state is valid.
    pub fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code: code.as_str().to_owned(),
            message: Ticket::hide_in(&message.into()).into_owned(),
            local_state: LocalState::Valid.as_str().to_owned(),
            next: next.into(),
        }
    }

    /// The key has no value.
    #[must_use]
    pub fn key_not_found(key: &[u8]) -> Self {
        Self::new(Code::NotFound, format!("Key not found: {}", readable(key)), "")
    }

    /// A failed operation on a file or socket; `doing` says which, as in "read /tmp/values".
    #[must_use]
    pub fn io(doing: impl fmt::Display, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::AlreadyExists => Code::AlreadyExists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Code::DiskFull,
            _ => Code::IoError,
        };
        Self::new(code, format!("cannot {doing}: {error}"), "")
    }

    /// Whether this failure carries this code.
    #[must_use]
    pub fn is(&self, code: Code) -> bool {
        self.code == code.as_str()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self {
            code: error.code().as_str().to_owned(),
            message: Ticket::hide_in(error.what()).into_owned(),
            local_state: error.local().as_str().to_owned(),
            next: error.next().to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.local_state.as_str() {
            // The node that was asked may be well, and only its answer is missing.
            "unknown" if self.is(Code::Unknown) => {
                f.write_str("; whether this write is kept is unknown until the key is read")?
            }
            "unknown" => f.write_str("; whether this write is kept is known only after reopening")?,
            "damaged" => f.write_str("; acknowledged data on disk is damaged, nothing was changed")?,
            _ => {}
        }
        if !self.next.is_empty() {
            write!(f, "; {}", self.next)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// Bytes for a person to read: text as it is, except that characters are escaped that show nothing of themselves but
/// change how the rest is shown; other bytes as `\xNN`.
#[must_use]
pub fn readable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_format(c) { out.extend(c.escape_default()) } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Whether a character is a line or paragraph separator or of the category "format" (Unicode 17: `Zl`, `Zp`, `Cf`): marks of
/// direction, joiners, invisible operators, tags. The few that show themselves are left out.
pub(crate) const fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_every_part_of_an_error() {
        let error = Error::new(Code::WalCorrupt, "frame at 64", "run wal repair").with_local(LocalState::Damaged);
        let fault = Fault::from(error.clone());
        assert_eq!(fault.to_string(), error.to_string());
        let json = serde_json::to_value(&fault).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"code": "wal_corrupt", "message": "frame at 64", "local_state": "damaged", "next": "run wal repair"})
        );
        assert_eq!(serde_json::from_value::<Fault>(json).unwrap(), fault);
        assert!(fault.is(Code::WalCorrupt) && !fault.is(Code::NotFound));
    }

    #[test]
    fn keys_are_shown_without_harm_to_a_terminal() {
        assert_eq!(readable("plain ä".as_bytes()), "plain ä");
        assert_eq!(readable(b"a\x1b[31m\n\xff\0"), "a\\u{1b}[31m\\n\\xff\\u{0}");
        for c in
            ['\u{200e}', '\u{200f}', '\u{61c}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{2028}', '\u{2029}']
        {
            assert_eq!(readable(format!("a{c}b").as_bytes()), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        assert_eq!(
            readable("e\u{301} שלום 日\u{3000}本".as_bytes()),
            "e\u{301} שלום 日\u{3000}本",
            "these show themselves"
        );
        assert_eq!(Fault::key_not_found(b"K").to_string(), "Key not found: K");
    }
}
