"""The benches' results as tables: for the terminal, as CSV, and in the pages of the documentation.

A page has a marker where a table belongs, `<!-- bench NAME -->` … `<!-- end -->`; what stands between is written by
`python -m fieldelm_tools.bench.report DOCS`, from the results in `DOCS/results/`, and by no hand.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import FieldelmError
from .table import Row, Table
from .targets import NEEDS, targets

RESULTS = "results"
_BLOCK = re.compile(r"(<!-- bench ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _range(values: Sequence[float], form: str = "g") -> str:
    low, high = min(values), max(values)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


_PAIR = {
    f"{when} {what}": form
    for when in ("before:", "after:")
    for what, form in (("AUC", ".4f"), ("balanced accuracy", ".3f"), ("false alarms", ".1%"))
}


def _pair(pair: Mapping[str, Mapping[str, float]]) -> Row:
    found = [pair[kind][key] for kind in ("no_odl", "odl") for key in ("auc", "balanced_accuracy", "false_alarm_rate")]
    return dict(zip(_PAIR, found, strict=True))


def tasks(document: Mapping[str, Any], name: str = "tasks") -> list[Table]:
    """The eight tasks, their mean, the peers, and the rows it takes to retrain without reset."""
    mean = document["mean"]
    rows = [{"task": task, **_pair(pair)} for task, pair in document["tasks"].items()]
    found = [Table(name, [*rows, {"task": "mean", **_pair(mean)}], _PAIR)]
    if document["peers"]:
        against = {"Fieldelm": mean, **document["peers"]}
        found.append(Table(f"{name}-peers", [{"detector": who, **_pair(pair)} for who, pair in against.items()], _PAIR))
    retraining = document["retraining"]
    rows = [
        {"AUC after rows of each speed": what, **{count: pair[kind] for count, pair in retraining.items()}}
        for kind, what in (("plain", "plain update"), ("reopened", "P reopened, as the node relearns"))
    ]
    return [*found, Table(f"{name}-retraining", rows, dict.fromkeys(retraining, ".4f"))]


def suites(document: Mapping[str, Any]) -> list[Table]:
    """A table for each suite, one row for each scenario; and one for all, a row for each suite."""
    tables, total = [], []
    for suite, outcomes in document["suites"].items():
        rows = []
        for scenario in dict.fromkeys(o["scenario"] for o in outcomes):
            rows.append({"scenario": scenario, **_summary([o for o in outcomes if o["scenario"] == scenario])})
        tables.append(Table(f"suite-{suite}", rows, _SUMMARY))
        total.append({"suite": suite, **_summary(outcomes, more=False)})
    return [*tables, Table("suites", total, _SUMMARY), *peer_suites(document.get("peers", {}))]


_SUMMARY = {"per 1,000 rows": ".3f", "updates a run": ",.0f"}


def _summary(outcomes: Sequence[Mapping[str, Any]], *, more: bool = True) -> Row:
    delays = [o["delay"] for o in outcomes if o["delay"] is not None]
    false, rows = sum(o["false_alarms"] for o in outcomes), sum(o["rows"] for o in outcomes)
    row = {
        "runs": len(outcomes),
        "delay in rows": _range(delays) if delays else "",
        "false alarms": false,
        "per 1,000 rows": 1000 * false / max(rows, 1),
        "missed": sum(o["missed"] for o in outcomes),
        "updates a run": sum(o["updates"] for o in outcomes) / len(outcomes),
    }
    if more:
        row["more"] = ", ".join(
            _more(key, [o["more"][key] for o in outcomes if key in o["more"]]) for key in _keys(outcomes)
        )
    return row


def _keys(outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for outcome in outcomes for key in outcome["more"]))


def _more(key: str, values: Sequence[Any]) -> str:
    numbers = [value for value in values if not isinstance(value, str)]
    text = _range(numbers) if numbers else "/".join(sorted(set(values)))
    return f"{key.replace('_', ' ')} {text}"


def peer_suites(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Table]:
    """The node and its peers on the same streams, one table a suite."""
    tables = []
    for suite, compared in found.items():
        rows = []
        for each in compared:
            delays = [delay for delay in each["delays"] if delay is not None]
            rows.append(
                {
                    "stream": each["scenario"],
                    "detector": each["detector"],
                    "found": f"{each['found']} of {each['seeds']}",
                    "after rows": _range(delays) if delays else "",
                    "false alarms": each["false_alarms"],
                    "per 1,000 rows": each["false_alarms_per_1000_rows"],
                    "normal rows above the threshold": each["rows_above_threshold"],
                }
            )
        forms = {"per 1,000 rows": ".3f", "normal rows above the threshold": ".1%"}
        tables.append(Table(f"peers-{suite}", rows, forms))
    return tables


def ablation(document: Mapping[str, Any]) -> list[Table]:
    """What each mechanism is worth: tasks and suites with it out of action; and the same, suite by suite."""
    found = document["ablation"]
    rows = []
    for what in dict.fromkeys(row["ablation"] for row in found):
        mine = {row["suite"]: row for row in found if row["ablation"] == what}
        on_tasks = mine.pop("", None)
        row: Row = {"without": what}
        if on_tasks:
            row |= {
                "tasks: AUC": on_tasks["auc"],
                "balanced accuracy": on_tasks["balanced_accuracy"],
                "false alarms": on_tasks["false_alarm_rate"],
            }
        aucs = [suite["worst_auc"] for suite in mine.values() if suite["worst_auc"] is not None]
        row |= {
            "suites: false alarms": sum(suite["false_alarms"] for suite in mine.values()),
            "missed": sum(suite["missed"] for suite in mine.values()),
            "updates": sum(suite["updates"] for suite in mine.values()),
            "worst damage AUC": min(aucs, default=None),
        }
        for name in ("drift", "wear"):
            if name in mine:
                row[f"{name}: mean delay"] = mine[name]["mean_delay"]
        rows.append(row)
    return [Table("ablation", rows, _ABLATION), Table("ablation-suites", _by_suite(found), _ABLATION)]


_ABLATION = {
    "tasks: AUC": ".4f",
    "balanced accuracy": ".3f",
    "false alarms": ".1%",
    "updates": ",",
    "worst damage AUC": ".3f",
    "drift: mean delay": ".0f",
    "wear: mean delay": ".0f",
    "mean delay": ".0f",
    "per 1,000 rows": ".3f",
}


def _by_suite(found: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [
        {
            "without": row["ablation"],
            "suite": row["suite"],
            "runs": row["runs"],
            "wrong alarms": row["false_alarms"],
            "per 1,000 rows": row["false_alarms_per_1000_rows"],
            "missed": row["missed"],
            "mean delay": row["mean_delay"],
            "updates": row["updates"],
            "worst damage AUC": row["worst_auc"],
        }
        for row in found
        if row["suite"]
    ]


def threshold(document: Mapping[str, Any]) -> list[Table]:
    """What the factor of the threshold's margin is worth."""
    rows = [
        {
            "factor": each["factor"],
            "30 healthy days: rows above": each["month_above"],
            "false alarms a month": each["month_false_alarms"],
            "stationary recordings: rows above": each["still_above"],
            "false alarms in all": each["still_false_alarms"],
            "another session: rows above": each["session_above"],
            "balanced accuracy": each["balanced_accuracy"],
            "imbalance found at": each["part_of_growth"],
        }
        for each in document["threshold"]
    ]
    forms = {
        "factor": "g",
        "30 healthy days: rows above": ".4%",
        "false alarms a month": ".2f",
        "stationary recordings: rows above": ".2%",
        "another session: rows above": ".1%",
        "balanced accuracy": ".3f",
        "imbalance found at": ".0%",
    }
    return [Table("threshold", rows, forms)]


RENDER: dict[str, Callable[[Mapping[str, Any]], list[Table]]] = {
    "bands": tasks,
    "raw511": lambda document: tasks(document, "raw511"),
    "suites": suites,
    "peers": lambda document: peer_suites(document["peers"]),
    "ablation": ablation,
    "threshold": threshold,
}
"""Result → its tables."""


def tables(results: Path) -> dict[str, Table]:
    """Every table that the results in a folder give, by its name. Raises FieldelmError."""
    found: dict[str, Table] = {}
    documents: dict[str, Any] = {}
    for name, render in RENDER.items():
        path = results / f"{name}.json"
        if not path.is_file():
            continue
        try:
            documents[name] = json.loads(path.read_text(encoding="utf-8"))
            made = render(documents[name])
        except (ValueError, KeyError, TypeError) as error:
            raise FieldelmError(f"{path} is no result of `fieldelm bench all` ({error!r}): make it anew") from None
        found.update({table.name: table for table in made})
    if all(name in documents for name in NEEDS):
        found["targets"] = targets(documents)
    return found


def page(text: str, given: Mapping[str, Table], where: str) -> str:
    """A page with the tables in its marked places. Raises FieldelmError for a name that no result has."""

    def fill(match: re.Match[str]) -> str:
        if match[2] not in given:
            raise FieldelmError(f"{where} wants the table {match[2]!r}: there are {', '.join(given) or 'no results'}")
        return f"{match[1]}{given[match[2]].markdown()}\n{match[3]}"

    return _BLOCK.sub(fill, text)


def write_pages(docs: Path) -> list[Path]:
    """Fill all pages below DOCS from DOCS/results; returns those that have tables."""
    given = tables(docs / RESULTS)
    pages = [path for path in sorted(docs.rglob("*.md")) if _BLOCK.search(path.read_text(encoding="utf-8"))]
    for path in pages:
        path.write_text(page(path.read_text(encoding="utf-8"), given, str(path)), encoding="utf-8")
    return pages


if __name__ == "__main__":
    for written in write_pages(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        print(written)
