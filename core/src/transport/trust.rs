//! Whom a node links with.
//!
//! The handshake proves *which key* is at the other end. This module decides whether that key may stay. A key that the
//! operator trusted by hand always may. Beyond that it depends on the mode; in a network the first key that claims a
//! node id is pinned to it, and another key with that name is refused until the operator says otherwise.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt;

use super::identity::NodeKey;
use crate::error::{Code, Error};
use crate::ids::NodeId;

/// The most names that are pinned. Members can invent names; they cannot exhaust memory with them.
pub const MAX_PINS: usize = 16_384;

/// Which unlisted keys are let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustMode {
    /// Whoever holds the network secret; the first key of each node id is pinned. The default.
    #[default]
    Network,
    /// None: only keys in the list.
    Pinned,
    /// All, unchecked. For trying things out on one machine.
    Open,
}

impl TrustMode {
    /// The stable name, as programs and settings see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Pinned => "pinned",
            Self::Open => "open",
        }
    }
}

/// Why a proven key is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// The mode is `pinned` and the key is not in the list.
    Unlisted,
    /// The node id is pinned to another key. Either that node was set up anew, or somebody poses as it.
    KeyChanged {
        /// The key that the name belongs to.
        pinned: NodeKey,
    },
    /// Too many names are pinned already.
    PinsFull,
    /// The operator forgot the key.
    Forgotten,
}

impl Distrust {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unlisted => "untrusted_key",
            Self::KeyChanged { .. } => "peer_key_changed",
            Self::PinsFull => "pins_full",
            Self::Forgotten => "forgotten",
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted => f.write_str("its key is not in the list of trusted keys"),
            Self::KeyChanged { pinned } => {
                write!(
                    f,
                    "its name belongs to the key {pinned}; if that node was set up anew, trust the new key by hand"
                )
            }
            Self::PinsFull => write!(f, "{MAX_PINS} names are pinned already; forget some"),
            Self::Forgotten => f.write_str("its key was forgotten by hand; trust it by hand to let it in again"),
        }
    }
}

/// The decision about a proven key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may stay. `pin` asks for [`Trust::pin`], and for the pin to be kept, as soon as the link stands.
    Admit {
        /// The name is new, or now belongs to another key by the operator's word.
        pin: bool,
    },
    /// It may not.
    Refuse(Distrust),
}

/// The rules and what was learnt under them. Changed only by the operator and by first sight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    mode: TrustMode,
    listed: BTreeSet<NodeKey>,
    pins: BTreeMap<NodeId, NodeKey>,
    /// Never listed at the same time.
    forgotten: BTreeSet<NodeKey>,
}

impl Trust {
    /// Rules with a list of keys that are trusted by hand, and with the pins kept from earlier runs (in excess of
    /// [`MAX_PINS`] they are dropped, the last in order of name first).
    #[must_use]
    pub fn new(
        mode: TrustMode,
        listed: impl IntoIterator<Item = NodeKey>,
        pins: impl IntoIterator<Item = (NodeId, NodeKey)>,
    ) -> Self {
        let mut pins: BTreeMap<_, _> = pins.into_iter().collect();
        while pins.len() > MAX_PINS {
            pins.pop_last();
        }
        Self { mode, listed: listed.into_iter().collect(), pins, forgotten: BTreeSet::new() }
    }

    /// The same, with keys that the operator forgot: these are refused in every mode.
    #[must_use]
    pub fn without(mut self, forgotten: impl IntoIterator<Item = NodeKey>) -> Self {
        self.forgotten.extend(forgotten);
        self.listed.retain(|key| !self.forgotten.contains(key));
        self
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> TrustMode {
        self.mode
    }

    /// Decides about a proven key. Changes nothing.
    #[must_use]
    pub fn judge(&self, node: &NodeId, key: &NodeKey) -> Verdict {
        let pinned = self.pins.get(node);
        if self.forgotten.contains(key) {
            return Verdict::Refuse(Distrust::Forgotten);
        }
        if self.lists(key) {
            return Verdict::Admit { pin: pinned != Some(key) };
        }
        match (self.mode, pinned) {
            (TrustMode::Open, _) => Verdict::Admit { pin: false },
            (TrustMode::Pinned, _) => Verdict::Refuse(Distrust::Unlisted),
            (TrustMode::Network, Some(known)) if known == key => Verdict::Admit { pin: false },
            (TrustMode::Network, Some(known)) => Verdict::Refuse(Distrust::KeyChanged { pinned: *known }),
            (TrustMode::Network, None) if self.pins.len() < MAX_PINS => Verdict::Admit { pin: true },
            (TrustMode::Network, None) => Verdict::Refuse(Distrust::PinsFull),
        }
    }

    /// Ties a name to a key. Call it for a verdict that asks for it.
    pub fn pin(&mut self, node: NodeId, key: NodeKey) {
        self.pins.insert(node, key);
    }

    /// Trusts a key by hand, whatever the mode and whatever its name is pinned to. Gives whether it is new.
    pub fn trust(&mut self, key: NodeKey) -> bool {
        self.forgotten.remove(&key);
        self.listed.insert(key)
    }

    /// Refuses a key from now on, in every mode, until [`Self::trust`] or [`Self::pardon`].
    pub fn refuse(&mut self, key: NodeKey) {
        self.forget(&key);
        self.forgotten.insert(key);
    }

    /// Refuses a key no longer, and trusts it no more than any other. Gives whether it was refused.
    pub fn pardon(&mut self, key: &NodeKey) -> bool {
        self.forgotten.remove(key)
    }

    /// Takes a key off the list and forgets the names pinned to it. Gives whether anything changed.
    pub fn forget(&mut self, key: &NodeKey) -> bool {
        let before = self.pins.len();
        self.pins.retain(|_, pinned| pinned != key);
        self.listed.remove(key) || self.pins.len() != before
    }

    /// Whether a key was trusted by hand.
    #[must_use]
    pub fn lists(&self, key: &NodeKey) -> bool {
        self.listed.contains(key)
    }

    /// The keys trusted by hand, in order.
    pub fn listed(&self) -> impl Iterator<Item = &NodeKey> {
        self.listed.iter()
    }

    /// The pinned names, in order.
    pub fn pins(&self) -> impl Iterator<Item = (&NodeId, &NodeKey)> {
        self.pins.iter()
    }

    /// Whether the rules are strict enough to serve.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: mode `network` without a secret is no rule at all; nothing but loopback is served in
    /// mode `open` unless `insecure` says that this is meant.
    pub fn check(&self, has_secret: bool, beyond_loopback: bool, insecure: bool) -> Result<(), Error> {
        let refuse = |what, next| Err(Error::new(Code::InvalidArgument, what, next));
        match self.mode {
            TrustMode::Network if !has_secret => refuse(
                "trust mode network needs a network secret",
                "set the secret of the network, list trusted keys in mode pinned, or join with a ticket",
            ),
            TrustMode::Open if beyond_loopback && !insecure => refuse(
                "in trust mode open everybody who reaches this address reads and writes everything",
                "listen on loopback, set a network secret, or say --insecure if this is meant",
            ),
            TrustMode::Network | TrustMode::Pinned | TrustMode::Open => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const A: NodeKey = NodeKey([1; 32]);
    const B: NodeKey = NodeKey([2; 32]);

    fn name(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    #[test]
    fn a_network_pins_at_first_sight_and_refuses_a_changed_key() {
        let mut trust = Trust::new(TrustMode::Network, [], []);
        assert_eq!(trust.judge(&name("till"), &A), Verdict::Admit { pin: true });
        trust.pin(name("till"), A);
        assert_eq!(trust.judge(&name("till"), &A), Verdict::Admit { pin: false });
        let changed = Verdict::Refuse(Distrust::KeyChanged { pinned: A });
        assert_eq!(trust.judge(&name("till"), &B), changed);
        assert_eq!(trust.judge(&name("till"), &B), changed, "asking twice does not wear it down");
        assert_eq!(trust.judge(&name("desk"), &B), Verdict::Admit { pin: true });

        assert!(trust.trust(B), "the operator accepts the new key");
        assert_eq!(trust.judge(&name("till"), &B), Verdict::Admit { pin: true });
        trust.pin(name("till"), B);
        assert_eq!(trust.judge(&name("till"), &A), Verdict::Refuse(Distrust::KeyChanged { pinned: B }));
        assert!(trust.forget(&B) && !trust.forget(&B));
        assert_eq!(trust.judge(&name("till"), &A), Verdict::Admit { pin: true });
    }

    #[test]
    fn names_are_stable_and_every_refusal_says_what_is_wrong() {
        let modes = [TrustMode::Network, TrustMode::Pinned, TrustMode::Open].map(TrustMode::as_str);
        assert_eq!(modes, ["network", "pinned", "open"]);
        for (distrust, name, says) in [
            (Distrust::Unlisted, "untrusted_key", "not in the list"),
            (Distrust::KeyChanged { pinned: A }, "peer_key_changed", &*format!("belongs to the key {A}")),
            (Distrust::PinsFull, "pins_full", "16384 names"),
            (Distrust::Forgotten, "forgotten", "forgotten by hand"),
        ] {
            assert_eq!(distrust.as_str(), name);
            assert!(format!("{distrust}").contains(says), "{distrust}");
        }
    }

    #[test]
    fn of_a_key_that_is_both_listed_and_forgotten_nothing_is_left_in_the_list() {
        let trust = Trust::new(TrustMode::Network, [A, B], []).without([B]);
        assert!(trust.listed().eq([&A]));
    }

    #[test]
    fn forgetting_says_whether_there_was_a_listed_key_or_a_pinned_name() {
        let forget = |listed: &[NodeKey], pins: &[(NodeId, NodeKey)]| {
            Trust::new(TrustMode::Network, listed.iter().copied(), pins.iter().cloned()).forget(&A)
        };
        let pin = |key| [(name("till"), key)];
        assert!(forget(&[A], &[]) && forget(&[], &pin(A)) && forget(&[A], &pin(A)));
        assert!(!forget(&[], &[]) && !forget(&[B], &pin(B)));
    }

    #[test]
    fn pinned_lets_in_the_list_and_open_lets_in_all() {
        let pinned = Trust::new(TrustMode::Pinned, [A], [(name("till"), B)]);
        assert_eq!(pinned.judge(&name("till"), &A), Verdict::Admit { pin: true });
        assert_eq!(pinned.judge(&name("till"), &B), Verdict::Refuse(Distrust::Unlisted));
        let open = Trust::new(TrustMode::Open, [], [(name("till"), A)]);
        assert_eq!(open.judge(&name("till"), &B), Verdict::Admit { pin: false });
    }

    #[test]
    fn who_is_forgotten_is_refused_in_every_mode_until_the_operator_says_otherwise() {
        for mode in [TrustMode::Network, TrustMode::Pinned, TrustMode::Open] {
            let mut trust = Trust::new(mode, [A], [(name("till"), A)]).without([B]);
            trust.refuse(A);
            for key in [&A, &B] {
                assert_eq!(trust.judge(&name("till"), key), Verdict::Refuse(Distrust::Forgotten));
            }
            assert!(trust.pins().next().is_none() && !trust.lists(&A));
            assert!(trust.pardon(&A) && !trust.pardon(&A));
            let pardoned = Trust::new(mode, [], []).judge(&name("till"), &A);
            assert_eq!(trust.judge(&name("till"), &A), pardoned, "like any other");
            trust.trust(B);
            assert_eq!(trust.judge(&name("till"), &B), Verdict::Admit { pin: true });
        }
    }

    #[test]
    fn invented_names_stop_at_the_bound() {
        let pins = (0..MAX_PINS + 5).map(|n| (name(&format!("n{n:06}")), A));
        let trust = Trust::new(TrustMode::Network, [], pins);
        assert_eq!(trust.pins().count(), MAX_PINS);
        assert_eq!(trust.judge(&name("new"), &B), Verdict::Refuse(Distrust::PinsFull));
        assert_eq!(trust.judge(&name("n000000"), &A), Verdict::Admit { pin: false });
    }

    #[test]
    fn nothing_is_served_beyond_loopback_without_a_rule() {
        let check = |mode, secret, beyond, insecure| Trust::new(mode, [], []).check(secret, beyond, insecure).is_ok();
        assert!(check(TrustMode::Network, true, true, false));
        assert!(!check(TrustMode::Network, false, false, true));
        assert!(check(TrustMode::Pinned, false, true, false));
        assert!(check(TrustMode::Open, false, false, false));
        assert!(!check(TrustMode::Open, false, true, false));
        assert!(check(TrustMode::Open, false, true, true));
    }
}
