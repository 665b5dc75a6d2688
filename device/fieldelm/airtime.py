"""How long a LoRa frame is on the air, in whole microseconds.

Semtech SX1276 datasheet 4.1.1.6 and 4.1.1.7 (= AN1200.13), explicit header, PL bytes, DE = 1 with low-data-rate
optimisation and CR = 1..4 for the coding rates 4/5..4/8:

    T_symbol  = 2^SF / BW
    n_payload = 8 + max(ceil((8 PL - 4 SF + 28 + 16 CRC) / (4 (SF - 2 DE))) * (CR + 4), 0)
    T         = (n_preamble + 4.25 + n_payload) T_symbol

Every bandwidth of the chips is 500 kHz over a whole number, so a symbol is a whole number of microseconds and needs no
float. Used by the node, the gateway (duty cycle, event time) and the air server.
"""

# kHz as the `lora` package of MicroPython spells it, and 500 kHz / bandwidth
_BANDWIDTHS = ("7.8", "10.4", "15.6", "20.8", "31.25", "41.7", "62.5", "125", "250", "500")
_PARTS = (64, 48, 32, 24, 16, 12, 8, 4, 2, 1)

OPTIMISE_ABOVE_US = 16000  # symbols longer than this need the low-data-rate optimisation


def symbol_us(sf, bw="125"):
    """Duration of one symbol in us; ``sf`` 7..12, ``bw`` in kHz as a string. Raises ValueError."""
    if not 7 <= sf <= 12:
        raise ValueError("spreading factor must be 7..12, not %s" % (sf,))
    try:
        return (1 << sf) * 2 * _PARTS[_BANDWIDTHS.index(bw)]
    except ValueError:
        raise ValueError("bandwidth must be one of %s kHz, as a string, not %r" % (", ".join(_BANDWIDTHS), bw))


def preamble_us(sf, bw="125", preamble_len=8):
    """Duration in us of preamble and synchronisation word (``preamble_len`` + 4.25 symbols)."""
    return (4 * preamble_len + 17) * symbol_us(sf, bw) // 4


def time_on_air_us(length, sf, bw="125", coding_rate=5, preamble_len=8, crc=True):
    """Duration of a frame of ``length`` bytes (0..255) in us; ``coding_rate`` 5..8 for 4/5..4/8. Raises ValueError."""
    if not 0 <= length <= 255:
        raise ValueError("a LoRa frame has 0 to 255 bytes, not %s" % (length,))
    if not 5 <= coding_rate <= 8:
        raise ValueError("coding rate must be 5..8 (4/5 to 4/8), not %s" % (coding_rate,))
    symbol = symbol_us(sf, bw)
    bits = 8 * length - 4 * sf + 28 + (16 if crc else 0)
    bits_per_block = 4 * (sf - 2 if symbol > OPTIMISE_ABOVE_US else sf)
    blocks = max(0, (bits + bits_per_block - 1) // bits_per_block)
    return preamble_us(sf, bw, preamble_len) + (8 + blocks * coding_rate) * symbol
