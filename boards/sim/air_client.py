"""The node's end of the simulated air: TCP, one JSON object a line (docs/reference/interfaces.md, section 4).

Two classes with the same methods: ``AirClient`` asks an air server, which owns time; ``NoAir`` is a place without one,
where nobody answers and time passes as fast as the node lets it. All times are microseconds since the air's start.
"""

import json
import socket
import sys
from binascii import hexlify

from micropython import const

_NODELAY = const(1)  # TCP_NODELAY, at level IPPROTO_TCP
_TCP = const(6)


class AirClient:
    """A node in an air. Raises OSError if there is none; one that hangs up ends the process, as a power cut would.

    ``address``: "host:port"; ``place``: x and y in metres and gain_db of the antenna.
    """

    def __init__(self, address, name, place):
        host, _, port = address.rpartition(":")
        self.address = address
        self._socket = socket.socket()
        self._socket.connect(socket.getaddrinfo(host, int(port))[0][-1])
        self._socket.setsockopt(_TCP, _NODELAY, 1)
        joined = self._ask(dict(place, op="join", role="node", name=name))
        self.epoch = joined["epoch"]

    def _tell(self, line):
        self._socket.write(json.dumps(line) + "\n")

    def _ask(self, line):
        try:
            self._tell(line)
            answer = self._socket.readline()
            answer = json.loads(answer) if answer else {"op": "error", "why": "it hung up"}
        except (OSError, ValueError) as error:
            answer = {"op": "error", "why": str(error)}
        if answer["op"] == "error":
            print("fieldelm: the air at %s is gone: %s" % (self.address, answer["why"]))
            sys.exit(1)
        self.now_us = answer["now_us"]
        return answer

    def wait(self, until_us):
        """Stand still until then."""
        if until_us > self.now_us:
            self._ask({"op": "wait", "until_us": until_us})

    def send(self, radio, data):
        """Send a frame; returns at its end. ``radio``: the keys of the protocol."""
        self._ask(dict(radio, op="send", data=hexlify(data).decode()))

    def listen(self, radio, until_us):
        """Listen; returns the answer of the air if a frame came (finished if begun by then), else None."""
        answer = self._ask(dict(radio, op="listen", until_us=until_us))
        return answer if answer["op"] == "received" else None

    def restart(self):
        """Hang up, and have time wait until this node joins again."""
        try:
            self._tell({"op": "restart"})
            self._socket.close()
        except OSError:
            pass


class NoAir:
    """Time without anybody: whoever waits has waited at once."""

    epoch = "2026-01-01T00:00:00.000Z"

    def __init__(self):
        self.now_us = 0

    def wait(self, until_us):
        """Stand still until then."""
        self.now_us = max(self.now_us, until_us)

    def send(self, radio, data):
        """Send to nobody."""
        from fieldelm import airtime

        self.now_us += airtime.time_on_air_us(
            len(data), radio["sf"], radio["bw_khz"], radio["coding_rate"], radio["preamble_len"]
        )

    def listen(self, radio, until_us):
        """Hear nobody."""
        self.wait(until_us)

    def restart(self):
        """Nobody waits."""
