"""A replica of its own, from the layouts at the head of core/src/sync/message.rs and docs/wal-format.md."""

import os
import struct
import time

from link import Reader, put_varint

HELLO, RESUME, BATCH, ACK, PING, PONG, BYE = 1, 2, 3, 5, 6, 7, 10


def blob(data):
    return put_varint(len(data)) + data


def vector(dots):
    entries = b"".join(replica + put_varint(seq) for replica, seq in sorted(dots.items()))
    return put_varint(len(dots)) + entries


def take_vector(reader):
    return {reader.take(16): reader.varint() for _ in range(reader.varint())}


def take_pairs(reader):
    return [(reader.varint(), reader.u64()) for _ in range(reader.u8())]


def pairs(told):
    return bytes([len(told)]) + b"".join(put_varint(seq) + struct.pack("<Q", chain) for seq, chain in told)


def now_ms():
    return time.time_ns() // 1_000_000


class Replica:
    """What survives a session."""

    def __init__(self):
        self.id, self.log = os.urandom(16), os.urandom(16)
        self.boot = int.from_bytes(os.urandom(8), "little")
        self.own = []
        self.values = {}
        self.claims = {}
        # Of which log, in which run, up to where.
        self.checkpoint = (None, 0, 0)
        self.told = []

    def write(self, key, value):
        before = [seq for seq, (known, _, _) in enumerate(self.own, 1) if known == key]
        self.own.append((key, value, before))
        self.claims[self.id] = len(self.own)

    def operation(self, seq):
        key, value, before = self.own[seq - 1]
        flags = (1 if value is None else 0) | (2 if before else 0)
        out = bytes([flags]) + struct.pack("<Q", now_ms() << 16) + put_varint(seq)
        if before:
            out += put_varint(seq - before[-1])
        return out + blob(key) + (b"" if value is None else blob(value))


class Session:
    """Greets over a link and exchanges everything both ways."""

    def __init__(self, replica, link):
        self.replica, self.link = replica, link
        self.origins = []
        self.taken = 0
        self.received = []
        self.acknowledged = 0
        hello = bytes([1, 1]) + bytes(16) + replica.id + replica.log + struct.pack("<Q", replica.boot)
        hello += blob(b"peer-py") + struct.pack("<Q", now_ms()) + put_varint(1 << 20) + put_varint(len(replica.own))
        self.say(HELLO, hello + vector(replica.claims) + vector({}) + struct.pack("<Q", 0))
        self.until(lambda: hasattr(self, "node"))
        log, boot, lsn = replica.checkpoint
        if log != self.node_log:
            boot, lsn = 0, 0
        self.say(RESUME, put_varint(lsn) + struct.pack("<Q", boot) + pairs(replica.told) + put_varint(0))
        self.until(lambda: hasattr(self, "resumed_at"))

    def say(self, kind, body):
        self.link.send(bytes([kind]) + struct.pack("<I", len(body)) + body)

    def until(self, done):
        while not done():
            reader = Reader(self.link.message())
            while reader.left():
                kind = reader.u8()
                length = struct.unpack("<I", reader.take(4))[0]
                self.take(kind, Reader(reader.take(length)), length + 5)

    def take(self, kind, body, length):
        if kind == HELLO:
            body.take(2 + 16)
            self.node_id, self.node_log, self.node_boot = body.take(16), body.take(16), body.u64()
            self.node, self.node_wall, self.window = body.blob().decode(), body.u64(), body.varint()
            self.node_seq = body.varint()
        elif kind == RESUME:
            self.resumed_at = body.varint()
        elif kind == BATCH:
            self.take_batch(body, length)
        elif kind == ACK:
            body.varint(), body.varint()
            self.acknowledged = max(self.acknowledged, take_vector(body).get(self.replica.id, 0))
        elif kind == PING:
            pulse = put_varint(body.varint()) + struct.pack("<Q", now_ms())
            self.say(PONG, pulse + put_varint(self.replica.checkpoint[2]) + b"\0" + bytes(16) + vector(self.replica.claims))

    def take_batch(self, body, length):
        replica = self.replica
        through = body.u64()
        claims = {}
        while body.left():
            part = body.u8()
            if part == 0:
                self.origins.append(body.take(16))
            elif part in (1, 2):
                self.take_entry(body, part == 2)
            elif part == 5:
                claims = take_vector(body)
            elif part == 6:
                replica.told = take_pairs(body)
            elif part != 4:
                raise ValueError(f"part {part} of a batch")
        for other, seq in claims.items():
            replica.claims[other] = max(seq, replica.claims.get(other, 0))
        self.taken += length
        replica.checkpoint = (self.node_log, self.node_boot, through)
        self.say(ACK, put_varint(through) + put_varint(self.taken) + vector(replica.claims))

    def take_entry(self, body, has_known):
        origin = self.origins[body.varint()]
        flags, _stamp, seq = body.u8(), body.u64(), body.varint()
        if flags & 2:
            body.varint()
        if flags & 4:
            take_vector(body)
        key = body.blob()
        value = None if flags & 1 else body.blob()
        if has_known:
            take_vector(body)
        self.replica.values[key] = value
        self.received.append((origin, seq, key, value))

    def push(self, through):
        """Sends all own operations that the node does not have, and waits until it has them durably."""
        replica = self.replica
        parts = bytes([0]) + replica.id
        for seq in range(self.acknowledged + 1, len(replica.own) + 1):
            parts += bytes([1, 0]) + replica.operation(seq)
        parts += bytes([4, 5]) + vector({replica.id: len(replica.own)})
        self.say(BATCH, struct.pack("<Q", through) + parts)
        self.until(lambda: self.acknowledged == len(replica.own))

    def pull(self):
        """Waits until all that the node had written when it said hello is here, and may be claimed."""
        self.until(lambda: self.replica.claims.get(self.node_id, 0) >= self.node_seq)

    def leave(self):
        self.say(BYE, b"\0")
        return self.link.farewell()
