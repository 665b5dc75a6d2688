"""`fieldelm gateway install` and `uninstall`: a systemd service with a user of its own, watched, and locked into its place.

Everything that is done is a list of steps, which `--dry-run` prints. `--root DIR` writes into an image instead of this machine
and starts nothing.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import config as configuration
from .errors import GatewayError, UsageError

UNIT = "fieldelm-gateway.service"
USER = "fieldelm"
UNIT_PATH = Path("etc/systemd/system") / UNIT
SYSUSERS_PATH = Path("etc/sysusers.d/fieldelm.conf")
CONFIG_PATH = Path("etc/fieldelm/gateway.toml")
STATE_PATH = Path("var/lib/fieldelm")
_HIDDEN = (Path("/home"), Path("/root"))
"""by ProtectHome below"""

_SYSUSERS = f"""\
# written by `fieldelm gateway install`
u {USER} - "Fieldelm gateway" /{STATE_PATH}
m {USER} dialout
"""

_UNIT = """\
# written by `fieldelm gateway install`; changes belong into `systemctl edit {unit}`
[Unit]
Description=Fieldelm gateway
After=network-online.target time-sync.target mosquitto.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
SupplementaryGroups=dialout
ExecStart={executable} gateway run --config /{config}
Restart=always
RestartSec=2
RestartPreventExitStatus=2
WatchdogSec=60
TimeoutStartSec=infinity
TimeoutStopSec=20
StateDirectory=fieldelm
StateDirectoryMode=0700
UMask=0077

# it needs its state, a serial port, the network, and to ask whether the clock is set; nothing else
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectProc=invisible
DevicePolicy=closed
DeviceAllow=char-ttyACM rw
DeviceAllow=char-ttyUSB rw
DeviceAllow=char-ttyAMA rw
DeviceAllow=char-ttyS rw
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service adjtimex clock_adjtime
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done."""

    text: str
    do: Callable[[], None]


def add_actions(actions: Any) -> None:
    """The parsers."""
    install = actions.add_parser("install", help="a systemd service with a user of its own", allow_abbrev=False)
    install.add_argument("--no-start", action="store_true", help="do not start it now, nor when the machine starts")
    install.set_defaults(run=_install)
    uninstall = actions.add_parser("uninstall", help="remove the service", allow_abbrev=False)
    uninstall.add_argument(
        "--purge", action="store_true", help="the configuration, the database and its keys as well: they are lost"
    )
    uninstall.set_defaults(run=_uninstall)
    for parser in (install, uninstall):
        parser.add_argument(
            "--root", type=Path, default=Path("/"), metavar="DIR", help="of an image, not of this machine"
        )
        parser.add_argument("--dry-run", action="store_true", help="only print what would be done")


def _install(args: argparse.Namespace) -> int:
    return _carry_out(args, install_steps(args.root, start=not args.no_start, executable=_executable()))


def _uninstall(args: argparse.Namespace) -> int:
    return _carry_out(args, uninstall_steps(args.root, purge=args.purge))


def _carry_out(args: argparse.Namespace, steps: list[Step]) -> int:
    if not args.dry_run and args.root == Path("/"):
        if shutil.which("systemctl") is None:
            raise UsageError("there is no systemd here: run `fieldelm gateway run` under your own supervisor")
        if os.geteuid() != 0:
            raise UsageError(f"this needs administrator's rights: sudo {' '.join(sys.argv)}")
    for step in steps:
        print(step.text)
        if not args.dry_run:
            step.do()
    return 0


def _executable() -> Path:
    path = Path(shutil.which(sys.argv[0]) or sys.argv[0]).absolute()
    if path.suffix == ".py" or not os.access(path, os.X_OK):
        path = Path(sys.executable).with_name("fieldelm")
    return path


def install_steps(root: Path, *, start: bool, executable: Path, python: Path = Path(sys.base_prefix)) -> list[Step]:
    """What `install` does; `python`: what the program runs on. Raises UsageError if the service could not reach them."""
    if root == Path("/"):
        for place in (executable, executable.resolve(), python):
            if any(hidden in (place, *place.parents) for hidden in _HIDDEN):
                raise UsageError(
                    f"{place} is in a place that services may not see: install it for the whole machine, on its own Python, "
                    "`sudo PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install --python /usr/bin/python3 fieldelm`"
                )
    unit = _UNIT.format(unit=UNIT, user=USER, executable=executable, config=CONFIG_PATH)
    steps = [
        _write(root / SYSUSERS_PATH, _SYSUSERS),
        _run(root, "systemd-sysusers", str(root / SYSUSERS_PATH)),
    ]
    config = root / CONFIG_PATH
    if config.exists():
        steps.append(Step(f"keep   {config}", lambda: None))
    else:
        steps.append(
            _write(config, configuration.annotated_default(), 0o640, group=USER if root == Path("/") else None)
        )
    steps += [_write(root / UNIT_PATH, unit), _run(root, "systemctl", "daemon-reload")]
    if start:
        steps.append(_run(root, "systemctl", "enable", UNIT))
        steps.append(_run(root, "systemctl", "restart", UNIT))
    return steps


def uninstall_steps(root: Path, *, purge: bool) -> list[Step]:
    """What `uninstall` does."""
    steps = [_run(root, "systemctl", "disable", "--now", UNIT, may_fail=True)]
    steps += [_remove(root / path) for path in (UNIT_PATH, SYSUSERS_PATH)]
    steps.append(_run(root, "systemctl", "daemon-reload"))
    if purge:
        steps += [
            _remove(root / CONFIG_PATH.parent),
            _remove(root / STATE_PATH),
            _run(root, "userdel", USER, may_fail=True),
        ]
    else:
        steps.append(
            Step(f"keep   {root / CONFIG_PATH} and {root / STATE_PATH}: --purge removes them, too", lambda: None)
        )
    return steps


def _write(path: Path, text: str, mode: int = 0o644, group: str | None = None) -> Step:
    def do() -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            part.write_text(text, encoding="utf-8")
            part.chmod(mode)
            if group:
                shutil.chown(part, group=group)
            part.replace(path)
        except (OSError, LookupError) as error:
            raise GatewayError(f"{path}: cannot be written ({error})") from None

    return Step(f"write  {path}", do)


def _remove(path: Path) -> Step:
    def do() -> None:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise GatewayError(f"{path}: cannot be removed ({error.strerror})") from None

    return Step(f"remove {path}", do)


def _run(root: Path, *command: str, may_fail: bool = False) -> Step:
    if root != Path("/"):
        return Step(f"skip   {' '.join(command)}: not on this machine", lambda: None)

    def do() -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and not may_fail:
            raise GatewayError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")

    return Step(f"run    {' '.join(command)}", do)
