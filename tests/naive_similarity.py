"""Naive numpy references for RSA, CKA and the Procrustes distance (rows are samples)."""

from __future__ import annotations

import numpy as np


def cosines(x: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of every pair of rows."""
    n = len(x)
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            result[i, j] = np.dot(x[i], x[j]) / (np.sqrt(np.dot(x[i], x[i])) * np.sqrt(np.dot(x[j], x[j])))
    return result


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1, tied values sharing the average of their ranks."""
    result = []
    for value in values:
        below = np.sum(values < value)
        same = np.sum(values == value)
        result.append(below + (same + 1) / 2)
    return np.array(result, dtype=float)


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Pearson correlation of two vectors."""
    a = a - np.mean(a)
    b = b - np.mean(b)
    return float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)))


def rsa(x: np.ndarray, y: np.ndarray, rank: bool) -> float:
    """Correlate the lower triangles of the two RDMs, or their ranks."""
    x = np.asarray(x, dtype=float)
    y = np.asarray(y, dtype=float)
    rdm_x = 1 - cosines(x)
    rdm_y = 1 - cosines(y)
    a = np.array([rdm_x[i, j] for i in range(len(x)) for j in range(i)])
    b = np.array([rdm_y[i, j] for i in range(len(y)) for j in range(i)])
    if rank:
        a = ranks(a)
        b = ranks(b)
    return pearson(a, b)


def hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Return trace(K H M H) / (n - 1)^2."""
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(k @ h @ m @ h) / (n - 1) ** 2)


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """Return CKA of the cosine kernels of the z-scored columns."""
    x = np.asarray(x, dtype=float)
    y = np.asarray(y, dtype=float)
    k = cosines((x - x.mean(axis=0)) / x.std(axis=0, ddof=0))
    m = cosines((y - y.mean(axis=0)) / y.std(axis=0, ddof=0))
    return float(hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m)))


def procrustes(x: np.ndarray, y: np.ndarray) -> float:
    """Return the Procrustes distance of the centred, unit-norm, equally wide matrices."""
    x = np.asarray(x, dtype=float)
    y = np.asarray(y, dtype=float)
    x = x - x.mean(axis=0)
    y = y - y.mean(axis=0)
    x = x / np.sqrt(np.sum(x * x))
    y = y / np.sqrt(np.sum(y * y))
    width = max(x.shape[1], y.shape[1])
    x = np.hstack([x, np.zeros((len(x), width - x.shape[1]))])
    y = np.hstack([y, np.zeros((len(y), width - y.shape[1]))])
    nuclear = np.sum(np.linalg.svd(x.T @ y, compute_uv=False))
    return float(np.sqrt(max(0.0, 2 - 2 * nuclear)))  # rounding can push the argument just below zero
