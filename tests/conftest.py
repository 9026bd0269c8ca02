"""What all tests share: the package with its shapes checked, networks, alignments and the shell."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from shape_checks import check_shapes

check_shapes("causalign")
import causalign as ca  # noqa: E402 (its calls are checked from its import on)
from causalign.cli import main  # noqa: E402

MAY_SKIP = ("needs a GPU",)
"""The reasons, as patterns, for which continuous integration may skip a test. All others fail it."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in continuous integration which tests were skipped without a reason that is on the list, and fail."""
    skipped = [(each.nodeid, str(each.longrepr)) for each in terminalreporter.stats.get("skipped", [])]
    without = [each for each in skipped if not any(re.search(pattern, each[1]) for pattern in MAY_SKIP)]
    if "CI" in os.environ and without:
        terminalreporter.section("skipped, and must not be in continuous integration")
        for node, reason in without:
            terminalreporter.line(f"{node}: {reason}")
        session = terminalreporter._session
        assert session is not None
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
# At a desk hypothesis looks for new examples; continuous integration repeats the same, so that it judges the change.
settings.register_profile("shared machine", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def zoo_pair() -> tuple[ca.networks.GRU, ca.networks.GRU]:
    """The two shipped GRUs."""
    a, b = (ca.zoo.load("multi-object/gru", seed=seed) for seed in (0, 1))
    assert isinstance(a, ca.networks.GRU)
    assert isinstance(b, ca.networks.GRU)
    return a, b


@pytest.fixture(scope="session")
def tiny_pair() -> tuple[ca.networks.GRU, ca.networks.GRU]:
    """Two untrained GRUs of different small widths: for mechanics, not for scores."""
    a, b = (ca.networks.build("multi-object", "gru", seed=seed, width=width) for seed, width in ((0, 6), (1, 9)))
    assert isinstance(a, ca.networks.GRU)
    assert isinstance(b, ca.networks.GRU)
    return a, b


@pytest.fixture(scope="session")
def aligned(zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> ca.Alignment:
    """One good alignment of the shipped GRUs, found once for all tests."""
    return ca.align([network.site("hidden") for network in zoo_pair], rank=16, seed=0)


@pytest.fixture
def rough(tiny_pair: tuple[ca.networks.GRU, ca.networks.GRU]) -> ca.Alignment:
    """An alignment that takes no time and says nothing."""
    settings = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)
    sites = [network.site("hidden") for network in tiny_pair]
    return ca.align(sites, rank=3, n_train=40, n_validation=20, n_test=30, search=settings)


@pytest.fixture
def zoo_folder() -> Path:
    """A shipped network's folder."""
    return ca.zoo.entries()[0].folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command as the shell does: its exit code, standard output, and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["causalign", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call
