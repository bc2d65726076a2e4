//! Who is let in over HTTP, and what a browser is told about the answers.
//!
//! - A page of another site that has its own name lead to this machine (DNS rebinding) sends that name as `Host`: only
//!   addresses and `localhost` are answered.
//! - A page of another site that sends requests here says so (`Origin`, `Sec-Fetch-Site`), and gets nothing. No header
//!   ever allows another origin to read an answer.
//! - What shows or changes data needs the token, in the header `Authorization`: never in a cookie, which a browser
//!   would send by itself, and to every other port of this machine.
//! - Scripts and styles come from here or not at all.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::token::Token;

/// Told with every answer.
const HEADERS: [(&str, &str); 8] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cache-control", "no-store"),
];

/// What decides.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    token: Token,
    /// It may be reached from other machines.
    pub(super) exposed: bool,
}

impl Guard {
    pub(super) const fn new(token: Token, exposed: bool) -> Self {
        Self { token, exposed }
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        given.and_then(|value| value.strip_prefix(b"Bearer ")).is_some_and(|token| self.token.is(token.trim_ascii()))
    }
}

/// Every request: what it says of where it comes from, and what the answer says to a browser.
pub(super) async fn at_the_door(request: Request, next: Next) -> Response {
    let mut answer = match refusal(&request) {
        Some((status, why)) => (status, format!("{why}\n")).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

/// Requests for data.
pub(super) async fn holds_token(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.knows(request.headers()) {
        return next.run(request).await;
    }
    let why = "this needs the token of the node: `softadastra console` on its machine prints a link\n";
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], why).into_response()
}

fn refusal<B>(request: &Request<B>) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    if ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST are answered"));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok());
    // A target may name a host as well, and then it is the one that counts.
    let is_meant = request.uri().authority().is_none_or(|authority| host == Some(authority.as_str()));
    let Some(host) = host.filter(|host| is_meant && hosts.next().is_none() && is_no_name(host)) else {
        let why = "the node answers to its address and to localhost only, not to this name";
        return Some((StatusCode::MISDIRECTED_REQUEST, why));
    };
    let elsewhere = "requests of other sites are not answered";
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text(ORIGIN.as_str()).is_some_and(|origin| origin != format!("http://{host}")) {
        return Some((StatusCode::FORBIDDEN, elsewhere));
    }
    // A link that somebody follows to the page itself is fine: the page holds nothing.
    let by_page = text("sec-fetch-mode").is_some_and(|mode| mode != "navigate");
    if by_page && text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Some((StatusCode::FORBIDDEN, elsewhere));
    }
    None
}

/// Whether a `Host` is an address or `localhost`: nobody else's name can be made to lead here.
fn is_no_name(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let port_is_fine = port.is_none_or(|port| port.parse::<u16>().is_ok());
    port_is_fine && (name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(headers: &[(&'static str, &str)]) -> Option<u16> {
        judged_at("/", headers)
    }

    fn judged_at(target: &str, headers: &[(&'static str, &str)]) -> Option<u16> {
        let mut request = Request::builder().uri(target).body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        refusal(&request).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn names_that_somebody_else_may_own_are_not_answered_to() {
        for host in ["127.0.0.1:9464", "localhost:9464", "LOCALHOST", "[::1]:9464", "192.168.1.4:80", "[fe80::1]"] {
            assert_eq!(judged(&[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example:9464",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9464",
            "",
            "[::1",
            "127.0.0.1:x",
            "0x7f.1",
        ] {
            assert_eq!(judged(&[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(judged(&[]), Some(421));
        assert_eq!(judged(&[("host", "localhost"), ("host", "evil.example")]), Some(421));
        let at = |target| judged_at(target, &[("host", "localhost:9464")]);
        assert_eq!((at("http://localhost:9464/x"), at("http://evil.example/x")), (None, Some(421)));
    }

    #[test]
    fn other_sites_are_not_answered() {
        let host = ("host", "127.0.0.1:9464");
        assert_eq!(judged(&[host, ("origin", "http://127.0.0.1:9464")]), None);
        for origin in ["http://127.0.0.1:8000", "https://127.0.0.1:9464", "http://evil.example", "null"] {
            assert_eq!(judged(&[host, ("origin", origin)]), Some(403), "{origin}");
        }
        let fetch = |site, mode| judged(&[host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)]);
        assert_eq!((fetch("same-origin", "cors"), fetch("none", "navigate")), (None, None));
        assert_eq!((fetch("cross-site", "navigate"), fetch("cross-site", "no-cors")), (None, Some(403)));
        assert_eq!(fetch("same-site", "cors"), Some(403), "another port of this machine");
    }

    #[test]
    fn the_token_is_taken_from_one_header_only() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::of(dir.path()).unwrap();
        let guard = Guard::new(token.clone(), false);
        let with = |name: &'static str, value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
            guard.knows(&headers)
        };
        assert!(with("authorization", format!("Bearer {}", token.reveal())));
        assert!(!with("authorization", token.reveal().to_owned()));
        assert!(!with("authorization", format!("Bearer {}0", token.reveal())));
        assert!(!with("cookie", format!("token={}", token.reveal())));
        assert!(!guard.knows(&HeaderMap::new()));
    }
}
