"""A network between the gateway and its broker that can hang, crawl or tear."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Network:
    """Forwards a port of its own to the broker's."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self.dead = False
        """true: nothing passes any more, and nobody is told (new connections neither)"""
        self.bytes_per_s = 0.0
        """0: as fast as it can"""
        self._broker = port
        self._ears = socket.create_server(("127.0.0.1", 0))
        self.port = self._ears.getsockname()[1]
        self._wires: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._ears.accept()
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self._broker))
                self._wires += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1024):
                if self.bytes_per_s:
                    time.sleep(len(data) / self.bytes_per_s)
                while self.dead:
                    time.sleep(0.05)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def tear(self) -> None:
        """Cut every connection, as a router that restarts."""
        wires, self._wires = self._wires, []
        for wire in wires:
            wire.close()

    def close(self) -> None:
        self.dead = False
        self._ears.close()
        self.tear()
