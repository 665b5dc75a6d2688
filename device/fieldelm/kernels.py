"""The kernels in C, where the firmware has them.

`NAME` is "native" (native module `fieldelm_native.mpy` on the path, or user C module of that name), and the functions
described in docs/reference/kernels.md are here; or it is "python", and `float_elm` and `float_waveform` compute the
same in Python, with `kernels_py`. To run Python on purpose leave the native module off the path.
"""

try:
    import fieldelm_native as native

    # ImportError: not there; ValueError: a .mpy for another processor or MicroPython; other number: out of date
    if native.INTERFACE != 4:
        raise ImportError
    NAME = "native"
except (ImportError, ValueError):
    native = None
    NAME = "python"

if NAME == "native":
    fixed_size = native.fixed_size
    fixed_init = native.fixed_init
    fixed_reopen = native.fixed_reopen
    fixed_weights = native.fixed_weights
    fixed_score = native.fixed_score
    fixed_rescore = native.fixed_rescore
    fixed_invert = native.fixed_invert
    fixed_explain = native.fixed_explain
    fixed_predict = native.fixed_predict
    fixed_learn = native.fixed_learn
    fixed_residuals = native.fixed_residuals
    fixed_square = native.fixed_square
    fixed_tables = native.fixed_tables
    fixed_spectrum = native.fixed_spectrum
    fixed_add = native.fixed_add
    fixed_velocity = native.fixed_velocity
    fixed_levels = native.fixed_levels
    # (table, window) of fixed_tables for the usual length of a window, in the firmware's flash; None where there are none
    flash_tables = getattr(native, "flash_tables", None)
