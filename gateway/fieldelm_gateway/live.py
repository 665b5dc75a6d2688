"""What is true now, and who wants to be told: the dashboard reads here what the core thread writes.

A document has a topic, the same as on MQTT. Listeners are called in the core's thread and must only take note.
"""

import threading
from collections.abc import Callable

Listener = Callable[[str, str], None]


class Live:
    """Current documents by topic, and everything that happens to its listeners."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[str, str] = {}
        self._listeners: tuple[Listener, ...] = ()

    def remember(self, topic: str, payload: str) -> None:
        """A document that describes the present; an empty one: it describes nothing any more."""
        with self._lock:
            if payload:
                self._current[topic] = payload
            else:
                self._current.pop(topic, None)
        self.tell(topic, payload)

    def tell(self, topic: str, payload: str) -> None:
        """Something has happened."""
        for listener in self._listeners:
            listener(topic, payload)

    def current(self) -> dict[str, str]:
        """A copy of all that is true now."""
        with self._lock:
            return dict(self._current)

    def get(self, topic: str) -> str | None:
        """One document."""
        with self._lock:
            return self._current.get(topic)

    def listen(self, listener: Listener) -> None:
        """Tell this one, too."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def leave(self, listener: Listener) -> None:
        """Tell it nothing more."""
        with self._lock:
            self._listeners = tuple(one for one in self._listeners if one is not listener)
