"""MicroPython's raw REPL over two streams: run code on a target, and give it files in its RAM."""

import time
from typing import BinaryIO

BURST = 64  # targets without flow control lose what comes faster than they read it
# a file system in RAM, read-only, so that nothing has to be flashed and targets without flash can import a module
FILES = """
import io, sys, vfs
from binascii import hexlify, unhexlify
_files = {}
class _File(io.IOBase):
    def __init__(self, data):
        self.data, self.at = data, 0
    def readinto(self, buf):
        n = min(len(buf), len(self.data) - self.at)
        buf[:n] = self.data[self.at : self.at + n]
        self.at += n
        return n
    def ioctl(self, request, argument):
        return 0
class _Ram:
    def mount(self, readonly, mkfs):
        pass
    def umount(self):
        pass
    def stat(self, path):
        name = path.lstrip("/")
        if name not in _files:
            raise OSError(2)
        return (0x8000, 0, 0, 0, 0, 0, len(_files[name]), 0, 0, 0)
    def open(self, path, mode):
        return _File(_files[path.lstrip("/")])
vfs.mount(_Ram(), "/ram")
sys.path.append("/ram")
"""


class RawRepl:
    """A target that prints to one stream and reads from another."""

    def __init__(self, printed: BinaryIO, typed: BinaryIO):
        self.printed, self.typed = printed, typed

    def enter(self) -> None:
        """Go from the friendly REPL, whose prompt comes next, to the raw one."""
        self.until(b">>> ")
        self.write(b"\x01")
        self.until(b"raw REPL; CTRL-B to exit\r\n>")
        self.run(FILES)

    def run(self, code: str) -> str:
        """Run code on the target and return what it prints; what it raises is an AssertionError."""
        self.write(code.encode() + b"\x04")
        self.until(b"OK")
        printed = self.until(b"\x04")[:-1].decode().replace("\r\n", "\n")
        raised = self.until(b"\x04>")[:-2].decode()
        assert not raised, raised
        return printed

    def add_file(self, name: str, data: bytes) -> None:
        """Let the target import or open it, as /ram/NAME."""
        self.run(f"_files[{name!r}] = bytearray()")
        for at in range(0, len(data), 512):
            self.run(f"_files[{name!r}] += unhexlify('{data[at : at + 512].hex()}')")

    def write(self, data: bytes) -> None:
        """Type."""
        for at in range(0, len(data), BURST):
            self.typed.write(data[at : at + BURST])
            self.typed.flush()
            time.sleep(0.001)

    def until(self, end: bytes) -> bytes:
        """What is printed up to this."""
        seen = bytearray()
        while not seen.endswith(end):
            byte = self.printed.read(1)
            assert byte, f"the target ended: {seen.decode(errors='replace')}"
            seen += byte
        return bytes(seen)
