"""The engine: activations are read once, and targets are run on from swapped states."""
