"""Scores of alignment maps: IIA, latent distance, naturalness, and correlational comparison."""
