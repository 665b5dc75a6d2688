"""`fieldelm gateway backup|restore|export-keys|import-keys`."""

import argparse
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import backup, config as configuration, keyfile
from .errors import UsageError
from .store import Store


def add_actions(actions: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """The parsers."""
    save = actions.add_parser("backup", help="copy the database, while the gateway runs or not", allow_abbrev=False)
    save.add_argument("file", type=Path, metavar="FILE", help="or a folder; the copy holds keys and has mode 0600")
    save.set_defaults(run=_backup)
    bring = actions.add_parser("restore", help="put a copy in the database's place", allow_abbrev=False)
    bring.add_argument("file", type=Path, metavar="FILE", help="what `fieldelm gateway backup` has written")
    bring.add_argument(
        "--number", type=int, metavar="N", help="answer under this number, where the configuration's is spent by that"
    )
    bring.set_defaults(run=_restore)
    give = actions.add_parser(
        "export-keys", help="nodes, keys and counters into an encrypted file, for another gateway", allow_abbrev=False
    )
    give.add_argument("file", type=Path, metavar="FILE", help="to be written, mode 0600")
    give.set_defaults(run=_export)
    take = actions.add_parser("import-keys", help="take nodes over from another gateway", allow_abbrev=False)
    take.add_argument("file", type=Path, metavar="FILE", help="what `fieldelm gateway export-keys` has written")
    take.add_argument(
        "--replace", action="store_true", help="take its key where this gateway has another one for a node"
    )
    take.set_defaults(run=_import)
    for parser in (give, take):
        parser.add_argument(
            "--passphrase-file",
            type=Path,
            metavar="FILE",
            help="its first line is the passphrase; else it is asked for",
        )
    for parser in (save, bring, give, take):
        add_config(parser)


def _config(args: argparse.Namespace) -> configuration.GatewayConfig:
    return configuration.load(configuration.find(args.config))


def _backup(args: argparse.Namespace) -> int:
    config = _config(args)
    made = backup.write(config.database_path(), args.file, config.gateway.number)
    print(f"{made}: {made.stat().st_size / 1e6:.1f} MB; keep it secret, it holds the nodes' keys")
    return 0


def _restore(args: argparse.Namespace) -> int:
    config = _config(args)
    path, number = config.database_path(), config.gateway.number
    if args.number is not None and not 1 <= args.number <= 255:
        raise UsageError("--number must be from 1 to 255")
    moved = backup.restore(args.file, path, number, args.number)
    print(f"{path} is now {args.file}" + (f"; what it was before is {moved}" if moved else ""))
    print(
        "frames and commands since that copy are not known: nodes that were given a new key since must be provisioned again"
    )
    if args.number is None:
        print(
            f"number {number} is spent: before the gateway starts, set another number under [gateway] that the nodes "
            "believe (by default 1 to 4) and no other gateway has, or restore with --number"
        )
    return 0


def _passphrase(args: argparse.Namespace, *, new: bool) -> str:
    if args.passphrase_file:
        try:
            lines = args.passphrase_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{args.passphrase_file}: cannot be read ({error})") from None
        return lines[0] if lines else ""
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask for the passphrase: name a file with --passphrase-file")
    given = getpass.getpass("passphrase: ")
    if new:
        keyfile.check_passphrase(given)
        if getpass.getpass("once more: ") != given:
            raise UsageError("these were two different passphrases")
    return given


def _export(args: argparse.Namespace) -> int:
    store = Store(_config(args).database_path())
    try:
        count = keyfile.export(store, args.file, _passphrase(args, new=True))
    finally:
        store.close()
    print(f"{args.file}: {count} nodes with keys and counters, encrypted")
    return 0


def _import(args: argparse.Namespace) -> int:
    config = _config(args)
    content = keyfile.open_file(args.file, _passphrase(args, new=False))
    store = Store(config.database_path(), create=True)
    try:
        brought = keyfile.bring(store, content, replace=args.replace)
    finally:
        store.close()
    for node in brought:
        print(f"{node.name}  EUI {node.eui}  {node.what}")
    print(f"{len(brought)} nodes")
    if config.gateway.number in content["numbers"] and config.gateway.answers:
        print(
            f"number {config.gateway.number} has been another gateway's: before this one starts, set another number under "
            "[gateway] that the nodes believe (by default 1 to 4), and answers = false on all but one of them"
        )
    return 0
