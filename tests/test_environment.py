"""The two ways to install the project say the same, and say all that it imports."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))

# Names that differ between the two worlds: PyPI -> conda-forge.
CONDA_NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "jupyter-client": "jupyter_client",
    "jupyter-server": "jupyter_server",
}
# Imported in the library only where authors make its data and the students' copies, keep nbgrader's gradebook (sqlalchemy), or
# count privacy (opacus); in the `dev` extra.
AUTHORS_ONLY = {"mlxtend", "nbgrader", "opacus", "sqlalchemy"}
ONLY_CONDA = {"python", "pip", "make"}


def bounds(lines):
    """Name -> version bound of lines such as "torch>=2.6" or "pytorch >=2.6"."""
    requirements = [Requirement(line) for line in lines]
    return {requirement.name: str(requirement.specifier) for requirement in requirements}


def conda_lines():
    """The lines for conda and the lines for pip of environment.yml."""
    plain = [line for line in CONDA["dependencies"] if isinstance(line, str)]
    [pip] = [line["pip"] for line in CONDA["dependencies"] if isinstance(line, dict)]
    return plain, [line for line in pip if not line.startswith("-")]


def declared():
    """Name -> bound of everything in pyproject.toml: to run the course and to work on it."""
    return bounds(PROJECT["dependencies"]) | bounds(PROJECT["optional-dependencies"]["dev"])


def test_conda_equals_pyproject():
    """Checks environment.yml against pyproject.toml: the same packages with the same version bounds."""
    plain, pip = conda_lines()
    conda = {name: bound for name, bound in bounds(plain).items() if name not in ONLY_CONDA}
    assert conda | bounds(pip) == {CONDA_NAMES.get(name, name): bound for name, bound in declared().items()}
    assert bounds(plain)["python"] == PROJECT["requires-python"]


def test_conda_reads_every_line():
    """Checks each line with the parser of the conda world (py-rattler), whose grammar is not pip's."""
    rattler = pytest.importorskip("rattler", reason="py-rattler is not installed")
    for line in conda_lines()[0]:
        spec = rattler.MatchSpec(line, strict=True)
        assert spec.name is not None and spec.version is not None or line in ONLY_CONDA, line


def third_party_imports(folder):
    """Top-level names of the packages that the Python files below `folder` import, without ours and the standard library's."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    own = {
        part
        for path in (ROOT / folder).rglob("*.py")
        for part in path.relative_to(ROOT).with_suffix("").parts
    }
    return names - own - {"advcourse"} - set(sys.stdlib_module_names)


def normal(name):
    """A distribution's name in the one form that PyPI compares by."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("folder", ["advcourse", "tests", "benchmarks"])
def test_imports_are_declared(folder):
    """Checks the imports in the source against pyproject.toml, going by which installed package brings which module."""
    peers = (ROOT / "tests" / "requirements-peers.txt").read_text(encoding="utf-8").splitlines()
    allowed = {*bounds(PROJECT["dependencies"])} if folder == "advcourse" else {*declared()}
    if folder != "advcourse":
        allowed |= {Requirement(line).name for line in peers if line and not line.startswith("#")}
    brings = importlib.metadata.packages_distributions()
    for module in sorted(third_party_imports(folder) - (AUTHORS_ONLY if folder == "advcourse" else set())):
        packages = {normal(package) for package in brings.get(module, [module])}
        assert packages & {normal(name) for name in allowed}, f"{module} is imported and not declared"


def test_peers_are_never_needed_to_run_the_course():
    """Checks that what the attacks are compared with stands in no run-time dependency."""
    assert not {"foolbox", "torchattacks", "nbgrader", "playwright"} & bounds(PROJECT["dependencies"]).keys()
