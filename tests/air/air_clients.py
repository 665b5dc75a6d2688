"""Clients of the air for tests."""

import json
import socket
from typing import Any

RADIO = {"freq_khz": 868100, "sf": 9, "bw_khz": "125", "coding_rate": 5, "preamble_len": 8, "output_power": 14}


class Client:
    """A blocking client: one line out, lines in."""

    def __init__(self, port: int, role: str | None = None, name: str = "", **where: float):
        self.name = name
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = self.connection.makefile("rb")
        self.raw: list[bytes] = []
        if role:
            self.joined = self.ask(op="join", role=role, name=name, **where)
            assert self.joined["op"] == "joined", self.joined

    def tell(self, **line: Any) -> None:
        self.connection.sendall(json.dumps(line).encode() + b"\n")

    def line(self) -> bytes:
        return self.lines.readline()

    def hear(self, *ops: str) -> dict[str, Any]:
        """The next line, or the next of these kinds."""
        while True:
            line = self.line()
            if not line:
                raise EOFError(f"{self.name}: the air hung up")
            heard: dict[str, Any] = json.loads(line)
            if heard["op"] != "time" if not ops else heard["op"] in ops:
                return heard

    def ask(self, **line: Any) -> dict[str, Any]:
        self.tell(**line)
        return self.hear()

    def close(self) -> None:
        self.lines.close()
        self.connection.close()


class Node(Client):
    def __init__(self, port: int, name: str = "node", **where: float):
        super().__init__(port, "node", name, **where)

    def wait(self, until_us: int) -> int:
        return int(self.ask(op="wait", until_us=until_us)["now_us"])

    def send(self, data: bytes, **radio: Any) -> dict[str, Any]:
        return self.ask(op="send", data=data.hex(), **(RADIO | radio))

    def listen(self, until_us: int, **radio: Any) -> dict[str, Any]:
        return self.ask(op="listen", until_us=until_us, **(RADIO | {"invert_iq": True} | radio))


class Gateway(Client):
    def __init__(self, port: int, name: str = "gateway", **where: float):
        super().__init__(port, "gateway", name, **where)
        self.tune()

    def tune(self, **radio: Any) -> None:
        self.tell(op="tune", **(RADIO | radio))

    def uplink(self) -> dict[str, Any]:
        return self.hear("uplink")

    def reply(self, uplink: dict[str, Any], data: bytes, **more: Any) -> None:
        self.tell(op="reply", id=uplink["id"], data=data.hex(), **more)

    def decline(self, uplink: dict[str, Any]) -> None:
        self.tell(op="decline", id=uplink["id"])
