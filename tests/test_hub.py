"""Alignments on the hub: what is uploaded, what comes back, and what is refused, at a local stand-in of its API."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import causalign as ca
from hub_server import Hub, hub_server

REPO = "someone/an-alignment"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that huggingface_hub takes for the real one, with a cache of its own."""
    from huggingface_hub import constants

    with hub_server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server


def test_what_was_pushed_comes_back(hub: Hub, rough: ca.Alignment) -> None:
    address = rough.push_to_hub(REPO, token="hf_secret", private=True)
    assert address.startswith(f"{hub.address}/{REPO}/commit/")
    assert "private" in {hub.created[0].get("visibility"), hub.created[0].get("private") and "private"}
    assert hub.tokens == {"Bearer hf_secret"}
    _, files = hub.files(REPO) or ("", {})
    assert set(files) == {"README.md", "maps.safetensors", "result.json", "rows.safetensors"}
    again = ca.Alignment.from_hub(REPO)
    assert again.record == rough.record
    for ours, theirs in zip(again.maps, rough.maps, strict=True):
        torch.testing.assert_close(ours.frame, theirs.frame, rtol=0, atol=0)
    np.testing.assert_array_equal(again.rows["correct"], rough.rows["correct"])


def test_a_commit_can_be_named(hub: Hub, rough: ca.Alignment, aligned: ca.Alignment) -> None:
    first = rough.push_to_hub(REPO).rpartition("/")[2]
    aligned.push_to_hub(REPO, message="A better one")
    assert ca.Alignment.from_hub(REPO).worst_iia == aligned.worst_iia
    assert ca.Alignment.from_hub(REPO, revision=first).worst_iia == rough.worst_iia


def test_the_card_says_the_scores_the_caveats_and_how_to_load_it(hub: Hub, rough: ca.Alignment) -> None:
    from huggingface_hub import ModelCard

    rough.push_to_hub(REPO)
    text = (hub.files(REPO) or ("", {}))[1]["README.md"].decode()
    assert ModelCard(text).data["library_name"] == "causalign"
    assert f"**{rough.worst_iia:.3f}**" in text
    assert f"ca.Alignment.from_hub({REPO!r})" in text
    for site in rough.record.sites:
        assert site.fingerprint in text
    for caveat in rough.caveats:
        assert caveat in text
    assert text.count("\n| `") == len(rough.record.iia)


@pytest.mark.parametrize(
    ("repo", "message"), [("someone/nothing", "nothing on the hub: .*not found"), ("no name", "no name on the hub: ")]
)
def test_what_the_hub_has_not_is_said_in_one_line(hub: Hub, repo: str, message: str) -> None:
    with pytest.raises(ca.FileFormatError, match=f"(?i){message}") as caught:
        ca.Alignment.from_hub(repo)
    assert "\n" not in str(caught.value)


def test_a_repository_without_an_alignment_is_refused(hub: Hub) -> None:
    hub.commits["someone/else"] = {"1" * 40: {"README.md": b"hello"}}
    with pytest.raises(ca.FileFormatError, match="not a saved alignment"):
        ca.Alignment.from_hub("someone/else")


def test_a_hub_that_does_not_answer_is_said_in_one_line(rough: ca.Alignment, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ca.FileFormatError, match=f"^{REPO} on the hub: .*refused") as caught:
        rough.push_to_hub(REPO)
    assert "\n" not in str(caught.value)


def test_a_missing_library_is_named(rough: ca.Alignment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ca.MissingDependency, match=r"pip install 'causalign\[hub\]'"):
        rough.push_to_hub(REPO)
