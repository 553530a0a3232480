"""Which knobs of a stage are bounds: read by its rules alone, so that moving one moves no metric.

Read from the source of the stage's classes. A knob is a bound if every method that reads it only
judges: `rules`, `check`, `plan_notes`, those named in `judging`, and methods that nothing but these
calls. All others may take part in measuring. Where the source cannot be read to the end (a method
hands out `self` whole, or comes from elsewhere), no knob counts as a bound: a wrong "needs a run"
costs time, a wrong "exact" would be a lie.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections import defaultdict
from functools import cache

from pipeline.knobs import knob_info
from pipeline.stage import Filter, GlobalStage, RowStage, Source, Stage, TextMap

_JUDGING = ("rules", "check", "check_sources", "plan_notes")
_ENGINE = frozenset(
    name for base in (Stage, RowStage, Filter, TextMap, GlobalStage, Source) for name in vars(base)
)
"""What the engine calls or reads by itself."""
_HOOKS = frozenset({"__post_init__", "__getattribute__", "__getattr__", "__call__"})
"""Of the double-underscore names, those that no dataclass and no class makes by itself."""
WHOLE = "self"
"""Stands among the names that a method reads if it hands out `self` as a whole."""


def bound_knobs(stage: RowStage) -> tuple[str, ...]:
    """Knobs of this very configuration that only its rules read, in order of declaration."""
    reads = _reads(type(stage))  # type: ignore[arg-type]  # a class is hashable
    if reads is None:
        return ()
    judging = _judging(reads, set(_JUDGING), set(stage.judging))
    measured = {name for method, names in reads.items() if method not in judging for name in names}
    if WHOLE in measured:
        return ()
    fields = dataclasses.fields(stage)  # type: ignore[arg-type]
    return tuple(f.name for f in fields if f.name not in measured and not knob_info(f).reference)


def _judging(reads: dict[str, frozenset[str]], given: set[str], promised: set[str]) -> set[str]:
    """The given methods and, again and again, those that only such methods call; less the given
    ones that a measuring method calls too."""
    callers: dict[str, set[str]] = defaultdict(set)
    for method, names in reads.items():
        for name in names:
            callers[name].add(method)
    found = given | promised
    while True:
        more = {
            method
            for method in reads
            if method not in found | _ENGINE and callers[method] and callers[method] <= found
        }
        if not more:
            break
        found |= more
    shared = {method for method in given - promised if not callers[method] <= found}
    return _judging(reads, given - shared, promised) if shared else found


@cache
def _reads(cls: type) -> dict[str, frozenset[str]] | None:
    """Method -> names that it reads of `self`, over all classes of a stage; None if unknown."""
    found: dict[str, frozenset[str]] = {}
    for one in cls.__mro__:
        if one is object or one.__module__ == Stage.__module__:
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
        except (OSError, TypeError, SyntaxError):
            return None
        methods = _methods(tree.body[0])
        if any(_code(name, value) and name not in methods for name, value in vars(one).items()):
            return None
        for name, names in methods.items():
            found[name] = found.get(name, frozenset()) | names
    return found


def _methods(cls: ast.stmt) -> dict[str, frozenset[str]]:
    """What each method in the body of a class reads of `self`."""
    body = cls.body if isinstance(cls, ast.ClassDef) else []
    functions = [n for n in body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {function.name: _names_read(function) for function in functions}


def _code(name: str, value: object) -> bool:
    """True if a class attribute runs code of its own."""
    if (name.startswith("__") and name not in _HOOKS) or isinstance(value, type):
        return False
    return callable(value) or hasattr(value, "__get__")


def _names_read(function: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    arguments = [*function.args.posonlyargs, *function.args.args]
    own = arguments[0].arg if arguments else ""
    names: set[str] = set()
    known: set[int] = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Attribute):
            continue
        if isinstance(node.value, ast.Name) and node.value.id == own:
            names.add(WHOLE if node.attr.startswith("__") else node.attr)
            known.add(id(node.value))
        elif isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "super":
            names.add(node.attr)
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == own and id(node) not in known:
            names.add(WHOLE)
    return frozenset(names)
