"""A LoRa modem on a serial port (`fieldelm.modem_framing`). It may be pulled out and plugged in again at any time."""

import errno
import logging
import os
import termios
import threading
import time

import serial

from fieldelm import frame, modem_framing as modem

from . import serial_line
from .clock import Clock
from .config import Radio as RadioConfig
from .errors import RadioLostError
from .ingress import Deliver, RadioCounters, Uplink, airtime_us
from .tables import Table

log = logging.getLogger(__name__)

_TABLES = {kind: Table(table) for kind, table in modem.TABLES.items()}
_ANSWER_DELAY_MS = 1000
_READ_S = 0.1
_WRITE_S = 0.5
_AT_ONCE = 32  # answers, 1 kB: a line of 115,200 baud takes them in 0.1 s
_PING_S = 10.0
_SILENT_S = 30.0  # a modem that says nothing for so long, although it is asked, is gone
_GREETING_S = 1.0  # between attempts to configure it
_PAUSE_S = 1.0


class SerialRadio:
    """A modem, configured by the gateway whenever it starts or is plugged in."""

    def __init__(self, config: RadioConfig, clock: Clock) -> None:
        self.config = config
        self.counters = RadioCounters()
        self._clock = clock
        self._port: serial.Serial | None = None
        self._writing = threading.Lock()
        self._answers: list[bytes] = []  # encoded, for `flush`
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"modem {config.name}", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin to listen."""
        self._deliver = deliver
        self._thread.start()

    def answer(self, token: int, data: bytes | None) -> None:
        """Have the modem send this a second after the end of the uplink; None: nothing."""
        if data is None:
            return
        fields = {"token": token, "delay_ms": _ANSWER_DELAY_MS, "output_power": self.config.output_power}
        self._answers.append(self._encoded(modem.TRANSMIT, fields, data))

    def flush(self) -> None:
        """Write the answers of a round, many together; those that the modem does not take in time are too late for the nodes."""
        answers, self._answers = self._answers, []
        for first in range(0, len(answers), _AT_ONCE):
            try:
                self._write(b"".join(answers[first : first + _AT_ONCE]))
            except (serial.SerialException, OSError, termios.error):
                self.counters.answers_failed += len(answers) - first
                return

    def stop(self) -> None:
        """Let go of the port."""
        self._stopping.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 (libraries and drivers raise what they like; it is told, and tried again)
                text = f"{self.config.port}: {explain(error)}"
                if text != self.counters.problem:
                    log.warning("radio %s: %s", self.config.name, text)
                self.counters.problem = text
            self._stopping.wait(_PAUSE_S)

    def _listen(self) -> None:
        decoder = serial_line.Decoder()
        garbage = 0
        # a name in /dev, or a URL of pyserial such as socket://127.0.0.1:7501, which an emulated modem has
        with serial.serial_for_url(
            self.config.port, self.config.baud, timeout=_READ_S, write_timeout=_WRITE_S, exclusive=True
        ) as port:
            self._port = port
            try:
                heard = asked = time.monotonic()
                self._tell(modem.PING, {})
                while not self._stopping.is_set():
                    data = port.read(max(1, port.in_waiting))
                    now = time.monotonic()
                    for message in decoder.push(data):
                        heard = now
                        self._take(message)
                    self.counters.serial_garbage += decoder.garbage - garbage
                    garbage = decoder.garbage
                    if now - heard > _SILENT_S:
                        raise RadioLostError(
                            "no modem answers there: is it one, is it flashed, and is [[radio]] port right?"
                        )
                    if now - asked > (_PING_S if not self.counters.problem else _GREETING_S):
                        asked = now
                        if (
                            not self._writing.locked()
                        ):  # answers on their way may wait for a modem that waits for us to read
                            self._tell(modem.PING, {})
            finally:
                self._port = None

    def _tell(self, kind: int, fields: dict[str, int]) -> None:
        self._write(self._encoded(kind, fields))

    @staticmethod
    def _encoded(kind: int, fields: dict[str, int], data: bytes = b"") -> bytes:
        return serial_line.encode(bytes((kind,)) + _TABLES[kind].pack(fields) + data)

    def _write(self, data: bytes) -> None:
        with self._writing:
            port = self._port
            if port is None:
                raise OSError("not connected")
            port.write(data)

    def _take(self, message: bytes) -> None:
        table = _TABLES.get(message[0])
        if table is None or len(message) < 1 + table.size:
            self.counters.serial_garbage += 1
            return
        fields = table.unpack(message, 1)
        match message[0]:
            case modem.UPLINK:
                data = message[1 + table.size :]
                if len(data) > frame.MAX_BYTES:  # no radio hears so long a frame
                    self.counters.serial_garbage += 1
                else:
                    self._take_uplink(fields, data)
            case modem.HELLO:
                self._greeted(fields)
            case modem.CONFIGURED:
                self._configured(fields["result"])
            case modem.SENT:
                if fields["result"]:
                    self.counters.answers_failed += 1
                else:
                    self.counters.answers += 1
            case modem.STATUS:
                self.counters.crc_errors = fields["crc_errors"]
                self.counters.more = {f"modem_{name}": fields[name] for name in ("garbage", "lost", "restarts")}
            case _:
                self.counters.serial_garbage += 1

    def _greeted(self, fields: dict[str, int]) -> None:
        if fields["protocol"] != modem.PROTOCOL:
            raise RadioLostError(
                f"the modem speaks protocol {fields['protocol']}, not {modem.PROTOCOL}: flash it again"
            )
        if fields["configured"] and not self.counters.problem:
            return
        config = self.config
        self._tell(
            modem.CONFIGURE,
            {
                "freq_khz": config.freq_khz,
                "sf": config.sf,
                "bandwidth_hz": round(float(config.bw) * 1000),
                "coding_rate": config.coding_rate,
                "preamble_len": config.preamble_len,
            },
        )

    def _configured(self, result: int) -> None:
        if result:
            names = modem.CONFIGURED_RESULTS
            name = names[result] if result < len(names) else str(result)
            raise RadioLostError(f"the modem cannot use this channel ({name}): mend [[radio]], or the modem's radio")
        self.counters.connections += 1
        self.counters.problem = ""
        log.info("radio %s: modem on %s listens", self.config.name, self.config.port)

    def _take_uplink(self, fields: dict[str, int], data: bytes) -> None:
        self.counters.uplinks += 1
        self._deliver(
            Uplink(
                radio=self.config.name,
                token=fields["token"],
                data=data,
                rssi=fields["rssi"],
                snr=fields["snr"] / 4,
                airtime_us=airtime_us(self.config, len(data)),
                received=self._clock.now(),
            )
        )


def explain(error: Exception) -> str:
    """Why a port cannot be used, and the mend."""
    if isinstance(error, RadioLostError):
        return str(error)
    number = getattr(error, "errno", None)
    if number in {errno.EACCES, errno.EPERM}:
        return "this user may not use it: add the user to the port's group, dialout in most systems"
    reason = str(error) or type(error).__name__
    if number:
        known = {errno.ENOENT: "there is no such port", errno.EAGAIN: "another program uses it"}
        reason = known.get(number, os.strerror(number))
    elif isinstance(error.__context__, termios.error):
        reason = "it is no serial port"
    return f"{reason}: is the modem plugged in, and [[radio]] port right?"
