//! The query part of a control request: names, and values of any bytes.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use softadastra_core::error::Code;

use super::Fault;

/// Everything but what a query may hold as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Builds `path?name=value&...`.
pub(super) struct Target(String);

impl Target {
    pub(super) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(percent_encode(value, ENCODED));
        self
    }

    pub(super) fn with_number(self, name: &str, value: Option<u64>) -> Self {
        match value {
            Some(number) => self.with(name, number.to_string().as_bytes()),
            None => self,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parameters of a request, each of which is taken out once; what is left over was a mistake of the caller.
pub(super) struct Query(Vec<(String, Bytes)>);

impl Query {
    /// Reads `name=value&...` as forms are written: `%XX` for a byte, `+` for a space.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let decode = |text: &str| Bytes::from(percent_decode(text.replace('+', " ").as_bytes()).collect::<Vec<u8>>());
        let pairs = query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (String::from_utf8_lossy(&decode(name)).into_owned(), decode(value))
        });
        Self(pairs.collect())
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Bytes> {
        let at = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn take_needed(&mut self, name: &str) -> Result<Bytes, Fault> {
        self.take(name).ok_or_else(|| bad(format!("the parameter {name:?} is missing")))
    }

    pub(super) fn take_number(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| bad(format!("the parameter {name:?} is not a whole number")))
    }

    /// Refuses parameters that nobody asked for: a misspelt one must not be passed over in silence.
    pub(super) fn finish(self) -> Result<(), Fault> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(format!("the parameter {name:?} is not known here, or is given twice"))),
        }
    }
}

fn bad(message: String) -> Fault {
    Fault::new(Code::InvalidArgument, message, "correct the request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_make_the_way_there() {
        let every: Vec<u8> = (0..=255).collect();
        let target = Target::new("/v1/x").with("key", &every).with("empty", b"").with_number("n", Some(7));
        let target = target.with_number("none", None);
        let (path, query) = target.as_str().split_once('?').unwrap();
        assert_eq!(path, "/v1/x");
        let mut query = Query::parse(Some(query));
        assert_eq!(query.take_needed("key").unwrap(), every);
        assert_eq!(query.take("empty").unwrap(), "");
        assert_eq!(query.take_number("n").unwrap(), Some(7));
        assert_eq!(query.take_number("none").unwrap(), None);
        query.finish().unwrap();
    }

    #[test]
    fn what_a_form_sends_is_read() {
        let mut query = Query::parse(Some("key=a+b%2Bc&flag"));
        assert_eq!(query.take("key").unwrap(), "a b+c");
        assert_eq!(query.take("flag").unwrap(), "");
        assert!(query.take_needed("key").unwrap_err().message.contains("\"key\" is missing"));
    }

    #[test]
    fn mistakes_are_named() {
        let mut query = Query::parse(Some("n=x&prefxi=a"));
        assert!(query.take_number("n").unwrap_err().message.contains("\"n\" is not a whole number"));
        assert!(query.finish().unwrap_err().message.contains("\"prefxi\""));
    }
}
