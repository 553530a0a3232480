"""The house rules of DESIGN sections 1, 2, 4 and 9, read from the code itself."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.metadata
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from pipeline.errors import EXIT_INTERRUPTED, PipelineError
from pipeline.knobs import knob_info
from pipeline.planning.build import catalogue, stage_class
from pipeline.stage import is_frozen_stage

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "stages", "tokenizer_training", "loader", "samples", "benchmarks")
MAX_LINES = 400
LATE = ("ray", "torch", "trafilatura", "numba")
"""Libraries that are slow to import: only what uses them loads them."""

MAY_IMPORT = {
    "pipeline": {"pipeline"},
    "stages": {"stages", "pipeline"},
    "tokenizer_training": {
        *("tokenizer_training", "pipeline", "stages.kernels.bpe_merges"),
        *("stages.kernels.piece_classes", "stages.kernels.piece_counts"),
        *("stages.kernels.piece_rules", "stages.kernels.expressions"),
        *("stages.encoders.source", "stages.encoders.backends"),
    },
    "loader": {
        *("loader", "pipeline.schema", "pipeline.errors", "pipeline.draw"),
        *("pipeline.machine_code",),
    },
    "samples": {"samples"},
    "benchmarks": set(PACKAGES),
}
"""What each package may import of our own (DESIGN section 2)."""

LAYOUT = {
    *PACKAGES, "configs", "tests", "docs", "examples", ".ci",
    "pyproject.toml", "README.md", "LICENSE", ".gitignore",
}  # fmt: skip
ALSO_ALLOWED = {"NOTICE", "CHANGELOG.md", "CONTRIBUTING.md", "constraints.txt", "Makefile"}

FORBIDDEN_WORDS = {
    "task", "rank", "job", "item", "record", "processor", "manager", "helper", "util", "utils",
}  # fmt: skip
ALLOWED_WORDS = {
    # WARC files consist of records; `runs/<id>.json` is a run record.
    "record": ("warc", "archives/", "original", "pipeline/results/records.py", "benchmarks/web.py"),
    # A document's draw gives its rank in its group; torch.distributed has ranks.
    "rank": ("rank_cut", "sampling", "loader/"),
}
"""Forbidden word -> parts of paths where DESIGN section 1 uses it after all."""


# --- Reading the tree --------------------------------------------------------------------------


@cache
def project_files() -> tuple[Path, ...]:
    """Files of the project as git sees them: all that is not ignored; none where git is not."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "-c", "-o", "--exclude-standard"]
    try:
        names = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(path for name in names.split("\0") if name and (path := ROOT / name).is_file())


def sources(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """(path relative to the root, syntax tree) of every module of the packages."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not any(part.startswith(".") for part in path.relative_to(ROOT).parts):
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, absolute module) of every import, also those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            assert node.module
            yield node.lineno, node.module


def top_level_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports that run when the module is imported."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imports(ast.Module([node], []))
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)


def none_of(faults: Iterable[str]) -> None:
    """Fail with one line a fault."""
    found = sorted(faults)
    assert not found, "\n" + "\n".join(found)


# --- Import direction --------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_stands_below_it(package: str) -> None:
    allowed = MAY_IMPORT[package]
    none_of(
        f"{path}:{line}: {package} may not import {name}"
        for path, tree in sources(package)
        for line, name in imports(tree)
        if name.split(".")[0] in (*PACKAGES, "tests")
        and name not in allowed
        and name.split(".")[0] not in allowed
    )


def test_the_loader_and_the_stages_never_import_ray() -> None:
    none_of(
        f"{path}:{line}: imports {name}"
        for path, tree in sources("loader", "stages", "tokenizer_training", "samples")
        for line, name in imports(tree)
        if name.split(".")[0] == "ray"
    )


def test_the_loader_needs_torch_only_inside_functions_or_in_a_module_that_says_so() -> None:
    none_of(
        f"{path}:{line}: imports torch with the module"
        for path, tree in sources("loader")
        for line, name in top_level_imports(tree)
        if name.split(".")[0] == "torch" and "torch" not in Path(path).stem
    )


def modules_after(statement: str) -> set[str]:
    """Top-level names in sys.modules of a fresh Python after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_engine_loads_neither_ray_nor_torch() -> None:
    engine = ("stage", "cli", "planning.plan", "execution.runner")
    statement = "import " + ", ".join(f"pipeline.{module}" for module in engine)
    assert not modules_after(statement) & set(LATE)


def test_importing_every_stage_of_the_catalogue_loads_no_slow_library() -> None:
    modules = sorted({target.partition(":")[0] for target in catalogue().values()})
    assert not modules_after(f"import {', '.join(modules)}") & set(LATE)


# --- Files -------------------------------------------------------------------------------------


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {
        path: len((ROOT / path).read_text("utf-8").splitlines()) for path, _ in sources(*PACKAGES)
    }
    none_of(f"{path}: {n} lines" for path, n in lengths.items() if n > MAX_LINES)


def test_the_top_level_is_that_of_the_design() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in project_files()}
    if not names:
        pytest.skip("no git here to say what belongs to the project")
    none_of(
        [f"{name}: missing" for name in LAYOUT - names]
        + [f"{name}: not in the layout" for name in names - LAYOUT - ALSO_ALLOWED]
    )


_MACHINE = re.compile(r"(?<![\w./~}-])/(?:home|root|work|Users|workspace)/\w+")
_REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.|artif[a]ctory|[n]exus\.|--(?:extra-)?index-[u]rl|_INDEX[_]URL"
)
_BINARY = {".gz", ".parquet", ".zst", ".bz2", ".png", ".npy", ".arrow"}


def test_no_file_names_a_machines_path_or_a_registry_host() -> None:
    faults = []
    for path in project_files():
        if path.suffix in _BINARY or path.name == "LICENSE":
            continue
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if found := _MACHINE.search(line) or _REGISTRY.search(line):
                faults.append(f"{path.relative_to(ROOT)}:{number}: {found.group()}")
    none_of(faults)


def test_the_licence_is_apache_2_in_the_file_and_in_the_metadata() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert project()["license"] == "Apache-2.0"


# --- Dependencies ------------------------------------------------------------------------------


@cache
def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    return found


def normal(requirement: str) -> str:
    """The name of a requirement, as PEP 503 writes it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def declared(*extras: str) -> set[str]:
    """Names of the dependencies, and of these extras."""
    core, optional = project()["dependencies"], project()["optional-dependencies"]
    assert isinstance(core, list)
    assert isinstance(optional, dict)
    return {normal(line) for line in [*core, *(r for name in extras for r in optional[name])]}


@pytest.mark.parametrize(
    ("package", "extras"),
    [
        ("pipeline", ()),
        ("stages", ("train", "gigatoken", "sentencepiece")),
        ("tokenizer_training", ("sentencepiece",)),
        ("samples", ()),
        ("loader", ("loader",)),
        ("tests", ("dev", "loader")),
    ],
)
def test_every_library_that_a_package_imports_is_declared(
    package: str, extras: tuple[str, ...]
) -> None:
    distributions = importlib.metadata.packages_distributions()
    known = declared(*extras)
    own = {*PACKAGES, "tests", *(path.stem for path in (ROOT / "tests").glob("*.py"))}
    faults = []
    for path, tree in sources(package):
        for line, name in imports(tree):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in own:
                continue
            if not {normal(d) for d in distributions.get(top, [top])} & known:
                faults.append(f"{path}:{line}: {top} is not in pyproject.toml")
    none_of(faults)


def libraries_of(cls: type) -> tuple[str, ...]:
    """Distributions that a stage names, as it is without any knob."""
    found = cls.__dict__.get("libraries", ())
    if isinstance(found, property):
        needed = {
            field.name: ()
            for field in dataclasses.fields(cls)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        found = cls(**needed).libraries
    return tuple(found)


@pytest.mark.parametrize("name", catalogue())
def test_every_library_in_a_stages_identity_is_declared(name: str) -> None:
    core = declared()
    below = {
        normal(line)
        for distribution in core
        for line in importlib.metadata.requires(distribution) or []
        if "extra ==" not in line
    }
    used = set(libraries_of(stage_class(name, "test"))) - sys.stdlib_module_names
    assert {normal(library) for library in used} <= core | below


def test_the_readme_names_only_extras_that_exist() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("no README.md yet")
    named = re.findall(r"(?:tokenmill|\.)\[([a-z0-9,]+)\]", readme.read_text("utf-8"))
    optional = project()["optional-dependencies"]
    assert isinstance(optional, dict)
    assert {extra for group in named for extra in group.split(",")} <= set(optional)


# --- Stages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", catalogue())
def test_a_catalogue_entry_is_a_frozen_dataclass_with_a_summary(name: str) -> None:
    cls = stage_class(name, "test")
    assert is_frozen_stage(cls)
    summary = (cls.__doc__ or "").partition("\n")[0]
    assert not summary.startswith(f"{cls.__name__}("), "dataclass wrote the docstring itself"
    assert summary.endswith("."), f"{summary!r} is no sentence"


@pytest.mark.parametrize("name", catalogue())
def test_every_identity_knob_with_a_default_names_its_source(name: str) -> None:
    cls = stage_class(name, "test")
    none_of(
        f"{name}.{field.name}"
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if knob_info(field).identity
        and not knob_info(field).source
        and (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
    )


@pytest.mark.parametrize("name", catalogue())
def test_a_bumped_version_has_its_line_of_history(name: str) -> None:
    cls = stage_class(name, "test")
    text = f"{sys.modules[cls.__module__].__doc__}\n{cls.__doc__}"
    for version in range(2, cls.version + 1):
        assert re.search(rf"^\s*{version}: \S", text, re.MULTILINE), f"no line `{version}: ...`"


# --- Code --------------------------------------------------------------------------------------


def words_of(name: str) -> set[str]:
    """Words of an identifier in snake or camel case, plurals as singulars too."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    lower = {part.lower() for part in parts}
    return lower | {part.removesuffix("s") for part in lower}


def defined_names(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of the module, its classes and its functions."""
    yield 1, Path(path).stem
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name


def test_no_module_class_or_function_is_named_by_a_forbidden_word() -> None:
    none_of(
        f"{path}:{line}: {name}"
        for path, tree in sources(*PACKAGES)
        for line, name in defined_names(path, tree)
        for word in words_of(name) & FORBIDDEN_WORDS
        if not any(part in path for part in ALLOWED_WORDS.get(word, ()))
    )


def broad(handler: ast.ExceptHandler) -> bool:
    """True if the handler catches Exception or BaseException."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(k, ast.Name) and k.id in ("Exception", "BaseException") for k in kinds)


def test_no_error_is_caught_bare_or_swallowed() -> None:
    faults = []
    for path, tree in sources(*PACKAGES):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                silent = all(isinstance(line, (ast.Pass, ast.Continue)) for line in node.body)
                if node.type is None:
                    faults.append(f"{path}:{node.lineno}: bare except")
                elif broad(node) and silent:
                    faults.append(f"{path}:{node.lineno}: swallows every error")
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
                named = {ast.unparse(argument) for argument in node.args}
                if named & {"Exception", "BaseException"}:
                    faults.append(f"{path}:{node.lineno}: suppresses every error")
    none_of(faults)


def error_classes() -> list[type[PipelineError]]:
    """Every error class that the packages define."""
    for package in ("pipeline", "stages", "tokenizer_training", "loader"):
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            # A module whose name says torch needs the extra `loader`.
            if not module.name.endswith("__main__") and "torch" not in module.name:
                importlib.import_module(module.name)
    found, waiting = [], [PipelineError]
    while waiting:
        cls = waiting.pop()
        found.append(cls)
        waiting += cls.__subclasses__()
    return [cls for cls in found if cls.__module__.split(".")[0] in PACKAGES]


def test_every_error_class_has_its_documented_exit_code() -> None:
    documented = dict(
        re.findall(
            r"^ +(\w+Error) +(\d)  ",
            importlib.import_module("pipeline.errors").__doc__ or "",
            re.MULTILINE,
        )
    )
    assert documented["PipelineError"] == "1"
    codes = [int(code) for code in documented.values()]
    assert len(set(codes)) == len(codes)
    assert EXIT_INTERRUPTED not in codes
    for cls in error_classes():
        above = next(base for base in cls.__mro__ if base.__name__ in documented)
        assert cls.exit_code == int(documented[above.__name__]), cls
        assert cls.exit_code in codes


def test_every_module_says_what_it_is_for() -> None:
    none_of(path for path, tree in sources(*PACKAGES) if tree.body and not ast.get_docstring(tree))


def test_test_names_are_sentences() -> None:
    none_of(
        f"{path}:{line}: {name}"
        for path, tree in sources("tests")
        for line, name in defined_names(path, tree)
        if name.startswith("test_") and line > 1 and len(name.split("_")) < 4
    )
