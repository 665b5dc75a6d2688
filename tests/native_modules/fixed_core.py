"""The fixed-point core through ctypes: the model as Python sees it, and a float64 twin beside it."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
from core import FOLDER, WARNINGS

SIZE, U32 = ctypes.c_size_t, ctypes.c_uint32
HEAD = [
    "format",
    "n_h",
    "seed",
    "register",
    "inverse_n",
    "x_bits",
    "gain",
    "bias",
    "range",
    "beta_bound",
    "p_bits",
    "sigma",
    "forgetting",
    "inverse_forgetting",
    "scale_bits",
    "rows",
]


class Stats(ctypes.Structure):
    _fields_ = [
        ("sum", ctypes.c_int32),
        ("squares", ctypes.c_uint64),
        ("low", ctypes.c_int32),
        ("high", ctypes.c_int32),
    ]


def build(folder, flags):
    """Compile the core, warnings being errors, and load it."""
    library = Path(folder) / "fixed.so"
    options = ["-std=c11", *WARNINGS, *flags, "-shared", "-fPIC"]
    subprocess.run(["cc", *options, "-o", library, *sorted(FOLDER.glob("*.c"))], check=True)
    loaded = ctypes.CDLL(str(library))
    for name in ("table_words", "beta_at", "p_at", "scale_at", "model_words", "work_words", "explainer_words"):
        getattr(loaded, "fieldelm_fixed_" + name).restype = SIZE
    loaded.fieldelm_fixed_learn.restype = ctypes.c_bool
    loaded.fieldelm_fixed_log2.argtypes = [ctypes.c_uint64]
    return loaded


def pointer(array):
    assert array.flags.c_contiguous
    return array.ctypes.data_as(ctypes.c_void_p)


class Spectrum:
    """Power of int16 windows of one length."""

    def __init__(self, library, size, m=None, axes=1):
        self.library, self.size, self.m, self.axes = library, size, m or size, axes
        self.table = np.zeros(library.fieldelm_fixed_table_words(SIZE(size)), np.int32)
        self.window = np.zeros(size, np.uint16)
        self.work, self.raw = np.zeros(size, np.int32), np.zeros(size // 2 + 1, np.uint32)
        library.fieldelm_fixed_tables(pointer(self.table), SIZE(size), pointer(self.window), SIZE(self.m))

    def power(self, samples, channel=0):
        """In counts squared; `stats` are set, too."""
        self.stats = Stats()
        samples = np.ascontiguousarray(samples, np.int16)
        where = [pointer(samples), SIZE(channel), SIZE(self.axes), SIZE(self.m)]
        self.library.fieldelm_fixed_stats(*where, ctypes.byref(self.stats))
        tables = [pointer(self.window), pointer(self.table), SIZE(self.size), ctypes.byref(self.stats)]
        self.scale = self.library.fieldelm_fixed_power(*where, *tables, pointer(self.work), pointer(self.raw))
        self.unit = np.sqrt(4 * self.size / (3 * self.m)) * 2.0**-self.scale  # of the amplitudes
        return self.raw * self.unit**2


def power64(samples, size):
    """The same in float64."""
    x = np.asarray(samples, float)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(x)) / len(x))
    power = 2 * np.abs(np.fft.rfft(window * (x - x.mean()), size)) ** 2 / (size * (window**2).sum())
    power[[0, -1]] /= 2
    return power


class Model:
    """A model in the C core; `twin` says whether a float64 recursion on the same activations and inputs goes along."""

    def __init__(self, library, n, h, seed=1, x_bits=11, forgetting=1.0, variance=10.0, gain=None, twin=True):
        self.library, self.n, self.h, self.x_bits, self.forgetting, self.twin = library, n, h, x_bits, forgetting, twin
        size = SIZE(n), SIZE(h)
        self.beta_at = library.fieldelm_fixed_beta_at()
        self.p_at = library.fieldelm_fixed_p_at(*size)
        self.words = np.zeros(library.fieldelm_fixed_model_words(*size), np.int32)
        self.work = np.zeros(library.fieldelm_fixed_work_words(*size), np.int32)
        floats = [ctypes.c_float(v) for v in (gain or 2 / np.sqrt(n), 1, variance)]
        library.fieldelm_fixed_init(pointer(self.words), *size, U32(seed), x_bits, *floats)
        library.fieldelm_fixed_forget(pointer(self.words), ctypes.c_float(forgetting))
        self.out = np.zeros(5, np.float32)
        self.rows = h + h % 2
        self.padded = 64
        while self.padded < max(n, h):
            self.padded *= 2
        self.beta64, self.p64 = np.zeros((h, n)), np.eye(h) * variance

    def score(self, x):
        """Of a row: mean squared residual with the weights set."""
        x = np.ascontiguousarray(x, np.float32)
        self.library.fieldelm_fixed_input(pointer(self.words), pointer(self.work), pointer(x))
        self.library.fieldelm_fixed_score(pointer(self.words), pointer(self.work), pointer(self.out))
        return float(self.out[0])

    def score64(self):
        """Of the same row, by the twin."""
        return float(((self.x - self.a @ self.beta64) ** 2).mean())

    def explained64(self, x, variance=0.01):
        """Scores of rows by what explains them best, in float64 from beta and P as they are here."""
        scale = 2.0**self.x_bits
        x = np.clip(np.round(np.asarray(x, float) * scale), -32767, 32767) / scale
        upper = self.words[self.beta_at : self.p_at].reshape(-1, self.rows, 2).transpose(1, 0, 2) >> 16
        beta = upper.reshape(self.rows, -1)[: self.h, : self.n] * 2.0 ** self.head["range"] / scale
        inverse = np.linalg.inv(beta @ beta.T + variance * max(self.head["rows"], 1) * self.p)
        return ((x - x @ beta.T @ inverse @ beta) ** 2).mean(1)

    def learn(self):
        """The row scored last."""
        if self.twin:
            a, forgetting = self.a, self.forgetting
            u = self.p64 @ a
            k = u / (forgetting + a @ u)
            self.beta64 += np.outer(k, self.x - a @ self.beta64)
            self.p64 = (self.p64 - np.outer(k, u)) / forgetting
            self.p64 = (self.p64 + self.p64.T) / 2
        return self.library.fieldelm_fixed_learn(pointer(self.words), pointer(self.work))

    def invert(self, variance=0.01):
        """The model's explainer."""
        self.explainer = np.zeros(self.library.fieldelm_fixed_explainer_words(SIZE(self.h)), np.int32)
        self.library.fieldelm_fixed_invert(pointer(self.words), ctypes.c_float(variance), pointer(self.explainer))

    def explain(self, x):
        """Score of a row by what explains it best."""
        x = np.ascontiguousarray(x, np.float32)
        self.library.fieldelm_fixed_input(pointer(self.words), pointer(self.work), pointer(x))
        self.library.fieldelm_fixed_explain(
            pointer(self.words), pointer(self.work), pointer(self.explainer), pointer(self.out)
        )
        return float(self.out[0])

    def predict(self):
        """What is to be learned of the row explained last."""
        self.library.fieldelm_fixed_predict(pointer(self.words), pointer(self.work))

    def weights(self, weight):
        self.library.fieldelm_fixed_weights(pointer(self.words), pointer(np.ascontiguousarray(weight, np.float32)))

    def reopen(self, variance):
        self.library.fieldelm_fixed_reopen(pointer(self.words), ctypes.c_float(variance))

    @property
    def head(self):
        return dict(zip(HEAD, self.words[: self.beta_at].view(np.uint32).tolist(), strict=True))

    @property
    def a(self):
        at = 2 + 2 * self.h + self.padded
        return self.work[at : at + self.h] / 2.0**11

    @property
    def x(self):
        at = 2 + 2 * self.h + self.padded + 3 * self.rows
        return self.work[at:].view(np.int16)[: self.n] / 2.0**self.x_bits

    @property
    def e(self):
        e = np.zeros(self.n, np.float32)
        self.library.fieldelm_fixed_residuals(pointer(self.words), pointer(self.work), pointer(e))
        return e

    @property
    def beta(self):
        columns = (
            self.words[self.beta_at : self.p_at].reshape(-1, self.rows, 2).transpose(1, 0, 2).reshape(self.rows, -1)
        )
        return (columns[: self.h, : self.n] - 32768.0) * 2.0 ** (self.head["range"] - 16 - self.x_bits)

    @property
    def p(self):
        p = np.zeros((self.h, self.h))
        p[np.tril_indices(self.h)] = self.words[self.p_at : self.p_at + self.h * (self.h + 1) // 2]
        p += np.tril(p, -1).T
        return p * 2.0 ** -self.head["p_bits"] * self.head["sigma"] / 2.0**30


def machine(count, n, seed, shift=0.0):
    """Log bands of a machine whose load wanders: six patterns of random strength, and noise."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).normal(size=(6, n))
    return (shift + 0.3 * rng.normal(size=(count, 6)) @ patterns + 0.1 * rng.normal(size=(count, n))).astype(np.float32)
