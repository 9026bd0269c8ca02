import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from causalign.errors import CausalignError
from causalign.maps import PARAMETRIZATIONS, parametrization
from causalign.maps.base import AlignmentMap, complete, orthonormal, random_frame, require_rank
from causalign.random_streams import torch_stream

shapes = st.integers(1, 24).flatmap(lambda width: st.tuples(st.just(width), st.integers(1, width)))


def assert_orthonormal(frame: Tensor, tolerance: float = 1e-5) -> None:
    assert (frame.mT @ frame - torch.eye(frame.shape[1])).abs().max() < tolerance


def gram_schmidt_literally(columns: Tensor) -> Tensor:
    """Equations 10 to 12, column by column."""
    done: list[Tensor] = []
    for column in columns.mT:
        rest = column.clone()
        for earlier in done:
            rest = rest - (earlier @ column) * earlier
        done.append(rest / rest.norm())
    return torch.stack(done, dim=1)


@given(shape=shapes, seed=st.integers(0, 1000))
def test_orthonormal_is_gram_schmidt(shape: tuple[int, int], seed: int) -> None:
    columns = torch.randn(*shape, generator=torch_stream(seed), dtype=torch.float64)
    torch.testing.assert_close(orthonormal(columns), gram_schmidt_literally(columns), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", PARAMETRIZATIONS)
@given(shape=shapes, seed=st.integers(0, 1000), train_scale=st.booleans(), scale=st.floats(0.1, 10))
@settings(max_examples=30)
def test_maps_start_where_they_are_told_and_stay_orthonormal(
    kind: str, shape: tuple[int, int], seed: int, train_scale: bool, scale: float
) -> None:
    start = AlignmentMap(random_frame(*shape, torch_stream(seed)), scale)
    trained = parametrization(kind)(start, train_scale)
    assert_orthonormal(trained().frame)
    torch.testing.assert_close(trained().frame, start.frame, atol=1e-5, rtol=0)
    assert trained().frozen().scale == pytest.approx(scale if train_scale else 1.0, rel=1e-5)
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.1)
    for step in range(5):
        target = torch.randn(*shape, generator=torch_stream(seed, step))
        optimizer.zero_grad()
        (trained().frame * target).sum().mul(trained().scale).backward()
        optimizer.step()
    assert_orthonormal(trained().frame)
    if shape[0] > 1:
        assert (trained().frame - start.frame).abs().max() > 1e-3


@pytest.mark.parametrize("kind", PARAMETRIZATIONS)
def test_maps_are_still_orthonormal_after_a_thousand_steps(kind: str) -> None:
    trained = parametrization(kind)(AlignmentMap(random_frame(24, 7, torch_stream(0)), 1.0), train_scale=True)
    optimizer = torch.optim.Adam(trained.parameters(), lr=1e-2)
    for step in range(1000):
        optimizer.zero_grad()
        (trained().frame * torch.randn(24, 7, generator=torch_stream(1, step))).sum().backward()
        optimizer.step()
    assert_orthonormal(trained().frame)


def test_the_scale_follows_its_gradient_and_can_be_off() -> None:
    start = AlignmentMap(random_frame(6, 2, torch_stream(0)), 2.0)
    on, off = (parametrization("gram-schmidt")(start, train_scale) for train_scale in (True, False))
    (on().scale * 3).backward()
    assert on.log_scale is not None
    assert on.log_scale.grad == pytest.approx(6.0)  # d(3 exp x)/dx at x = log 2
    assert off().scale == 1.0
    assert len(list(off.parameters())) == 1


@given(shape=shapes, seed=st.integers(0, 1000))
def test_a_frame_is_completed_to_the_whole_matrix(shape: tuple[int, int], seed: int) -> None:
    frame = random_frame(*shape, torch_stream(seed))
    whole = complete(frame)
    assert whole.shape == (shape[0], shape[0])
    assert_orthonormal(whole)
    torch.testing.assert_close(whole[: shape[1]].mT, frame)


def test_project_and_lift_undo_each_other_in_the_subspace() -> None:
    a_map = AlignmentMap(random_frame(10, 4, torch_stream(1)), 2.5)
    coordinates = torch.randn(7, 4, generator=torch_stream(2))
    torch.testing.assert_close(a_map.project(a_map.lift(coordinates)), coordinates, atol=1e-5, rtol=1e-4)


def test_no_global_generator_is_used() -> None:
    before = torch.get_rng_state()
    for kind in PARAMETRIZATIONS.values():
        kind(AlignmentMap(random_frame(9, 4, torch_stream(0)), 1.0), train_scale=True)()
    assert torch.equal(before, torch.get_rng_state())


def test_bad_ranks_and_names_are_refused() -> None:
    for rank in (0, -1, 9):
        with pytest.raises(
            CausalignError, match=f"rank must be a whole number from 1 to 8, the width of here, or auto; found {rank}"
        ):
            require_rank(rank, 8, "here")
    with pytest.raises(CausalignError, match="unknown map 'gram_schmidt'; did you mean 'gram-schmidt'"):
        parametrization("gram_schmidt")
