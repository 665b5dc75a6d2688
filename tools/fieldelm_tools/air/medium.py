"""The air itself: stations, frames and simulated time, as a discrete-event simulation without sockets or clocks.

Time moves only in `step`, from one event to the next, and only while nobody holds it (`held`): a node that is computing
stands still in simulated time, and a gateway that owes an answer keeps the receive window from passing.

A receiver finds a frame when it has heard five symbols of its preamble undisturbed, and is then locked on it until its
end. A frame that is found during the preamble of that one, and is 6 dB stronger, takes the receiver over.
A locked frame is damaged by any other on its channel that is not at least 6 dB weaker (for another spreading factor or
polarity: by one that is more than 16 dB stronger).
"""

import dataclasses
import heapq
import math
from collections.abc import Callable, Mapping

from . import propagation
from .messages import (
    Abort,
    Begin,
    Decline,
    Join,
    Listen,
    Message,
    MessageError,
    Radio,
    Reply,
    Restart,
    Send,
    Tune,
    Wait,
)
from .propagation import Propagation
from .stations import Frame, Station, rejection_db, understands

ANSWER_US = 980_000  # after the end of an uplink: until then its gateway may answer

# order of events at the same microsecond
_END, _FIND, _WAKE, _REPLY = range(4)

Line = dict[str, object]


class Medium:
    """Stations, frames in flight and the events to come."""

    def __init__(
        self, conditions: Propagation, deliver: Callable[[str, Line], None], observe: Callable[[Line], None]
    ) -> None:
        """`deliver(name, line)` answers a station, `observe(line)` tells of traffic."""
        self.now_us = 0
        self.stations: dict[str, Station] = {}
        self.computing: set[str] = set()
        self.frames_sent: dict[str, int] = {}
        self._conditions = conditions
        self._deliver = deliver
        self._observe = observe
        self._events: list[tuple[int, int, str, str, int, Callable[[], None]]] = []
        self._sequence = 0
        self._frames: list[Frame] = []
        self._uplinks = 0
        self._told = 0
        self._owing: set[Station] = set()
        self._shadowing: dict[tuple[str, str], float] = {}

    # who is there

    def join(self, join: Join) -> None:
        """A node or gateway arrives; a node holds time at once. Raises `MessageError` if the name is taken."""
        if join.name in self.stations:
            raise MessageError(f"the name {join.name} is taken")
        station = Station(join.name, join.role, join.x, join.y, join.gain_db)
        self.stations[join.name] = station
        if join.role in ("node", "radio"):
            self._resume(station)

    def leave(self, name: str) -> None:
        """A station is gone: it holds nothing any more. What it has begun to send still leaves its antenna."""
        station = self.stations.pop(name)
        station.radio = station.locked = None
        station.wake += 1
        station.owes.clear()
        self._owing.discard(station)
        self.computing.discard(name)

    def handle(self, name: str, message: Message) -> None:
        """Do what a station asks. Raises `MessageError` if it may not ask that now."""
        station = self.stations[name]
        if station.role == "radio" and isinstance(message, Wait | Begin | Abort):
            if not station.computing:
                raise MessageError("the answer to the last request is still to come")
            self._radio(station, message)
        elif isinstance(message, Begin | Abort):
            raise MessageError("only a radio begins and aborts frames")
        elif isinstance(message, Wait | Send | Listen):
            if station.role != "node":
                raise MessageError("only a node waits, sends and listens")
            if not station.computing:
                raise MessageError("the answer to the last request is still to come")
            self._pause(station, message)
        elif isinstance(message, Tune | Reply | Decline):
            if station.role != "gateway":
                raise MessageError("only a gateway tunes, replies and declines")
            station.unresponsive = False
            if isinstance(message, Tune):
                self._listen(station, message.radio)
            else:
                self._answer(station, message)
        elif isinstance(message, Join):
            raise MessageError("joined already")
        else:
            assert isinstance(message, Restart)

    def _resume(self, station: Station) -> None:
        station.computing = True
        self.computing.add(station.name)

    def _pause(self, station: Station, message: Wait | Send | Listen) -> None:
        station.computing = False
        self.computing.discard(station.name)
        if isinstance(message, Send):
            self._transmit(station, message.radio, message.data)
            return
        if isinstance(message, Listen):
            self._listen(station, message.radio)
        station.wake += 1
        wake = station.wake
        self._at(
            max(self.now_us, message.until_us), _WAKE, station.name, "", lambda: self._wake_up(station, message, wake)
        )

    # time

    def _at(self, time_us: int, order: int, name: str, other: str, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (time_us, order, name, other, self._sequence, action))

    def due_us(self) -> int | None:
        """When the next event is due."""
        return self._events[0][0] if self._events else None

    def debtors(self) -> list[Station]:
        """Gateways that owe the answer without which time cannot go on."""
        due = self.due_us()
        if due is None:
            return []
        late = [s for s in self._owing if min(frame.end_us for frame in s.owes.values()) + ANSWER_US < due]
        return sorted(late, key=lambda station: station.name)

    def held(self) -> bool:
        """Whether anybody keeps time from reaching the next event."""
        return bool(self.computing) or bool(self._owing and self.debtors())

    def step(self) -> None:
        """Go to the next event and do all that is due at that microsecond and follows at once."""
        self.now_us = self._events[0][0]
        while self._events and self._events[0][0] == self.now_us:
            heapq.heappop(self._events)[-1]()

    def idle_until(self, time_us: int) -> None:
        """Let time go by, no further than to the next event."""
        due = self.due_us()
        self.now_us = max(self.now_us, time_us if due is None else min(due, time_us))

    def give_up(self, station: Station) -> int:
        """Count a silent gateway as having declined; returns how many uplinks it had not answered."""
        count = len(station.owes)
        station.owes.clear()
        station.unresponsive = True
        self._owing.discard(station)
        return count

    def _wake_up(self, station: Station, message: Wait | Listen, wake: int) -> None:
        if wake != station.wake:
            return
        if isinstance(message, Listen) and station.locked:
            return  # it goes on to the end of the frame
        station.radio = None
        self._resume(station)
        self._deliver(station.name, {"op": "now" if isinstance(message, Wait) else "silence", "now_us": self.now_us})

    # radio

    def _listen(self, station: Station, radio: Radio) -> None:
        station.radio = radio
        station.listening_since_us = self.now_us
        station.locked = None
        if not station.sending:
            for frame in self._frames:
                self._seek(station, frame)

    def _seek(self, station: Station, frame: Frame) -> None:
        """Have the receiver look for the frame once it has heard enough of the preamble."""
        radio = frame.radio
        if not station.radio or station is frame.sender or frame.end_us <= self.now_us:
            return
        if not understands(station.radio, radio):
            return
        heard_from = max(frame.start_us, station.listening_since_us)
        at = heard_from + propagation.PREAMBLE_SYMBOLS * radio.symbol_us
        if at > frame.preamble_end_us:
            frame.outcome.setdefault(station.name, "missed")
        else:
            listening = station.radio
            since = station.listening_since_us
            self._at(at, _FIND, station.name, frame.sender.name, lambda: self._find(station, listening, since, frame))

    def _find(self, station: Station, listening: Radio, since_us: int, frame: Frame) -> None:
        if station.radio is not listening or station.listening_since_us != since_us:
            return  # it has stopped meanwhile, or begun anew
        if station.sending:
            frame.outcome[station.name] = "deaf"
            return
        level = self._level(frame, station)
        name = station.name
        if level - self._noise_dbm(frame.radio) < propagation.SNR_LIMIT_DB[frame.radio.sf]:
            frame.outcome[name] = "weak"
        elif self._conditions.lost(frame.sender.name, frame.number, name):
            frame.outcome[name] = "lost"
        elif self._disturbed(frame, station, self.now_us - 1, self.now_us):
            frame.outcome[name] = "collision"
        else:
            if station.locked:
                if self.now_us >= station.locked.preamble_end_us:
                    frame.outcome[name] = "collision"
                    return
                station.locked.outcome[name] = "collision"
                station.locked.found_us.pop(name)
            station.locked = frame
            frame.found_us[name] = self.now_us

    def _disturbed(self, frame: Frame, station: Station, start_us: int, end_us: int) -> bool:
        level = self._level(frame, station)
        for other in self._frames:
            if other is frame or other.sender is station or other.start_us >= end_us or other.end_us <= start_us:
                continue
            margin = rejection_db(frame.radio, other.radio)
            if level - self._level(other, station) < margin:
                return True
        return False

    def _level(self, frame: Frame, station: Station) -> float:
        """Level of a frame at a receiver in dBm."""
        level = frame.levels.get(station.name)
        if level is None:
            sender = frame.sender
            pair = (sender.name, station.name)
            if pair not in self._shadowing:
                self._shadowing[pair] = self._conditions.shadowing(*pair)
            distance = math.hypot(sender.x - station.x, sender.y - station.y)
            level = frame.radio.output_power + sender.gain_db + station.gain_db
            level -= self._conditions.path_loss_db(distance, frame.radio.freq_khz) + self._shadowing[pair]
            level += self._conditions.fading(sender.name, frame.number, station.name)
            frame.levels[station.name] = level
        return level

    def _noise_dbm(self, radio: Radio) -> float:
        return self._conditions.noise_dbm(radio.bandwidth_khz)

    def _transmit(
        self,
        station: Station,
        radio: Radio,
        data: bytes,
        answers: int | None = None,
        details: Mapping[str, object] | None = None,
        airtime_us: int | None = None,
    ) -> None:
        number = self.frames_sent.get(station.name, 0)
        self.frames_sent[station.name] = number + 1
        end_us = self.now_us + (airtime_us or radio.airtime_us(len(data)))
        frame = Frame(station, number, radio, data, self.now_us, end_us, answers=answers, details=details or {})
        if station.locked:  # the receiver stops in the middle of a frame
            station.locked.outcome[station.name] = "deaf"
            station.locked.found_us.pop(station.name)
            station.locked = None
        station.sending = frame
        self._frames.append(frame)
        for receiver in self.stations.values():
            self._seek(receiver, frame)
        self._announce(frame)
        self._at(end_us, _END, station.name, "", lambda: self._end(frame))

    def _end(self, frame: Frame) -> None:
        sender = frame.sender
        if sender.sending is frame:
            sender.sending = None
        here = self.stations.get(sender.name) is sender
        if here and sender.role == "radio":
            pass  # its own clock tells it
        elif here and frame.answers is None:
            self._resume(sender)
            airtime_us = frame.end_us - frame.start_us
            self._deliver(sender.name, {"op": "sent", "now_us": self.now_us, "airtime_us": airtime_us})
        elif here:
            self._deliver(sender.name, {"op": "replied", "id": frame.answers, "now_us": self.now_us})
        for name in sorted(frame.found_us):
            station = self.stations.get(name)
            if station and station.locked is frame:
                station.locked = None
                self._receive(station, frame)
        self._observe(self._traffic(frame))
        if here and sender.radio:  # a gateway hears again
            self._listen(sender, sender.radio)
        earliest = min((f.start_us for f in self._frames if f.end_us > self.now_us), default=self.now_us)
        self._frames = [f for f in self._frames if f.end_us > earliest]

    def _receive(self, station: Station, frame: Frame) -> None:
        crc_ok = not frame.broken and not self._disturbed(frame, station, frame.found_us[station.name], frame.end_us)
        frame.outcome[station.name] = "received" if crc_ok else "collision"
        data = frame.data
        if not crc_ok:
            data = propagation.garble(data, self._conditions.seed, frame.sender.name, frame.number, station.name)
        line: Line = {"op": "received", "now_us": self.now_us, "data": data.hex(), **self._signal(frame, station)}
        line["crc_ok"] = crc_ok
        if station.role == "node":
            station.wake += 1
            station.radio = None
            self._resume(station)
        else:
            self._uplinks += 1
            if not station.unresponsive:
                station.owes[self._uplinks] = frame
                self._owing.add(station)
            del line["now_us"]
            line |= {"op": "uplink", "id": self._uplinks, "end_us": frame.end_us, "sf": frame.radio.sf}
            line["airtime_us"] = frame.end_us - frame.start_us
        self._deliver(station.name, line)

    def _signal(self, frame: Frame, station: Station) -> Line:
        level = self._level(frame, station)
        snr_db = min(propagation.SNR_CEILING_DB, level - self._noise_dbm(frame.radio))
        return {"rssi": round(level), "snr_db": round(4.0 * snr_db) / 4.0}

    def _traffic(self, frame: Frame) -> Line:
        heard = []
        for name in sorted(frame.outcome):
            station = self.stations.get(name)
            if station:
                heard.append({"name": name, **self._signal(frame, station), "outcome": frame.outcome[name]})
        return {
            "op": "traffic",
            "from": frame.sender.name,
            "to": heard,
            "start_us": frame.start_us,
            "end_us": frame.end_us,
            "direction": "down" if frame.sender.role == "gateway" else "up",
            "data": frame.data.hex(),
        }

    # radios: clients that decide for themselves what they hear

    def _radio(self, station: Station, message: Wait | Begin | Abort) -> None:
        if isinstance(message, Wait) and station.told:
            # several radios of one client wait one after the other: a frame ends all their waits at the same time
            station.told = False
            self._deliver(station.name, {"op": "now", "now_us": self.now_us})
        elif isinstance(message, Wait):
            self._pause(station, message)
        elif isinstance(message, Begin):
            if station.sending:
                raise MessageError("the radio is sending another frame")
            self._transmit(station, message.radio, message.data, details=message.details, airtime_us=message.airtime_us)
        elif station.sending:
            station.sending.broken = True
            for receiver in self.stations.values():
                self._damage(receiver, station.sending)
            station.sending = None  # it may begin another one

    def _announce(self, frame: Frame) -> None:
        """Tell the radios of a frame that begins, and of what it disturbs or is disturbed by; their waits end here."""
        self._told += 1
        frame.told = self._told
        others = [other for other in self._frames if other is not frame and other.end_us > self.now_us]
        for station in self.stations.values():
            if station.role != "radio" or station is frame.sender:
                continue
            level = self._level(frame, station)
            damaged = self._conditions.lost(frame.sender.name, frame.number, station.name)
            for other in others:
                if other.sender is station:
                    continue
                apart = level - self._level(other, station)
                damaged = damaged or apart < rejection_db(frame.radio, other.radio)
                if -apart < rejection_db(other.radio, frame.radio):
                    self._damage(station, other)
            radio = dataclasses.asdict(frame.radio)
            line: Line = {"op": "frame", "id": frame.told, **radio, **frame.details, "start_us": frame.start_us}
            line |= {
                "end_us": frame.end_us,
                **self._signal(frame, station),
                "damaged": damaged,
                "data": frame.data.hex(),
            }
            self._deliver(station.name, line)
            station.told = station.computing
            if not station.computing:
                station.wake += 1
                self._resume(station)
                self._deliver(station.name, {"op": "now", "now_us": self.now_us})

    def _damage(self, station: Station, frame: Frame) -> None:
        if station.role == "radio" and station is not frame.sender:
            self._deliver(station.name, {"op": "damaged", "id": frame.told})

    # gateways

    def _answer(self, gateway: Station, message: Reply | Decline) -> None:
        uplink = gateway.owes.pop(message.id, None)
        if not gateway.owes:
            self._owing.discard(gateway)
        if isinstance(message, Decline):
            return
        if not uplink:
            self._refuse(gateway, message.id, "no uplink of that id waits for an answer")
            return
        start_us = uplink.end_us + message.delay_us
        if start_us < self.now_us:
            self._refuse(gateway, message.id, "too late: that time has passed")
            return
        radio = dataclasses.replace(
            gateway.radio or uplink.radio,
            freq_khz=uplink.radio.freq_khz,
            sf=uplink.radio.sf,
            bw_khz=uplink.radio.bw_khz,
            output_power=message.output_power,
            invert_iq=message.invert_iq,
        )
        self._at(start_us, _REPLY, gateway.name, f"{message.id:020}", lambda: self._reply(gateway, radio, message))

    def _reply(self, gateway: Station, radio: Radio, message: Reply) -> None:
        if self.stations.get(gateway.name) is not gateway:
            return
        if gateway.sending:
            self._refuse(gateway, message.id, "the radio is sending another frame at that time")
        else:
            self._transmit(gateway, radio, message.data, answers=message.id)

    def _refuse(self, gateway: Station, uplink: int, why: str) -> None:
        self._deliver(gateway.name, {"op": "refused", "id": uplink, "why": why})
