# ruff: noqa: E402
"""Run by MicroPython under ``fieldelm_tools.rom``: mount the image that lies in memory, start the node."""

import gc
import os
import sys
import uctypes
import vfs

address, size = [int(number) for number in os.getenv("FIELDELM_ROM").split(",")]
vfs.mount(vfs.VfsRom(uctypes.bytearray_at(address, size)), "/rom")
sys.path.insert(0, "/rom")

gc.threshold(4096)  # as boot.py on a board: what loading leaves behind is not strewn over the heap
import main

sys.exit(main.main(*sys.argv[1:2]))
