"""One link to a node, from docs/wire-protocol.md alone, on the Noise of the package noiseprotocol."""

import base64
import os
import socket
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from noise.connection import Keypair, NoiseConnection

TIMEOUT = 20
MAGIC = b"SADLNK\r\n"
LAST_CONTROL, BULK, LAST_BULK, PING, PONG, REKEY, FAREWELL, WELCOME = 1, 2, 3, 4, 5, 6, 7, 8


class Refused(Exception):
    """The node says in the clear why it does not go on."""

    def __init__(self, reason):
        super().__init__(f"reason {reason}")
        self.reason = reason


class Ended(Exception):
    """The link has ended: with this farewell, or without one."""

    def __init__(self, farewell):
        super().__init__(f"farewell {farewell}")
        self.farewell = farewell


def put_varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise ValueError("the bytes end early")
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self):
        return self.take(1)[0]

    def u64(self):
        return struct.unpack("<Q", self.take(8))[0]

    def varint(self):
        number, shift = 0, 0
        while True:
            byte = self.u8()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def blob(self):
        return self.take(self.varint())


class Ticket:
    def __init__(self, text):
        payload = text.strip().removeprefix("sadticket").upper()
        reader = Reader(base64.b32decode(payload + "=" * (-len(payload) % 8)))
        version, flags = reader.u8(), reader.u8()
        if version != 1:
            raise ValueError(f"ticket version {version}")
        self.key = reader.take(32)
        self.secret = reader.take(32) if flags & 1 else None
        addresses = [reader.blob().decode() for _ in range(reader.u8())]
        host, _, port = addresses[0].rpartition(":")
        self.address = (host.strip("[]"), int(port))


def raw(key):
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


class Link:
    """Dials, proves who it is, and has seen proof of who answers."""

    def __init__(self, ticket, identity, node, boot, order):
        self.partial = {}
        self.messages = []
        self.sock = socket.create_connection(ticket.address, TIMEOUT)
        pattern = b"XXpsk3" if ticket.secret else b"XX"
        self.noise = NoiseConnection.from_name(b"Noise_%s_25519_ChaChaPoly_BLAKE2s" % pattern)
        self.noise.set_as_initiator()
        if ticket.secret:
            self.noise.set_psks(ticket.secret)
        preamble = MAGIC + bytes([0, 1, 1, 1 if ticket.secret else 0, 0, 0, 0, 0])
        self.noise.set_prologue(b"softadastra link protocol\0" + preamble)
        static = X25519PrivateKey.generate()
        self.noise.set_keypair_from_private_bytes(Keypair.STATIC, static.private_bytes_raw())
        self.noise.start_handshake()

        self.send_framed(self.noise.write_message(), before=preamble)
        answer = self.exactly(16)
        if answer[:9] != MAGIC + b"\x01":
            raise ValueError(f"a preamble {answer.hex()}")
        if answer[12]:
            raise Refused(answer[13])
        second = self.framed()
        before = self.hash()
        self.peer = self.noise.read_message(second)
        self.check_hello(bytes(self.peer), ticket.key, before)

        signed = b"softadastra link initiator v1\0" + raw(static.public_key()) + self.hash()
        hello = bytes([1, 1, 1, 0]) + raw(identity.public_key()) + identity.sign(signed)
        hello += struct.pack("<QQII", boot, order, 64 << 20, 30_000) + bytes([len(node)]) + node.encode()
        self.send_framed(self.noise.write_message(hello))

        record = self.framed()
        if len(record) == 1:
            raise Refused(record[0])
        parts = list(self.opened(record))
        if parts and parts[0][0] == WELCOME:
            del parts[0]
        elif not parts or parts[0][0] != FAREWELL:
            raise ValueError("neither a welcome nor a farewell")
        for kind, body in parts:
            self.take_part(kind, body)

    def hash(self):
        return self.noise.noise_protocol.handshake_state.symmetric_state.h

    def check_hello(self, hello, key, before):
        if hello[0] != 1 or hello[4:36] != key:
            raise ValueError("somebody else answers")
        theirs = self.noise.noise_protocol.handshake_state.rs.public_bytes
        Ed25519PublicKey.from_public_bytes(key).verify(
            hello[36:100], b"softadastra link responder v1\0" + theirs + before
        )

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            if not piece:
                raise Ended(None)
            data += piece
        return data

    def framed(self):
        return self.exactly(struct.unpack("<H", self.exactly(2))[0])

    def send_framed(self, message, before=b""):
        self.sock.sendall(before + struct.pack("<H", len(message)) + bytes(message))

    def opened(self, record):
        reader = Reader(bytes(self.noise.decrypt(record)))
        if reader.u8() != 0:
            raise ValueError("compressed, though that was not offered")
        while reader.left():
            kind = reader.u8()
            yield kind, reader.blob()

    def send_part(self, kind, body):
        part = b"\0" + bytes([kind]) + put_varint(len(body)) + body
        self.send_framed(self.noise.encrypt(part))

    def send(self, message):
        """A message in the bulk lane, in pieces."""
        piece = 30_000
        while len(message) > piece:
            self.send_part(BULK, message[:piece])
            message = message[piece:]
        self.send_part(LAST_BULK, message)

    def take_part(self, kind, body):
        if kind in (0, 1, 2, 3):
            lane = kind // 2
            self.partial[lane] = self.partial.get(lane, b"") + body
            if kind % 2:
                self.messages.append(self.partial.pop(lane))
        elif kind == PING:
            self.send_part(PONG, body)
        elif kind == PONG:
            self.ponged = body
        elif kind == REKEY:
            self.noise.noise_protocol.cipher_state_decrypt.rekey()
        elif kind == FAREWELL:
            raise Ended(body[0])
        elif kind < 0x80:
            raise ValueError(f"part {kind:#x}")

    def message(self):
        """The next message of either lane."""
        while not self.messages:
            for kind, body in self.opened(self.framed()):
                self.take_part(kind, body)
        return self.messages.pop(0)

    def ping(self):
        """Whether the node answers with the same token."""
        token, self.ponged = os.urandom(8), None
        self.send_part(PING, token)
        while self.ponged is None:
            for kind, body in self.opened(self.framed()):
                self.take_part(kind, body)
        return self.ponged == token

    def until_end(self):
        """Reads on to the end, and gives the farewell."""
        try:
            while True:
                self.message()
        except Ended as ended:
            return ended.farewell
        except ConnectionResetError:
            return None

    def farewell(self):
        self.send_part(FAREWELL, b"\0")
        self.sock.shutdown(socket.SHUT_WR)
        return self.until_end()


def new_identity():
    return Ed25519PrivateKey.generate()
