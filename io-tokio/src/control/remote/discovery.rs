//! Asking a running node about discovery.

use bytes::Bytes;
use hyper::Method;

use super::{Kind, Remote};
use crate::control::Fault;
use crate::control::answer::{Discovered, Discovery};
use crate::control::backend::Discovering;
use crate::control::query::Target;
use crate::discovery::DiscoveryMode;

impl Discovering for Remote {
    async fn discovery(&mut self) -> Result<Discovery, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/discovery"), Bytes::new()).await
    }

    async fn discovered(&mut self) -> Result<Discovered, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/discovery/nodes"), Bytes::new()).await
    }

    async fn start_discovery(&mut self, mode: Option<DiscoveryMode>, auto_connect: bool) -> Result<Discovery, Fault> {
        let mut target = Target::new("/v1/discovery/start");
        if let Some(mode) = mode {
            target = target.with("mode", mode.as_str().as_bytes());
        }
        if auto_connect {
            target = target.with("auto_connect", b"true");
        }
        self.call(Kind::Order, Method::POST, &target, Bytes::new()).await
    }

    async fn stop_discovery(&mut self) -> Result<Discovery, Fault> {
        self.call(Kind::Order, Method::POST, &Target::new("/v1/discovery/stop"), Bytes::new()).await
    }
}
