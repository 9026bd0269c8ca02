"""Similarity measures of two arrays of activations: RSA, CKA, Procrustes distance."""
