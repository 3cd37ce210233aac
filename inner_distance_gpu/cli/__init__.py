"""The command line `inner-distance-gpu`: one file per larger command, and what they print and draw."""

from .program import app, main

__all__ = ["app", "main"]
