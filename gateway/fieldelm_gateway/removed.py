"""What stays of a node that was removed: how far its counters were.

It may be added again, with the key it had (`fieldelm node add`). Without its counters everything that it ever said could be
played back once more; and the answers to that would be other texts under nonces that were used.
"""

import json
from typing import Any

from .cipher import check_value
from .nodes import Node
from .store import Store

_NAME = "removed"
_ALL_SEEN = -1  # the bits of the window: whatever is not ahead was heard


def _known(store: Store) -> dict[str, dict[str, Any]]:
    rows = store.query("SELECT value FROM setting WHERE name = ?", (_NAME,))
    found: dict[str, dict[str, Any]] = json.loads(rows[0]["value"]) if rows else {}
    return found


def remember(store: Store, node: Node) -> None:
    """It is about to be removed; inside that transaction."""
    before = _known(store)
    stays = before.get(node.eui, {})
    rows = store.query("SELECT key, origin, highest, last_sequence FROM node_key WHERE node = ?", (node.row,))
    checks = {check for row in rows for check in (row["origin"], check_value(row["key"])) if check}
    (commands,) = store.query("SELECT last_command_sequence FROM node WHERE id = ?", (node.row,))
    before[node.eui] = {
        "checks": sorted(checks | set(stays.get("checks", ()))),
        "highest": _most(stays.get("highest"), *(row["highest"] for row in rows)),
        "last_sequence": _most(stays.get("last_sequence"), *(row["last_sequence"] for row in rows)),
        "commands": commands["last_command_sequence"],
    }
    store.write("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", (_NAME, json.dumps(before)))


def recall(store: Store, eui: str) -> bool:
    """A node was added: its counters go on where they were if it has the key that it had. Inside that transaction.

    False if it was not known here, or has another key.
    """
    stays = _known(store).get(eui)
    if stays is None:
        return False
    keys = store.query(
        "SELECT k.node, k.key_id, k.key, k.origin, k.highest, k.last_sequence FROM node_key k JOIN node n ON n.id = k.node"
        " WHERE n.eui = ?",
        (eui,),
    )
    same = [row for row in keys if {row["origin"], check_value(row["key"])} & set(stays["checks"])]
    for row in same:
        if stays["highest"] is not None and (row["highest"] is None or row["highest"] < stays["highest"]):
            store.write(
                "UPDATE node_key SET highest = ?, seen = ? WHERE node = ? AND key_id = ?",
                (stays["highest"], _ALL_SEEN, row["node"], row["key_id"]),
            )
        store.write(
            "UPDATE node_key SET last_sequence = ? WHERE node = ? AND key_id = ?",
            (_most(stays["last_sequence"], row["last_sequence"]), row["node"], row["key_id"]),
        )
        store.write("UPDATE node SET last_command_sequence = ? WHERE id = ?", (stays["commands"], row["node"]))
    return bool(same)


def _most(*numbers: int | None) -> int | None:
    return max((number for number in numbers if number is not None), default=None)
