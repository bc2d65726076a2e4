//! Peers that follow the handshake but lie in it. They are written by hand, around the Noise machine itself.

use alloc::boxed::Box;

use super::super::super::hello::{Hello, PREAMBLE_LEN, Preamble, VERSIONS, Versions};
use super::super::super::identity::{NodeKey, Purpose, Signature, Suite};
use super::super::super::noise::{self, Handshake};
use super::*;

/// A dialler under full control, which has read message 2 and is about to say who it is.
struct Impostor {
    handshake: Handshake,
    public: [u8; 32],
    victim: End,
    hello: Hello,
}

fn impostor() -> Impostor {
    let now = Instant(1);
    let session = Session::answer(&Arc::new(local(2, None)), Seed::from_number(92).secrets("link"), now);
    let mut victim = End::new(session, vec![], now);
    let preamble = Preamble { role: Role::Initiator, versions: VERSIONS, secret: false, refusal: None }.encode();
    let mut secrets = Seed::from_number(5).secrets("impostor");
    let private = secrets.key();
    let prologue = [&b"softadastra link protocol\0"[..], &preamble].concat();
    let mut handshake =
        Handshake::new(Suite::Real, Role::Initiator, &prologue, None, &private, Box::new(secrets.split()));
    let first = handshake.write(b"").unwrap();
    victim.hear(now, &preamble);
    victim.hear(now, &(first.len() as u16).to_le_bytes());
    victim.hear(now, &first);
    let answer: Vec<u8> = victim.wire.drain(..).collect();
    let theirs = Hello::decode(&handshake.read(&answer[PREAMBLE_LEN + 2..]).unwrap().into()).unwrap();
    let hello = Hello { node: NodeId::new("honest").unwrap(), boot: 1, ..theirs };
    Impostor { handshake, public: noise::public_key(Suite::Real, &private), victim, hello }
}

impl Impostor {
    fn signed(&self) -> Vec<u8> {
        [&self.public[..], &self.handshake.hash()].concat()
    }

    /// Says who it is; gives how the victim takes it.
    fn speak(mut self) -> (&'static str, usize) {
        let message = self.handshake.write(&self.hello.encode()).unwrap();
        self.victim.hear(Instant(1), &(message.len() as u16).to_le_bytes());
        self.victim.hear(Instant(1), &message);
        (self.victim.why(), self.victim.up.len())
    }
}

#[test]
fn an_honest_dialler_written_by_hand_is_let_in() {
    let mut honest = impostor();
    let identity = local(3, None).identity;
    honest.hello.key = identity.key();
    honest.hello.signature = identity.sign(Purpose::LinkInitiator, &honest.signed());
    assert_eq!(honest.speak(), ("open", 1));
}

#[test]
fn a_key_is_not_believed_without_its_signature_over_this_very_handshake() {
    let identity = local(3, None).identity;
    let forged = ("identity_forged", 0);

    let mut none = impostor();
    none.hello.key = identity.key();
    none.hello.signature = Signature([0; 64]);
    assert_eq!(none.speak(), forged);

    let mut other_key = impostor();
    other_key.hello.key = NodeKey([3; 32]);
    other_key.hello.signature = identity.sign(Purpose::LinkInitiator, &other_key.signed());
    assert_eq!(other_key.speak(), forged);

    // What the victim itself signed, sent back.
    assert_eq!(impostor().speak(), forged);

    let mut other_purpose = impostor();
    other_purpose.hello.key = identity.key();
    other_purpose.hello.signature = identity.sign(Purpose::LinkResponder, &other_purpose.signed());
    assert_eq!(other_purpose.speak(), forged);

    // A signature that the identity gave over the same link key in another handshake.
    let mut other_handshake = impostor();
    other_handshake.hello.key = identity.key();
    let signed = [&other_handshake.public[..], &[0; 32]].concat();
    other_handshake.hello.signature = identity.sign(Purpose::LinkInitiator, &signed);
    assert_eq!(other_handshake.speak(), forged);

    // A signature over this handshake for another link key: somebody in between cannot swap keys.
    let mut other_link_key = impostor();
    other_link_key.hello.key = identity.key();
    let signed = [&[0; 32][..], &other_link_key.handshake.hash()].concat();
    other_link_key.hello.signature = identity.sign(Purpose::LinkInitiator, &signed);
    assert_eq!(other_link_key.speak(), forged);
}

#[test]
fn a_hello_that_contradicts_the_preamble_is_refused() {
    let mut liar = impostor();
    let identity = local(3, None).identity;
    liar.hello.key = identity.key();
    liar.hello.versions = Versions { lowest: 1, highest: 9 };
    liar.hello.signature = identity.sign(Purpose::LinkInitiator, &liar.signed());
    assert_eq!(liar.speak(), ("preamble_forged", 0));
}

#[test]
fn a_hello_that_cannot_be_read_is_named() {
    let mut broken = impostor();
    let message = broken.handshake.write(&[9; 150]).unwrap();
    broken.victim.hear(Instant(1), &(message.len() as u16).to_le_bytes());
    broken.victim.hear(Instant(1), &message);
    assert_eq!(broken.victim.closed, [CloseReason::BadHello { field: "layout" }]);
}

#[test]
fn the_longest_handshake_fits_its_bound() {
    let long = |number| {
        let mut local = local(number, Some(9));
        local.node = NodeId::new("x".repeat(NodeId::MAX_LEN)).unwrap();
        local
    };
    let mut pair = Pair::of(long(1), long(2));
    pair.run();
    assert_eq!(pair.why(), ("open", "open"));
    assert!(pair.a.session.handshake_input * 2 < MAX_HANDSHAKE_INPUT, "room for extensions");
}
