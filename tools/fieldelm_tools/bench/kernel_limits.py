"""The fewest cycles that a kernel's arithmetic can take on a Cortex-M0+.

Counted are the products, sums and shifts of the shape, one cycle each, and each number's way between memory and registers: n
words by one instruction take 1 + n cycles (ARM DDI 0484C, 3.3), eight words at most. Left out is what the instruction set
asks for beyond that: moves (there are eight registers to compute in), pointers, loops, calls.
"""

import dataclasses

WORD = 9 / 8  # cycles a word, eight at a time


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """`cycles` at least for `products` multiply-accumulates, and how that was counted."""

    products: int
    cycles: int
    count: str


def limit(name: str, n: int, h: int) -> Limit:
    """Of a kernel of the bench."""
    if name.startswith("fft"):
        return _whole([_spectrum()])
    if name.startswith("bands"):
        return _whole([_bands(n)])
    if name.startswith("score"):
        return _whole(_score(n, h))
    if name.startswith("learn"):
        return _whole([*_score(n, h), *_update(n, h)])
    return _whole([_stats(), _spectrum(), _bands(n), *_score(n, h)[1:], *_update(n, h)])


_Part = tuple[str, int, float]  # what, products, cycles


def _whole(parts: list[_Part]) -> Limit:
    cycles = round(sum(part[2] for part in parts))
    count = " + ".join(f"{what} {round(own):,}" for what, _, own in parts)
    return Limit(sum(part[1] for part in parts), cycles, f"{count} = {cycles:,}")


def _stats() -> _Part:
    # a word is two samples: unpacked, summed, squared, summed in two words, compared with both ends of the range
    return "overall values", 1024, 1024 * (WORD / 2 + 1 + 1 + 1 + 1.5 + 2)


def _spectrum() -> _Part:
    # 1024 samples are 512 complex numbers: radix 4 with the window, 3 times radix 4, radix 2 with separation and power
    window = 1024 * (WORD / 2 + WORD / 2 + 2 + 1 + 1 + 1)  # sample, window, unpack both, mean, product, shift
    first = 128 * (16 + 8 * WORD)
    turn, move = 3 + 3 + 3 * WORD, 2 * WORD  # products, sums, twiddle; a complex number from or to memory
    radix4 = 3 * 128 * (8 * move + 3 * turn + 2 + 16 + 8) - 42 * 3 * turn  # 42 of 384 turn by nothing
    pairs = 256 * (2 * move + turn + 2 + 4 + 4)
    power = 256 * (4 + turn + 2 + 4 + 4 + 4 + 2 + 2 * WORD)
    products = 1024 + 342 * 9 + 256 * 3 + 256 * 7
    return "window, transform, power", products, window + first + radix4 + pairs + power


def _bands(n: int) -> _Part:
    # bins summed in two words; of each sum, which starts with the floor (2) between edges that come as halfwords (2), a
    # logarithm: the highest bit, for which there is no instruction (5 times a shift, a branch that is taken or not, 1.5 cycles,
    # and every other time a shift and a difference), a table with interpolation (4 shifts for place and rest, two entries by
    # one load, difference, product, shift, sum); then 2 products, a shift and a sum for the gain, base and offset
    logarithm = 5 * (1 + 1.5 + 1) + 4 + 3 + 4
    return "log bands", 511 + 3 * n, 511 * (WORD + 2) + n * (2 + 2 + logarithm + 4 + 2 + 2 * WORD)


def _score(n: int, h: int) -> list[_Part]:
    products = n * h
    return [
        # from float32: exponent and mantissa taken apart, shifted, rounded, limited
        ("inputs", 0, n * (WORD + 8 + 0.5 * WORD)),
        # sign, sum into 64 places; then their Walsh-Hadamard transform; a sigmoid from a table with interpolation
        ("projection", 0, n * (WORD / 2 + 1 + 2 + 1 + 2 * WORD) + 64 * 3 * (2 * WORD + 2) + h * 16),
        # upper half of a weight, product, sum; an activation serves two
        ("residuals", products, products * (WORD + 3 + WORD / 2) + n * (WORD / 2 + 2 + WORD)),
        # residual and scale, mantissa, product, shift, square, sum in two words, compared with the second largest
        ("score", 2 * n, n * (1.5 * WORD + 1 + 1 + 1 + 1 + 2 + 1)),
    ]


def _update(n: int, h: int) -> list[_Part]:
    products, packed = n * h, h * (h + 1) // 2
    return [
        # P's two halves times an activation; each element is used twice but on the diagonal
        ("gain", 2 * h * h, h * h * (WORD + 2 + 2 + 2 + WORD / 2) + h * 30),
        # gain times residual, shift, sum, and the weight's way there and back; a gain serves two
        ("weights", products, products * (1 + 1 + 1 + 2 * WORD + WORD / 2) + n * (WORD + 1)),
        ("P", packed, packed * (1 + 1 + 1 + 1 + 3 * WORD)),
    ]
