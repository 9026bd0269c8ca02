"""Readings that alignments share: each input is read once, and the values are those of a reading alone."""

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import causalign as ca
from causalign.engine.activation_cache import read_activations
from causalign.networks.huggingface import HuggingFace
from causalign.readings import table_file
from causalign.readings.request import ReadingRequest
from causalign.readings.shared_readings import SharedReadings
from causalign.run_context import RunContext
from causalign.sites.base import Site, read_together, reader_of
from causalign.sites.modules.tensor_site import TensorSite
from causalign.sites.recurrent.sites import HiddenState
from causalign.sites.transformers.huggingface import HuggingFaceResidual
from causalign.sites.transformers.residual_stream import ResidualStream
from causalign.storage import Store

transformers = pytest.importorskip("transformers")

DEPTH, ROWS, TIME = 12, 24, 9
NAMES = ["embedding", *(f"layer.{n}" for n in range(1, DEPTH + 1))]
QUICK = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8)


def llama(seed: int = 0, depth: int = DEPTH, **changes: Any) -> Any:
    sizes = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": depth, "num_attention_heads": 4}
    config = transformers.LlamaConfig(
        **{**sizes, "intermediate_size": 48, "num_key_value_heads": 2, "pad_token_id": 0, **changes}
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.LlamaForCausalLM(config).eval()


def rows_of(seed: int = 0) -> dict[str, Any]:
    """Source and target inputs of several lengths, no two alike, with a label of one token."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, TIME + 1, size=2 * ROWS)
    inputs = [rng.integers(1, 60, size=length).tolist() for length in lengths]
    assert len({tuple(each) for each in inputs}) == 2 * ROWS
    labels = rng.integers(1, 60, size=(ROWS, 1)).tolist()
    return {
        "source_inputs": inputs[:ROWS],
        "target_inputs": inputs[ROWS:],
        "labels": labels,
        "split": (0.5, 0.25, 0.25),
    }


def align(sites: Sequence[Site], readings: SharedReadings | None, method: Any = "das", seed: int = 0) -> ca.Alignment:
    data = ca.Counterfactuals.from_arrays(list(sites), **rows_of(seed))
    return ca.align(data, method=method, rank=2, start="random", search=QUICK, readings=readings)


def states_of(site: Site, readings: SharedReadings) -> Tensor:
    """The states of a site at all positions of a few inputs, read through a cache."""
    ids = torch.randint(1, 60, (4, 7), generator=torch.Generator().manual_seed(2))
    whole = np.ones((4, 7), dtype=bool)
    request = ReadingRequest(lambda chunk, time: ids[torch.from_numpy(chunk), :time], whole, whole)
    states, _ = readings.read(site, request, Store())
    assert torch.equal(states, site.read(ids).flatten(0, 1))
    return states


@contextmanager
def ids_that_are_read(model: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[tuple[int, ...]]]:
    """Count the rows of ids that reach the model's embedding, and rows in its first layer, while a context reads."""
    seen, within, plain = Counter[tuple[int, ...]](), [0], RunContext.read
    in_first_layer = [0]

    def read(self: RunContext, site: Site, request: ReadingRequest) -> Any:
        within[0] += 1
        try:
            return plain(self, site, request)
        finally:
            within[0] -= 1

    def embedded(_: nn.Module, args: tuple[Tensor]) -> None:
        if within[0]:
            seen.update(tuple(row) for row in args[0].tolist())

    def first_layer(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        in_first_layer[0] += len(args[0]) if within[0] else 0

    hooks = [
        model.model.embed_tokens.register_forward_pre_hook(embedded),
        model.model.layers[0].register_forward_pre_hook(first_layer),
    ]
    with monkeypatch.context() as patched:
        patched.setattr(RunContext, "read", read)
        yield seen
    for hook in hooks:
        hook.remove()
    assert in_first_layer[0] == seen.total()


def reads_of_rows(seen: Counter[tuple[int, ...]]) -> list[int]:
    """How often each source and target input was read. Rows are padded with 0, and read up to the last position."""
    inputs = rows_of()
    unpadded = Counter[tuple[int, ...]]()
    for row, count in seen.items():
        unpadded[tuple(each for each in row if each)] += count
    return [unpadded[tuple(each)] for each in [*inputs["source_inputs"], *inputs["target_inputs"]]]


@pytest.fixture(scope="module")
def thirteen() -> tuple[Any, list[Site]]:
    model = llama()
    return model, [ca.Site(model, at) for at in NAMES]


def test_a_sweep_of_thirteen_sites_reads_each_input_once(
    thirteen: tuple[Any, list[Site]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sites = thirteen
    data = ca.Counterfactuals.from_arrays(sites[0], **rows_of())
    with ids_that_are_read(model, monkeypatch) as seen:
        found = ca.sweep(
            data, {"site_1": sites}, out=tmp_path, method="das", rank=2, start="random", search=QUICK, workers=1
        )
    assert found.counts == {"finished": 13}
    assert reads_of_rows(seen) == [1] * (2 * ROWS)
    assert seen.total() - 2 * ROWS == 13 * 3  # the probe that tells networks apart, once for each alignment
    with ids_that_are_read(model, monkeypatch) as seen:
        by_themselves = {index: align([sites[index]], None) for index in (5, 12)}
    assert reads_of_rows(seen) == [2] * (2 * ROWS)
    shared = [found.alignment(key) for key in found.points]
    for index, plain in {0: align(sites[:1], None), **by_themselves}.items():
        assert_same(shared[index], plain)
    readings = SharedReadings(tmp_path / "readings", sites)
    states = [path for path in readings.folder.glob("*.safetensors") if "probe" not in path.name]
    # States of both ends of three splits for 13 sites; keys and values of the targets of three splits for 12 layers.
    assert len(states) == 3 * (2 * 13 + 2 * 12)
    assert not list(readings.folder.glob("*.part"))
    assert readings.nbytes == sum(path.stat().st_size for path in readings.folder.iterdir())


def assert_same(a: ca.Alignment, b: ca.Alignment) -> None:
    for one, other in zip(a.maps, b.maps, strict=True):
        assert torch.equal(one.frame, other.frame)
    assert a.iia.equals(b.iia)
    assert a.rows.equals(b.rows)


def test_another_process_s_cache_is_read_and_a_site_that_was_not_declared_is_read_by_itself(
    thirteen: tuple[Any, list[Site]], tmp_path: Path
) -> None:
    sites = thirteen[1]
    states_of(sites[3], SharedReadings(tmp_path, sites[3:5]))
    again = SharedReadings(tmp_path, sites)
    states_of(sites[4], again)
    assert again.inputs_read.total() == 0
    few = SharedReadings(tmp_path)
    states_of(sites[7], few)
    assert few.inputs_read.total() == 4
    states_of(sites[7], again)
    assert again.inputs_read.total() == 0


@pytest.mark.parametrize("stepwise", [False, True])
def test_sites_read_together_have_the_values_of_each_alone(thirteen: tuple[Any, list[Site]], stepwise: bool) -> None:
    model, streams = thirteen
    parts = [ca.Site(model, at) for at in ("layer.2.mlp", "model.layers.3.self_attn.o_proj:input[0:8]", "lm_head")]
    zoo = ca.zoo.load("multi-object/transformer", seed=0)
    tokens = torch.randint(1, 8, (6, 8), generator=torch.Generator().manual_seed(0))
    layered = [zoo.site(at) for at in ("embedding", "layer.1", "layer.2")]
    for sites in (streams, parts, layered):
        together = read_together(sites, tokens, stepwise=stepwise)
        for site, (states, prefix) in zip(sites, together, strict=True):
            alone = site.prefix(tokens, stepwise)
            assert torch.equal(states, site.read(tokens))
            assert list(prefix.tables) == list(alone.tables)
            for name, table in alone.tables.items():
                assert torch.equal(prefix.tables[name], table)
    hidden = model(tokens, output_hidden_states=True).hidden_states  # of the plain module
    for index in range(DEPTH):
        torch.testing.assert_close(streams[index].read(tokens), hidden[index], atol=1e-5, rtol=1e-5)


def test_the_keys_and_values_are_those_of_the_plain_module(thirteen: tuple[Any, list[Site]]) -> None:
    model, sites = thirteen
    tokens = torch.randint(1, 60, (5, 7), generator=torch.Generator().manual_seed(1))
    ((_, prefix),) = read_together(sites[6:7], tokens)
    past = model(tokens, use_cache=True).past_key_values
    for layer in (0, 5, 11):
        values = past.layers[layer].values.transpose(1, 2).flatten(0, 1).flatten(1)
        torch.testing.assert_close(prefix.tables[f"values.{layer}"], values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("kind", ["gru", "transformer"])
def test_trials_of_a_task_are_shared(tmp_path: Path, kind: str, stepwise: bool) -> None:
    a, b = (ca.zoo.load(f"multi-object/{kind}", seed=seed) for seed in (0, 1))
    names = ["embedding"] if kind == "gru" else ["embedding", "layer.1"]
    sites = [network.site(at) for network in (a, b) for at in names]
    readings = SharedReadings(tmp_path, sites)
    for of in ([sites[0], sites[-1]], sites[-1:]):
        for context in (RunContext(0, readings=readings), RunContext(0, readings=SharedReadings(tmp_path))):
            found = read_activations(of, 40, "test", context, stepwise=stepwise)
            plain = read_activations(of, 40, "test", RunContext(0), stepwise=stepwise)
            for one, other in zip(found, plain, strict=True):
                assert torch.equal(one.states, other.states)
                assert one.prefix.tables.keys() == other.prefix.tables.keys()
                for name, table in other.prefix.tables.items():
                    assert torch.equal(one.prefix.tables[name], table), name
                assert torch.equal(one.prefix.starts, other.prefix.starts)
                assert torch.equal(one.prefix.lengths, other.prefix.lengths)


def test_two_networks_align_as_without_a_cache(tmp_path: Path) -> None:
    sites = [[ca.Site(model, at) for at in ("layer.1", "layer.2")] for model in (llama(1, 2), llama(2, 3))]
    readings = SharedReadings(tmp_path, [*sites[0], *sites[1]])
    align([sites[0][0], sites[1][0]], readings, "mas")
    pair = [sites[0][1], sites[1][1]]
    assert_same(align(pair, readings, "mas"), align(pair, None, "mas"))
    assert readings.inputs_read == {pair[0].network.name: 2 * 2 * ROWS}  # both networks have one name


def test_stepwise_swaps_of_a_task_align_as_without_a_cache(tmp_path: Path) -> None:
    networks = [ca.zoo.load("multi-object/transformer", seed=seed) for seed in (0, 1)]
    pair = [network.site("layer.1") for network in networks]
    readings = SharedReadings(tmp_path, [*pair, *(network.site("embedding") for network in networks)])
    few: dict[str, Any] = {"n_train": 40, "n_validation": 20, "n_test": 30, "rank": 3, "search": QUICK}
    few["method"] = ca.MAS(stepwise=True)
    assert_same(ca.align(pair, readings=readings, **few), ca.align(pair, **few))
    assert readings.inputs_read.total() == 2 * (40 + 20 + 30)


def test_places_of_a_module_of_tensors_are_read_in_one_pass(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    inputs, labels = torch.randn(40, 2, 5), torch.randint(3, (40,))
    sites = [ca.Site(model, at, inputs=inputs[:4, 0]) for at in ("0", "2", "3")]
    seen, readings = Counter[int](), SharedReadings(tmp_path, sites)

    def data_of(site: Site) -> ca.Counterfactuals:
        ends: dict[str, Any] = {"source_inputs": inputs[:, 0], "target_inputs": inputs[:, 1], "source_positions": 0}
        return ca.Counterfactuals.from_arrays(site, **ends, labels=labels[:, None].tolist(), target_positions=0)

    def align_at(site: Site, into: SharedReadings | None) -> ca.Alignment:
        return ca.align(data_of(site), method="das", rank=2, start="random", search=QUICK, readings=into)

    plain = [align_at(site, None) for site in sites]
    hook = model[0].register_forward_hook(lambda _, args, __: seen.update([len(args[0])]))
    shared = [align_at(site, readings) for site in sites]
    hook.remove()
    assert readings.inputs_read == {"Sequential": 2 * 40}
    for one, other in zip(shared, plain, strict=True):
        assert_same(one, other)


class Positions(nn.Module):
    """Layers over vectors at four positions, and a readout of their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x.sum(1))


def test_the_states_at_all_positions_are_shared_where_a_swap_needs_them(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, inputs = Positions().eval(), torch.randn(40, 2, 4, 6)
    sites = [ca.Site(model, f"layers.{n}", inputs=inputs[:4, 0]) for n in range(3)]
    assert all(isinstance(site, TensorSite) and site.keeps_states for site in sites)
    readings = SharedReadings(tmp_path, sites)

    def align_at(site: Site, into: SharedReadings | None) -> ca.Alignment:
        ends: dict[str, Any] = {"source_inputs": inputs[:, 0], "target_inputs": inputs[:, 1]}
        labels = [[0], [1], [2], [0]] * 10
        data = ca.Counterfactuals.from_arrays(site, **ends, labels=labels, source_positions=1, target_positions=2)
        return ca.align(data, method="das", rank=2, start="random", search=QUICK, readings=into)

    for site in sites[::2]:
        assert_same(align_at(site, readings), align_at(site, None))
    assert readings.inputs_read == {"Positions": 2 * 40}


class Shifted(HuggingFaceResidual):
    """A user's residual stream, which reads its states in its own way."""

    def read(self, tokens: Tensor) -> Tensor:
        return super().read(tokens) + 1


def test_a_class_that_overrides_read_is_read_by_it() -> None:
    network = HuggingFace(llama(7, depth=2))
    plain, shifted = (kind(network, network.task, at="layer.1", layer=1) for kind in (HuggingFaceResidual, Shifted))
    tokens = torch.randint(1, 60, (3, 5))
    assert reader_of(HuggingFaceResidual) is ResidualStream
    ((one, _),), ((other, _),) = (read_together([site], tokens) for site in (plain, shifted))
    assert torch.equal(one + 1, other)


def test_a_broken_file_is_read_anew_with_one_line(
    thirteen: tuple[Any, list[Site]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = thirteen[1][2]
    plain = align([site], SharedReadings(tmp_path))
    tables = [path for path in tmp_path.glob("*.safetensors") if "probe" not in path.name]
    largest = max(tables, key=lambda path: path.stat().st_size)
    whole = largest.read_bytes()
    assert load_file(largest)["table"].nbytes > len(whole) - 200  # the library of the format reads it
    largest.write_bytes(whole[: len(whole) // 2])
    again = SharedReadings(tmp_path)
    with caplog.at_level(logging.WARNING, logger="causalign"):
        assert_same(align([site], again), plain)
    assert 0 < again.inputs_read.total() < 2 * ROWS
    assert {largest.name in each.getMessage() for each in caplog.records} == {True}
    assert largest.read_bytes() == whole


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(
    thirteen: tuple[Any, list[Site]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [0]

    def reserve(file: Any, size: int) -> None:
        made[0] += 1
        file.truncate(size)
        if made[0] > 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_file, "reserve", reserve)
    with pytest.raises(ca.OutOfMemory, match=r"do not fit on the disk of .* free\): take a folder on another disk"):
        align([thirteen[1][2]], SharedReadings(tmp_path, thirteen[1]))
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock", ".safetensors"}
    assert all("probe" in path.name for path in tmp_path.glob("*.safetensors"))
    with pytest.raises(ca.FileFormatError, match="cannot write to the folder"):
        SharedReadings(next(tmp_path.glob("*.lock")))


def test_networks_of_the_same_weights_that_compute_something_else_have_readings_of_their_own(tmp_path: Path) -> None:
    readings = SharedReadings(tmp_path)
    turned = {"rope_type": "default", "rope_theta": 50.0}
    models = [llama(3, depth=2), llama(3, depth=2, rope_parameters=turned)]
    one, other = (states_of(ca.Site(model, "layer.2"), readings) for model in models)
    assert not torch.equal(one, other)

    class Odd(nn.Module):
        def __init__(self, sign: int) -> None:
            super().__init__()
            self.embedding, self.head, self.sign = nn.Embedding(60, 8), nn.Linear(8, 60), sign

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(torch.tanh(self.sign * self.embedding(ids)).cumsum(1))

    plus, minus = Odd(1).eval(), Odd(-1).eval()
    minus.load_state_dict(plus.state_dict())
    sites = [ca.Site(each, "head:input") for each in (plus, minus)]
    assert sites[0].fingerprint == sites[1].fingerprint
    one, other = (states_of(site, readings) for site in sites)
    assert not torch.equal(one, other)
    assert len(list(tmp_path.glob("*.probe.safetensors"))) == 4


def test_changed_weights_are_read_anew(tmp_path: Path) -> None:
    model, readings = llama(4, depth=2), SharedReadings(tmp_path)
    before = states_of(ca.Site(model, "layer.1"), readings)
    model.model.layers[0].mlp.down_proj.weight.data.mul_(2)
    readings.refresh()  # as every alignment does
    assert not torch.equal(before, states_of(ca.Site(model, "layer.1"), readings))


def test_tables_are_mapped_and_not_copied(thirteen: tuple[Any, list[Site]], tmp_path: Path) -> None:
    path = tmp_path / "table.safetensors"
    made = table_file.TableFile(path, [1000, 64], torch.float32)
    made.table[:] = torch.arange(64_000).view(1000, 64)
    made.keep()
    loaded = table_file.load_table(path, [1000, 64], torch.float32)
    assert loaded is not None
    assert torch.equal(loaded, made.table)
    maps = Path("/proc/self/maps").read_text()
    ranges = [line.split()[0].split("-") for line in maps.splitlines() if str(path) in line]
    assert any(int(first, 16) <= loaded.data_ptr() < int(last, 16) for first, last in ranges)
    assert table_file.load_table(path, [1000, 63], torch.float32) is None


SCRIPT = """
import sys, time
from pathlib import Path
import causalign as ca
from causalign.engine.activation_cache import read_activations
from causalign.run_context import RunContext
network = ca.zoo.load("multi-object/transformer", seed=0)
sites = [network.site(at) for at in ("layer.1", "layer.2")]
folder, own = Path(sys.argv[1]), int(sys.argv[2])
readings = ca.SharedReadings(folder / "cache", sites)
(folder / f"ready{own}").touch()
while not (folder / f"ready{1 - own}").exists():
    time.sleep(0.01)
network.layers[0].register_forward_pre_hook(lambda *_: time.sleep(1))
(found,) = read_activations([sites[own]], 50, "test", RunContext(0, readings=readings))
print(readings.inputs_read.total(), float(found.states.double().sum()))
"""


def test_two_processes_at_once_read_once(tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, tmp_path, str(own)], stdout=subprocess.PIPE, text=True
        )
        for own in (0, 1)
    ]
    said = [each.communicate(timeout=120)[0].split() for each in both]
    assert sorted(int(read) for read, _ in said) == [0, 50]
    for own, (_, total) in enumerate(said):
        site = ca.zoo.load("multi-object/transformer", seed=0).site(f"layer.{own + 1}")
        (plain,) = read_activations([site], 50, "test", RunContext(0))
        assert float(total) == pytest.approx(float(plain.states.double().sum()))


class Doubled(HiddenState):
    """A user's site, of which nothing is known but its code."""

    def read(self, tokens: Tensor) -> Tensor:
        return 2 * super().read(tokens)


def test_a_user_s_own_site_is_read_every_time_and_counted(
    tmp_path: Path, zoo_pair: tuple[ca.networks.GRU, ca.networks.GRU]
) -> None:
    network = zoo_pair[0]
    site, readings = Doubled(network, network.task), SharedReadings(tmp_path)
    for _ in range(2):
        (found,) = read_activations([site], 20, "test", RunContext(0, readings=readings))
        (plain,) = read_activations([network.site("hidden")], 20, "test", RunContext(0, readings=readings))
        assert torch.equal(found.states, 2 * plain.states)
    assert readings.uncached == {site.name: 2}
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_neighbour_with_infinite_states_harms_no_other_site(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = llama(6, depth=3)
    sites = [ca.Site(model, at) for at in ("layer.1", "layer.2.mlp", "layer.3.mlp")]
    model.model.layers[2].mlp.down_proj.weight.data.fill_(float("inf"))
    ids = torch.randint(1, 60, (4, 5))
    kept = np.ones((4, 5), dtype=bool)
    request = ReadingRequest(lambda chunk, time: ids[torch.from_numpy(chunk), :time], kept, kept)
    readings = SharedReadings(tmp_path, sites)
    with caplog.at_level(logging.WARNING, logger="causalign"):
        states, _ = readings.read(sites[1], request, Store())
    assert torch.equal(states, sites[1].read(ids).flatten(0, 1))
    assert "layer.3.mlp: the states of trial 0 are NaN or infinite" in caplog.text
    with pytest.raises(ca.InvalidArgument, match=r"layer.3.mlp: the states of trial 0"):
        readings.read(sites[2], request, Store())
