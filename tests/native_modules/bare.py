"""Functions of the core on emulated processors without a system around them: exact counts within seconds."""

import json
import re
import struct
import subprocess
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "native_modules" / "core"
# as MicroPython compiles a user C module
FLAGS = ["-std=c11", "-mthumb", "-Os", "-nostdlib", "-nostartfiles"]
ASSEMBLY = re.compile("fieldelm_(fast|armv6m)_")
COMMAND = ["arm-none-eabi-gcc", *FLAGS, "-Wl,--no-warn-rwx-segments"]


class Bare:
    """Steps are gathered and run at once: `put` an array, `call` a function, `get` an array back."""

    processor: tuple[str, ...]
    layout: str
    sources: tuple[str, ...]
    memory = range(0x20010000, 0x2003E000)  # for arrays

    @classmethod
    def build(cls, folder, *flags):
        """Compile and link the fixed-point core; return the ELF file."""
        elf, layout = Path(folder) / "core.elf", Path(folder) / "core.ld"
        layout.write_text(cls.layout)
        sources = (*sorted(CORE.glob("fixed_*.c")), *sorted(CORE.glob("armv*.S")), *(HERE / s for s in cls.sources))
        command = [*COMMAND, *cls.processor, *flags, f"-I{CORE}", "-T", layout, "-o", elf, *sources, "-lgcc"]
        subprocess.run(command, check=True)
        return elf

    def __init__(self, program, elf):
        self.program, self.elf = program, elf
        names = subprocess.run(["arm-none-eabi-nm", elf], capture_output=True, text=True, check=True)
        fields = [line.split() for line in names.stdout.splitlines()]
        self.symbols = {field[2]: int(field[0], 16) for field in fields if len(field) == 3}
        self.steps, self.kinds = [], []
        self.heap = self.memory.start

    def put(self, array):
        """Write an array into memory of its own; return its address."""
        at, self.heap = self.heap, self.heap + (array.nbytes + 15) // 8 * 8
        assert self.heap in self.memory
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
        answers = self.execute(self.steps)
        kinds, self.steps, self.kinds = self.kinds, [], []
        return [a if k is None else np.frombuffer(bytes.fromhex(a), k) for a, k in zip(answers, kinds, strict=True)]

    def execute(self, steps):
        """Answers of calls and reads, {cycles, result} and hexadecimal bytes."""
        raise NotImplementedError


class RP2040(Bare):
    """On rp2040js; `program` is node.js. Counts cycles."""

    processor = ("-mcpu=cortex-m0plus", "-Wl,-e,0")
    layout = "SECTIONS { . = 0x20000000; .text : { *(.text*) *(.rodata*) *(.data*) *(.bss*) } }"
    sources = ()

    def execute(self, steps):
        image = self.elf.with_suffix(".bin")
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", self.elf, image], check=True)
        command = [self.program, HERE / "bare_rp2040.mjs", image]
        guards = [{"guard": at, "name": name} for name, at in self.symbols.items() if ASSEMBLY.match(name)]
        done = subprocess.run(command, input=json.dumps(guards + steps), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


class CortexM4(Bare):
    """On QEMU (`program`), where an unaligned access is a fault. It knows no cycles: instructions are counted."""

    machine = "mps2-an386"
    processor = (
        "-mcpu=cortex-m4",
        "-mfpu=fpv4-sp-d16",
        "-mfloat-abi=softfp",
        "-DTICK=40",
        "-DSTACK=0x20400000",
        "-Wl,-e,0",
    )
    layout = "SECTIONS { . = 0; .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.data*) *(.bss*) } }"
    sources = ("bare_qemu.c", "bare_guard.S")
    registers = (*(f"r{i}" for i in range(13)), "sp", "lr", "pc", *(f"s{i}" for i in range(16, 32)))

    @classmethod
    def build(cls, folder, *flags):
        """As above, with a guard around every function in assembly."""
        assembly = "".join(path.read_text() for path in CORE.glob("armv7em_*.S"))
        names = sorted(re.findall(r"^function (\w+)", assembly, re.MULTILINE))
        (Path(folder) / "wraps.h").write_text("".join(f"wrap {name}\n" for name in names))
        return super().build(folder, *flags, f"-I{folder}", *(f"-Wl,--wrap={name}" for name in names))

    def execute(self, steps):
        script, length = bytearray(), 0
        for step in steps:
            if "write" in step:
                data = bytes.fromhex(step["data"])
                script += struct.pack("<3I", 1, step["write"], len(data)) + data + bytes(-len(data) % 4)
            elif "read" in step:
                script += struct.pack("<3I", 3, step["read"], step["length"])
                length += step["length"]
            else:
                words = [word & 0xFFFFFFFF for word in step["args"]]
                assert len(words) <= 10
                script += struct.pack(f"<{3 + len(words)}I", 2, step["call"], len(words), *words)
                length += 16
        folder = self.elf.parent
        (folder / "steps").write_bytes(script + bytes(12))
        machine = ["-machine", self.machine, "-display", "none", "-monitor", "null", "-serial", "null", "-semihosting"]
        command = [self.program, *machine, "-icount", "shift=10,sleep=off", "-kernel", self.elf.name]
        subprocess.run(command, check=True, cwd=folder, stdin=subprocess.DEVNULL, timeout=100)
        found, answers = (folder / "answers").read_bytes(), []
        assert len(found) == length
        for step in steps:
            if "read" in step:
                answers.append(found[: step["length"]].hex())
                found = found[step["length"] :]
            elif "call" in step:
                instructions, result, spoilt, by = struct.unpack_from("<4I", found)
                registers = [self.registers[bit] for bit in range(32) if spoilt >> bit & 1]
                name = next((name for name, at in self.symbols.items() if at == by & ~1 and name[0] != "$"), hex(by))
                assert not registers, f"{name} spoiled {', '.join(registers)}"
                answers.append({"cycles": instructions, "result": result})
                found = found[16:]
        return answers


class CortexM33(CortexM4):
    """The Pico 2's processor, compiled for as in its firmware."""

    machine = "mps2-an505"
    memory = range(0x38010000, 0x3803E000)
    processor = (
        "-mcpu=cortex-m33",
        "-mfloat-abi=softfp",
        "-DTICK=50",
        "-DSTACK=0x38080000",
        "-Wl,-e,0x10000000",
    )
    layout = CortexM4.layout.replace(". = 0;", ". = 0x10000000;")
