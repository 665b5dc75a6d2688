"""Windows of an accelerometer that has a FIFO: samples at the chip's own constant rate, none lost, none twice.

The chip samples by its own clock into its FIFO. With an interrupt pin the FIFO is emptied at its watermark by a hard interrupt,
so that the node may compute (in Python or in C) between ``start`` and ``ready``; without one it is emptied while ``read`` waits.
A FIFO that ran over has lost samples: the window is thrown away and counted, and begun anew.
"""

import time

from micropython import const

WATERMARK = const(16)  # half of the FIFO: as long for the processor to come as to read
_FIFO_SAMPLES = const(32)

_SETTLE = const(8)  # samples after start that are not used: filters settle
_ATTEMPTS = const(3)


class Accelerometer:
    """Base of the chips' drivers: ``rate_hz`` nominal, ``full_scale`` in counts, ``g_per_count``, 3 ``axes``.

    ``overruns`` counts windows thrown away. ``measured_hz`` is the rate of the last window by this board's crystal (the chips'
    own clocks are a few per cent off), 0.0 before the first.
    """

    NAME = "accelerometer"
    kind = "waveform"
    axes = 3

    def __init__(self, rate_hz, full_scale, g_per_count, interrupt):
        self.rate_hz = rate_hz
        self.full_scale = full_scale
        self.g_per_count = g_per_count
        self.overruns = 0
        self.measured_hz = 0.0
        self.on_wait = None  # called now and then while waiting
        self._out = None
        self._at = 0
        self._end = 0
        self._skip = 0
        self._over = False
        self._broken = False
        self._fifo_us = int(_FIFO_SAMPLES * 1000000 / rate_hz)
        self._wait_ms = max(int(WATERMARK * 500 / rate_hz), 1)
        self._patience_ms = 4 * int(WATERMARK * 1000 / rate_hz) + 100
        self._first_us = self._last_us = self._first_at = 0
        self._seen = self._progress = self._progress_ms = 0
        self._interrupt = interrupt
        if interrupt is not None:
            interrupt.irq(self._drain, interrupt.IRQ_RISING, hard=True)

    def _fail(self, what, mend):
        self._out = None
        raise OSError("%s: %s; check %s" % (self.NAME, what, mend))

    def read(self, out):
        """Fill ``out``, an array('h') of samples × 3 raw counts, interleaved; return the number of samples.

        Blocks while it samples. Raises OSError if the chip fails or if its FIFO ran over in three windows in a row.
        """
        for _ in range(_ATTEMPTS):
            self.start(out)
            while not self.ready():
                if self.on_wait is not None:
                    self.on_wait()
                time.sleep_ms(self._wait_ms)
            if not self._over:
                return len(out) // 3
        return self._fail(
            "its FIFO ran over in %d windows in a row" % _ATTEMPTS,
            "that the rate of %s Hz suits the bus, or wire the chip's INT1 pin" % self.rate_hz,
        )

    def self_test(self):
        """Whether the right chip answers and takes its settings; it is at rest afterwards. Raises OSError with a sentence."""
        self._out = None
        try:
            try:
                self._begin()
            except OSError as error:
                if isinstance(error.args[0], str) or not self._registers.free():
                    raise
                self._begin()  # a chip that a reset had cut short in a byte may have held the bus
        except OSError as error:
            if isinstance(error.args[0], str):
                raise
            self._fail("no answer on the bus (%s)" % error, "power, wires and the chip's address")

    def start(self, out):
        """Begin a window; ``ready`` tells when it is full. Raises OSError."""
        self.self_test()
        self._at = 0
        self._end = len(out)
        self._skip = _SETTLE
        self._over = False
        self._broken = False
        self._first_at = -1
        self._progress_ms = time.ticks_ms()
        self._seen = 0
        self._progress = 0
        self._out = out
        self._run()

    def ready(self):
        """Whether the window that ``start`` began has ended; if it ran over it is no good (``read`` begins it anew).

        Raises OSError if the chip has failed or gives no samples; the next ``start`` sets it up anew.
        """
        if self._out is None:
            return True
        if self._interrupt is None:
            self._drain(None)
        if self._broken:
            self._fail("no answer on the bus while sampling", "power and wires")
        if self._over or self._at == self._end:
            self._stop()
            self._out = None
            if self._over:
                self.overruns += 1
            elif self._last_us != self._first_us:
                took_us = time.ticks_diff(self._last_us, self._first_us)
                self.measured_hz = (self._seen - self._first_at) * 1e6 / took_us
            return True
        now = time.ticks_ms()
        if self._seen != self._progress:
            self._progress = self._seen
            self._progress_ms = now
        elif time.ticks_diff(now, self._progress_ms) > self._patience_ms:
            waiting = self._pending()
            if self._interrupt is not None and waiting:
                self._fail("its FIFO has samples but the interrupt pin stays silent", "the INT1 wire")
            self._fail("no samples for %d ms" % self._patience_ms, "its supply")
        return False

    def _drain(self, pin):
        # Empty the FIFO into the window; called by the hard interrupt: no allocation, no error may leave it.
        out = self._out
        if out is None or self._over or self._broken or self._at == self._end:
            return
        try:
            began_us = time.ticks_us()
            waiting = self._pending()
            if waiting < 0:
                self._over = True
                return
            if not waiting:
                return
            if self._first_at < 0:
                self._first_us = began_us
                self._first_at = self._seen + waiting
            self._take(out, waiting)
            self._seen += waiting
            self._last_us = began_us
            # a FIFO that ran over while it was read has cleared its mark by being read
            free_us = self._fifo_us - waiting * self._fifo_us // _FIFO_SAMPLES
            if time.ticks_diff(time.ticks_us(), began_us) > free_us:
                self._over = True
        except Exception:  # in an interrupt: nobody else would hear of it
            self._broken = True
