"""Which of the rows that a place is learned from do not belong there? A fault that comes and goes, somebody at the machine.

Who learns from nothing has no model to compare a row with, but it has the other rows. They are held back, up to ``MOST``,
and then compared with each other. Two rows are alike if their mean square difference is at most ``SIFT_ALIKE`` times what
is usual between a row and the most alike of those next to it. A row is suspected if

- fewer than half of those around it, eight before and eight after, are alike: its condition does not last; and
- fewer are alike, of all that are held, than ``SIFT_SHARE`` of what the rows have that have many: its condition is not frequent.

It is a stranger if more suspected than other rows are alike to it; so are unsuspected rows of which that is true. Conditions
that a machine keeps for a while, however rare, and conditions that take turns, however fast, are no strangers; damaged
rows strewn among healthy ones are. A vote of neighbours as in D. L. Wilson, "Asymptotic properties of nearest neighbor
rules using edited data", IEEE Trans. Systems, Man and Cybernetics 2(3), 1972. Memory: ``room``, lent by who has no use
for it meanwhile. Time: 2,000 distances.
"""

from micropython import const

from fieldelm import defaults

MOST = 64  # rows
_AROUND = const(8)
MARKS = MOST // 8 + 3  # bytes a row beside its inputs: which are alike; how many, of all and of those around; marks
_SUSPECTED = const(1)
_STRANGER = const(2)


class Sift:
    """Rows of ``n`` inputs in the bytearray ``room``; ``rows`` are held of ``most``."""

    def __init__(self, n, room):
        self._n = n
        self._room = room
        self.most = min(len(room) // (n + MARKS), MOST)
        self._first = self.most * n
        self.rows = 0
        self.noise = 0.0  # mean square by which rows that are alike differ from what they have in common
        self.on_wait = None  # is called again and again in a judgement that takes seconds: it feeds a watchdog

    def hold(self, x):
        """Keep ``x``, rounded to ``HELD_STEP`` and cut at 127 times that."""
        at = self.rows * self._n
        for i in range(self._n):
            self._room[at + i] = int(min(max(x[i] / defaults.HELD_STEP, -127), 127) + 128.5)
        self.rows += 1

    def row(self, index, x):
        """Fill ``x`` with a row that is held."""
        at = index * self._n
        for i in range(self._n):
            x[i] = (self._room[at + i] - 128) * defaults.HELD_STEP

    def stranger(self, index):
        """Whether ``judge`` found a row that is held to be a stranger."""
        return self._room[self._marks(index) + 2] & _STRANGER != 0

    def drop_strangers(self):
        """Let go of the strangers, to hold others in their place."""
        n = self._n
        kept = 0
        for row in range(self.rows):
            if not self.stranger(row):
                for i in range(n):
                    self._room[kept * n + i] = self._room[row * n + i]
                kept += 1
        self.rows = kept

    def _marks(self, index):
        return self._first + index * MARKS

    def _square(self, i, j):
        # whole numbers take no memory
        room = self._room
        i *= self._n
        j *= self._n
        total = 0
        for _ in range(self._n):
            d = room[i] - room[j]
            total += d * d
            i += 1
            j += 1
        return total

    def judge(self):
        """Compare the rows that are held; return the number of strangers."""
        rows = self.rows
        room = self._room
        self._compare()
        many = sorted([room[self._marks(row)] for row in range(rows)])[rows * 9 // 10]
        for row in range(rows):
            marks = self._marks(row)
            around = min(row, _AROUND) + min(rows - 1 - row, _AROUND)
            if 2 * room[marks + 1] < around and room[marks] < defaults.SIFT_SHARE * many:
                room[marks + 2] = _SUSPECTED
        count = 0
        for row in range(rows):
            marks = self._marks(row)
            suspected = 0
            for other in range(rows):
                if room[marks + 3 + other // 8] >> other % 8 & 1:
                    suspected += room[self._marks(other) + 2] & _SUSPECTED
            others = room[marks] - suspected
            if suspected > others or (suspected == others and room[marks + 2]):
                room[marks + 2] |= _STRANGER
                count += 1
        return count

    def _compare(self):
        rows = self.rows
        room = self._room
        for at in range(self._first, self._marks(rows)):
            room[at] = 0
        near = _AROUND // 2
        usual = []
        for j in range(rows):
            beside = range(max(j - near, 0), min(j + near + 1, rows))
            usual.append(min([self._square(i, j) for i in beside if i != j] or [0]))
        usual = sorted(usual)[rows // 2]
        self.noise = usual * defaults.HELD_STEP**2 / (2 * self._n)
        limit = defaults.SIFT_ALIKE * usual
        for j in range(rows):
            if self.on_wait is not None:
                self.on_wait()
            for i in range(j):
                if self._square(i, j) <= limit:
                    for a, b in ((i, j), (j, i)):
                        marks = self._marks(a)
                        room[marks] += 1
                        room[marks + 1] += j - i <= _AROUND
                        room[marks + 3 + b // 8] |= 1 << b % 8
