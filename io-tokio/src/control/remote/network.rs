//! Asking a running node about links, peers, delivery and conflicts.

use bytes::Bytes;
use hyper::Method;

use super::{Kind, Remote};
use crate::control::Fault;
use crate::control::answer::{
    Conflict, Conflicts, Connecting, Disconnected, Forgotten, Joined, Outbox, Peers, Resolved, Retried, SyncStatus,
    Ticked, Ticket, Trusted,
};
use crate::control::backend::{Delivering, Peering};
use crate::control::query::Target;
use crate::model::Resolution;

impl Peering for Remote {
    async fn peers(&mut self) -> Result<Peers, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/peers"), Bytes::new()).await
    }

    async fn ticket(&mut self, addresses: &[String], new_secret: bool) -> Result<Ticket, Fault> {
        let target = addresses
            .iter()
            .fold(Target::new("/v1/ticket"), |target, address| target.with("address", address.as_bytes()));
        let target = target.with("new_secret", yes_or_no(new_secret));
        self.call(Kind::Order, Method::POST, &target, Bytes::new()).await
    }

    async fn join(&mut self, ticket: &str, leave: bool) -> Result<Joined, Fault> {
        let target = Target::new("/v1/join").with("leave", yes_or_no(leave));
        self.call(Kind::Order, Method::POST, &target, text(ticket)).await
    }

    async fn connect(&mut self, spec: &str) -> Result<Connecting, Fault> {
        self.call(Kind::Order, Method::POST, &Target::new("/v1/peers/connect"), text(spec)).await
    }

    async fn disconnect(&mut self, spec: &str) -> Result<Disconnected, Fault> {
        self.call(Kind::Order, Method::POST, &Target::new("/v1/peers/disconnect"), text(spec)).await
    }

    async fn trust(&mut self, key: &str) -> Result<Trusted, Fault> {
        self.call(Kind::Order, Method::POST, &Target::new("/v1/peers/trust"), text(key)).await
    }

    async fn forget(&mut self, name: &str) -> Result<Forgotten, Fault> {
        self.call(Kind::Order, Method::POST, &Target::new("/v1/peers/forget"), text(name)).await
    }
}

impl Delivering for Remote {
    async fn sync_status(&mut self) -> Result<SyncStatus, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/sync"), Bytes::new()).await
    }

    async fn outbox(&mut self) -> Result<Outbox, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/sync/outbox"), Bytes::new()).await
    }

    async fn tick(&mut self, prune: bool) -> Result<Ticked, Fault> {
        let target = Target::new("/v1/sync/tick").with("prune", yes_or_no(prune));
        self.call(Kind::Order, Method::POST, &target, Bytes::new()).await
    }

    async fn retry(&mut self) -> Result<Retried, Fault> {
        self.call(Kind::Order, Method::POST, &Target::new("/v1/sync/retry"), Bytes::new()).await
    }

    async fn conflicts(&mut self) -> Result<Conflicts, Fault> {
        self.call(Kind::Read, Method::GET, &Target::new("/v1/conflicts"), Bytes::new()).await
    }

    async fn conflict(&mut self, id: u64) -> Result<Conflict, Fault> {
        let target = Target::new("/v1/conflicts/one").with_number("id", Some(id));
        self.call(Kind::Read, Method::GET, &target, Bytes::new()).await
    }

    async fn resolve(&mut self, id: u64, resolution: Resolution) -> Result<Resolved, Fault> {
        let (with, value) = match resolution {
            Resolution::Winner => ("winner", Bytes::new()),
            Resolution::Value(value) => ("value", value),
            Resolution::Delete => ("delete", Bytes::new()),
        };
        let target = Target::new("/v1/conflicts/resolve").with_number("id", Some(id)).with("with", with.as_bytes());
        self.call(Kind::Write, Method::POST, &target, value).await
    }
}

const fn yes_or_no(yes: bool) -> &'static [u8] {
    if yes { b"true" } else { b"false" }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
