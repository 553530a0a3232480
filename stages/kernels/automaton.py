"""Aho-Corasick over small classes of characters: all terms of a list in one pass.

States are slots of a double array: `base[state] + class` is the next state if `check` there names
the state it comes from; else the search goes on at `fail[state]`, the longest proper suffix that
begins a term. Time is linear in the text, memory in the terms, whatever either holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.kernels.jit import inner

Int32s = npt.NDArray[np.int32]
ROOT = 0
FREE, _NO_PARENT = -1, -2
"""`check` of a slot that is no state, and of the root."""


class Automaton(NamedTuple):
    """The terms as numbers of their own; several terms may end in one state."""

    base: Int32s
    check: Int32s
    fail: Int32s
    terms: Int32s
    """The longest term that ends in a state, or -1."""
    shorter: Int32s
    """For each term the next longest one that ends wherever it does, or -1."""


class _Node:
    __slots__ = ("children", "fail", "shorter", "slot", "term")

    def __init__(self) -> None:
        self.children: dict[int, _Node] = {}
        self.fail: _Node | None = None
        self.term = self.shorter = -1
        self.slot = ROOT


def make_automaton(
    terms: Sequence[Sequence[int]], openers: frozenset[int] | None = None
) -> Automaton:
    """The automaton of distinct, non-empty terms, each a sequence of classes from 1 on.

    With `openers` a term may begin only at the start or behind a character of these classes: the
    automaton then forgets what began elsewhere, and is at its root within most words.
    """
    root = _Node()
    for number, term in enumerate(terms):
        node = root
        for value in term:
            node = node.children.setdefault(value, _Node())
        node.term = number
    shorter = np.full(max(len(terms), 1), -1, np.int32)
    nodes = _linked(root, shorter, openers)
    return _placed(nodes, shorter, 1 + max((max(term) for term in terms), default=0))


def _linked(root: _Node, shorter: Int32s, openers: frozenset[int] | None) -> list[_Node]:
    """The nodes by depth, with what they fail to and which terms end there."""
    nodes, waiting = [root], deque([(root, 0)])
    while waiting:
        node, last = waiting.popleft()
        opens = openers is None or last in openers
        for value, child in node.children.items():
            fail = node.fail
            while fail is not None and (value not in fail.children or (fail is root and not opens)):
                fail = fail.fail
            child.fail = fail.children[value] if fail is not None else root
            inherited = child.fail.term
            if child.term < 0:
                child.term = inherited
            else:
                shorter[child.term] = inherited
            nodes.append(child)
            waiting.append((child, value))
    return nodes


class _Slots:
    """Slots of the double array while it grows; the next free one is soon found."""

    def __init__(self) -> None:
        self.base: list[int] = []
        self.check: list[int] = []
        self._following: list[int] = []

    def grow(self, size: int) -> None:
        """Have at least so many slots."""
        old = len(self.check)
        if size > old:
            size = max(size, 2 * old)
            self.check += [FREE] * (size - old)
            self.base += [0] * (size - old)
            self._following += range(old, size)

    def free(self, at: int) -> int:
        """The first free slot from `at` on."""
        self.grow(at + 1)
        path = []
        while self._following[at] != at:
            path.append(at)
            at = self._following[at]
            self.grow(at + 1)
        for step_over in path:
            self._following[step_over] = at
        return at

    def take(self, at: int, parent: int) -> None:
        self.grow(at + 2)
        self.check[at] = parent
        self._following[at] = at + 1


def _placed(nodes: Sequence[_Node], shorter: Int32s, num_classes: int) -> Automaton:
    """The double array: children of a node at free slots that lie apart as their classes do."""
    slots = _Slots()
    slots.take(ROOT, _NO_PARENT)
    crowded = 1  # below it, a node of several children is hardly ever placed
    for node in nodes:
        if not node.children:
            continue
        values = sorted(node.children)
        # Children never come to lie at or below the root, so bases are not negative.
        least = values[0] + 1
        at = slots.free(least if len(values) == 1 else max(least, crowded))
        while True:
            start = at - values[0]
            slots.grow(start + num_classes + 1)
            if all(slots.check[start + value] == FREE for value in values):
                break
            at = slots.free(at + 1)
        if len(values) > 1:
            crowded = at
        slots.base[node.slot] = start
        for value, child in node.children.items():
            child.slot = start + value
            slots.take(child.slot, node.slot)
    return _arrays(nodes, slots, shorter, num_classes)


def _arrays(nodes: Sequence[_Node], slots: _Slots, shorter: Int32s, num_classes: int) -> Automaton:
    """The slots in use, and as many free ones behind them as a class can reach."""
    size = max(node.slot for node in nodes) + num_classes + 2
    slots.grow(max(size, max(slots.base) + num_classes + 2))
    size = max(size, max(slots.base) + num_classes + 2)
    fail = np.zeros(size, np.int32)
    terms = np.full(size, -1, np.int32)
    for node in nodes:
        terms[node.slot] = node.term
        fail[node.slot] = node.fail.slot if node.fail is not None else ROOT
    base, check = np.array(slots.base[:size], np.int32), np.array(slots.check[:size], np.int32)
    return Automaton(base, check, fail, terms, shorter)


@inner
def step(automaton: Any, state: Any, value: Any) -> Any:
    """The state behind a character of class `value` > 0."""
    while True:
        following = automaton.base[state] + value
        if automaton.check[following] == state:
            return np.int64(following)
        if state == ROOT:
            return np.int64(ROOT)
        state = np.int64(automaton.fail[state])
