"""The hidden layer's random signs are as good as drawn ones."""

import kernels_reference as reference
import numpy as np
import pytest


def test_the_register_has_the_full_period():
    """Its step is linear over GF(2): the order of its matrix is 2^32 - 1, whose prime factors are 3, 5, 17, 257,
    65537."""

    def step(state):
        register = reference.ShiftRegister(0)
        register.x, register.y = state >> 16, state & 0xFFFF
        register.next()
        return register.x << 16 | register.y

    def apply(matrix, state):
        result = 0
        for i in range(32):
            if state >> i & 1:
                result ^= matrix[i]
        return result

    def power(exponent):
        result, square = [1 << i for i in range(32)], [step(1 << i) for i in range(32)]
        while exponent:
            if exponent & 1:
                result = [apply(square, column) for column in result]
            square = [apply(square, column) for column in square]
            exponent >>= 1
        return result

    identity = [1 << i for i in range(32)]
    assert power(2**32 - 1) == identity
    for prime in (3, 5, 17, 257, 65537):
        assert power((2**32 - 1) // prime) != identity


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 12345, 0x9E3779B9, 0xFFFFFFFF])
@pytest.mark.parametrize(("n", "h"), [(64, 22), (64, 64), (511, 64)])
def test_signs_are_balanced_and_uncorrelated(seed, n, h):
    signs, biases = reference.projection(seed, n, h)
    # sums of independent signs have the standard deviation sqrt(count)
    assert abs(signs.sum()) < 4.5 * np.sqrt(n * h)
    assert np.abs(signs.sum(0)).max() < 4.5 * np.sqrt(n)
    for vectors, length in ((signs, n), (signs.T, h)):
        products = vectors.T @ vectors
        np.fill_diagonal(products, 0)
        assert np.abs(products).max() < 5.5 * np.sqrt(length)
        assert products.std() < 1.15 * np.sqrt(length)
    # full rank and no worse conditioned than drawn signs
    drawn = np.random.default_rng(seed).choice([-1, 1], (n, h))
    assert np.linalg.matrix_rank(signs) == np.linalg.matrix_rank(drawn) == min(n, h)
    if n > 2 * h:
        assert np.linalg.cond(signs) < 1.3 * np.linalg.cond(drawn)
    assert (biases >= -1).all()
    assert (biases < 1).all()
    assert abs(biases.mean()) < 4.5 / np.sqrt(3 * h)
    assert biases.std() == pytest.approx(1 / np.sqrt(3), rel=0.35)


def test_seeds_give_different_layers():
    layers = [reference.projection(seed, 64, 22)[0].ravel() for seed in range(40)]
    products = np.array(layers) @ np.array(layers).T
    np.fill_diagonal(products, 0)
    assert np.abs(products).max() < 5 * np.sqrt(64 * 22)
