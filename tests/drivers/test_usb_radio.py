"""The radio called `usb` on MicroPython, through a terminal, against the gateway's own serial radio."""

from __future__ import annotations

import os
import pty
import subprocess
import time
import tty
from pathlib import Path

from fieldelm_gateway.clock import HostClock
from fieldelm_gateway.config import Radio
from fieldelm_gateway.ingress import Tick, Uplink
from fieldelm_gateway.ingress_serial import SerialRadio
from fieldelm_tools import environment


def test_frames_answers_and_the_way_to_the_repl(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    tty.setraw(terminal)
    tty.setraw(controller)
    host_end, host_port = pty.openpty()  # the gateway opens a port of its own; the two are joined below
    tty.setraw(host_port)
    tty.setraw(host_end)
    result = tmp_path / "result"
    node = subprocess.Popen(
        [*environment.micropython_command(), str(Path(__file__).with_name("usb_node.py")), str(result)],
        stdin=terminal,
        stdout=terminal,
        env=environment.micropython_environment("sim"),
    )
    os.close(terminal)
    uplinks: list[Uplink] = []
    radio = SerialRadio(Radio(name="usb", port=os.ttyname(host_port)), HostClock())

    def deliver(thing: Uplink | Tick) -> None:
        if isinstance(thing, Uplink):
            uplinks.append(thing)
            radio.answer(thing.token, b"\x03answer\x00" + thing.data[:1])
            radio.flush()
            radio.flush()

    radio.start(deliver)
    try:
        deadline = time.monotonic() + 20
        _join(controller, host_end, lambda: radio.counters.answers < 3 and time.monotonic() < deadline)
        assert [uplink.data for uplink in uplinks] == [bytes([i, 0, 3, 3, 13, 3, 255]) for i in range(3)]
        assert radio.counters.problem == ""
        assert radio.counters.serial_garbage >= 3  # what the console said
        os.write(controller, b"\r\x03")
        _join(controller, host_end, lambda: node.poll() is None and time.monotonic() < deadline)
    finally:
        radio.stop()
        node.kill()
        node.wait()
    expected = [(b"\x03answer\x00" + bytes([i])).hex() for i in range(3)]
    assert result.read_text().split("\n") == [*expected, "KeyboardInterrupt"]


def _join(a: int, b: int, more) -> None:
    """Carry bytes between two terminals."""
    os.set_blocking(a, False)
    os.set_blocking(b, False)
    while more():
        for source, target in ((a, b), (b, a)):
            try:
                data = os.read(source, 4096)
            except (BlockingIOError, OSError):
                continue
            os.write(target, data)
        time.sleep(0.002)
