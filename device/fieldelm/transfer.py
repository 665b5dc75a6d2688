"""A learner over the air: the node's own to a gateway that keeps a copy, or a copy to the node that replaces another.

Both ways the node leads, since it is who sleeps: it sends its own in fragments, each acknowledged, or asks for one fragment after
the other, each of which comes as the answer. Either goes on where it was after lost frames, a used-up hour of airtime or a
power cut: what is sent is a copy on flash with a CRC-32 for its name, what is received is a file that grows.
"""

import os
import struct
from binascii import crc32

from micropython import const

from fieldelm import codes, duty, frame, payloads
from fieldelm.model_codec import CodecError, Packer, Unpacker
from fieldelm.storage import Record, StorageError

_FIRST_RETRY_MS = const(30000)
_MOST_DOUBLINGS = const(5)
_GIVE_UP = const(100)  # failures in a row: more than a day
_CHUNK = const(64)

_MAGIC = b"FMI1"
_TAKEN_MAGIC = b"FMT1"  # of a model that is the node's by now, and of which no more than this is kept
_HEAD = "<4sIH"  # of the file being received: magic, name, bytes in all
_HEAD_BYTES = const(10)

_FRAGMENT = codes.MODEL_PARTS.index("fragment")
_WANTED = codes.MODEL_PARTS.index("wanted")
_TAKEN = codes.MODEL_PARTS.index("taken")
_REFUSED = codes.MODEL_PARTS.index("refused")


class Transfer:
    """Transfers of ``node`` (fieldelm.node.Node). ``due_ms``: when the next frame is due, None while there is nothing to do."""

    def __init__(self, node, path="incoming"):
        self._node = node
        self._path = path
        self._copy = Record("copy")
        self._fragment = payloads.MODEL_FRAGMENT[node.config["radio"]["sf"] - 7]
        self._length = payloads.size(payloads.MODEL)
        self._sending = None  # name, offset, total
        self._receiving = None  # the same
        self._result = None  # what is still to be told of a model that came
        self._failures = 0
        self.due_ms = None
        self._resume()

    # what commands ask for

    def give(self, name, offset):
        """Send the node's learner; ``name`` and ``offset`` go on with a copy that the gateway has in part, 0 and 0 begin one.

        Returns the command's result.
        """
        total = self._copied(name) if name else 0
        if not total:
            if self._node.watcher.state in ("commissioning", "relearning"):
                return "not_now"
            name, offset = 0, 0
            try:
                self._copy.store(self._packed())
            except OSError:
                return "failed"
            name = self._name
            total = self._copied(name)
        if offset >= total:
            return "bad_arguments"
        self._sending = (name, offset, total)
        self._start()
        return "ok"

    def take(self, name, total):
        """Ask for the fragments of a learner, and use it when it is whole. Returns the command's result."""
        if not total:
            return "bad_arguments"
        if self._receiving is None or self._receiving[0] != name:
            try:
                self._begin(name, total)
            except OSError:
                return "failed"
        self._start()
        return "ok"

    def _start(self):
        self._failures = 0
        self.due_ms = self._node.clock.now_ms()

    # the copy that is sent

    def _packed(self):
        crc = 0
        for part in Packer(self._node.watcher):
            crc = crc32(part, crc)
            yield part
        self._name = crc

    def _copied(self, name):
        # bytes of the copy on flash if it has this name, else 0
        try:
            file = self._copy.open()
        except StorageError:
            return 0
        if file is None:
            return 0
        with file:
            length = self._copy.length
            return length if self._crc(file, length) == name else 0

    @staticmethod
    def _crc(file, length):
        chunk = bytearray(_CHUNK)
        view = memoryview(chunk)
        crc = 0
        while length:
            got = file.readinto(view[: min(length, _CHUNK)])
            if not got:
                break
            crc = crc32(view[:got], crc)
            length -= got
        return crc

    # the file that is received

    def _write_head(self, magic, name, total):
        with open(self._path, "wb") as file:
            file.write(struct.pack(_HEAD, magic, name, total))

    def _begin(self, name, total):
        self._write_head(_MAGIC, name, total)
        self._receiving = (name, 0, total)
        self._result = None

    def _resume(self):
        try:
            with open(self._path, "rb") as file:
                magic, name, total = struct.unpack(_HEAD, file.read(_HEAD_BYTES))
            have = os.stat(self._path)[6] - _HEAD_BYTES
        except (
            OSError,
            ValueError,
        ):  # worn flash, or power was cut before the head was there: the gateway may ask again
            self._forget()
            return
        if magic == _TAKEN_MAGIC:  # and not heard of: since then the node has learned more, or was told to forget it
            self._receiving = (name, total, total)
            self._result = _TAKEN
        elif magic == _MAGIC and have <= total:
            self._receiving = (name, have, total)
        else:
            self._forget()
            return
        self._start()

    def _append(self, data):
        with open(self._path, "ab") as file:
            file.write(data)
        if hasattr(os, "sync"):
            os.sync()

    def _forget(self):
        self._receiving = self._result = None
        try:
            os.remove(self._path)
        except OSError:
            pass

    # frames

    def talk(self, until_ms):
        """Send what is due, one frame at least, and begin none after this time. Raises OSError if the radio does not work.

        Flash that is full or worn is said, and counts as a failure: it is tried again later, and given up.
        """
        clock = self._node.clock
        while self.due_ms is not None and self.due_ms <= clock.now_ms():
            self._step()
            if clock.now_ms() >= until_ms:
                break

    def _step(self):
        try:
            part, end = self._prepare()
        except OSError as error:
            self._failed(error)
            return
        if end is None:  # nothing to send, or not now
            return
        sending = self._sending  # a command in the answer may begin another transfer
        answer = self._node.exchange(frame.MODEL, "MODEL", end, True)
        done = bool(answer)
        if part == _WANTED:
            try:
                done = answer == frame.MODEL and self._received(self._node.link.answer)
            except OSError as error:
                self._failed(error)
                return
        elif done and part == _FRAGMENT:
            if self._sending is sending:
                name, offset, total = sending
                offset += self._fragment
                self._sending = (name, offset, total) if offset < total else None
        elif done and part == self._result:
            self._forget()
        self._next(done)

    def _prepare(self):
        # put the frame that is due into the link's buffer: (its part, where it ends); None if there is none to be sent now
        length = 0
        if self._receiving is not None:
            name, offset, total = self._receiving
            if offset == total and self._result is None:
                self._result = self._use(name, total)
            part = self._result or _WANTED
        elif self._sending is not None:
            part = _FRAGMENT
            name, offset, total = self._sending
            length = min(self._fragment, total - offset)
        else:
            self.due_ms = None
            return None, None
        link = self._node.link
        now = self._node.clock.now_ms()
        ready = link.duty.ready_ms(
            now, link.airtime_us(frame.header_bytes(frame.MODEL) + self._length + length + 8), duty.ROUTINE
        )
        if ready > now:
            self.due_ms = ready
            return None, None
        start = link.payload_start(frame.MODEL)
        head = {"part": part, "model": name, "offset": offset, "total": total}
        end = payloads.pack_into(payloads.MODEL, link.buffer, start, head)
        if length:
            with self._copy.open() as file:
                file.seek(offset)
                file.readinto(memoryview(link.buffer)[end : end + length])
        return part, end + length

    def _failed(self, error):
        self._node.say("storage", {"problem": str(error)})
        self._next(False)

    def _next(self, done):
        now = self._node.clock.now_ms()
        self._failures = 0 if done else self._failures + 1
        if self._failures > _GIVE_UP:
            self._sending = None
            self._forget()
        if self._sending is None and self._receiving is None:
            self.due_ms = None
        elif done:
            self.due_ms = now
        else:
            self.due_ms = now + (_FIRST_RETRY_MS << min(self._failures - 1, _MOST_DOUBLINGS))

    def _received(self, payload):
        # whether the gateway's answer is the fragment that was wanted
        if len(payload) <= self._length:
            return False
        head = payloads.unpack(payloads.MODEL, payload)
        name, offset, total = self._receiving
        data = payload[self._length :]
        if (head["part"], head["model"], head["offset"]) != (_FRAGMENT, name, offset) or offset + len(data) > total:
            return False
        self._append(data)
        self._receiving = (name, offset + len(data), total)
        return True

    def _use(self, name, total):
        # whether the model that has come whole is the node's now
        node = self._node
        unpacker = Unpacker(node.watcher)
        with open(self._path, "rb") as file:
            file.seek(_HEAD_BYTES)
            if self._crc(file, total) != name:
                return _REFUSED
            try:
                file.seek(_HEAD_BYTES)
                unpacker.check(file)
            except CodecError as error:
                node.say("model", {"problem": str(error)})
                return _REFUSED
            file.seek(_HEAD_BYTES)
            try:
                unpacker.unpack(file)
            except OSError:  # half of it is in the buffers
                node.return_to_stored_model()
                raise
        node.watcher.snapshot.has_old = False
        if not node.adopt_model():
            return _REFUSED
        try:
            self._write_head(_TAKEN_MAGIC, name, total)
        except OSError:  # after a restart it is taken once more
            pass
        return _TAKEN
