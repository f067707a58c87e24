"""A mail daemon of co-operating processes. The map of it is README.md in this folder."""

__version__ = "0.1.0"
