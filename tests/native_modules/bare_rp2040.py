"""Functions of the core on the emulated RP2040 without a system around them: exact cycles within seconds."""

import json
import subprocess
from pathlib import Path

import numpy as np

CORE = Path(__file__).parents[2] / "native_modules" / "core"
START, HEAP, END = 0x20000000, 0x20010000, 0x2003E000
# as MicroPython compiles a user C module
FLAGS = ["-std=c11", "-mcpu=cortex-m0plus", "-mthumb", "-Os", "-nostdlib", "-nostartfiles"]
LAYOUT = "SECTIONS { . = 0x20000000; .text : { *(.text*) *(.rodata*) *(.data*) *(.bss*) } }"


def build(folder, *flags):
    """Compile and link the fixed-point core; return the stem of the ELF file and the image."""
    stem = Path(folder) / "core"
    layout = stem.with_suffix(".ld")
    layout.write_text(LAYOUT)
    sources = sorted([*CORE.glob("fixed_*.c"), *CORE.glob("armv6m_*.S")])
    command = ["arm-none-eabi-gcc", *FLAGS, *flags, "-T", layout, "-Wl,-e,0", "-Wl,--no-warn-rwx-segments"]
    subprocess.run([*command, "-o", stem.with_suffix(".elf"), *sources, "-lgcc"], check=True)
    subprocess.run(
        ["arm-none-eabi-objcopy", "-O", "binary", stem.with_suffix(".elf"), stem.with_suffix(".bin")], check=True
    )
    return stem


class Bare:
    """Steps are gathered and run at once: `put` an array, `call` a function, `get` an array back."""

    def __init__(self, node, stem):
        self.node, self.stem = node, stem
        names = subprocess.run(
            ["arm-none-eabi-nm", stem.with_suffix(".elf")], capture_output=True, text=True, check=True
        )
        fields = [line.split() for line in names.stdout.splitlines()]
        self.symbols = {field[2]: int(field[0], 16) for field in fields if len(field) == 3}
        self.steps, self.kinds = [], []
        self.heap = HEAP

    def put(self, array):
        """Write an array into memory of its own; return its address."""
        at, self.heap = self.heap, self.heap + (array.nbytes + 15) // 8 * 8
        assert self.heap < END
        self.steps.append({"write": at, "data": np.ascontiguousarray(array).tobytes().hex()})
        return at

    def call(self, name, *arguments):
        """Call fieldelm_<name>; arguments are words, floats go as their bits. `run` gives {cycles, result}."""
        words = [int(np.float32(a).view(np.uint32)) if isinstance(a, float) else int(a) for a in arguments]
        self.steps.append({"call": self.symbols["fieldelm_" + name], "args": words})
        self.kinds.append(None)

    def get(self, address, like):
        """Read an array back."""
        self.steps.append({"read": address, "length": like.nbytes})
        self.kinds.append(like.dtype)

    def run(self):
        """Do all that; return what calls and gets gave."""
        script = Path(__file__).with_suffix(".mjs")
        done = subprocess.run(
            [self.node, script, self.stem.with_suffix(".bin")],
            input=json.dumps(self.steps),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout)
        kinds, self.steps, self.kinds = self.kinds, [], []
        return [a if k is None else np.frombuffer(bytes.fromhex(a), k) for a, k in zip(answers, kinds, strict=True)]
