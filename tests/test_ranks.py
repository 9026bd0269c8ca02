import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import rankdata, spearmanr

import causalign as ca
from causalign.similarity import ranks as _ranks
from naive_similarity import rsa as naive_rsa


@given(
    size=st.integers(1, 3000),
    lowest=st.floats(0, 1),
    distinct=st.sampled_from([1, 2, 20, 1000, 2**30, 2**52]),
    alone=st.floats(0, 1),
    piece=st.sampled_from([1, 3, 64, 1000, 2**13]),
    seed=st.integers(0, 1000),
)
def test_ranks_are_exact_and_averaged_over_ties(
    size: int, lowest: float, distinct: int, alone: float, piece: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cosines = 1 - lowest - rng.integers(distinct, size=size) * 2.0**-53  # neighbours differ in their last bit only
    distances = 1 - np.where(rng.random(size) < alone, cosines, cosines[0])
    expected = 2 * rankdata(distances)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ranks, "_PIECE", piece)
        np.testing.assert_array_equal(_ranks.doubled_ranks(distances), expected)


def test_the_nearest_and_the_farthest_are_ranked() -> None:
    distances = np.array([2, 0, 2 - 2**-52, 2**-53, 1, 0, *np.linspace(0.1, 1.9, 1000)])
    expected = 2 * rankdata(distances)
    np.testing.assert_array_equal(_ranks.doubled_ranks(distances), expected)


@pytest.mark.parametrize("piece", [7, 100, 2**13])
def test_rsa_of_tied_distances_is_that_of_a_naive_one_and_of_scipy(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ranks, "_PIECE", piece)
    of_length_5 = np.array([(0, 0, 5), (0, 3, 4), (0, 4, 3), (3, 0, 4), (4, -3, 0), (5, 0, 0)])  # exact cosines
    rng = np.random.default_rng(0)
    index = rng.integers(6, size=50)
    x, y = of_length_5[index], of_length_5[np.where(rng.random(50) < 0.8, index, 5 - index)]
    assert ca.rsa(x, y) == pytest.approx(naive_rsa(x, y, rank=True), abs=1e-12)
    assert ca.rsa(x, y) == pytest.approx(spearmanr(pdist(x, "cosine"), pdist(y, "cosine")).statistic, abs=1e-12)


def test_more_pairs_than_can_be_ranked_are_refused() -> None:
    many = np.ones((46_342, 1))
    with pytest.raises(ca.CausalignError, match=r"at most 46,341 samples, found 46,342; draw fewer, or take 'pearson'"):
        ca.rsa(many, many)
