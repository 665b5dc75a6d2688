"""A table of a bench: for the terminal, as CSV, and for a page of the documentation."""

import csv
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text and numbers, all with the same keys in the same order, which are the column heads."""

    name: str
    rows: Sequence[Row]
    forms: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """column → format of its numbers for people; a CSV file has them as they are"""

    def cells(self) -> list[list[str]]:
        """Heads, then rows, as people read them."""
        return [
            list(self.rows[0]),
            *([self._cell(key, value) for key, value in row.items()] for row in self.rows),
        ]

    def _cell(self, key: str, value: Any) -> str:
        if value is None:
            return ""
        return str(value) if isinstance(value, str) else format(value, self.forms.get(key, ""))

    def text(self) -> str:
        """For a terminal."""
        if not self.rows:
            return ""
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells)
        return "\n".join(line.rstrip() for line in lines)

    def markdown(self) -> str:
        """For a page."""
        if not self.rows:
            return ""
        head, *rows = self.cells()
        return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))

    def write_csv(self, folder: Path) -> None:
        """As `FOLDER/name.csv`."""
        path = folder / f"{self.name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]) if self.rows else [])
            writer.writeheader()
            writer.writerows(self.rows)
        print(f"table: {path}", file=sys.stderr)
