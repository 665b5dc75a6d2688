"""`fieldelm gateway backup|restore`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import backup, config as configuration


def add_actions(actions: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """The parsers."""
    save = actions.add_parser("backup", help="copy the database, while the gateway runs or not", allow_abbrev=False)
    save.add_argument("file", type=Path, metavar="FILE", help="or a folder; the copy holds keys and has mode 0600")
    save.set_defaults(run=_backup)
    bring = actions.add_parser("restore", help="put a copy in the database's place", allow_abbrev=False)
    bring.add_argument("file", type=Path, metavar="FILE", help="what `fieldelm gateway backup` has written")
    bring.set_defaults(run=_restore)
    for parser in (save, bring):
        add_config(parser)


def _database(args: argparse.Namespace) -> Path:
    return configuration.load(configuration.find(args.config)).database_path()


def _backup(args: argparse.Namespace) -> int:
    size = backup.write(_database(args), args.file)
    print(f"{args.file}: {size / 1e6:.1f} MB; keep it secret, it holds the nodes' keys")
    return 0


def _restore(args: argparse.Namespace) -> int:
    path = _database(args)
    moved = backup.restore(args.file, path)
    print(f"{path} is now {args.file}" + (f"; what it was before is {moved}" if moved else ""))
    print(
        "frames and commands since that copy are not known: nodes that were reset to a new key must be provisioned again"
    )
    return 0
