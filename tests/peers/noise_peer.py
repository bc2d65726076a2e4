"""Plays a peer of a running node: noise_peer.py exchange|strangers TICKET

Written with another implementation of Noise, of the link and of sync, so that the node is not its own witness. What came
of it is printed as one line of JSON per step; between steps of an exchange it waits for a line on its input.
"""

import json
import os
import socket
import sys

from link import TIMEOUT, Ended, Link, Refused, Ticket, new_identity
from replica import Replica, Session


class Machine:
    """Who dials: one key, one run, and an order that rises with every link."""

    def __init__(self, name):
        self.name, self.identity, self.order = name, new_identity(), 0
        self.boot = int.from_bytes(os.urandom(8), "little")

    def dial(self, ticket):
        self.order += 1
        return Link(ticket, self.identity, self.name, self.boot, self.order)


def tell(**facts):
    print(json.dumps(facts), flush=True)


def text(value):
    return None if value is None else value.decode()


def exchange(ticket):
    machine, replica = Machine("peer-py"), Replica()
    for value in (b"written by another implementation", b"written again", None):
        link = machine.dial(ticket)
        ponged = link.ping()
        session = Session(replica, link)
        session.acknowledged = len(replica.own)
        replica.write(b"from/python", value)
        session.push(len(replica.own))
        session.pull()
        session.leave()
        tell(
            node=session.node,
            ponged=ponged,
            resumed_at=session.resumed_at,
            received={key.decode(): text(value) for _, _, key, value in session.received},
            claimed=replica.claims.get(session.node_id, 0),
        )
        if not sys.stdin.readline():
            return


def ends(sock):
    """Whether the node closes the connection, whatever it says before."""
    try:
        while sock.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return True


def strangers(ticket):
    for noise in (os.urandom(4096), b"GET / HTTP/1.1\r\nHost: node\r\n\r\n", b"SADLNK\r\n" + bytes(8) + b"\xff" * 2000):
        sock = socket.create_connection(ticket.address, TIMEOUT)
        try:
            sock.sendall(noise)
        except (BrokenPipeError, ConnectionResetError):
            pass
        tell(who="noise", ended=ends(sock))

    good = ticket.secret
    for who, secret in (("wrong secret", bytes(32)), ("no secret", None)):
        ticket.secret = secret
        try:
            Machine("stranger").dial(ticket)
            tell(who=who, refused=None)
        except Refused as refused:
            tell(who=who, refused=refused.reason)
    ticket.secret = good

    try:
        # A dialler hears what is held against it in place of the welcome.
        Machine("peer-py").dial(ticket)
        tell(who="name taken", farewell=None)
    except Ended as ended:
        tell(who="name taken", farewell=ended.farewell)

    link = Machine("unsealed").dial(ticket)
    link.send_framed(os.urandom(600))
    tell(who="unsealed record", farewell=link.until_end())

    link = Machine("unknown-part").dial(ticket)
    link.send_part(0x55, b"no such part")
    tell(who="unknown part", farewell=link.until_end())

    link = Machine("unknown-message").dial(ticket)
    link.send(b"\x63\x05\x00\x00\x00hello")
    tell(who="unknown message", farewell=link.until_end())


if __name__ == "__main__":
    what, ticket = sys.argv[1], Ticket(sys.argv[2])
    {"exchange": exchange, "strangers": strangers}[what](ticket)
