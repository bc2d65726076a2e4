//! Answers about discovery, as people read them.

use super::{counted, duration, fields, lines_of, plain_table};
use crate::cli::output::{Human, Paint};
use crate::control::answer::{Discovered, DiscoveredNode, Discovery, DiscoveryError, DiscoveryInShort};

impl Human for Discovery {
    fn human(&self, paint: Paint) -> String {
        let short = DiscoveryInShort {
            running: self.running,
            mode: self.mode.clone(),
            auto_connect: self.auto_connect,
            found: self.found,
            error: self.error.clone(),
        };
        let mut rows = vec![("Discovery", in_short(&short, paint))];
        if let Some(error) = &self.error {
            rows.push(("What to do", error.next.clone()));
        }
        if self.running {
            let whom = if self.auto_connect { "whoever is found" } else { "nobody, `softadastra connect` does" };
            rows.push(("Dials", whom.to_owned()));
            rows.extend(self.port.map(|port| ("UDP port", port.to_string())));
            let interfaces: Vec<String> =
                self.interfaces.iter().map(|one| format!("{} ({})", one.name, one.addresses.join(", "))).collect();
            rows.push(("Interfaces", if interfaces.is_empty() { "none".to_owned() } else { interfaces.join(", ") }));
            rows.extend(self.next_announcement_ms.map(|ms| ("Announces", format!("in {}", duration(ms)))));
        }
        let counted = &self.datagrams;
        rows.push((
            "Datagrams",
            format!("{} sent, {} received, {} believed", counted.sent, counted.received, counted.believed),
        ));
        if !counted.dropped.is_empty() {
            let dropped: Vec<String> = counted.dropped.iter().map(|(why, count)| format!("{count} {why}")).collect();
            rows.push(("Dropped", dropped.join(", ")));
        }
        let mut text = fields(paint, &rows);
        if !self.targets.is_empty() {
            let mut table = plain_table();
            table.set_header(["TARGET", "LAST ERROR"]);
            for one in &self.targets {
                table.add_row([one.target.clone(), one.error.clone().unwrap_or_else(|| "-".to_owned())]);
            }
            text.push('\n');
            text.push_str(&lines_of(&table));
        }
        text
    }
}

impl Human for Discovered {
    fn human(&self, _: Paint) -> String {
        if self.nodes.is_empty() {
            return match self.running {
                true => "No other node of this network was found yet.\n",
                false => "Nobody is looked for. `softadastra discovery start` begins.\n",
            }
            .to_owned();
        }
        let mut table = plain_table();
        table.set_header(["NODE", "KEY", "STATE", "HEARD", "LINK", "ADDRESSES"]);
        for node in &self.nodes {
            table.add_row([
                node.node_id.clone(),
                node.public_key.chars().take(10).chain(['…']).collect(),
                node.state.clone(),
                format!("{} ago", duration(node.last_heard_ms)),
                if node.connected { "connected" } else { "-" }.to_owned(),
                addresses(node),
            ]);
        }
        lines_of(&table)
    }
}

fn addresses(node: &DiscoveredNode) -> String {
    if node.addresses.is_empty() { "takes no links".to_owned() } else { node.addresses.join(" ") }
}

/// Discovery on one line.
pub(super) fn in_short(discovery: &DiscoveryInShort, paint: Paint) -> String {
    if let Some(DiscoveryError { code, message, .. }) = &discovery.error {
        return paint.red(format_args!("hindered: {message} [{code}]"));
    }
    let found = counted(discovery.found, "node found", "nodes found");
    match discovery.mode.as_deref() {
        None => "off".to_owned(),
        Some("listen") => format!("listening, {found}"),
        Some(_) => format!("on, {found}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::answer::{Datagrams, DiscoveryInterface, DiscoveryTarget};

    fn running() -> Discovery {
        Discovery {
            running: true,
            mode: Some("announce".into()),
            auto_connect: true,
            port: Some(4444),
            found: 1,
            error: None,
            interfaces: vec![DiscoveryInterface { name: "eth0".into(), addresses: vec!["10.0.0.5".into()] }],
            targets: vec![DiscoveryTarget { target: "multicast 239.255.83.65:4444 on eth0".into(), error: None }],
            next_announcement_ms: Some(12_000),
            datagrams: Datagrams {
                sent: 4,
                received: 7,
                believed: 3,
                dropped: [("own".to_owned(), 4)].into(),
                ..Datagrams::default()
            },
        }
    }

    #[test]
    fn the_state_is_told_in_full() {
        assert_eq!(
            running().human(Paint::PLAIN),
            "Discovery   on, 1 node found\n\
             Dials       whoever is found\n\
             UDP port    4444\n\
             Interfaces  eth0 (10.0.0.5)\n\
             Announces   in 12 s\n\
             Datagrams   4 sent, 7 received, 3 believed\n\
             Dropped     4 own\n\
             \n\
             TARGET                                LAST ERROR\n\
             multicast 239.255.83.65:4444 on eth0  -\n"
        );
    }

    #[test]
    fn one_line_says_whether_it_works() {
        let mut short = DiscoveryInShort::default();
        assert_eq!(in_short(&short, Paint::PLAIN), "off");
        short.mode = Some("listen".into());
        short.found = 2;
        assert_eq!(in_short(&short, Paint::PLAIN), "listening, 2 nodes found");
        let (code, message) = ("port_in_use".into(), "cannot take UDP port 4444".into());
        short.error = Some(DiscoveryError { code, message, next: "end it".into() });
        assert_eq!(in_short(&short, Paint::PLAIN), "hindered: cannot take UDP port 4444 [port_in_use]");
    }

    #[test]
    fn nodes_are_listed_with_where_to_dial_them() {
        let node = |name: &str, addresses: &[&str]| DiscoveredNode {
            node_id: name.into(),
            public_key: "abcdefghijklmnop".into(),
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            capabilities: Vec::new(),
            state: "available".into(),
            connected: name == "desk",
            first_heard_ms: 61_000,
            last_heard_ms: 9000,
            clock_ahead_ms: 0,
        };
        let found = Discovered { running: true, nodes: vec![node("desk", &["10.0.0.5:4444"]), node("till-1", &[])] };
        assert_eq!(
            found.human(Paint::PLAIN),
            "NODE    KEY          STATE      HEARD    LINK       ADDRESSES\n\
             desk    abcdefghij…  available  9 s ago  connected  10.0.0.5:4444\n\
             till-1  abcdefghij…  available  9 s ago  -          takes no links\n"
        );
        let none = |running| Discovered { running, nodes: Vec::new() }.human(Paint::PLAIN);
        assert_eq!(none(true), "No other node of this network was found yet.\n");
        assert!(none(false).starts_with("Nobody is looked for."));
    }
}
