"""From scores to decisions: verdict of a row, persistence, and what a lasting change is.

    score → verdict → suspicion (anomalies among the newest eight rows) → decision → cleared again

A decision is one of ``change.Change.classify``'s words. It needs ``DECIDE_ROWS`` anomalous rows that make up
``DECIDE_OF_8`` of the newest eight, and ``EVIDENCE``: the sum of log(score / threshold), a cumulative sum as in E. S.
Page, "Continuous inspection schemes", Biometrika 41, 1954, so that scores a little above the threshold take longer than
high ones. A change that had been coming (the scores before it were near the threshold) or is still growing is wear, not
a new environment, whatever it looks like; so is one that comes and goes.
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

    def __init__(self, n, threshold, modes, level, spectral):
        self.threshold = threshold
        self.modes = modes
        self.change = Change(n)
        self._level = level
        self._spectral = spectral
        self.reset()

    def reset(self):
        """Begin anew: no anomaly seen yet."""
        self.verdict = "normal"
        self.suspect = False
        self.anomalies = 0  # among the newest eight rows
        self.reference = 0  # the mode that the last decision compared with
        self._bits = 0
        self._coming = 0.0  # running mean of the excess before the change
        self._before = 0.0
        self._early = 0.0  # mean excess of the first rows of the change, and of the newest
        self._late = 0.0
        self._evidence = 0.0  # sum of log(score / threshold) since the change began
        self._suspect_rows = 0
        self._quiet_rows = 0
        self.change.reset()

    def judge(self, score, x, deciding):
        """Judge a row by its score; ``x`` are its inputs. Returns a decision, or None; none is made unless ``deciding``."""
        excess = self.threshold.excess(score)
        anomaly = excess >= 1
        self.verdict = "anomaly" if anomaly else "uncertain" if excess >= defaults.UNCERTAIN else "normal"
        self._bits = (self._bits << 1 | anomaly) & 0xFF
        self.anomalies = ones(self._bits)
        evidence = self._evidence + max((excess - 1) * self.threshold.margin, -defaults.EVIDENCE_LOSS)
        self._evidence = min(max(evidence, 0.0), 4 * defaults.EVIDENCE)
        if anomaly:
            self._gather(excess, x)
        else:
            self._coming += (min(max(excess, 0.0), 1.0) - self._coming) / 16
            if not self._bits:
                self.change.reset()
        return self._decide() if deciding else None

    def _gather(self, excess, x):
        change = self.change
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
            if self.anomalies < defaults.SUSPECT_OF_8:
                return None
            self.suspect = True
            self._suspect_rows = 0
        elif self.anomalies <= defaults.CLEAR_OF_8:
            self.suspect = False
            return None
        self._suspect_rows += 1
        if self._evidence < defaults.EVIDENCE:
            return None
        if self.change.rows < defaults.DECIDE_ROWS or self.anomalies < defaults.DECIDE_OF_8:
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
        limit = defaults.STALE_PREFERENCE * modes.distance
        decision = change.classify(modes.centers[self.reference], self._level, modes.noise)
        if decision == "machine":
            for mode in range(modes.count):
                if not modes.stale >> mode & 1:
                    continue
                modes.expected(mode, self._level, change.shift)
                if modes.square(change.mean, change.shift) < limit * limit:
                    if change.classify(modes.centers[mode], self._level, modes.noise) == "environment":
                        self.reference = mode
                        return "environment"
        return decision

    def cleared(self):
        """While an alarm stands: True once the rows have been normal for long enough. Call it once a row."""
        self._quiet_rows = self._quiet_rows + 1 if self.anomalies <= defaults.CLEAR_OF_8 else 0
        return self._quiet_rows >= defaults.CLEAR_ROWS
