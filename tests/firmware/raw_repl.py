"""MicroPython's raw REPL over two pipes: run code on a target, and give it files in its RAM."""

import subprocess
import time

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
    """The target behind a process' standard input and output."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self._until(b">>> ")
        self._write(b"\x01")
        self._until(b"raw REPL; CTRL-B to exit\r\n>")
        self.run(FILES)

    def run(self, code: str) -> str:
        """Run code on the target and return what it prints; what it raises is an AssertionError."""
        self._write(code.encode() + b"\x04")
        self._until(b"OK")
        printed = self._until(b"\x04")[:-1].decode().replace("\r\n", "\n")
        raised = self._until(b"\x04>")[:-2].decode()
        assert not raised, raised
        return printed

    def add_file(self, name: str, data: bytes) -> None:
        """Let the target import or open it, as /ram/NAME."""
        self.run(f"_files[{name!r}] = bytearray()")
        for at in range(0, len(data), 512):
            self.run(f"_files[{name!r}] += unhexlify('{data[at : at + 512].hex()}')")

    def _write(self, data: bytes) -> None:
        for at in range(0, len(data), BURST):
            self.process.stdin.write(data[at : at + BURST])
            self.process.stdin.flush()
            time.sleep(0.001)

    def _until(self, end: bytes) -> bytes:
        seen = bytearray()
        while not seen.endswith(end):
            byte = self.process.stdout.read(1)
            assert byte, f"the target ended: {seen.decode(errors='replace')}"
            seen += byte
        return bytes(seen)
