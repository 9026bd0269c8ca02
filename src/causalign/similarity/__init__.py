"""Similarity measures of two arrays of activations: RSA, CKA and Procrustes distance."""
