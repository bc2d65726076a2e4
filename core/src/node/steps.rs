//! The one queue of what the machines inside a node ask for: nothing runs while another machine is half updated.

use alloc::collections::VecDeque;

use crate::sink::Sink;
use crate::transport::endpoint;
use crate::{discovery, sync, wal};

/// What one of the machines asks for or tells.
#[derive(Debug)]
pub(super) enum Step {
    Log(wal::Effect),
    Sync(sync::Effect),
    Link(endpoint::Effect),
    Discovery(discovery::Effect),
}

/// Steps not yet routed, in order.
#[derive(Debug, Default)]
pub(super) struct Steps(VecDeque<Step>);

impl Steps {
    pub(super) fn next(&mut self) -> Option<Step> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Sink<wal::Effect> for Steps {
    fn push(&mut self, effect: wal::Effect) {
        self.0.push_back(Step::Log(effect));
    }
}

impl Sink<sync::Effect> for Steps {
    fn push(&mut self, effect: sync::Effect) {
        self.0.push_back(Step::Sync(effect));
    }
}

impl Sink<endpoint::Effect> for Steps {
    fn push(&mut self, effect: endpoint::Effect) {
        self.0.push_back(Step::Link(effect));
    }
}

impl Sink<discovery::Effect> for Steps {
    fn push(&mut self, effect: discovery::Effect) {
        self.0.push_back(Step::Discovery(effect));
    }
}
