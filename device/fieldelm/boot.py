"""From power-on to the app on a real board, and what happens when the app cannot start or fails.

    safe mode? → configuration → radio and sensor → self-test → app, with the watchdog running

Nothing here can lock a person out: Ctrl-C at any time, the safe-mode pin, or three starts in a row that did not last two
minutes leave the REPL. Nothing ends for good either: without a computer on the cable a board that cannot start sleeps and tries
again, after 15 minutes, and out of safe mode after an hour.
"""

import gc
import io
import os
import sys

from micropython import const, kbd_intr

from fieldelm import __version__, pico_board
from fieldelm.storage import Record, StorageError

FAILED_STARTS = const(3)  # so many in a row lead to safe mode
PROVEN_MS = const(120000)  # a start that lasted so long did not fail
AGAIN_MS = const(15 * 60000)
SAFE_MODE_MS = const(3600000)
_PAUSE_MS = const(30000)  # between a failure of the app and the reset
_LOOK_MS = const(2000)
_LOADED_BYTES = const(4096)
_REQUESTED = const(3)  # boot cause

ERRORS_FILE = "errors.txt"
_ERRORS_BYTES = const(2048)  # then the file becomes errors.old, and the one before is gone
_ENTRY_CHARACTERS = const(1000)


class Starts:
    """How many starts in a row did not prove themselves. It outlasts power cuts; two writes of flash a start."""

    def __init__(self):
        self._record = Record("starts")
        self._count = bytearray(1)
        try:
            self._record.read(self._count)
        except StorageError:
            self._count[0] = 0
        self.failed = self._count[0]

    def count(self, failed):
        """Remember that so many have failed, this one among them until it is proven. Raises OSError."""
        if self._count[0] != failed:
            self._count[0] = min(failed, 255)
            self._record.store((self._count,))

    def proven(self):
        """Remember that the start has lasted long enough; a file system that fails is no error."""
        try:
            self.count(0)
        except OSError:
            pass


def note(error, now_ms):
    """Append an exception to the file of errors; it and the one before stay below 3 kB each. A full file system is no error."""
    text = io.StringIO()
    text.write("%s, %d s after the start, %d bytes free\n" % (__version__, now_ms // 1000, gc.mem_free()))
    sys.print_exception(error, text)
    try:
        if _size(ERRORS_FILE) > _ERRORS_BYTES:
            os.rename(ERRORS_FILE, "errors.old")
        with open(ERRORS_FILE, "a") as file:
            file.write(text.getvalue()[:_ENTRY_CHARACTERS])
            file.write("\n")
    except OSError:
        pass


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def say(text):
    """Tell whoever is at the console."""
    print("fieldelm: %s" % text)


def bare_board(module):
    """(board without radio and sensor, whether safe mode is asked for, what is wrong with the board's file or None)."""
    try:
        description = pico_board.mended(module.description())
        return pico_board.bare(description), pico_board.safe_mode_asked(description), None
    except (ValueError, KeyError, TypeError) as error:
        description = module.description()
        return pico_board.bare(description), pico_board.safe_mode_asked(description), error


def rest(board, code, ms):
    """Wait with the LED flashing this code. Returns when a computer is on the cable; else resets the board when time is up."""
    until = board.clock.now_ms() + ms
    shown = None
    while board.clock.now_ms() < until:
        if shown is None or board.clock.now_ms() - shown >= 5 * _LOOK_MS:
            shown = board.clock.now_ms()
            board.show(code)
        if pico_board.usb_connected():
            return
        board.clock.sleep_ms(_LOOK_MS)
    board.start_anew()


def run(module, path, open_board):
    """Run what the configuration at ``path`` says, on the board of this module. Returns when somebody wants the REPL.

    ``open_board(path, equip)`` reads the configuration and opens its board.
    """
    _make_room()
    # code from the file system would strew what loading leaves behind all over the heap, with no room for large buffers between
    gc.threshold(_LOADED_BYTES)
    board, safe_mode, problem = bare_board(module)
    starts = Starts()
    try:
        if safe_mode:
            say("safe mode: the safe-mode pin is at GND; the REPL is yours")
            board.show(pico_board.SAFE_MODE)
            return
        board.start_watchdog()
        try:
            code, ms = _start(board, starts, path, open_board, problem)
            rest(board, code, ms)
        except Exception as error:  # whatever it was: it is noted, and the node starts anew
            _failed(board, error)
    except KeyboardInterrupt:
        kbd_intr(-1)
        board.stop_watchdog()
        starts.proven()
        say("stopped; Ctrl-D or machine.reset() starts it again")
    board.stop_watchdog()


def _make_room():
    # MicroPython's own start leaves its module rp2 behind, an assembler of 1.4 kB; whoever wants it at the REPL imports it
    import __main__

    if _size("boot.py"):  # somebody's own, which may use it
        return
    for names in (sys.modules, __main__.__dict__):
        names.pop("rp2", None)


def _start(board, starts, path, open_board, problem):
    # returns what to show and how long to wait when the app cannot run; the app itself ends by an exception only
    failed = 0 if board.boot_cause == _REQUESTED else starts.failed
    try:
        starts.count(failed + 1)
    except OSError as error:
        say("the file system cannot be written (%s): delete what is not the node's, or erase the flash" % error)
        return pico_board.NO_STORAGE, AGAIN_MS
    if failed >= FAILED_STARTS:
        _safe_mode(board, starts, failed, path, open_board)
        return pico_board.SAFE_MODE, SAFE_MODE_MS
    try:
        if problem is not None:
            raise ValueError("board.json: %s; mend or delete it" % problem)
        settings = open_board(path, board.equip)[0]
        if settings["role"] == "modem":
            kbd_intr(-1)  # the gateway may be talking already: what it says may have a Ctrl-C in it
    except ValueError as error:  # ConfigError
        say(error)
        starts.count(0)
        return pico_board.BAD_CONFIG, AGAIN_MS
    for text in board.self_test():
        say(text)
    try:
        app = _app(settings, board)
    except ValueError as error:  # what is asked of the learner contradicts the sensor
        say("%s: %s" % (path, error))
        starts.count(0)
        return pico_board.BAD_CONFIG, AGAIN_MS
    except StorageError as error:
        # without its counters a node could repeat a nonce, which would give its key away
        say("%s; provision the node with a new key" % error)
        starts.count(0)
        return pico_board.NO_STORAGE, AGAIN_MS
    clock = board.clock
    clock.proven_ms = PROVEN_MS
    clock.on_proven = starts.proven
    while True:
        app.cycle()
        clock.prove()  # a modem never sleeps


def _app(settings, board):
    if settings["role"] == "modem":
        from fieldelm.modem import Modem

        gc.threshold(-1)
        return Modem(board)
    import fieldelm
    from fieldelm import kernel_test

    problem = kernel_test.make_sound()
    if problem:
        say(problem)
    del kernel_test, fieldelm.kernel_test, sys.modules["fieldelm.kernel_test"]
    from fieldelm.node import Node

    gc.collect()
    node = Node(settings, board)
    gc.threshold(-1)
    return node


def _safe_mode(board, starts, failed, path, open_board):
    say("safe mode: %d starts in a row did not last %d s; see %s" % (failed, PROVEN_MS // 1000, ERRORS_FILE))
    if failed == FAILED_STARTS:  # if the report fails, too, it is not tried at the next start
        from fieldelm import safe_mode

        try:
            if not safe_mode.report(open_board(path, board.equip)[0], board):
                say("no gateway has heard of it")
        except Exception as error:  # safe mode rests on nothing that may be broken, the radio least of all
            say("the gateway cannot be told: %s" % error)
    starts.count(FAILED_STARTS - 1)  # the next start is one more attempt, in an hour or by hand


def _failed(board, error):
    # the app has failed: write it down, give a person time to read, and begin anew
    gc.collect()
    sys.print_exception(error)
    try:
        note(error, board.clock.now_ms())
    except Exception:  # out of memory, for example
        pass
    say("failed; restart in %d s, Ctrl-C leaves the REPL" % (_PAUSE_MS // 1000))
    until = board.clock.now_ms() + _PAUSE_MS
    while board.clock.now_ms() < until:
        board.show(pico_board.FAILED)
        board.clock.sleep_ms(_LOOK_MS)
    board.start_anew()
