"""Benchmarks: what the library is timed against."""
