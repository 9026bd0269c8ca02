"""Recordings: states in arrays and files, variables in tables, preprocessing, splits and coverage."""
