"""Kill a sweep of 200 points at 50 random moments: `python docs/examples/killed_sweep.py`.

Each try is a forked process that runs the same sweep and gets a SIGKILL. Then the sweep is run to its end, and compared
with one that was left alone. It takes a few minutes.
"""

import json
import os
import random
import signal
import tempfile
import time
import warnings
from pathlib import Path

import causalign as ca

KILLS, SEEDS = 50, 50
SITES = [f"zoo:multi-object/gru/{seed}@hidden" for seed in (0, 1)]
FEW = ca.SearchConfig(max_steps=2, eval_every=1, batch_size=8, initial_batch_size=8)
GRID = {"site_1": SITES, "rank": [1, 2], "seed": list(range(SEEDS))}


def swept(out: Path) -> ca.Sweep:
    """Run the sweep."""
    return ca.sweep([], GRID, out=out, workers=1, method="das", search=FEW, n_train=16, n_validation=8, n_test=8)


def finished(out: Path) -> dict[str, int]:
    """When the result of each finished point was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("points/[!.]*/result.json")}


def kill_one(out: Path, after: float) -> None:
    """Run the sweep in a process of its own, and kill it."""
    child = os.fork()
    if not child:
        swept(out)
        os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def contents(found: ca.Sweep) -> dict[str, tuple[object, ...]]:
    """The bytes of each point, but for the time that it took."""
    whole = {}
    for key in found.points:
        folder = found.folder.point(key)
        result = json.loads((folder / "result.json").read_bytes())
        del result["seconds"]
        whole[key] = (result, *((folder / name).read_bytes() for name in ("maps.safetensors", "rows.safetensors")))
    return whole


def main(root: Path) -> None:
    """Print what was lost."""
    warnings.simplefilter("ignore")
    drawn, seen, again = random.Random(0), dict[str, int](), 0
    for _ in range(KILLS):
        kill_one(root / "killed", drawn.uniform(0.5, 4.0))
        now = finished(root / "killed")
        again += sum(now.get(key) != time for key, time in seen.items())
        seen = now
    killed = swept(root / "killed")
    again += sum(finished(root / "killed")[key] != time for key, time in seen.items())
    same = contents(killed) == contents(swept(root / "alone"))
    half = [path for path in (root / "killed" / "points").iterdir() if path.name.startswith(".")]
    print(
        f"{KILLS} kills, after which {len(seen)} points were finished; in the end {killed.counts['finished']} of "
        f"{len(killed.points)} are; {again} were run twice, {len(half)} are half-written; the bytes are those of "
        f"a sweep that was left alone: {'yes' if same else 'no'}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
