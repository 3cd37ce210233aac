"""Labels from files and stores, targets into them. No library of a format is imported before a file of it is read."""

from .opening import Labels, open_labels

__all__ = ["Labels", "open_labels"]
