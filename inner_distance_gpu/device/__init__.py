"""What the engines `cuda` and `cucim` share: the records kernels take, the geometry of a launch, the launcher.

Nothing here is imported before a device engine is asked for, and CuPy not before a kernel is compiled.
"""
