"""Activations read once, and targets run on from swapped states."""
