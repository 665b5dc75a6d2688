"""`fieldelm bench kernels`: what the arithmetic of a node takes on the emulated RP2040, against the limit of its instructions.

Two firmwares run: ours (`user_module`; `python` is its frozen fallback) and plain MicroPython with the native module (`natmod`;
`float_natmod` are its float kernels, the baseline). Cycles are of one call from Python, by SysTick.
"""

import argparse
import base64
import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import build, firmware, firmware_image, sources
from ..device import Device
from ..emulator import Emulator
from ..errors import FieldelmError
from . import kernel_figure, kernel_gate, kernel_limits, kernel_reference

TARGET = "RP2040, emulated (rp2040js)"
CLOCK_HZ = 125_000_000
SCRIPT = Path(__file__).parents[1] / "micropython" / "bench_kernels.py"
PATIENCE_S = 600.0
ROOM, SWEEP_ROOM = 11_936, 29_000  # words for the largest model: of the table, of the sweep
BUILDS = ("python", "float_natmod", "natmod", "user_module")
MODULES = {"python": "fieldelm.kernels_py", "float_natmod": build.FLOAT_MODULE}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A line of the table: what is timed, and its size."""

    name: str
    n: int
    h: int

    @property
    def shape(self) -> str:
        """For the reader."""
        if self.name.startswith("fft"):
            return "1024 samples"
        if self.name.startswith("bands"):
            return f"511 bins, {self.n} bands"
        model = f"{self.n}-{self.h}-{self.n}"
        return f"1024 samples, {model}" if self.name.startswith("window") else model


KERNELS = (
    Kernel("fft_1024", 64, 22),
    Kernel("bands_64", 64, 22),
    Kernel("score_64_22", 64, 22),
    Kernel("learn_64_22", 64, 22),
    Kernel("score_511_22", 511, 22),
    Kernel("learn_511_22", 511, 22),
    Kernel("explain_64_22", 64, 22),
    Kernel("invert_64_22", 64, 22),
    Kernel("window_to_decision", 64, 22),
)
SWEEP_N, SWEEP_H = (32, 64, 128, 256, 512, 1024), (8, 16, 22, 32, 48, 64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the bench."""
    parser.add_argument(
        "--kernel", action="append", choices=[k.name for k in KERNELS], metavar="NAME", help="only this (repeatable)"
    )
    parser.add_argument(
        "--build", action="append", choices=BUILDS, metavar="BUILD", help=f"only this: {', '.join(BUILDS)} (repeatable)"
    )
    parser.add_argument(
        "--sweep",
        type=Path,
        metavar="FILE",
        help="instead: how the cost of a step grows with the model, plotted as SVG",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="compare with what --json printed earlier: exit code 1 if a kernel is slower, or misses a target",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.sweep:
        return _sweep(args.sweep, as_json=args.json)
    kernels = [k for k in KERNELS if not args.kernel or k.name in args.kernel]
    before = kernel_gate.baseline(args.against) if args.against else None
    results = measure(kernels, args.build or BUILDS)
    if args.json:
        print(json.dumps({"target": TARGET, "clock_hz": CLOCK_HZ, "results": results}, indent=1))
    else:
        _show(results)
    wrong = kernel_gate.complaints(results, before) if before else []
    for line in wrong:
        print(f"fieldelm bench: {line}", file=sys.stderr)
    return 1 if wrong else 0


def measure(kernels: list[Kernel], builds: tuple[str, ...] | list[str]) -> list[dict[str, Any]]:
    """Cycles, limits and errors of kernels on builds, in the order of `BUILDS`."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name in BUILDS:
        if name not in builds:
            continue
        with pico(name) as (device, code):
            for kernel in sorted(kernels, key=lambda k: -k.n):  # the largest while memory is in one piece
                if name in MODULES and kernel.name in kernel_gate.WITHOUT_FLOATS:
                    continue
                print(f"bench: {kernel.name} as {name}", file=sys.stderr, flush=True)
                found[kernel.name, name] = {**time(device, name, kernel), "code": code}
    results = []
    for kernel in kernels:
        baseline = found.get((kernel.name, "float_natmod"))
        for name in BUILDS:
            if taken := found.get((kernel.name, name)):
                results.append(_result(kernel, name, taken, baseline))
    return results


@contextmanager
def pico(name: str, words: int = ROOM) -> Iterator[tuple[Device, int]]:
    """An emulated Pico with our firmware, or with MicroPython alone and a native module; the bench's script is loaded.

    And the bytes of RAM that the kernels' code takes there.
    """
    own = name in ("python", "user_module")
    image = firmware.build("rpi_pico", plain=not own)
    taken = _hot_loops(image.elf) if name == "user_module" else 0  # the rest is in flash
    with (
        Emulator({"picos": [{"name": "pico", "firmware": str(image.uf2)}]}) as emulator,
        Device(emulator.address()) as device,
    ):
        # the largest model has its place before anything else cuts memory into pieces
        code = "i" if name in ("natmod", "user_module") else "f"
        device.run(f"from array import array\nroom = array({code!r}, bytes({4 * words}))\nimport gc\ngc.collect()")
        if not own:
            taken = _into_memory(device, build.natmod("armv6m", MODULES.get(name, build.MODULE)))
        device.run(SCRIPT.read_text(encoding="utf-8"))
        yield device, taken


def _into_memory(device: Device, module: Path) -> int:
    """The native module by way of a file system in RAM, so that the emulated flash need not be written; bytes that it takes."""
    encoded = base64.b64encode(module.read_bytes())
    device.run("from binascii import a2b_base64\ndata = bytearray()")
    for at in range(0, len(encoded), 1024):
        device.run(f"data += a2b_base64({encoded[at : at + 1024]!r})")
    printed = device.run(
        "import io, sys, vfs\n"
        "class F(io.IOBase):\n"
        " at = 0\n"
        " def readinto(self, b):\n"
        "  n = min(len(b), len(data) - self.at)\n  b[:n] = data[self.at:self.at + n]\n  self.at += n\n  return n\n"
        " def ioctl(self, request, argument): return 0\n"
        "class V:\n"
        " def mount(self, a, b): pass\n def umount(self): pass\n"
        " def stat(self, path):\n"
        f"  if path.lstrip('/') != {module.name!r}: raise OSError(2)\n  return (0x8000, 0, 0, 0, 0, 0, len(data), 0, 0, 0)\n"
        " def open(self, path, mode): return F()\n"
        f"vfs.mount(V(), '/ram')\nsys.path.append('/ram')\nimport gc\ngc.collect()\n"
        f"print(gc.mem_alloc())\nimport {module.stem}\ngc.collect()\nprint(gc.mem_alloc())\ndata = None\ngc.collect()"
    )
    before, after = map(int, printed.split())
    return after - before


def _hot_loops(elf: Path) -> int:
    """Bytes of the kernels that a firmware copies to RAM."""
    symbols = [line.split() for line in sources.run([firmware_image.tool("nm"), "-S", str(elf)]).splitlines()]
    return sum(int(s[1], 16) for s in symbols if len(s) == 4 and s[0].startswith("2") and s[3].startswith("fieldelm_"))


def time(device: Device, name: str, kernel: Kernel) -> dict[str, Any]:
    """Run one kernel there: cycles, bytes of its buffers (`ram`), error against float64."""
    module = MODULES.get(name, build.MODULE)
    printed = device.run(
        f"import {module} as _module\nrun({name!r}, _module, {kernel.name!r}, {kernel.n}, {kernel.h})",
        patience_s=PATIENCE_S,
    )
    head, *lines = printed.splitlines()
    cycles, ram, made = json.loads(head)
    rows = [np.frombuffer(bytes.fromhex(line), "<f4").astype(float) for line in lines]
    explained = kernel.name in kernel_gate.WITHOUT_FLOATS or (kernel.name.startswith("window") and name not in MODULES)
    made["rows"] = [(row[1 : kernel.h + 1], row[0], row[kernel.h + 1 :]) for row in rows]
    error = kernel_reference.error(kernel.name, kernel.n, kernel.h, made, explained=explained)
    return {"cycles": cycles, "ram": ram, "error": error}


def _result(kernel: Kernel, name: str, taken: dict[str, Any], baseline: dict[str, Any] | None) -> dict[str, Any]:
    cycles = taken["cycles"]
    limit = kernel_limits.limit(kernel.name, kernel.n, kernel.h)
    return {
        "name": kernel.name,
        "shape": kernel.shape,
        "build": name,
        "cycles": cycles,
        "ms": round(1000 * cycles / CLOCK_HZ, 4),
        "cycles_per_mac": round(cycles / limit.products, 2),
        "limit_cycles": limit.cycles,
        "limit_count": limit.count,
        "ratio_to_limit": round(cycles / limit.cycles, 2),
        "speedup_vs_float": round(baseline["cycles"] / cycles, 2) if baseline else None,
        "ram_bytes": taken["code"] + taken["ram"],
        "code_bytes": taken["code"],
        "error": taken["error"],
    }


def _show(results: list[dict[str, Any]]) -> None:
    head = ("kernel", "build", "cycles", "ms", "per MAC", "limit", "ratio", "speed-up", "RAM", "error")
    print("{:20}{:14}{:>12}{:>10}{:>9}{:>9}{:>8}{:>10}{:>8}{:>10}".format(*head))
    for r in results:
        speed = f"{r['speedup_vs_float']:.2f}" if r["speedup_vs_float"] else ""
        print(
            f"{r['name']:20}{r['build']:14}{r['cycles']:12,}{r['ms']:10.3f}{r['cycles_per_mac']:9.1f}{r['limit_cycles']:9,}"
            f"{r['ratio_to_limit']:8.2f}{speed:>10}{r['ram_bytes']:8}{r['error']:10.1e}"
        )
    print("\nlimits, counted with the instruction timings of the Cortex-M0+ (ARM DDI 0484C, 3.3):")
    for name, count in {r["name"]: r["limit_count"] for r in results}.items():
        print(f"  {name}: {count}")


def _sweep(file: Path, *, as_json: bool) -> int:
    """Cycles of a step for many models on our firmware."""
    points = []
    with pico("user_module", SWEEP_ROOM) as (device, _):
        for h in SWEEP_H:
            for n in SWEEP_N:
                if n * h > SWEEP_ROOM - 4000:  # the next larger ones find no room in one piece
                    continue
                print(f"bench: {n}-{h}-{n}", file=sys.stderr, flush=True)
                made = device.run(f"import fieldelm_native as _module\ngrow(_module, {n}, {h})", patience_s=PATIENCE_S)
                score, learn, state = json.loads(made)
                points.append({"n": n, "h": h, "score_cycles": score, "learn_cycles": learn, "state_bytes": state})
    try:
        file.write_text(kernel_figure.draw(points), encoding="utf-8")
    except OSError as error:
        raise FieldelmError(f"{file} cannot be written: {error.strerror}") from error
    if as_json:
        print(json.dumps({"target": TARGET, "clock_hz": CLOCK_HZ, "points": points}, indent=1))
    else:
        for point in points:
            print(
                f"{point['n']:5}-{point['h']}: score {point['score_cycles']:,}, score and update {point['learn_cycles']:,} cycles"
            )
    return 0
