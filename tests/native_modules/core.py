"""The C core through ctypes, with NumPy arrays for its buffers."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[2] / "native_modules" / "core"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"]
SIZE, FLOAT, U32, BUFFER = ctypes.c_size_t, ctypes.c_float, ctypes.c_uint32, ctypes.c_void_p

# result, arguments
SIGNATURES = {
    "exp": (FLOAT, [FLOAT]),
    "log": (FLOAT, [FLOAT]),
    "sqrt": (FLOAT, [FLOAT]),
    "turn": (None, [U32, U32, BUFFER, BUFFER]),
    "fft_tables": (None, [BUFFER, SIZE, BUFFER, SIZE]),
    "power_spectrum": (None, [BUFFER, SIZE, SIZE, BUFFER, SIZE, BUFFER, SIZE, BUFFER, BUFFER, BUFFER]),
    "accumulate": (None, [BUFFER, BUFFER, SIZE]),
    "velocity": (FLOAT, [BUFFER, SIZE, FLOAT, FLOAT, FLOAT, FLOAT]),
    "edges_valid": (ctypes.c_bool, [BUFFER, SIZE, SIZE]),
    "bands": (None, [BUFFER, BUFFER, FLOAT, FLOAT, FLOAT, BUFFER, SIZE]),
    "hidden": (None, [BUFFER, SIZE, U32, FLOAT, FLOAT, BUFFER, SIZE]),
    "residuals": (None, [BUFFER, SIZE, BUFFER, SIZE, BUFFER, BUFFER]),
    "score": (None, [BUFFER, BUFFER, SIZE, BUFFER]),
    "update": (ctypes.c_bool, [BUFFER, BUFFER, BUFFER, SIZE, BUFFER, SIZE, FLOAT, BUFFER]),
}


class Core:
    """fieldelm_<name>(...) as method <name>(...); buffers are contiguous NumPy arrays."""

    def __init__(self, library):
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(library, "fieldelm_" + name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, self._with_arrays(function))

    @classmethod
    def build(cls, folder, flags):
        """Compile the core, warnings being errors, and load it."""
        library = Path(folder) / "core.so"
        sources = sorted(map(str, FOLDER.glob("*.c")))
        options = ["-std=c11", *WARNINGS, *flags, "-shared", "-fPIC"]
        subprocess.run(["cc", *options, "-o", str(library), *sources], check=True)
        return cls(ctypes.CDLL(str(library)))

    @staticmethod
    def _with_arrays(function):
        def call(*arguments):
            for argument in arguments:
                assert not isinstance(argument, np.ndarray) or (
                    argument.flags.c_contiguous and argument.dtype in (np.float32, np.int16, np.uint16)
                )
            return function(*[a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments])

        return call
