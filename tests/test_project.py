"""What holds for the project as a whole."""

import ast
import contextlib
import importlib.metadata
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import causalign as ca
from causalign.cli import COMMANDS

ROOT = Path(__file__).parent.parent


def test_a_room_imports_only_from_the_rooms_below_it() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


BANNED = {
    *("given", "written", "searched", "recorded", "scored", "described", "hooked", "carried", "alone", "looks"),
    *("wrapped", "asked", "said", "told", "found", "swapped", "chained", "overridden", "configured", "unregistered"),
    *("look", "floor", "listener", "settings", "plan", "unswapped", "departures", "optimiser", "behaviour", "friends"),
}
"""Participles, pronouns, and words that the glossary has another word for."""


def words_of(name: str) -> set[str]:
    """The words of a name in snake_case or CamelCase."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def test_files_are_named_by_nouns() -> None:
    package = Path(ca.__file__).parent
    for path in package.rglob("*.py"):
        assert not BANNED & words_of(path.stem), path
        assert path.stem.startswith("__") or not path.stem.startswith("_"), path


def test_public_names_are_those_of_the_glossary() -> None:
    """No class, function, method, parameter or field that a user meets is named by a banned word."""
    for name in ca.__all__:
        assert not BANNED & words_of(name), name
        value = getattr(ca, name)
        if not callable(value):
            continue
        names = [each for each in vars(value) if not each.startswith("_")] if isinstance(value, type) else []
        functions = [value, *(member for each in names if callable(member := getattr(value, each)))]
        for function in functions:
            with contextlib.suppress(ValueError, TypeError):
                names += [each for each in inspect.signature(function).parameters if not each.startswith("_")]
        for each in names:
            assert not (BANNED - {"scored"}) & words_of(each), f"{name}: {each}"  # tokens are scored, or not


def test_every_word_of_the_contract_is_in_the_glossary() -> None:
    text = (ROOT / "docs/glossary.md").read_text()
    entries = set(", ".join(re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)).split(", "))
    words = "network site activation source target direction row variable intervention objective method alignment IIA"
    words += " baseline control evaluation configuration callback estimate recording fingerprint"
    assert set(words.split()) <= entries
    assert {"counterfactual dataset", "alignment map", "early stopping", "causal model"} <= entries


def test_the_readme_s_example_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (ROOT / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example
    lines = [line for line in example[1].splitlines() if line.strip()]
    assert len(lines) <= 10
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example[1], names)
    assert isinstance(names["alignment"], ca.Alignment)
    assert names["alignment"].worst_iia >= 0.99
    assert capsys.readouterr().out


def test_the_examples_run_one_after_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "examples.md").read_text(), re.DOTALL)
    assert len(blocks) == 11
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert re.search(r"^B (I )+T (I )+E$", capsys.readouterr().out, re.MULTILINE)
    assert (tmp_path / "runs" / "untrained" / "report.html").exists()


def test_the_version_is_said_once() -> None:
    assert importlib.metadata.version("causalign") == ca.__version__
    assert f"## {ca.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_package_is_typed_and_whole() -> None:
    package = Path(ca.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "report" / "page.html.j2").exists()
    assert set(ca.__all__) <= set(dir(ca))


def test_importing_causalign_draws_nothing_and_is_quiet() -> None:
    code = "import torch; a = torch.get_rng_state(); import causalign; assert torch.equal(a, torch.get_rng_state())"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pinned_versions_are_within_the_declared_ranges() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(name): pin for name, _, pin in (line.partition("==") for line in lines)}
    assert pins[canonicalize_name("torch")] == "2.13.0"
    for declared in importlib.metadata.requires("causalign") or []:
        if declared.startswith("causalign-zoo"):
            continue  # of this repository
        requirement = Requirement(declared)
        assert canonicalize_name(requirement.name) in pins, declared
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), declared


def test_heavy_libraries_are_imported_when_they_are_used() -> None:
    heavy = "{'torch', 'pandas', 'scipy', 'matplotlib', 'transformers', 'rich', 'typer'}"
    help_ = "import sys; sys.argv = ['causalign', '--help']\nfrom causalign.cli import main\n"
    help_ += "try: main()\nexcept SystemExit: pass\n"
    used = "import sys\nimport causalign\ncausalign.align; causalign.Counterfactuals\n"
    for code, allowed in ((help_, set()), ("import sys, causalign\n", set()), (used, {"torch", "pandas"})):
        script = f"{code}print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert set(ast.literal_eval(done.stdout.splitlines()[-1])) <= allowed, code


def test_every_command_is_in_the_overview() -> None:
    from causalign.cli.application import application

    registered = application().registered_commands
    commands = {command.callback.__name__: command.help for command in registered if command.callback}
    assert commands == COMMANDS


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_a_function_takes_at_most_five_positional_parameters_and_discards_none() -> None:
    for where, function in functions():
        named = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
        positional = [name for name in named if name not in ("self", "cls", "ctx")]
        assert len(positional) <= 5, where
        every = {*named, *(each.arg for each in function.args.kwonlyargs)}
        for node in ast.walk(function):
            if isinstance(node, ast.Delete):
                assert not every & {each.id for each in node.targets if isinstance(each, ast.Name)}, where
