"""The fewest cycles that a kernel's arithmetic can take on a Cortex-M0+.

Counted are the products, sums and shifts of the shape, one cycle each, and each number's way between memory and registers: n
words by one instruction take 1 + n cycles (ARM DDI 0484C, 3.3), eight words at most. Left out is what the instruction set
asks for beyond that: moves (there are eight registers to compute in), pointers, loops, calls.
"""

import dataclasses

WORD = 9 / 8  # cycles a word, eight at a time
MULTIPLY_ADD, CONVERT = 240, 60  # of floats, in libgcc; nothing less was looked for there


@dataclasses.dataclass(frozen=True, slots=True)
class Limit:
    """`cycles` at least for `products` multiply-accumulates, and how that was counted."""

    products: int
    cycles: int
    count: str


def limit(name: str, n: int, h: int) -> Limit:
    """Of a kernel of the bench."""
    parts = _parts(name, n, h, WORD)
    moved = [more[2] - less[2] for more, less in zip(_parts(name, n, h, 1), _parts(name, n, h, 0), strict=True)]
    cycles = round(sum(part[2] for part in parts))
    count = " + ".join(
        f"{what} {round(own):,} ({products:,} multiply-accumulates, {round(words):,} words moved)"
        for (what, products, own), words in zip(parts, moved, strict=True)
    )
    return Limit(sum(part[1] for part in parts), cycles, f"{count} = {cycles:,}")


_Part = tuple[str, int, float]  # what, products, cycles


def _parts(name: str, n: int, h: int, word: float) -> list[_Part]:
    """If a word to or from memory takes `word` cycles."""
    if name.startswith("fft"):
        return [_spectrum(word)]
    if name.startswith("bands"):
        return [_bands(n, word)]
    if name.startswith("score"):
        return _score(n, h, word)
    if name.startswith("learn"):
        return [*_score(n, h, word), *_update(n, h, word)]
    if name.startswith("explain"):
        return _explained(n, h, word)
    if name.startswith("invert"):
        return _inverse(n, h, word)
    _, projection, residuals, _ = _score(n, h, word)
    return [
        *(_stats(word), _spectrum(word), _bands(n, word)),
        *(*_explained(n, h, word)[1:], projection, residuals, *_update(n, h, word)),
    ]


def _stats(word: float) -> _Part:
    # a word is two samples: unpacked, summed, squared, summed in two words, compared with both ends of the range
    return "overall values", 1024, 1024 * (word / 2 + 1 + 1 + 1 + 1.5 + 2)


def _spectrum(word: float) -> _Part:
    # 1024 samples are 512 complex numbers: radix 4 with the window, 3 times radix 4, radix 2 with separation and power
    window = 1024 * (word / 2 + word / 2 + 2 + 1 + 1 + 1)  # sample, window, unpack both, mean, product, shift
    first = 128 * (16 + 8 * word)
    turn, move = 3 + 3 + 3 * word, 2 * word  # products, sums, twiddle; a complex number from or to memory
    radix4 = 3 * 128 * (8 * move + 3 * turn + 2 + 16 + 8) - 42 * 3 * turn  # 42 of 384 turn by nothing
    pairs = 256 * (2 * move + turn + 2 + 4 + 4)
    power = 256 * (4 + turn + 2 + 4 + 4 + 4 + 2 + 2 * word)
    products = 1024 + 342 * 9 + 256 * 3 + 256 * 7
    return "window, transform, power", products, window + first + radix4 + pairs + power


def _bands(n: int, word: float) -> _Part:
    # bins summed in two words; of each sum, which starts with the floor (2) between edges that come as halfwords (2), a
    # logarithm: the highest bit, for which there is no instruction (5 times a shift, a branch that is taken or not, 1.5 cycles,
    # and every other time a shift and a difference), a table with interpolation (4 shifts for place and rest, two entries by
    # one load, difference, product, shift, sum); then 2 products, a shift and a sum for the gain, base and offset
    logarithm = 5 * (1 + 1.5 + 1) + 4 + 3 + 4
    return "log bands", 511 + 3 * n, 511 * (word + 2) + n * (2 + 2 + logarithm + 4 + 2 + 2 * word)


def _score(n: int, h: int, word: float) -> list[_Part]:
    products = n * h
    return [
        # from float32: exponent and mantissa taken apart, shifted, rounded, limited
        ("inputs", 0, n * (word + 8 + 0.5 * word)),
        # sign, sum into 64 places; then their Walsh-Hadamard transform; a sigmoid from a table with interpolation
        ("projection", 0, n * (word / 2 + 1 + 2 + 1 + 2 * word) + 64 * 3 * (2 * word + 2) + h * 16),
        # upper half of a weight, product, sum; an activation serves two
        ("residuals", products, products * (word + 3 + word / 2) + n * (word / 2 + 2 + word)),
        # residual and scale, mantissa, product, shift, square, sum in two words, compared with the second largest
        ("score", 2 * n, n * (1.5 * word + 1 + 1 + 1 + 1 + 2 + 1)),
    ]


def _explained(n: int, h: int, word: float) -> list[_Part]:
    packed = h * (h + 1) // 2
    inputs, _, residuals, score = _score(n, h, word)
    return [
        inputs,
        # each input to a word, square, shift, sum
        ("size of x", n, n * (word / 2 + word + 3)),
        # upper half of a weight, product, sum; an input serves two
        ("beta x", n * h, n * h * (word + 3 + word / 2)),
        # two passes: an element's upper half, product, shift, sum, beside it y's operand, or c's way there and back; for each row
        # its exponent (2), y rounded and limited (5), and y's and c's way and rounding (4 of each)
        ("y and c", 2 * packed, packed * (2 * word + 4) + packed * (3 * word + 4) + h * (2 + 5 + 2 * (2 * word + 4))),
        residuals,
        score,
    ]


def _inverse(n: int, h: int, word: float) -> list[_Part]:
    packed, products = h * (h + 1) // 2, h * (h * h - 1) // 3
    return [
        # two weights' upper halves (which serve one product), product, sum
        ("beta beta'", n * packed, n * packed * (2 * word + 2 + 1 + 1)),
        # floats: of the prior and of the triangle; and each element from whole numbers, and to them
        ("triangle", products + 2 * packed, (products + 2 * packed) * (MULTIPLY_ADD + 2 * word) + packed * 2 * CONVERT),
    ]


def _update(n: int, h: int, word: float) -> list[_Part]:
    products, packed = n * h, h * (h + 1) // 2
    return [
        # P's two halves times an activation; each element is used twice but on the diagonal
        ("gain", 2 * h * h, h * h * (word + 2 + 2 + 2 + word / 2) + h * 30),
        # gain times residual, shift, sum, and the weight's way there and back; a gain serves two
        ("weights", products, products * (1 + 1 + 1 + 2 * word + word / 2) + n * (word + 1)),
        ("P", packed, packed * (1 + 1 + 1 + 1 + 3 * word)),
    ]
