"""OS-ELM autoencoder: a network with one random hidden layer whose output weights are learned row by row.

Input x of n numbers, h hidden units, target = input, one row at a time, no matrix inverse:

    a  = G(x A + b)                       hidden activations, G the sigmoid
    u  = P a ;  k = u / (lambda + a' u)   gain of recursive least squares
    e  = x - a' beta                      residuals
    beta += k e' ;  P = (P - k u') / lambda       start: P = I / delta, beta = 0

N.-Y. Liang et al., "A Fast and Accurate Online Sequential Learning Algorithm for Feedforward Networks", IEEE Trans.
Neural Networks 17(6), 2006, equations 22 to 24 for chunks of one row, which turn the inverse into a division. M.
Tsukada, M. Kondo, H. Matsutani, "A Neural Network-Based On-device Learning Anomaly Detector for Edge Devices",
arXiv:1907.10147: the autoencoder and its forgetting rate a; here lambda = a^2. With lambda = 1 and the start above the
weights are those of ridge regression on all rows so far, beta = (H'H + delta I)^-1 H'X, so there is no initial batch.

The residuals e are those to learn from, but a poor measure of how strange a row is: its own activations are h random
projections of it, what is strange in those is not seen, and their noise is taken for signal. So rows are scored by what
explains them best, as in factor analysis: the activations c that make

    |x - c' beta|^2 / v + N c' P c       least:  (beta beta' + v N P) c = beta x

over the N rows learned; the residuals are x - c' beta. N P is the inverse of the activations' second moments, and v the
variance that an input has beside what the inputs share (M. E. Tipping, C. M. Bishop, "Probabilistic Principal Component
Analysis", J. R. Statist. Soc. B 61(3), 1999). The rows of beta span what the training rows vary in: that is what a random
projection finds (N. Halko, P. Martinsson, J. Tropp, "Finding Structure with Randomness", SIAM Review 53(2), 2011),
whatever the random A.

The random A is +-1 times gain / sqrt(n), and it and b come from a shift register: they take no memory. P is symmetric and
packed, of row i its elements j <= i; unpacked it loses its symmetry and, with lambda < 1, blows up within months.

``OsElm`` is one of two classes with the same interface: ``fixed_elm.FixedElm`` where the native kernels are, and
``float_elm.FloatElm``, in Python, where they are not. Their random layers differ, so neither goes on with what the other
has stored.
"""

from array import array

from fieldelm import kernels


def floats(count):
    """A buffer of ``count`` float32, all zero."""
    return array("f", bytes(4 * count))


def raw(buffer):
    """The bytes of an array of 4-byte numbers, not copied."""
    view = memoryview(buffer)
    if hasattr(view, "cast"):
        return view.cast("B")
    import uctypes

    return uctypes.bytearray_at(uctypes.addressof(buffer), 4 * len(buffer))


if kernels.NAME == "native":
    from fieldelm.fixed_elm import FixedElm as OsElm, square
else:
    from fieldelm.float_elm import FloatElm as OsElm, square

__all__ = ["OsElm", "floats", "raw", "square"]
