"""From the core's thread to the browsers: what happens is gathered for each of them, and only the newest of a topic counts."""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_MOST_EVENTS = 500
_LATEST = ("/state", "/alarm", "/availability", "health", "nodes", "info")


class Client:
    """One browser."""

    def __init__(self) -> None:
        self.bell = asyncio.Event()
        self._latest: dict[str, str] = {}
        self._events: deque[tuple[str, str]] = deque(maxlen=_MOST_EVENTS)

    def put(self, topic: str, payload: str) -> None:
        """Something for it."""
        if topic.endswith(_LATEST):
            self._latest[topic] = payload
        else:
            self._events.append((topic, payload))
        self.bell.set()

    def take(self) -> list[dict[str, Any]]:
        """All that has come."""
        self.bell.clear()
        gathered = [*self._latest.items(), *self._events]
        self._latest.clear()
        self._events.clear()
        return [{"topic": topic, "payload": _value(payload)} for topic, payload in gathered]


def _value(payload: str) -> Any:
    return json.loads(payload) if payload.startswith("{") else payload


class Hub:
    """All browsers, and answers that somebody waits for. Lives in the event loop; only `hear` may be called from elsewhere."""

    def __init__(self, loop: asyncio.AbstractEventLoop, base: str, on_status: Callable[[str, float], None]) -> None:
        self._loop = loop
        self._base = base + "/"
        self._on_status = on_status
        self._clients: set[Client] = set()
        self._expected: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.events: Counter[str] = Counter()
        """by type, since the start"""
        self.closing = False

    def hear(self, topic: str, payload: str) -> None:
        """From the core's thread."""
        try:
            self._loop.call_soon_threadsafe(self._take, topic.removeprefix(self._base), payload)
        except RuntimeError:  # the loop is closed
            pass

    def _take(self, topic: str, payload: str) -> None:
        parts = topic.split("/")
        if parts[0] == "response":
            document = json.loads(payload)
            waiting = self._expected.get(document.get("id") or "")
            if waiting and not waiting.done():
                waiting.set_result(document)
        elif parts[0] == "node" and parts[-1] == "event":
            self.events[json.loads(payload)["type"]] += 1
        elif parts[0] == "node" and parts[-1] == "state" and payload:
            self._on_status(parts[1], json.loads(payload)["score_ratio"])
        for client in self._clients:
            client.put(topic, payload)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """One more browser, while it listens."""
        client = Client()
        self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)

    def expect(self, number: str) -> "asyncio.Future[dict[str, Any]]":
        """The answer to a request."""
        self._expected[number] = self._loop.create_future()
        return self._expected[number]

    def expect_no_more(self, number: str) -> None:
        """Nobody waits for it now."""
        self._expected.pop(number, None)

    def close(self) -> None:
        """Send the browsers away."""
        self.closing = True
        for client in self._clients:
            client.bell.set()
