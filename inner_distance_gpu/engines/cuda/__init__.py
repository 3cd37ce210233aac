"""Engine `cuda`, and what `cucim` shares with it: planned calls, kernels compiled and launched, streams, the driver.

`run` is the engine. Nothing here is imported before a device engine is asked for, nor CuPy before a kernel is compiled.
"""
