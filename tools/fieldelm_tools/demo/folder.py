"""The folder that a run writes: an earlier run's files are replaced, nobody else's are touched."""

import shutil
from pathlib import Path

from ..errors import UsageError

_DATABASE = ("gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.db.lock", "gateway.db.nodes", "dashboard.token")
FILES = ("events.jsonl", "rows.jsonl", "air.jsonl", "run.json", "report.html", "gateway.toml", *_DATABASE)
PARTS = "parts"
MARK = ".fieldelm-demo"


def prepare(folder: Path) -> Path:
    """Make the folder ready and return its sub-folder for logs and the nodes' files. Raises UsageError."""
    parts = folder / PARTS
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file: name a folder")
    theirs = [name for name in (PARTS, *FILES) if (folder / name).exists()]
    if theirs and not (parts / MARK).is_file():
        raise UsageError(f"{folder / theirs[0]} was not made by a demo and is left alone: choose another --out")
    try:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        if parts.exists():
            shutil.rmtree(parts)
        parts.mkdir(parents=True)
        (parts / MARK).touch()
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be written ({error.strerror}): choose another folder") from None
    return parts
