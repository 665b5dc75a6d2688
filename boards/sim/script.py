"""What happens when, in the air's seconds."""

from fieldelm.config import ConfigError


class Script:
    """Entries ``{"at_s": seconds, ...}``: ``apply(entry, at_s)`` is called once for each when its time has come."""

    def __init__(self, entries, apply):
        self._apply = apply
        self._entries = []
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("at_s"), (int, float)):
                raise ConfigError('options: script: each entry is an object with "at_s", a number of seconds')
            self._entries.append(entry)
        self._entries.sort(key=lambda entry: entry["at_s"])
        self._next = 0

    def run(self, now_s):
        """Apply what is due."""
        while self._next < len(self._entries) and self._entries[self._next]["at_s"] <= now_s:
            entry = dict(self._entries[self._next])
            self._next += 1
            at_s = entry.pop("at_s")
            self._apply(entry, at_s)


class Cycle:
    """Entries ``{"for_s": seconds, ...}``, one after the other and over again: ``apply`` is called when one begins."""

    def __init__(self, entries, apply):
        self._apply = apply
        self._entries = entries
        self._total = 0
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("for_s"), (int, float)) or entry["for_s"] <= 0:
                raise ConfigError('options: cycle: each entry is an object with "for_s", a number of seconds above 0')
            self._total += entry["for_s"]
        self._now = (-1, -1)

    def run(self, now_s):
        """Apply the entry that is on now, if it has begun since the last call."""
        if not self._entries:
            return
        turn = int(now_s // self._total)
        begun_s = turn * self._total
        index = 0
        while index + 1 < len(self._entries) and now_s >= begun_s + self._entries[index]["for_s"]:
            begun_s += self._entries[index]["for_s"]
            index += 1
        if self._now != (turn, index):
            self._now = (turn, index)
            changes = dict(self._entries[index])
            changes.pop("for_s")
            self._apply(changes, begun_s)
