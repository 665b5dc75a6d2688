"""Run MicroPython's native-module linker (tools/mpy_ld.py) with one relocation added, without touching its source tree.

    python link_natmod.py <MicroPython tree>/tools/mpy_ld.py <arguments of mpy_ld.py>

On ARMv6-M a native module needs libgcc for floating point, and libgcc's division jumps through a table of absolute
addresses in its code (relocation R_ARM_ABS32). mpy_ld.py up to MicroPython 1.25 refuses that in code, although the .mpy
format can express it, as it does for the same relocation in data.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

R_ARM_ABS32 = 2


def add_absolute_relocation(mpy_ld: ModuleType) -> None:
    """Let `mpy_ld` relocate absolute addresses in ARM code the way it does in data."""
    in_text = mpy_ld.do_relocation_text

    def relocate(env: Any, text_address: int, relocation: Any) -> None:
        if env.arch.name == "EM_ARM" and relocation["r_info_type"] == R_ARM_ABS32:
            mpy_ld.do_relocation_data(env, text_address, relocation)
        else:
            in_text(env, text_address, relocation)

    mpy_ld.do_relocation_text = relocate  # type: ignore[attr-defined]


def main() -> int:
    """Patch the linker named by the first argument, then run it with the others."""
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        print("link_natmod.py: first argument must be tools/mpy_ld.py of a MicroPython tree", file=sys.stderr)
        return 2
    linker = Path(sys.argv.pop(1)).resolve()
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(linker.parent))
    mpy_ld = importlib.import_module("mpy_ld")
    add_absolute_relocation(mpy_ld)
    mpy_ld.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
