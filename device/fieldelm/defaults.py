"""Every constant of the learner, in one place, the same for every machine.

They were chosen on the cooling-fan recordings that the documentation names, with the streams it reports in view;
docs/reference/learning.md says what each was measured on and what it costs to change it. A key of the same name in
lower case in the ``learn`` section of the configuration is *not* read: what a user may choose is in the configuration,
what a developer may choose is here.
"""

# features
SETTLE_ROWS = 4  # first rows: they set floor, scale and centre, and are not trained on
FLOOR_FRACTION = 0.02  # floor of the logarithm, as a fraction of the median band level (amplitude) of those rows
VELOCITY_LOW_HZ = 10.0  # RMS velocity, ISO 20816-1: 10 to 1,000 Hz
VELOCITY_HIGH_HZ = 1000.0
STANDARD_LIMIT = 8.0  # a standardised sensor value beyond this many standard deviations is cut there

# model: G(gain / sqrt(n) * sum of +-x + bias)
INPUT_GAIN = 2.0
BIAS_SCALE = 1.0
RIDGE = 0.1  # delta of P = I / delta
FORGETTING_FACTOR = 1.0  # lambda; below 1 the model forgets the modes that it does not see
EXPLAINED = (
    True  # of spectra residuals are those of the activations that explain a row best, not of those that it causes
)

# score = mean of the scaled squared residuals + WORST_WEIGHT * the largest of them
WORST_WEIGHT = 1 / 64
VARIANCE_FLOOR = 0.1  # no input is trusted better than this (natural log of amplitude: 0.9 dB; or standard deviations)
VARIANCE_PRIOR_ROWS = 16  # the held-back variance of an input counts as if this many rows had shown the mean variance

# threshold, on the natural logarithm of the score
SIGMAS = 4.0
SMALLEST_MARGIN = 1.25  # however alike the calibration rows are: the next recording differs (a factor of 3.5)
SIGMA_ROWS = 32  # when a place is relearned the standard deviation before counts as so many rows
WIDEN_ROWS = 2.0  # the margin is (1 + WIDEN_ROWS / n) times as wide after n rows
UNCERTAIN = 0.65  # verdict "uncertain" from this fraction of the margin
MEAN_RATE = 1 / 64  # the mean follows normal rows at this rate ...
MEAN_DOWN = 0.25  # ... but never further than this from its calibration
MEAN_UP = 0.5

# learning while watching
DEAD_ZONE = 0.4  # learn only rows this far above the mean log score (a factor of 1.5) and below the threshold
UPDATE_EVERY_ROWS = 8  # long-term budget: one update in so many rows, ...
UPDATE_BURST = 16  # ... of which so many can be saved up

# persistence: deviating rows, verdict uncertain or anomaly, are counted in the newest eight
SUSPECT_OF_8 = 4  # deviating rows that make the node suspicious
SUSPECT_EVIDENCE = 3.5
DECIDE_OF_8 = 6  # deviating rows that it takes to decide
DECIDE_ROWS = 6  # rows that a decision needs
STRAY_ROWS = 4  # fewer deviating rows that a normal one follows are no part of a change
EVIDENCE = 14.0  # sum over the rows of d + d^2 / 2, d the log score's excess over the limit of "uncertain"
EVIDENCE_VALUES = 24.0  # the same for plain sensor values, which follow each other
EVIDENCE_LOSS = 0.25  # a row below that limit takes at most this from the sum
UNDECIDED_ROWS = 32  # a suspicion that lasts so long without a decision is an intermittent fault
CLEAR_OF_8 = 1  # at most so many deviating rows end a suspicion, and let the node learn
OFTEN = 0.2  # nothing is learned while more than this part of the rows deviates, ...
OFTEN_RATE = 1 / 64  # ... a mean in which the newest row counts so much
CLEAR_ROWS = 16  # calm rows, at most CLEAR_OF_8 deviating, one after the other end an alarm; ...
RETURN_ROWS = 512  # ... one that returns within so many rows ...
CLEAR_GROWTH = 8  # ... needs so many times as many as the one before, ...
CLEAR_MOST = 1024  # ... this at most

# environment or machine? Shifts are in the natural logarithm of amplitude against the nearest learned condition
SHIFT = 0.46  # 4 dB: a band has risen or fallen
QUIET_RISEN = 0.25  # a new source covers the floor: this part of the quieter half of the bands has risen, ...
STRONG_RISE = (
    1.38  # ... it is stronger than what was there: the top four bands rose 12 dB more than the louder half did, ...
)
BROAD_PART = 8  # ... it is broad: over one part in eight of the range neighbouring bands ...
BROAD_RISE = 0.58  # ... rose by 5 dB more than the middle band, ...
FALLEN_LIMIT = 0.25  # ... and it takes nothing away: at most this part of all bands has fallen
DROWNED = 0.92  # or it drowns the machine: the middle band rose by 8 dB, the top four by STRONG_RISE, ...
DROWNED_FALLEN = 0.02  # ... and nothing fell
GONE_QUIET_RISEN = (
    0.35  # a source that went away: the same test with time reversed, but surer, since a fault can silence a tone
)
GONE_BROAD_RISE = 0.75
STOPPED_FALLEN = 0.33  # a machine that stopped: so many bands have fallen ...
STOPPED_RISEN = 0.05  # ... and no more than this part has risen
GROWING = 0.7  # rise of the mean log score from the first to the second half of the rows decided on
ABRUPT = 0.5  # mean excess of the 16 rows before, in margins, above which the change had been coming

# modes
MODES = 8
MODE_DISTANCE = 0.35  # RMS distance over the bands that makes a new mode, at least, ...
MODE_NOISE = 2.0  # ... and in units of the row noise
MODE_APART = 1.5  # modes nearer to each other than so many times that distance are fragments of one condition
MODE_KNOWN = 8  # rows of a mode that may explain something
MODE_DOUBT = 1.25  # a condition only so many times as far away as the nearest one may be the one that was moved
STALE_PREFERENCE = 1.6  # after a change of environment a mode not met since explains rows so much further away, ...
STALE_SURPLUS = 0.25  # ... if the bands in which the new source is seen are at most 2 dB louder than expected
MODE_ROWS = 20000  # rows after which a mode's centre, the mean of its rows until then, follows at a constant rate
NOISE_ROWS = 64  # the same for the noise of a row

# slow wear: a chart for each input, in standard deviations of a row
WEAR_SETTLE = 256  # rows of watching that set the zero
WEAR_BLOCK = 16  # rows of which the mean is taken
WEAR_JUMP = 2.0  # a step from block to block above this is no wear
WEAR_LIMIT = 5.5  # level of a block that is an alarm: nobody can tell a band's first evening from wear
WEAR_DAY_LIMIT = 2.5  # mean level of a day that is an alarm: in it day and night cancel
WEAR_HALF_DAY_MS = 43200000
WEAR_WATCH = 0.3  # conditions stay where they are while a level is above this part of its limit
WEAR_FLOOR = 0.05  # no input is trusted better than this
WEAR_WIDEN = 1.25  # a rise that came back makes the limit so much higher than its peak

# relearning on the spot
RELEARN_TRAIN_ROWS = 18
RELEARN_CALIBRATION_ROWS = 10
RELEARN_QUIETER = 0.03  # where all has become quieter P is reopened by this part: what is gone may come back as it was
REHEARSE = 2  # rows of other modes, as expected here, that are learned with each row
RELEARN_PRIOR_ROWS = 4  # the variances before the change count as so many rows
RELEARN_RADIUS = (
    2.0  # an uncertain row further than so many times the noise of a row from known conditions is not learned
)

# commissioning
HELD_STEP = 1 / 16  # rows held back to be compared are rounded to this
SIFT_ALIKE = 3.5  # two rows are alike up to so many times the usual mean square difference
SIFT_SHARE = 0.67  # a condition is frequent with this part of the rows of the most frequent one
SIFT_SPARE = 0.25  # more strangers than this part of the rows relearned: others are waited for in their place, ...
SIFT_AGAIN = 2  # ... so many times
SIFT_FAILED = 0.45  # more strangers than this part of the rows: commissioning failed
ROUGHEST = 0.73  # RMS residual of the calibration rows above which nothing was learned (pure noise in one bin: 0.52)
DISAGREE = (
    1.0  # standard deviation of the log score, above that of n Gaussian residuals, from which on the rows disagree
)

# sensor check
SENSOR_ROWS = 3  # rows in a row that make a fault, and as many good ones that end it
STUCK_VALUES_ROWS = 64  # the same for sensor values that repeat: a thermometer may stand still for long, ...
STUCK_GROWTH = 4  # ... and so many times as long as it did while it was learned, ...
STUCK_PART = 8  # ... but one that stood still for one part in so many of those rows is not known to move
SATURATED = 0.9  # |mean| or RMS of the counts as a fraction of full scale
GAIN_SPREAD = 2.0  # a gain changed: the loud bands moved by the same, within this many standard errors
FLAT = 0.15  # electronic noise: half the range from the 10 % to the 90 % quantile of the band levels
RATE_LEAST = 50  # scales of frequency tried, in percent ...
RATE_MOST = 160
RATE_APART = 8  # ... but not those nearer to 100 than this
RATE_LEFT = 0.38  # part of the shift (RMS) that the best of them leaves
TILTED = 0.8  # cosine between gravity now and as learned: 37 degrees
DETACHED = 0.35  # ... and the vibration has fallen to this fraction
