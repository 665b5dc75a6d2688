"""The kernels: in C where the firmware has them, else in Python.

`NAME` is "native" (native module `fieldelm_native.mpy` on the path, or user C module of that name) or "python". The
functions are described in `kernels_py` and in docs/reference/kernels.md; those in fixed point (`fixed_...`) are in C
only. To run Python on purpose leave the native module off the path, or import `kernels_py`.
"""

try:
    import fieldelm_native as _kernels

    # ImportError: not there; ValueError: a .mpy for another processor or MicroPython; other number: out of date
    if _kernels.INTERFACE != 2:
        raise ImportError
    NAME = "native"
except (ImportError, ValueError):
    from . import kernels_py as _kernels

    NAME = "python"

fft_tables = _kernels.fft_tables
power_spectrum = _kernels.power_spectrum
accumulate = _kernels.accumulate
velocity = _kernels.velocity
bands = _kernels.bands
hidden = _kernels.hidden
residuals = _kernels.residuals
score = _kernels.score
update = _kernels.update
if NAME == "native":
    fixed_size = _kernels.fixed_size
    fixed_init = _kernels.fixed_init
    fixed_reopen = _kernels.fixed_reopen
    fixed_weights = _kernels.fixed_weights
    fixed_score = _kernels.fixed_score
    fixed_rescore = _kernels.fixed_rescore
    fixed_learn = _kernels.fixed_learn
    fixed_residuals = _kernels.fixed_residuals
    fixed_tables = _kernels.fixed_tables
    fixed_spectrum = _kernels.fixed_spectrum
    fixed_add = _kernels.fixed_add
    fixed_velocity = _kernels.fixed_velocity
    fixed_levels = _kernels.fixed_levels
