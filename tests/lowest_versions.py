"""Print the oldest versions that the package allows, as pip's constraints: `python tests/lowest_versions.py`.

torch is left out: its oldest version would be a build for CUDA on most machines.
"""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

LEFT_OUT = ("torch",)


def lowest() -> list[str]:
    """The oldest allowed version of each package on which the package always depends, as `NAME==VERSION`."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    declared = [Requirement(each) for each in project["dependencies"]]
    versions = {each.name: [part.version for part in each.specifier if part.operator == ">="] for each in declared}
    return [f"{name}=={version}" for name, (version,) in versions.items() if name not in LEFT_OUT]


if __name__ == "__main__":
    print("\n".join(lowest()))
