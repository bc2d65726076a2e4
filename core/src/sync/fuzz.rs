//! Bodies of fuzz targets, and a peer that says whatever a script tells it to. They are ordinary code so that their
//! corpus is replayed by ordinary tests.
//!
//! Each takes any bytes and panics only when sync breaks a promise.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::chain::Ladder;
use super::members::Member;
use super::message::{Bye, HEADER_LEN, Hello, Message, Origins, PROTOCOL, Part, Pulse, Range, read};
use super::record::SyncRecord;
use super::state::State;
use crate::clock::Stamp;
use crate::context::VersionVector;
use crate::ids::{Dot, LogId, Lsn, NodeId, ReplicaId, Seq};
use crate::limits::MAX_KEY_LEN;
use crate::op::{Body, Chain, Marks, Operation};
use crate::time::{Now, WallTime};

/// Any bytes as messages, as a record of the log and as the state in a snapshot: what is read is what was written.
pub fn messages(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(messages) = read(&bytes) {
        round_trip(&messages);
    }
    if let Ok(record) = SyncRecord::decode(&bytes) {
        let mut out = Vec::new();
        record.encode(&mut out);
        assert_eq!(SyncRecord::decode(&out.into()), Ok(record));
    }
    if let Ok(state) = State::decode(&bytes) {
        let mut out = Vec::new();
        state.encode(&mut out);
        assert_eq!(State::decode(&out.into()), Ok(state));
    }
}

/// Any bytes as the body of a hello: it is read whatever newer versions say behind it, who say all that this one does.
pub fn hello(bytes: &[u8]) {
    let framed = |body: &[u8]| {
        let mut message = vec![1];
        message.extend_from_slice(&(body.len() as u32).to_le_bytes());
        message.extend_from_slice(body);
        Bytes::from(message)
    };
    if let Ok(messages) = read(&framed(bytes)) {
        round_trip(&messages);
        let mut whole = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut Origins::default(), &mut whole));
        let newer = framed(&[whole.get(HEADER_LEN..).unwrap_or_default(), b"more"].concat());
        assert_eq!(read(&newer).as_ref(), Ok(&messages));
    }
}

fn round_trip(messages: &[Message]) {
    let (mut origins, mut out) = (Origins::default(), Vec::new());
    for message in messages {
        message.encode(&mut origins, &mut out);
    }
    assert_eq!(read(&out.into()).as_deref(), Ok(messages));
}

/// A peer that keeps to the layout of messages and to nothing else.
#[derive(Debug)]
pub struct Talker {
    replica: ReplicaId,
    origins: Origins,
    /// What the other side said of itself in this session.
    listener: Option<Hello>,
}

impl Talker {
    /// One that calls itself by this name.
    #[must_use]
    pub fn new(replica: ReplicaId) -> Self {
        Self { replica, origins: Origins::default(), listener: None }
    }

    /// Goes on in a new session.
    pub fn begin_anew(&mut self) {
        self.origins = Origins::default();
        self.listener = None;
    }

    /// Hears what the other side says.
    pub fn hear(&mut self, bytes: &Bytes) {
        if let Ok(messages) = read(bytes)
            && let Some(Message::Hello(hello)) = messages.into_iter().next()
        {
            self.listener = Some(hello);
        }
    }

    /// A good hello and a good resume.
    pub fn greet(&mut self, now: Now, script: &mut dyn Iterator<Item = u8>) -> Bytes {
        let mut words = Words { talker: self, now, script };
        let hello = Hello { protocols: (PROTOCOL, PROTOCOL), network: [0; 16], ..words.hello() };
        let hello = Hello { replica: self.replica, ..hello };
        let resume =
            Message::Resume { lsn: Lsn::ZERO, boot: 0, pairs: Ladder::default().pairs(0, 0), direct: BTreeSet::new() };
        self.write(&[Message::Hello(hello), resume])
    }

    /// The next messages of the script; a script that has ended speaks as one of zeros.
    pub fn speak(&mut self, now: Now, script: &mut dyn Iterator<Item = u8>) -> Bytes {
        let mut words = Words { talker: self, now, script };
        let kind = words.byte();
        if kind == 255 {
            return words.noise();
        }
        let message = words.message(kind);
        self.write(&[message])
    }

    fn write(&mut self, messages: &[Message]) -> Bytes {
        let mut out = Vec::new();
        for message in messages {
            message.encode(&mut self.origins, &mut out);
        }
        out.into()
    }
}

/// Makes words of a script. Values that mean something to the listener come up often.
struct Words<'a> {
    talker: &'a Talker,
    now: Now,
    script: &'a mut dyn Iterator<Item = u8>,
}

impl Words<'_> {
    fn byte(&mut self) -> u8 {
        self.script.next().unwrap_or_default()
    }

    fn some<T>(&mut self, most: u8, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % (most + 1)).map(|_| one(self)).collect()
    }

    fn noise(&mut self) -> Bytes {
        let kind = self.byte() % 14;
        let body = self.some(60, Self::byte);
        let mut message = vec![kind, body.len() as u8, 0, 0, 0];
        debug_assert_eq!(message.len(), HEADER_LEN);
        message.extend(body);
        message.into()
    }

    fn replica(&mut self) -> ReplicaId {
        let listener = self.talker.listener.as_ref().map(|hello| hello.replica);
        match self.byte() % 8 {
            0..=2 => self.talker.replica,
            3 | 4 => listener.unwrap_or(ReplicaId([3; 16])),
            other => ReplicaId([other; 16]),
        }
    }

    fn seq(&mut self) -> Seq {
        let own = self.talker.listener.as_ref().map_or(0, |hello| hello.own_seq);
        match self.byte() {
            250 => Seq::MAX,
            251 => Seq::MAX - 1,
            252 => 1 << 62,
            253 => own.max(1),
            254 => own + 1,
            255 => own + 2,
            small => u64::from(small % 16) + 1,
        }
    }

    fn stamp(&mut self) -> Stamp {
        let Stamp(now) = Stamp::from_wall(self.now.wall);
        match self.byte() {
            250 => Stamp(u64::MAX),
            251 => Stamp::HORIZON,
            252 => Stamp::default(),
            253 => Stamp(now + (1 << 40)),
            small => Stamp(now.saturating_add_signed((i64::from(small) - 100) << 14)),
        }
    }

    fn lsn(&mut self) -> Lsn {
        match self.byte() {
            250 => Lsn(u64::MAX),
            251 => Lsn(1 << 62),
            small => Lsn(u64::from(small)),
        }
    }

    fn wall(&mut self) -> WallTime {
        match self.byte() {
            250 => WallTime(u64::MAX),
            251 => WallTime(0),
            small => WallTime(self.now.wall.0 + u64::from(small) * 10_000),
        }
    }

    fn boot(&mut self) -> u64 {
        match self.byte() % 4 {
            0 => self.talker.listener.as_ref().map_or(0, |hello| hello.boot),
            other => u64::from(other),
        }
    }

    fn vector(&mut self) -> VersionVector {
        self.some(3, |words| Dot { replica: words.replica(), seq: words.seq() }).into_iter().collect()
    }

    fn key(&mut self) -> Bytes {
        match self.byte() {
            255 => vec![b'k'; MAX_KEY_LEN].into(),
            small => vec![b'a' + small % 8].into(),
        }
    }

    fn op(&mut self) -> Operation {
        let dot = Dot { replica: self.replica(), seq: self.seq() };
        let mut context = self.vector();
        // An operation has seen of its own replica only what came before it.
        if context.remove(dot.replica) > 0 {
            context.include(Dot { replica: dot.replica, seq: dot.seq - 1 });
        }
        let body = match self.byte() {
            small if small < 64 => Body::Delete,
            255 => Body::Put(vec![b'v'; 20_000].into()),
            other => Body::Put(vec![other; usize::from(other % 4)].into()),
        };
        let marks = self.byte();
        let repeats = context.iter().next().filter(|_| marks & 8 != 0);
        let flag = |bit: u8| marks & bit != 0;
        let marks = Marks { batch_continues: flag(1), lifted: flag(2), resolution: flag(4), repeats };
        Operation { dot, stamp: self.stamp(), context, key: self.key(), body, marks }
    }

    fn pairs(&mut self) -> super::Pairs {
        let mut ladder = Ladder::default();
        for seq in [1, 2, 16] {
            if self.byte().is_multiple_of(2) {
                ladder.push(seq, Chain(u64::from(self.byte())));
            }
        }
        let seq = self.seq();
        ladder.pairs(0, seq)
    }

    fn part(&mut self) -> Part {
        match self.byte() % 12 {
            0..=3 => Part::Entry { op: self.op(), known: VersionVector::EMPTY },
            4 => Part::Entry { op: self.op(), known: self.vector() },
            5 if self.byte().is_multiple_of(2) => Part::Present(self.key()),
            5 => {
                let dot = Dot { replica: self.replica(), seq: self.seq() };
                let stamp = self.byte().is_multiple_of(2).then(|| self.stamp());
                Part::Buried { key: self.key(), dot, known: self.vector(), stamp }
            }
            6 | 7 => Part::End,
            8 | 9 => Part::Cut(self.vector()),
            10 if self.byte().is_multiple_of(2) => Part::Pairs(self.pairs()),
            10 => Part::History { replica: self.replica(), pairs: self.pairs() },
            _ if self.byte().is_multiple_of(2) => Part::Upto(None),
            _ => Part::Upto(Some(self.key())),
        }
    }

    fn pulse(&mut self) -> Pulse {
        let flags = self.byte();
        let (exact, waits) = (flags.is_multiple_of(2), flags & 2 != 0);
        let digest = u128::from(self.byte());
        Pulse { number: self.seq(), wall: self.wall(), feed: self.lsn(), exact, waits, digest, vector: self.vector() }
    }

    fn node(&mut self) -> NodeId {
        let letter = char::from(b'a' + self.byte() % 4);
        NodeId::new(alloc::format!("node-{letter}")).expect("a good name")
    }

    fn hello(&mut self) -> Hello {
        let network = self.byte();
        Hello {
            protocols: (PROTOCOL, PROTOCOL + network % 3),
            network: [u8::from(network > 250); 16],
            replica: self.replica(),
            log: LogId([self.byte() % 3; 16]),
            boot: self.boot(),
            node: self.node(),
            wall: self.wall(),
            window: self.seq(),
            own_seq: self.seq(),
            vector: self.vector(),
            floor: self.vector(),
            floor_stamp: self.stamp(),
            owed: self.vector(),
        }
    }

    fn member(&mut self) -> (ReplicaId, Member) {
        let member = Member { node: self.node(), heard: self.wall(), forgotten: self.wall(), vector: self.vector() };
        (self.replica(), member)
    }

    fn range(&mut self) -> Range {
        let bounds = self.byte();
        let after = (bounds & 1 != 0).then(|| self.key());
        let end = (bounds & 2 != 0).then(|| self.key());
        let entries = if bounds & 4 == 0 { u64::from(bounds >> 3) } else { Range::ASK };
        Range { after, end, entries, digest: u128::from(self.byte()) }
    }

    fn message(&mut self, kind: u8) -> Message {
        match kind % 16 {
            0 => Message::Hello(self.hello()),
            1 => Message::Resume {
                lsn: self.lsn(),
                boot: self.boot(),
                pairs: self.pairs(),
                direct: self.some(3, Self::replica).into_iter().collect(),
            },
            2..=5 => Message::Batch(self.lsn(), self.some(8, Self::part)),
            6 => Message::Full(self.lsn(), self.some(8, Self::part)),
            7 | 8 => Message::Ack { lsn: self.lsn(), bytes: self.seq(), vector: self.vector() },
            9 => Message::Ping(self.pulse()),
            10 => Message::Pong(self.pulse()),
            11 => Message::Direct(self.some(3, Self::replica).into_iter().collect()),
            12 => Message::Members(self.some(4, Self::member)),
            13 => Message::Ranges(self.some(4, Self::range)),
            14 => Message::Repair(self.some(8, Self::part)),
            _ => match self.byte() {
                small if small < 16 => {
                    let bye = [Bye::Leaving, Bye::NoRoom, Bye::Protocol, Bye::Identity, Bye::Other(200)];
                    Message::Bye(*bye.get(usize::from(small)).unwrap_or(&Bye::Leaving))
                }
                _ => Message::Batch(self.lsn(), vec![Part::End, Part::Cut(self.vector())]),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use proptest::prelude::*;

    const NOW: Now = Now { mono: Instant(1), wall: WallTime(1_700_000_000_000) };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_keep_the_promises(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            messages(&bytes);
            hello(&bytes);
        }

        #[test]
        fn what_any_script_says_is_well_formed(script in proptest::collection::vec(0..=254u8, 0..400)) {
            let mut talker = Talker::new(ReplicaId([9; 16]));
            let script = &mut script.into_iter();
            let greeting = talker.greet(NOW, script);
            prop_assert_eq!(read(&greeting).unwrap().len(), 2);
            messages(&greeting);
            let said = talker.speak(NOW, script);
            prop_assert!(!said.is_empty());
        }
    }
}
