//! Discovery of a client that is open in this process.

use softadastra_core::error::Code;

use super::{Local, millis};
use crate::control::answer::{
    Datagrams, Discovered, DiscoveredNode, Discovery, DiscoveryError, DiscoveryInShort, DiscoveryInterface,
    DiscoveryTarget,
};
use crate::control::backend::Discovering;
use crate::control::fault::Fault;
use crate::discovery::{DiscoveryMode, DiscoveryOptions, Trouble};
use crate::model::{DiscoveryCounters, FoundNode};

impl Discovering for Local {
    async fn discovery(&mut self) -> Result<Discovery, Fault> {
        let state = self.client.discovery_state()?;
        Ok(Discovery {
            running: state.running,
            mode: state.mode.map(|mode| mode.as_str().to_owned()),
            auto_connect: state.auto_connect,
            port: state.port,
            found: state.found,
            error: state.trouble.map(error),
            interfaces: state
                .interfaces
                .into_iter()
                .map(|interface| DiscoveryInterface {
                    name: interface.name,
                    addresses: interface.addresses.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            targets: state
                .targets
                .into_iter()
                .map(|target| DiscoveryTarget { target: target.target, error: target.error })
                .collect(),
            next_announcement_ms: state.next_announcement.map(millis),
            datagrams: datagrams(state.counters),
        })
    }

    async fn discovered(&mut self) -> Result<Discovered, Fault> {
        let mut nodes: Vec<_> = self.client.discovered()?.into_iter().map(node).collect();
        nodes.sort_by(|a, b| (&a.node_id, &a.public_key).cmp(&(&b.node_id, &b.public_key)));
        Ok(Discovered { running: self.client.discovery_running(), nodes })
    }

    async fn start_discovery(&mut self, mode: Option<DiscoveryMode>, auto_connect: bool) -> Result<Discovery, Fault> {
        self.must_run()?;
        let configured = self.discovery.clone();
        let options = DiscoveryOptions {
            mode: mode.unwrap_or(configured.mode),
            auto_connect: auto_connect || configured.auto_connect,
            ..configured
        };
        self.client.start_discovery(options).await?;
        self.discovery().await
    }

    async fn stop_discovery(&mut self) -> Result<Discovery, Fault> {
        self.must_run()?;
        self.client.stop_discovery().await?;
        self.discovery().await
    }
}

impl Local {
    /// Discovery in short.
    pub(super) async fn discovery_in_short(&mut self) -> Result<DiscoveryInShort, Fault> {
        let Discovery { running, mode, auto_connect, found, error, .. } = self.discovery().await?;
        Ok(DiscoveryInShort { running, mode, auto_connect, found, error })
    }

    fn must_run(&self) -> Result<(), Fault> {
        if self.running {
            return Ok(());
        }
        Err(Fault::new(
            Code::InvalidState,
            "no node runs on this data directory, so there is nobody to be found or to find",
            "start one with `softadastra node start --discovery`",
        ))
    }
}

fn error(trouble: Trouble) -> DiscoveryError {
    DiscoveryError {
        code: trouble.kind.as_str().to_owned(),
        message: trouble.what,
        next: format!("{}; it is tried again by itself", trouble.next),
    }
}

fn datagrams(counters: DiscoveryCounters) -> Datagrams {
    Datagrams {
        sent: counters.sent,
        failed: counters.failed,
        received: counters.received,
        believed: counters.believed,
        dropped: counters.ignored.into_iter().map(|(why, count)| (why.as_str().to_owned(), count)).collect(),
    }
}

fn node(found: FoundNode) -> DiscoveredNode {
    DiscoveredNode {
        node_id: found.node.to_string(),
        public_key: found.key.to_string(),
        addresses: found.addresses.iter().map(ToString::to_string).collect(),
        capabilities: found.capabilities,
        state: found.state.as_str().to_owned(),
        connected: found.connected,
        first_heard_ms: millis(found.first_heard),
        last_heard_ms: millis(found.last_heard),
        clock_ahead_ms: found.clock_ahead_ms,
    }
}
