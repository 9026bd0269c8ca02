"""The search for alignment maps."""
