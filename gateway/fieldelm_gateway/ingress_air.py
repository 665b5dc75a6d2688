"""The simulated air as a radio (docs/reference/interfaces.md, section 4). It brings the time, too."""

import json
import logging
import socket
import threading
from typing import Any

from .clock import AirClock, parse_rfc3339
from .config import Radio as RadioConfig
from .errors import RadioLostError
from .ingress import Deliver, RadioCounters, Tick, Uplink

log = logging.getLogger(__name__)

_ANSWER_DELAY_US = 1_000_000
_CONNECT_S = 5.0
_PAUSE_S = 0.5
_LONGEST_LINE = 65536


class AirRadio:
    """A gateway's radio in the simulated air."""

    def __init__(self, config: RadioConfig, clock: AirClock, station: str) -> None:
        """`station` is its name in the air."""
        self.config = config
        self.counters = RadioCounters()
        self._clock = clock
        self._station = station
        self._socket: socket.socket | None = None
        self._sending = threading.Lock()
        self._stopping = threading.Event()
        self._owed: set[int] = set()
        self._thread = threading.Thread(target=self._run, name=f"air {config.name}", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin to listen."""
        self._deliver = deliver
        self._thread.start()

    def answer(self, token: int, data: bytes | None) -> None:
        """Send this a second after the end of the uplink, or decline."""
        if token not in self._owed:
            return  # from a connection that is gone
        self._owed.discard(token)
        try:
            if data is None:
                self._tell(op="decline", id=token)
            else:
                self._tell(
                    op="reply",
                    id=token,
                    delay_us=_ANSWER_DELAY_US,
                    output_power=self.config.output_power,
                    invert_iq=True,
                    data=data.hex(),
                )
                self.counters.answers += 1
        except OSError:
            self.counters.answers_failed += 1

    def flush(self) -> None:
        """They have gone."""

    def stop(self) -> None:
        """Hang up: time in the air goes on without us."""
        self._stopping.set()
        wire = self._socket
        if wire:
            try:
                wire.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(2 * _CONNECT_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
                problem = "the air hung up"
            except Exception as error:  # noqa: BLE001 (whatever it is, it is told, and tried again)
                problem = str(error) or type(error).__name__
            if self._stopping.is_set():
                return
            text = f"{self.config.address}: {problem}: is the air server running?"
            if text != self.counters.problem:
                log.warning("radio %s: %s", self.config.name, text)
            self.counters.problem = text
            self._stopping.wait(_PAUSE_S)

    def _listen(self) -> None:
        host, _, port = self.config.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=_CONNECT_S) as wire:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._owed.clear()
            self._socket = wire
            self._tell(op="join", role="gateway", name=self._station, x=self.config.x, y=self.config.y)
            try:
                with wire.makefile("rb") as lines:
                    while not self._stopping.is_set() and (line := lines.readline(_LONGEST_LINE)):
                        self._take(wire, line)
            finally:
                self._socket = None

    def _tell(self, **message: Any) -> None:
        wire = self._socket
        if wire is None:
            raise OSError("not connected")
        with self._sending:
            wire.sendall(json.dumps(message).encode() + b"\n")

    def _take(self, wire: socket.socket, line: bytes) -> None:
        try:
            message = json.loads(line)
            match message["op"]:
                case "uplink":
                    self._take_uplink(message)
                case "time":
                    self._clock.advance(message["now_us"])
                    self._deliver(Tick())
                case "joined":
                    self._clock.start(parse_rfc3339(message["epoch"]), message["now_us"])
                    wire.settimeout(None)
                    self._tune()
                case "refused":
                    self.counters.answers_failed += 1
                case "error":
                    raise RadioLostError(str(message.get("why", "refused")))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise RadioLostError(f"it sends what is not its protocol ({type(error).__name__}: {error})") from None

    def _tune(self) -> None:
        config = self.config
        self._tell(
            op="tune",
            freq_khz=config.freq_khz,
            sf=config.sf,
            bw_khz=config.bw,
            coding_rate=config.coding_rate,
            preamble_len=config.preamble_len,
            output_power=config.output_power,
        )
        self.counters.connections += 1
        self.counters.problem = ""
        log.info("radio %s: in the air at %s", config.name, config.address)
        self._deliver(Tick())

    def _take_uplink(self, message: dict[str, Any]) -> None:
        token = message["id"]
        self._clock.advance(message["end_us"])
        self._owed.add(token)
        if not message["crc_ok"]:
            self.counters.crc_errors += 1
            self.answer(token, None)
            return
        uplink = Uplink(
            radio=self.config.name,
            token=token,
            data=bytes.fromhex(message["data"]),
            rssi=round(message["rssi"]),
            snr=float(message["snr_db"]),
            airtime_us=message["airtime_us"],
            received=self._clock.at(message["end_us"]),
        )
        self.counters.uplinks += 1
        self._deliver(uplink)
