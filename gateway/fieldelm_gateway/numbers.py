"""Under which number a gateway answers, so that no nonce ever comes again.

A downlink's nonce is EUI, uplink counter and the gateway's number. A gateway that goes on with an older copy of its
database does not know which uplinks it has answered since; if somebody replays one, its answer would be another text under
a nonce that was used. So every copy notes that the number it was made under is spent, and who goes on with it takes
another one. Nodes believe gateways 1 to 4 unless they were provisioned otherwise.
"""

import dataclasses
import json
import logging
import sqlite3
from collections.abc import Iterable

from .config import GatewayConfig
from .errors import UsageError
from .store import Store

log = logging.getLogger(__name__)

BELIEVED = (1, 2, 3, 4)
_LISTEN = 0  # as substitute
MEND = (
    "set number, under [gateway], to one that no other gateway has and that the nodes believe "
    "(link.gateways, by default 1 to 4)"
)
_READ = "SELECT value FROM setting WHERE name = ?"
_WRITE = "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)"


def _get(connection: sqlite3.Connection, name: str) -> str | None:
    rows = connection.execute(_READ, (name,)).fetchall()
    return rows[0][0] if rows else None


def spent(connection: sqlite3.Connection) -> set[int]:
    """Numbers that this database's gateway must not answer under."""
    return set(json.loads(_get(connection, "spent") or "[]"))


def spent_in(store: Store) -> set[int]:
    """The same, beside a running gateway."""
    rows = store.query(_READ, ("spent",))
    return set(json.loads(rows[0]["value"])) if rows else set()


def used(connection: sqlite3.Connection) -> set[int]:
    """Those, and the one that it answers under."""
    number = _get(connection, "number")
    return spent(connection) | ({int(number)} if number else set())


def spend(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Note that these are spent."""
    connection.execute(_WRITE, ("spent", json.dumps(sorted(spent(connection) | set(numbers)))))


def mark_copy(connection: sqlite3.Connection, number: int | None) -> None:
    """A copy is made: what its gateway has answered under, and `number` of the configuration, is spent."""
    spend(connection, used(connection) | ({number} if number else set()))
    connection.execute("DELETE FROM setting WHERE name IN ('number', 'substitute')")


def free(connection: sqlite3.Connection, *, from_above: bool = False) -> int | None:
    """A number that nodes believe and that is not spent."""
    taken = spent(connection)
    left = [number for number in BELIEVED if number not in taken]
    return (left[-1] if from_above else left[0]) if left else None


def substitute_or_listen(connection: sqlite3.Connection) -> None:
    """Nobody is asked: answer under the highest number that is left, or only listen if none is."""
    left = free(connection, from_above=True)
    connection.execute(_WRITE, ("substitute", str(left or _LISTEN)))


def substitute(connection: sqlite3.Connection, number: int) -> None:
    """Answer under this number where that of the configuration is spent. Raises UsageError if it is spent as well."""
    taken = spent(connection)
    if number in taken:
        raise UsageError(
            f"number {number} is spent, too: take one that is none of {', '.join(map(str, sorted(taken)))}"
        )
    connection.execute(_WRITE, ("substitute", str(number)))


def answers_as(store: Store, config: GatewayConfig) -> int | None:
    """The number that this gateway answers under; None if it only listens. Raises UsageError, with the mend, if it cannot."""
    if not config.gateway.answers:
        return None
    rows = {row["name"]: row["value"] for row in store.query("SELECT name, value FROM setting")}
    taken = set(json.loads(rows.get("spent", "[]")))
    number = config.gateway.number
    if number not in taken:
        return number
    given = int(rows.get("substitute", number))
    if given in taken:
        raise UsageError(
            f"{store.path} is a copy: gateway number {number} may have answered frames that it does not know: "
            f"{MEND}; spent: {', '.join(map(str, sorted(taken)))}"
        )
    return None if given == _LISTEN else given


def claim(store: Store, config: GatewayConfig) -> GatewayConfig:
    """The configuration with the number that the gateway answers under. Raises UsageError, with the mend, if there is none."""
    if not config.gateway.answers:
        return config
    with store.transaction() as connection:
        number = answers_as(store, config)
        if number is None:
            log.error("every number that nodes believe is spent: this gateway only listens. %s", MEND)
            return dataclasses.replace(config, gateway=dataclasses.replace(config.gateway, answers=False))
        if number != config.gateway.number:
            log.warning("number %d is spent: this gateway answers as number %d", config.gateway.number, number)
        if _get(connection, "number") != str(number):
            connection.execute(_WRITE, ("number", str(number)))
    return dataclasses.replace(config, gateway=dataclasses.replace(config.gateway, number=number))
