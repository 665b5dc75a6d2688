"""From scores to decisions: verdict of a row, persistence, and what a lasting change is.

    score → verdict → suspicion (deviating rows among the newest eight) → decision → cleared again

A row deviates from the verdict "uncertain" on. Each adds its excess over that limit to the evidence, so that scores far above the
threshold decide in six rows, and scores that stay just below it in a few dozen: a cumulative sum as in E. S. Page,
"Continuous inspection schemes", Biometrika 41, 1954, of d + d^2 / 2, where d is the excess in the logarithm of the score.

A decision is one of ``change.Change.classify``'s words. It needs ``EVIDENCE``, and ``DECIDE_ROWS`` deviating rows that make
up ``DECIDE_OF_8`` of the newest eight. A change that had been coming (the scores before it were near the threshold) or
is still growing is wear, not a new environment, whatever it looks like; so is one that comes and goes.

An alarm ends after ``CLEAR_ROWS`` calm rows. One that returns within ``RETURN_ROWS`` rows needs ``CLEAR_GROWTH`` times as many as
it did before, ``CLEAR_MOST`` at most: what comes and goes is told once or twice, and stays told.
"""

from fieldelm import defaults
from fieldelm.change import Change


def ones(bits):
    """Number of bits set."""
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


class Detector:
    """``verdict`` of the last row, ``suspect`` while anomalies are too many, ``change`` what they have in common."""

    def __init__(self, n, threshold, modes, level, spectral, origin, scratch):
        self.threshold = threshold
        self.modes = modes
        self.change = Change(n, origin, scratch)
        self._level = level
        self._spectral = spectral
        self._enough = defaults.EVIDENCE if spectral else defaults.EVIDENCE_VALUES
        self.reset()

    def reset(self):
        """Begin anew: no anomaly seen yet."""
        self.verdict = "normal"
        self.suspect = False
        self.deviating = 0  # among the newest eight rows
        self.reference = 0  # the mode that the last decision compared with
        self._often = 0.0  # part of the rows that deviate, of the newest dozens
        self._bits = 0
        self._coming = 0.0  # running mean of the excess before the change
        self._before = 0.0
        self._early = 0.0  # mean excess of the first rows of the change, and of the newest
        self._late = 0.0
        self._evidence = 0.0  # sum of what the log scores are above the limit of "uncertain" since the change began
        self._suspect_rows = 0
        self._quiet_rows = 0
        self._clear_rows = defaults.CLEAR_ROWS  # calm rows that end the alarm
        self._since = defaults.RETURN_ROWS  # rows since the last alarm ended, counted up to here
        self.change.reset()

    def judge(self, score, x, deciding):
        """Judge a row by its score; ``x`` are its inputs. Returns a decision, or None; none is made unless ``deciding``."""
        self._since = min(self._since + 1, defaults.RETURN_ROWS)
        excess = self.threshold.excess(score)
        deviates = excess >= defaults.UNCERTAIN
        self.verdict = "anomaly" if excess >= 1 else "uncertain" if deviates else "normal"
        self._bits = (self._bits << 1 | deviates) & 0xFF
        self.deviating = ones(self._bits)
        self._often += (deviates - self._often) * defaults.OFTEN_RATE
        evidence = (excess - defaults.UNCERTAIN) * self.threshold.margin
        if evidence > 0:
            evidence += evidence * evidence / 2
        self._evidence = max(self._evidence + max(evidence, -defaults.EVIDENCE_LOSS), 0.0)
        if deviates:
            self._gather(excess, x)
        else:
            self._coming += (max(excess, 0.0) - self._coming) / 16
            if not self._bits:
                self.change.reset()
                self._evidence = 0.0
        return self._decide() if deciding else None

    def _gather(self, excess, x):
        change = self.change
        if change.rows < defaults.STRAY_ROWS and not self._bits & 2:  # those before were strays
            change.reset()
        if not change.rows:
            self._before = self._coming
            self._early = 0.0
            self._late = excess
        change.add(x)
        half = defaults.DECIDE_ROWS // 2
        if change.rows <= half:
            self._early += (excess - self._early) / change.rows
        self._late += (excess - self._late) / half

    def _decide(self):
        if not self.suspect:
            if self.deviating < defaults.SUSPECT_OF_8 or self._evidence < defaults.SUSPECT_EVIDENCE:
                return None
            self.suspect = True
            self._suspect_rows = 0
        elif self.deviating <= defaults.CLEAR_OF_8:
            self.suspect = False
            return None
        self._suspect_rows += 1
        if self._evidence < self._enough:
            return None
        if self.change.rows < defaults.DECIDE_ROWS or self.deviating < defaults.DECIDE_OF_8:
            return "machine" if self._suspect_rows > defaults.UNDECIDED_ROWS else None
        growing = (self._late - self._early) * self.threshold.margin > defaults.GROWING
        if growing and self._suspect_rows < defaults.UNDECIDED_ROWS // 2:
            return None
        decision = self._classify()
        if decision in ("environment", "quieter") and (growing or self._before >= defaults.ABRUPT):
            return "machine"
        return decision

    def _classify(self):
        # against the nearest condition; after a change of environment also against those that were not met since
        change = self.change
        modes = self.modes
        self.reference = modes.nearest(change.mean)
        if not self._spectral:  # of sensor values nobody knows what a new environment does to them
            return "machine"
        nearest = modes.distance
        limit = (defaults.STALE_PREFERENCE * nearest) ** 2
        decision = change.classify(modes.centers[self.reference], self._level, modes.noise)
        if decision == "machine" and modes.stale:
            stale = self._stale_explanation(limit)
            if stale is not None:
                self.reference = stale
                return "environment"
        if decision == "machine":
            decision = self._another_condition(nearest)
        return decision

    def _another_condition(self, nearest):
        # a source that was added may have moved a condition nearer to another one than to itself
        change = self.change
        modes = self.modes
        limit = (defaults.MODE_DOUBT * nearest) ** 2
        found = "machine"
        for mode in range(modes.count):
            square = modes.square(change.mean, modes.centers[mode])
            if mode == self.reference or square >= limit or modes.numbers[mode] < defaults.MODE_KNOWN:
                continue
            decision = change.classify(modes.centers[mode], self._level, modes.noise)
            if decision in ("environment", "quieter"):
                found, limit, self.reference = decision, square, mode
        return found

    def _stale_explanation(self, limit):
        # the mode, among those not met since the environment changed, that the same source would make look like this
        change = self.change
        modes = self.modes
        found = None
        for mode in range(modes.count):
            if not modes.stale >> mode & 1 or modes.numbers[mode] < defaults.MODE_KNOWN:
                continue
            expected = change.shift
            modes.expected(mode, self._level, expected)
            square = modes.square(change.mean, expected)
            surplus = seen = 0
            for i in range(change.n):
                if modes.source[i] > 0:
                    surplus += change.mean[i] - expected[i]
                    seen += 1
            if square >= limit or surplus > defaults.STALE_SURPLUS * seen:
                continue
            if change.classify(modes.centers[mode], self._level, modes.noise) == "environment":
                found, limit = mode, square
        return found

    @property
    def calm(self):
        """True while nothing speaks against learning."""
        return self.deviating <= defaults.CLEAR_OF_8 and self._often <= defaults.OFTEN

    def alarm_begins(self):
        """An alarm is told: how long must it be calm until it ends?"""
        again = self._since < defaults.RETURN_ROWS
        longer = min(self._clear_rows * defaults.CLEAR_GROWTH, defaults.CLEAR_MOST)
        self._clear_rows = longer if again else defaults.CLEAR_ROWS
        self._quiet_rows = 0

    def alarm_ends(self):
        """It has been calm for so long."""
        self._since = 0

    def cleared(self):
        """While an alarm stands: True once the rows have been normal for long enough. Call it once a row."""
        self._quiet_rows = self._quiet_rows + 1 if self.deviating <= defaults.CLEAR_OF_8 else 0
        return self._quiet_rows >= self._clear_rows
