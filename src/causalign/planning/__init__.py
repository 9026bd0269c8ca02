"""Estimates of what an alignment will cost."""
