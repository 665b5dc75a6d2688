"""The gateway as a whole: wires its parts, and stops them in an order in which nothing is lost."""

import contextlib
import gc
import logging
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from fieldelm import __version__

from . import broker, database, documents, numbers, salvage
from .clock import AirClock, Clock, HostClock
from .config import GatewayConfig
from .core import Core, Inbox, Reached, Stop
from .errors import DamagedError, GatewayError
from .ingress import Radio
from .ingress_air import AirRadio
from .ingress_serial import SerialRadio
from .live import Live
from .publisher import Publisher
from .store import Store
from .supervisor import Supervisor

if TYPE_CHECKING:
    from .dashboard.server import Dashboard

log = logging.getLogger(__name__)

_FLUSH_S = 3.0
_LOOK_S = 0.2
_COMMIT_S = 5.0
_STUCK_S = 10.0
_CHECK_S = 5.0
"""for finding damage at the start: nodes repeat for longer what is not answered; 263 MB take 0.2 s on a PC"""
_SWITCH_S = 0.0005
"""Python's threads give way after 5 ms by default: an answer that waits for its turn ten times would be late"""
_COLLECTIONS = (700, 10, 1000)
"""Python looks through all that lives whenever a quarter has been added, 80 ms with 10,000 nodes: now every ten minutes"""
_COLLECT_S = 600.0


def make_radios(config: GatewayConfig) -> tuple[list[Radio], Clock]:
    """The radios, and the clock that goes with them."""
    radios: list[Radio] = []
    air_clock = AirClock()
    host_clock = HostClock()
    for radio in config.radio:
        if radio.kind == "air":
            radios.append(AirRadio(radio, air_clock, f"{config.gateway.name}/{radio.name}"))
        else:
            radios.append(SerialRadio(radio, host_clock))
    simulated = config.radio[0].kind == "air"
    return radios, air_clock if simulated else host_clock


class Gateway:
    """A gateway in this process.

    >>> gateway = Gateway(config.load(path))
    >>> gateway.start()
    >>> gateway.stop()
    """

    def __init__(self, config: GatewayConfig) -> None:
        """Opens the database. Raises GatewayError."""
        path = config.database_path()
        broker.read_password(config.mqtt)  # what is wrong with it is told now, not at the first connection
        self._inbox: Inbox = queue.SimpleQueue()
        with contextlib.ExitStack() as opened:  # all of it is let go of if a part of it cannot be used
            opened.enter_context(database.lock(path))
            salvage.finish(path)
            self._store = opened.enter_context(contextlib.closing(Store(path, create=True, locked=True)))
            if not self._store.check(_CHECK_S):
                log.info("the log is long: whether all of it can be read is not looked at now")
            self.config = config = numbers.claim(self._store, config)
            self._open(config, opened)
            self._opened = opened.pop_all()
        self.failure: Exception | None = None
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run_core, name="core", daemon=True)

    def _open(self, config: GatewayConfig, opened: contextlib.ExitStack) -> None:
        self._radios, clock = make_radios(config)
        reader = opened.enter_context(contextlib.closing(self._reader(config)))
        self.publisher = opened.enter_context(contextlib.closing(Publisher(config, reader, self._inbox.put)))
        self.live = Live()
        self.core = Core(config, __version__, self._store, self._radios, self.publisher, clock, self._inbox, self.live)
        self.dashboard: Dashboard | None = None
        if config.dashboard.enabled:
            from .dashboard import server  # a gateway without a page does not load its library

            self.dashboard = server.Dashboard(config, self.live, self._inbox.put, self.is_alive)

    def _reader(self, config: GatewayConfig) -> Store:
        # for another thread than the core's, which decides what is done about damage
        return Store(config.database_path(), read_only=True, on_damage=self._inbox.put)

    def start(self) -> None:
        """Begin to listen and publish. Raises GatewayError; then everything is closed."""
        topics = documents.Topics(self.config.base_topic())
        self.publisher.remember(topics.state, documents.gateway_state("online"))
        try:
            self.core.step([])  # the publisher begins with what is known of the nodes
        except GatewayError:
            self._opened.close()
            raise
        self.publisher.start()
        self._thread.start()
        for radio in self._radios:
            radio.start(self._inbox.put)
        if self.dashboard:
            self.dashboard.start()

    def is_alive(self) -> bool:
        """Whether the core thread works."""
        return self._thread.is_alive() and time.monotonic() - self.core.stepped_s < _STUCK_S

    def _run_core(self) -> None:
        try:
            self.core.run()
        except GatewayError as error:
            self.failure = error
            self.ended.set()

    def stop(self) -> None:
        """Stop listening, commit what was heard, publish what can be published, say `offline`, and close."""
        if self.dashboard:
            self.dashboard.stop()
        for radio in self._radios:
            radio.stop()
        committed = Reached(threading.Event())
        self._inbox.put(committed)
        committed.event.wait(_COMMIT_S if self._thread.is_alive() else 0)
        self.publisher.stop(_FLUSH_S)
        self._inbox.put(Stop())
        self._thread.join()
        self._opened.close()


def _start(config: GatewayConfig, working: Callable[[], None] = lambda: None) -> Gateway:
    try:
        gateway = Gateway(config)
        gateway.start()
    except DamagedError:
        log.warning("%s is damaged: what can be read of it is saved, which may take minutes", config.database_path())
        salvage.recover(config.database_path(), config.gateway.number, working)
        gateway = Gateway(config)
        gateway.start()
    return gateway


def run(config: GatewayConfig) -> None:
    """Run in the foreground until SIGTERM or SIGINT. Raises what ended it otherwise."""
    asked: list[int] = []
    faults: list[GatewayError] = []

    def on_fault(arguments: threading.ExceptHookArgs) -> None:
        # a thread has died of a fault in the program: end, so that whoever supervises starts it again
        name = arguments.thread.name if arguments.thread else "a thread"
        log.error("%s has a fault", name, exc_info=arguments.exc_value)
        faults.append(GatewayError(f"{name} has a fault in the program ({arguments.exc_value!r}); the log shows where"))

    def on_signal(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    def working() -> None:
        supervisor.working()
        if asked:
            raise GatewayError(
                "it was ended while it saved what can be read of its damaged database: the next start does"
            )

    supervisor = Supervisor()
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(*_COLLECTIONS)
    collect_at = time.monotonic() + _COLLECT_S
    threading.excepthook = on_fault
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    gateway = _start(config, working)
    log.info("gateway %s is up; database %s", config.gateway.name, config.database_path())
    supervisor.tell("READY=1", f"STATUS=gateway {config.gateway.name}")
    while not asked and not faults and not gateway.ended.wait(_LOOK_S):
        if gateway.is_alive():
            supervisor.alive()
        if time.monotonic() >= collect_at:
            gc.collect()
            collect_at = time.monotonic() + _COLLECT_S
    supervisor.tell("STOPPING=1")
    log.info("stopping (%s)", signal.Signals(asked[0]).name if asked else "it cannot go on")
    gateway.stop()
    log.info("stopped")
    if isinstance(gateway.failure, DamagedError):
        salvage.recover(config.database_path(), config.gateway.number, working)
    if failure := gateway.failure or next(iter(faults), None):
        raise failure
