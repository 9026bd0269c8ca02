"""The project's version, read by the build and written into every saved result."""

__version__ = "0.3.0"
