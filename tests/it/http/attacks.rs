//! What strangers on the network, and pages of other sites, may send to the port.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::{Site, node};

const HEAD: &str = "Host: localhost\r\nConnection: close\r\n";

impl Site {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends these bytes and nothing more; gives the status that is answered, if any.
    fn send(&self, bytes: &[u8]) -> Option<u16> {
        let mut stream = self.connect();
        // It may be told before all of it is sent.
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer);
        answer.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
    }

    fn assert_well(&self) {
        assert_eq!(self.get("/healthz").0, 200);
        assert_eq!(self.get("/readyz").0, 200);
    }
}

#[test]
fn nonsense_is_refused_and_harms_nobody() {
    let (_place, node, site) = node();
    let authorized = format!("{HEAD}Authorization: Bearer {}\r\n", site.token);
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let many = (0..5000).fold(String::new(), |all, n| all + &format!("X{n}: y\r\n"));
    let long = "x".repeat(1 << 20);
    let resolve = "POST /v1/conflicts/resolve?id=1&with=value HTTP/1.1\r\n";
    let requests: [(Vec<u8>, &[u16]); 16] = [
        (noise, &[400]),
        (vec![0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3], &[400]),
        (format!("GET /\0 HTTP/1.1\r\n{HEAD}\r\n").into(), &[400]),
        (format!("GET /{long} HTTP/1.1\r\n{HEAD}\r\n").into(), &[414, 431]),
        (format!("GET /healthz HTTP/1.1\r\n{HEAD}X: {long}\r\n\r\n").into(), &[431]),
        (format!("GET /healthz HTTP/1.1\r\n{HEAD}{many}\r\n").into(), &[431]),
        (format!("CONNECT evil.example:80 HTTP/1.1\r\n{HEAD}\r\n").into(), &[405, 421]),
        (format!("TRACE / HTTP/1.1\r\n{HEAD}\r\n").into(), &[405]),
        (b"GET /healthz HTTP/1.0\r\n\r\n".to_vec(), &[421]),
        (format!("GET http://evil.example/healthz HTTP/1.1\r\n{HEAD}\r\n").into(), &[421]),
        (format!("POST /v1/sync/retry HTTP/1.1\r\n{authorized}Content-Length: -1\r\n\r\n").into(), &[400]),
        (
            format!("POST /v1/sync/retry HTTP/1.1\r\n{authorized}Content-Length: 1\r\nContent-Length: 2\r\n\r\n")
                .into(),
            &[400],
        ),
        (format!("{resolve}{HEAD}Content-Length: 99999999999\r\n\r\n{long}").into(), &[401]),
        (format!("{resolve}{authorized}Content-Length: 99999999999\r\n\r\n{long}{long}{long}").into(), &[413]),
        (format!("GET /v1/status?token={} HTTP/1.1\r\n{HEAD}\r\n", site.token).into(), &[401]),
        (format!("GET /v1/status HTTP/1.1\r\nAuthorization: Bearer x\r\n{authorized}\r\n").into(), &[401]),
    ];
    for (request, wanted) in requests {
        let status = site.send(&request);
        let shown = String::from_utf8_lossy(&request).chars().take(90).collect::<String>();
        assert!(status.is_some_and(|status| wanted.contains(&status)), "{status:?} for {shown:?}");
    }
    assert_eq!(site.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), None, "only HTTP/1 is spoken");
    site.assert_well();
    node.stop();
}

#[test]
fn no_path_leads_out_of_what_is_served() {
    let (place, node, site) = node();
    let (token, secret) = (site.token.clone(), "http.token");
    assert!(place.data().join(secret).exists());
    for path in [
        "/http.token",
        "/../http.token",
        "/../../../../etc/passwd",
        "/%2e%2e/http.token",
        "/%2e%2e%2fhttp.token",
        "/..%5chttp.token",
        "/console.css/../http.token",
        "//metrics",
        "/metrics/",
        "/metrics%00",
        "/v1/../metrics",
        "/v1/console/../../http.token",
    ] {
        let (status, _, body) = site.with_token(&format!("GET {path}"));
        assert_eq!(status, 404, "{path}: {body}");
        assert!(!body.contains(&token) && !body.contains("root:"), "{path}: {body}");
    }
    node.stop();
}

/// What a body of one request may not be taken for: another request.
#[test]
fn no_request_hides_in_another_one() {
    let (_place, node, site) = node();
    let authorized = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", site.token);
    let hidden = format!("GET /v1/node HTTP/1.1\r\n{authorized}\r\n");
    for framing in ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked, identity\r\n"] {
        let request = format!("POST /v1/sync/retry HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n0\r\n\r\n{hidden}");
        let mut stream = site.connect();
        stream.write_all(request.as_bytes()).unwrap();
        drop(stream.shutdown(Shutdown::Write));
        let mut answer = String::new();
        drop(stream.read_to_string(&mut answer));
        assert!(!answer.contains("softadastra.node/1"), "{framing:?}: {answer}");
    }
    site.assert_well();
    node.stop();
}

#[test]
fn a_thousand_who_hold_connections_keep_nobody_out() {
    let (_place, node, site) = node();
    let idle: Vec<_> = (0..1000).map(|_| site.connect()).collect();
    for _ in 0..5 {
        site.assert_well();
    }
    let descriptors = super::scraped(&site).value("process_open_fds");
    assert!(descriptors < 200.0, "{descriptors} descriptors");
    drop(idle);
    // Those who send a little, or ask for much and read nothing of it, hold places no longer.
    let mut greedy: Vec<_> = (0..100).map(|_| site.connect()).collect();
    for (at, stream) in greedy.iter_mut().enumerate() {
        stream.set_nonblocking(true).unwrap();
        let some = if at % 2 == 0 { "GET /metr" } else { "GET /console.js HTTP/1.1\r\nHost: localhost\r\n\r\n" };
        // As much as goes; what is answered fills the line from the other end.
        for _ in 0..if at % 2 == 0 { 1 } else { 2000 } {
            if stream.write(some.as_bytes()).is_err() {
                break;
            }
        }
    }
    for _ in 0..5 {
        site.assert_well();
    }
    drop(greedy);
    node.stop();
}

#[test]
fn who_sends_a_byte_now_and_then_is_cut_off() {
    let (_place, node, site) = node();
    let mut slow = site.connect();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    let begun = Instant::now();
    slow.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut byte = [0];
    while slow.write_all(b"X").is_ok() && !matches!(slow.read(&mut byte), Ok(0)) {
        assert!(begun.elapsed() < Duration::from_secs(40), "it holds the connection still");
    }
    assert!(begun.elapsed() > Duration::from_secs(5), "it was given some time");
    site.assert_well();
    node.stop();
}

/// The same words for a token that is right but for its end as for one that is wrong throughout.
#[test]
fn refusals_of_tokens_say_nothing_but_no() {
    let (_place, node, site) = node();
    let nearly = format!("{}{}", &site.token[..63], if site.token.ends_with('0') { '1' } else { '0' });
    let mut answers = ["0".repeat(64), nearly, String::new(), "x".repeat(5000)].map(|token| {
        let (status, head, body) = site.ask("GET /v1/status", &[&format!("Authorization: Bearer {token}")]);
        let head: Vec<_> = head.lines().filter(|line| !line.starts_with("date")).map(str::to_owned).collect();
        (status, head, body)
    });
    assert_eq!(answers[0].0, 401);
    let first = answers[0].clone();
    assert!(answers.iter_mut().all(|answer| *answer == first), "{answers:?}");
    node.stop();
}
