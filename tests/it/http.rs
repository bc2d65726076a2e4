//! Metrics, health and the console of a running node, over real sockets.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use softadastra::http::metrics::{FAMILIES, Kind};

use self::exposition::Exposition;
use crate::discovery;
use crate::operations::table;
use crate::support::{Node, Place};

mod attacks;
mod browser;
mod console;
mod exposition;
mod health;

/// A node that serves HTTP on loopback.
pub(crate) struct Site {
    pub(crate) address: String,
    pub(crate) token: String,
}

impl Site {
    /// The one of a running node.
    pub(crate) fn of(place: &Place) -> Self {
        let link = place.run(&["--json", "console"]).data("softadastra.console/1")["link"].as_str().unwrap().to_owned();
        let (address, token) = link.strip_prefix("http://").unwrap().split_once("/#token=").unwrap();
        Self { address: address.to_owned(), token: token.to_owned() }
    }

    pub(crate) fn link(&self) -> String {
        format!("http://{}/#token={}", self.address, self.token)
    }

    /// Asks with these lines of a head; gives the status, the head and the body.
    fn ask(&self, request: &str, head: &[&str]) -> (u16, String, String) {
        let host = format!("Host: {}", self.address);
        let own_host = head.iter().any(|line| line.starts_with("Host:"));
        let mut lines = vec![format!("{request} HTTP/1.1"), "Connection: close".to_owned()];
        lines.extend((!own_host).then_some(host));
        lines.extend(head.iter().map(|line| (*line).to_owned()));
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.ask(&format!("GET {path}"), &[]);
        (status, body)
    }

    fn with_token(&self, request: &str) -> (u16, String, String) {
        self.ask(request, &[&format!("Authorization: Bearer {}", self.token), "Content-Length: 0"])
    }
}

/// A node with HTTP, and where that is.
fn node() -> (Place, Node, Site) {
    let place = Place::new();
    let node = place.start_with(&["--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let site = Site::of(&place);
    (place, node, site)
}

/// The metrics of a node.
fn scraped(site: &Site) -> Exposition {
    let (status, text) = site.get("/metrics");
    assert_eq!(status, 200, "{text}");
    Exposition::read(&text, false).unwrap_or_else(|what| panic!("{what}\n{text}"))
}

#[test]
fn metrics_are_scraped_and_tell_what_happened() {
    let (place, node, site) = node();
    for n in 0..20 {
        place.run(&["store", "put", &format!("k/{n}"), "a value"]).ok();
    }
    let (status, head, text) = site.ask("GET /metrics", &[]);
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let all = Exposition::read(&text, false).unwrap_or_else(|what| panic!("{what}\n{text}"));
    for family in FAMILIES.iter().filter(|family| family.labels != ["peer"]) {
        let told = all.0.get(family.name).unwrap_or_else(|| panic!("{} is not told", family.name));
        assert_eq!(told.kind, family.kind.as_str());
        for sample in told.samples.iter().filter(|_| family.kind != Kind::Histogram) {
            let labels: Vec<_> = sample.labels.keys().map(String::as_str).collect();
            assert_eq!(labels, family.labels, "{sample:?}");
        }
    }
    assert_eq!(all.value("softadastra_keys"), 20.0);
    assert_eq!(all.value("softadastra_operations_accepted_total"), 20.0);
    assert_eq!(all.value("softadastra_outbox_operations{state=\"queued\"}"), 20.0);
    assert_eq!(all.value("softadastra_state{state=\"ready\"}"), 1.0);
    assert_eq!(all.value("softadastra_write_duration_seconds_count"), 20.0);
    assert!(all.value("softadastra_write_duration_seconds_sum") > 0.0);
    assert!(all.value("softadastra_log_sync_duration_seconds_count") >= 20.0);
    assert!(all.value("process_open_fds") > 5.0 && all.value("process_resident_memory_bytes") > 1e6);

    let (_, head, open) = site.ask("GET /metrics", &["Accept: application/openmetrics-text; version=1.0.0"]);
    assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
    let open = Exposition::read(&open, true).unwrap_or_else(|what| panic!("{what}\n{open}"));
    assert_eq!((open.0.len(), open.value("softadastra_keys")), (all.0.len(), 20.0));
    assert!(open.0.contains_key("softadastra_operations_accepted"), "a counter goes by its name without the ending");
    node.stop();
}

#[test]
fn peers_are_told_one_by_one() {
    let (place, node, site) = node();
    let other = Place::of("shop");
    let shop = other.start_with(&["--listen", "127.0.0.1:0"]);
    let ticket = place.run(&["--json", "ticket"]).data("softadastra.ticket/1")["ticket"].as_str().unwrap().to_owned();
    other.run_with(&["join", "-"], ticket.as_bytes()).ok();
    place.run(&["store", "put", "k", "v"]).ok();
    crate::sync::until("it is delivered", || other.run(&["store", "contains", "k"]).code == 0);
    crate::sync::until("it is told", || {
        let (_, text) = site.get("/metrics");
        text.contains("softadastra_peer_lag_operations{peer=\"shop\"} 0\n")
            && text.contains("softadastra_peer_round_trip_seconds{peer=\"shop\"}")
    });
    let all = scraped(&site);
    for family in FAMILIES.iter().filter(|family| family.labels == ["peer"]) {
        assert!(all.0.contains_key(family.name), "{} in {all:?}", family.name);
    }
    assert_eq!(all.value("softadastra_peer_up{peer=\"shop\"}"), 1.0);
    assert_eq!(all.value("softadastra_peers{state=\"connected\"}"), 1.0);
    shop.stop();
    crate::sync::until("the link is down", || {
        site.get("/metrics").1.contains("softadastra_peer_up{peer=\"shop\"} 0\n")
    });
    node.stop();
}

#[test]
fn nodes_that_discovery_has_found_are_told_by_their_state() {
    let (till, desk) = (discovery::founded("till"), Place::of("desk"));
    discovery::joined(&desk, &till);
    let port = discovery::port();
    let options = [discovery::on_loopback(&port), discovery::quick()].concat();
    let node = till.start_with(&[&options[..], &["--http", "127.0.0.1:0"]].concat());
    let other = desk.start_with(&options);
    let site = Site::of(&till);
    let told =
        |state: &str| site.get("/metrics").1.contains(&format!("softadastra_found_nodes{{state=\"{state}\"}} 1\n"));
    crate::sync::until("it is found", || told("available"));
    let all = scraped(&site);
    assert_eq!(all.value("softadastra_discovery_running"), 1.0);
    assert_eq!(all.value("softadastra_discovery_hindered"), 0.0);
    let (received, believed) =
        (all.value("softadastra_datagrams_received_total"), all.value("softadastra_datagrams_believed_total"));
    assert!(believed >= 1.0 && received >= believed, "{all:?}");
    let (status, _, overview) = site.with_token("GET /v1/console");
    let overview: Value = serde_json::from_str(&overview).unwrap();
    assert_eq!((status, &overview["found"]["total"]), (200, &Value::from(1)));
    assert_eq!(overview["found"]["nodes"][0]["node_id"], "desk");
    other.stop();
    crate::sync::until("its goodbye is told", || told("expired"));
    node.stop();
}

#[test]
fn every_metric_is_in_the_table_and_the_dashboard_names_only_those() {
    let mut rows = table("## Metrics");
    for family in FAMILIES {
        let row = rows.remove(family.name).unwrap_or_else(|| panic!("`{}` is not in the table", family.name));
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let wanted = [family.kind.as_str().to_owned(), labels.join(" "), family.help.trim_end_matches('.').to_owned()];
        assert_eq!(row, wanted, "{}", family.name);
    }
    assert!(rows.is_empty(), "metrics that there are none of: {rows:?}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deploy/grafana-dashboard.json");
    let board: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let names: BTreeSet<_> = FAMILIES.iter().map(|family| family.name).collect();
    let mut used = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = target["expr"].as_str().unwrap();
            for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
                let name = word.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
                if word.starts_with("softadastra_") || word.starts_with("process_") {
                    assert!(names.contains(name), "{word} of {text}");
                    used.insert(name.to_owned());
                }
            }
        }
    }
    assert!(used.len() > 15, "{used:?}");
}

#[test]
fn health_is_told_to_anybody_and_data_only_to_who_has_the_token() {
    let (_place, node, site) = node();
    assert_eq!(site.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(site.get("/readyz"), (200, "ready\n".to_owned()));
    let owned = [
        "GET /v1/console",
        "GET /v1/status",
        "GET /v1/node",
        "GET /v1/store/list",
        "GET /v1/store/value?key=k",
        "GET /v1/peers",
        "GET /v1/sync",
        "GET /v1/sync/outbox",
        "POST /v1/sync/retry",
        "POST /v1/sync/tick",
        "GET /v1/conflicts/one?id=1",
        "POST /v1/conflicts/resolve?id=1",
    ];
    for request in owned {
        let none = site.ask(request, &["Content-Length: 0"]);
        let wrong = site.ask(request, &["Authorization: Bearer 0000", "Content-Length: 0"]);
        let cookie = site.ask(request, &[&format!("Cookie: token={}", site.token), "Content-Length: 0"]);
        assert_eq!((none.0, wrong.0, cookie.0), (401, 401, 401), "{request}");
        let (status, _, body) = site.with_token(request);
        let missing = request.contains("value") || request.contains("conflicts");
        assert_eq!(status, if missing { 404 } else { 200 }, "{request}: {body}");
    }
    // What hands out secrets, writes files or changes trust is nobody's here, token or not.
    let only_on_the_socket = [
        "POST /v1/ticket",
        "POST /v1/join",
        "POST /v1/backup?dir=/tmp/x",
        "POST /v1/peers/trust",
        "POST /v1/peers/forget",
        "POST /v1/snapshot",
        "GET /v1/wal",
        "PUT /v1/store/value?key=k",
        "DELETE /v1/store/value?key=k",
    ];
    for request in only_on_the_socket {
        let (status, _, _) = site.with_token(request);
        assert!([404, 405].contains(&status), "{request}: {status}");
    }
    let log = node.stop().stderr;
    assert!(log.contains("http_started") && !log.contains(&site.token), "the token stands in no line");
}

#[test]
fn pages_of_other_sites_get_nothing() {
    let (_place, node, site) = node();
    let token = format!("Authorization: Bearer {}", site.token);
    for path in ["/", "/metrics", "/healthz", "/v1/status"] {
        let rebound = site.ask(&format!("GET {path}"), &[&token, "Host: evil.example:80"]);
        assert_eq!(rebound.0, 421, "{path}");
        let foreign = site.ask(&format!("GET {path}"), &[&token, "Origin: http://evil.example"]);
        assert_eq!(foreign.0, 403, "{path}");
    }
    let (status, head, page) = site.ask("GET /", &[]);
    assert_eq!(status, 200);
    for wanted in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-store",
    ] {
        assert!(head.contains(wanted), "{wanted} in {head}");
    }
    assert!(!head.contains("access-control"), "{head}");
    assert!(
        !page.contains("<style") && !page.contains(" style=") && !page.contains("onclick"),
        "the policy forbids these"
    );
    for file in ["/console.css", "/console.js", "/view.js", "/charts.js", "/icon.svg"] {
        let (status, body) = site.get(file);
        assert_eq!(status, 200, "{file}");
        assert!(!body.contains("https://") && !body.contains("innerHTML"), "{file}");
    }
    assert_eq!(site.get("/console").0, 404);
    assert_eq!(site.ask("OPTIONS /v1/status", &["Origin: http://evil.example"]).0, 405);
    node.stop();
}

#[test]
fn other_machines_are_served_only_for_who_says_so_and_then_by_token() {
    let place = Place::new();
    let refused = place.run(&["node", "start", "--http", "0.0.0.0:0"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--http-expose"), "{refused:?}");
    let node = place.start_with(&["--http", "0.0.0.0:0", "--http-expose"]);
    let site = Site::of(&place);
    assert_eq!(site.get("/metrics").0, 401);
    assert_eq!(site.with_token("GET /metrics").0, 200);
    assert_eq!(site.get("/healthz").0, 200);
    node.stop();
    // The token is kept, for its owner alone.
    let node = place.start_with(&["--http", "127.0.0.1:0"]);
    assert_eq!(Site::of(&place).token, site.token);
    node.stop();
}

#[test]
fn a_port_that_is_taken_keeps_the_node_from_nothing_else() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let node = place.start_with(&["--http", &taken.local_addr().unwrap().to_string()]);
    place.run(&["store", "put", "k", "v"]).ok();
    let none = place.run(&["console"]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("no console is served"), "{none:?}");
    let log = node.stop().stderr;
    assert!(log.contains("event=\"http_failed\"") && log.contains("in use"), "{log}");
}
