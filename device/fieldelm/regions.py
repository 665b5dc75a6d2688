"""How long a radio may transmit in an hour, by regional plan. Node and gateway use it.

EU868: ETSI EN 300 220-2 V3.2.1, annex B, bands K to R, without listening before talking (the same as Decision (EU) 2017/1483,
46a to 56b). The whole channel must lie in one band. Between the bands are those of alarm systems: they are not for this. Power is
effective radiated power: with a dipole, gain 2.15 dBi, what the radio gives out.
US915: 47 CFR 15.247(a)(2), (b)(3). One fixed channel is digital modulation, at least 500 kHz wide, 1 W at most; then there is no
limit of time.
"none": no limit, for cables and the bench.
"""

PLANS = ("EU868", "US915", "none")

# kHz from, to, thousandths of an hour, dBm (25 mW, 500 mW)
_EU868 = (
    (863000, 865000, 1, 14),
    (865000, 868600, 10, 14),
    (868700, 869200, 1, 14),
    (869400, 869650, 100, 27),
    (869700, 870000, 10, 14),
)


def _edges(freq_khz, bw):
    # of the channel, in Hz
    half = int(float(bw) * 500)
    return freq_khz * 1000 - half, freq_khz * 1000 + half


def hour_us(plan, freq_khz, bw):
    """Airtime in us that ``plan`` allows in any hour on this channel, None for no limit.

    ``bw`` in kHz as a string. Raises ValueError, with the mend, where the plan does not allow the channel at all.
    """
    return _limits(plan, freq_khz, bw)[0]


def most_dbm(plan, freq_khz, bw):
    """Power in dBm that ``plan`` allows on this channel, None for no limit. Raises ValueError as ``hour_us`` does."""
    return _limits(plan, freq_khz, bw)[1]


def _limits(plan, freq_khz, bw):
    low, high = _edges(freq_khz, bw)
    if plan == "EU868":
        for first, last, share, dbm in _EU868:
            if first * 1000 <= low and high <= last * 1000:
                return share * 3600000, dbm
        bands = ", ".join(["%g to %g" % (first / 1000, last / 1000) for first, last, _, _ in _EU868])
        raise ValueError(
            '%g MHz, %s kHz wide, is in no band of the plan EU868 (%s MHz): change "freq_khz" or "plan"'
            % (freq_khz / 1000, bw, bands)
        )
    if plan == "US915":
        if low < 902000000 or high > 928000000:
            raise ValueError(
                '%g MHz is not in 902 to 928 MHz, the band of the plan US915: change "freq_khz" or "plan"'
                % (freq_khz / 1000)
            )
        if float(bw) < 500:
            raise ValueError('"bw" must be "500": the plan US915 allows a single channel of at least 500 kHz only')
        return None, 30
    if plan == "none":
        return None, None
    raise ValueError('"plan" must be one of %s' % ", ".join(PLANS))
