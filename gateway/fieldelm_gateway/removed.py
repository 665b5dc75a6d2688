"""What stays of a node that was removed: how far the counters of each of its keys were.

It may be added again, with the key it had (`fieldelm node add`). Without its counters everything that it ever said could be
played back once more; and the answers to that would be other texts under nonces that were used.
"""

import json
import sqlite3
from typing import Any

from .cipher import check_value
from .nodes import Node
from .store import Store

_NAME = "removed"
_ALL_SEEN = -1  # the bits of the window: whatever is not ahead was heard


def _known(store: Store) -> dict[str, dict[str, dict[str, int | None]]]:
    # by EUI and the key's check value
    rows = store.query("SELECT value FROM setting WHERE name = ?", (_NAME,))
    found: dict[str, dict[str, dict[str, int | None]]] = json.loads(rows[0]["value"]) if rows else {}
    return found


def euis(connection: sqlite3.Connection) -> set[str]:
    """Nodes that were removed from this database. Raises sqlite3.Error."""
    rows = connection.execute("SELECT value FROM setting WHERE name = ?", (_NAME,)).fetchall()
    return set(json.loads(rows[0][0])) if rows else set()


def _checks(row: Any) -> set[str]:
    # a key that was rotated goes on with the counters of the one that the node was provisioned with
    return {check for check in (row["origin"], check_value(row["key"])) if check}


def remember(store: Store, node: Node) -> None:
    """It is about to be removed; inside that transaction."""
    known = _known(store)
    stays = known.setdefault(node.eui, {})
    (commands,) = store.query("SELECT last_command_sequence FROM node WHERE id = ?", (node.row,))
    for row in store.query("SELECT key, origin, highest, last_sequence FROM node_key WHERE node = ?", (node.row,)):
        for check in _checks(row):
            before = stays.get(check, {})
            stays[check] = {
                "highest": _most(before.get("highest"), row["highest"]),
                "last_sequence": _most(before.get("last_sequence"), row["last_sequence"]),
                "commands": commands["last_command_sequence"],
            }
    store.write("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (_NAME, json.dumps(known)))


def recall(store: Store, eui: str) -> bool:
    """A node was added: its counters go on where they were with the key that it has. Inside that transaction.

    False if it was not known here, or never with this key.
    """
    stays = _known(store).get(eui, {})
    found = False
    for row in store.query(
        "SELECT k.node, k.key_id, k.key, k.origin, k.highest, k.last_sequence FROM node_key k JOIN node n ON n.id = k.node"
        " WHERE n.eui = ?",
        (eui,),
    ):
        same = [stays[check] for check in _checks(row) if check in stays]
        if not same:
            continue
        found = True
        place = (row["node"], row["key_id"])
        newest = max(same, key=lambda one: -1 if one["highest"] is None else one["highest"])
        highest = newest["highest"]
        if highest is not None and (row["highest"] is None or row["highest"] < highest):
            store.write(
                "UPDATE node_key SET highest = ?, seen = ? WHERE node = ? AND key_id = ?", (highest, _ALL_SEEN, *place)
            )
        last_sequence = _most(row["last_sequence"], *(one["last_sequence"] for one in same))
        store.write("UPDATE node_key SET last_sequence = ? WHERE node = ? AND key_id = ?", (last_sequence, *place))
        store.write("UPDATE node SET last_command_sequence = ? WHERE id = ?", (newest["commands"], row["node"]))
    return found


def _most(*numbers: int | None) -> int | None:
    return max((number for number in numbers if number is not None), default=None)
