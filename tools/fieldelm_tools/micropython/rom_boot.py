# ruff: noqa: E402
"""Run by MicroPython under ``fieldelm_tools.rom``: mount the image that lies in memory, start the node."""

import os
import sys
import uctypes
import vfs

address, size = [int(number) for number in os.getenv("FIELDELM_ROM").split(",")]
vfs.mount(vfs.VfsRom(uctypes.bytearray_at(address, size)), "/rom")
sys.path.insert(0, "/rom")

import main

sys.exit(main.main(*sys.argv[1:2]))
