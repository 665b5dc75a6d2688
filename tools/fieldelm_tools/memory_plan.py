"""What kernels and learner take of a node's memory: printed by `fieldelm build natmods`, and kept in docs/reference/memory.md.

`python -m fieldelm_tools.memory_plan` prints the tables of that page.
"""

import sys
from collections.abc import Iterator

from fieldelm import memory

MODELS = (
    (8, 5),
    (16, 10),
    (32, 16),
    (64, 16),
    (64, 22),
    (64, 32),
    (64, 42),
    (128, 22),
    (128, 64),
    (256, 22),
    (511, 22),
    (1024, 22),
)
SAMPLES = (64, 128, 256, 512, 1024, 2048, 4096)
BEGIN, END = "<!-- python -m fieldelm_tools.memory_plan -->", "<!-- end -->"


def sections(n: int, h: int) -> tuple[dict[str, object], dict[str, object]]:
    """Configuration of a node that has n inputs and h hidden units, without a spectrum of its own."""
    return {"kind": "features", "inputs": n}, {"hidden": h}


def models() -> Iterator[tuple[str, int, int, int, int, str]]:
    """Shape, bytes of state, of work, of the explainer, of the whole learner at most, and whether a node has room for it."""
    for n, h in MODELS:
        whole = memory.learner_bytes(*sections(n, h))
        fits = "yes" if memory.problem(*sections(n, h)) is None else "no"
        yield f"{n}-{h}-{n}", memory.state_bytes(n, h), memory.work_bytes(n, h), memory.explainer_bytes(h), whole, fits


def plan() -> str:
    """The tables in Markdown."""
    lines = [
        "| model | state | work | explainer | whole learner, at most | fits |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {shape} | {state:,} | {work:,} | {explainer:,} | {whole:,} | {fits} |"
        for shape, state, work, explainer, whole, fits in models()
    ]
    lines += ["", "| samples | tables | window | work | power of an axis | spectrum of one axis | of a sum of axes |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for size in SAMPLES:
        parts = memory.table_bytes(size), 2 * size, 4 * size, 2 * size + 4
        both = memory.spectrum_bytes(size, 1), memory.spectrum_bytes(size, 3)
        lines.append("| " + " | ".join(f"{number:,}" for number in (size, *parts, *both)) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(plan() + "\n")
