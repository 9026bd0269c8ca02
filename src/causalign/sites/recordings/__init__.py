"""Recordings as sites that can be read and never run."""
