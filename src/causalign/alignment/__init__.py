"""Alignments: `align`, the methods, and the result."""
