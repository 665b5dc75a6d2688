"""Debian packages: what is missing is installed where that needs no question, and named in one line where it does.

`python -m fieldelm_tools.debian PACKAGE…` installs what is missing and exits 1, with the line to type, when it cannot.
Works on Debian, Raspberry Pi OS and Ubuntu; elsewhere it only says what is missing. Standard library only.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable

# the program by which a package is recognised; most are called like their package
PROGRAMS = {
    "mosquitto-clients": "mosquitto_sub",
    "gcc-arm-none-eabi": "arm-none-eabi-gcc",
    "ninja-build": "ninja",
    "nodejs": "node",
    "chromium-driver": "chromedriver",
}
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str) -> str | None:
    """Path of a program on PATH or in the folders of system programs, where Debian keeps `mosquitto`."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)


def missing(packages: Iterable[str]) -> list[str]:
    """Those of the packages whose program is not there."""
    return [package for package in packages if program(PROGRAMS.get(package, package)) is None]


def install_line(packages: Iterable[str]) -> str:
    """What a person types to install the packages."""
    names = " ".join(packages)
    return f"sudo apt-get install {names}" if shutil.which("apt-get") else f"install {names} with your package manager"


def install(packages: Iterable[str]) -> bool:
    """Install packages as root or with a sudo that asks nothing; return whether they are there now."""
    packages = list(packages)
    rights = administrator()
    if not shutil.which("apt-get") or rights is None:
        return False
    print(f"setup: installing from Debian: {' '.join(packages)}", flush=True)
    apt = [*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    line = [*apt, "install", "--yes", "--no-install-recommends", *packages]
    if quiet(line):
        return True
    quiet([*apt, "update"])  # the package lists were missing or old
    return quiet(line)


def administrator() -> list[str] | None:
    """What to put before a command to run it as root, or None if that needs a password."""
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if shutil.which("sudo") and quiet(["sudo", "-n", "true"]) else None


def quiet(line: list[str]) -> bool:
    """Run a command without a terminal; return whether it succeeded."""
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def main() -> int:
    """Install the packages named on the command line."""
    wanted = missing(sys.argv[1:])
    if not wanted or (install(wanted) and not missing(wanted)):
        return 0
    print(f"setup: {' and '.join(wanted)} missing: {install_line(wanted)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
