"""What is done between the frames, so that it goes on for years: the log is kept short, and what must never be lost is copied."""

import logging
from collections.abc import Iterable

from . import backup, retention
from .clock import Instant
from .config import Retention
from .errors import DamagedError, GatewayError, TransientError
from .nodes import Node
from .store import Store

log = logging.getLogger(__name__)

_AGAIN_S = 600
_NEW_S = 10  # a thousand nodes made one after the other do not make a thousand copies


class Upkeep:
    """Of one database."""

    def __init__(self, config: Retention, store: Store) -> None:
        self._store = store
        self._keeper = retention.Keeper(config, store)
        self._copied_ms: int | None = None
        self._copied_keys: set[tuple[str, int, str, bytes | None]] = set()
        self._keys: set[tuple[str, int, str, bytes | None]] = set()

    def heed(self, nodes: Iterable[Node]) -> None:
        """These are all nodes from now on."""
        # what tells a new key: EUI, slot, check value of the first key, and the key that a node is asked to take
        self._keys = {(node.eui, slot.key_id, slot.check, slot.pending) for node in nodes for slot in node.keys}

    def step(self, now: Instant) -> None:
        """A piece of it, if any is due. Raises DamagedError."""
        try:
            self._keeper.step(now)
        except TransientError as error:
            log.debug("database: %s", error)
        # a new node or key must be in the copy: without it the node would be lost; one that was removed must not come back
        pause_s = backup.DAILY_S if self._keys == self._copied_keys else _NEW_S
        if self._copied_ms is None or now.monotonic_ms - self._copied_ms >= pause_s * 1000:
            self._copy(now)

    def _copy(self, now: Instant) -> None:
        self._copied_ms = now.monotonic_ms
        self._copied_keys = self._keys
        if not self._keys and not backup.daily_path(self._store.path).exists():
            return
        try:
            backup.write_daily(self._store.path)
        except DamagedError:
            raise
        except (GatewayError, OSError) as error:
            self._copied_ms -= (backup.DAILY_S - _AGAIN_S) * 1000
            log.warning("the daily copy of nodes and keys cannot be made, and is tried again in ten minutes: %s", error)
