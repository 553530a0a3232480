"""Steps of boosted trees over `LANES` rows at once, as LLVM's vector instructions.

Eight numbers are compared and chosen by two instructions of AVX2, sixteen by AVX-512. So all nodes
of a tree are asked from its leaves up, without a jump: 63 nodes take half the time of the six steps
of a walk from the root down. These are plain vector instructions, which LLVM makes into those of
any processor; no result depends on the machine.

Rows stand side by side: value c of the rows is at c * LANES .. of `columns`, and what a node says
of each row at node * LANES .. of `room`. No bounds are tested.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 32
"""Two registers of AVX-512: 16 and 64 took a tenth more, measured on pages of 175 rows."""
TILE = 8
"""Rows and columns that are turned at once: a register of AVX2 each."""

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_LANES, _TILE = ir.VectorType(_F32, LANES), ir.VectorType(_F32, TILE)


def _int(number: int) -> Any:
    return ir.Constant(_I64, number)


def _data(context: Any, builder: Any, signature: Any, arguments: Any, number: int) -> Any:
    """Where an array begins."""
    make = context.make_array(signature.args[number])
    return make(context, builder, arguments[number]).data


def _place(builder: Any, base: Any, at: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(base, [at]), kind.as_pointer())


def _lanes_at(builder: Any, base: Any, row: Any) -> Any:
    return _place(builder, base, builder.mul(row, _int(LANES)), _LANES)


def _lanes(builder: Any, base: Any, row: Any) -> Any:
    return builder.load(_lanes_at(builder, base, row), align=4)


def _all(builder: Any, value: Any) -> Any:
    """A number in all lanes."""
    none = ir.Constant(_LANES, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(builder.insert_element(none, value, _int(0)), none, zeros)


def _right(builder: Any, tree: tuple[Any, Any, Any, Any], node: Any) -> Any:
    """A bit for each row: does it go to the right child?"""
    columns, features, thresholds, base = tree
    at = builder.add(base, node)
    column = builder.zext(builder.load(builder.gep(features, [at])), _I64)
    threshold = _all(builder, builder.load(builder.gep(thresholds, [at])))
    return builder.fcmp_ordered(">", _lanes(builder, columns, column), threshold)


def _fork(builder: Any, tree: tuple[Any, Any, Any, Any], node: Any, room: Any, below: Any) -> None:
    """A node, its two children and what is below them, into the node's place in `room`."""
    left = builder.add(builder.shl(node, _int(1)), _int(1))
    right = builder.add(left, _int(1))
    low = builder.select(_right(builder, tree, left), below[1], below[0])
    high = builder.select(_right(builder, tree, right), below[3], below[2])
    found = builder.select(_right(builder, tree, node), high, low)
    builder.store(found, _lanes_at(builder, room, node), align=4)


def _grandchild(builder: Any, node: Any) -> Any:
    """The first of a node's four grandchildren, in heap order."""
    return builder.add(builder.shl(node, _int(2)), _int(3))


@intrinsic  # type: ignore[untyped-decorator]
def fork_of_leaves(
    typing: Any, columns: Any, features: Any, thresholds: Any, base: Any, leaves: Any, behind: Any,
    node: Any, room: Any,
) -> Any:  # fmt: skip
    """What a node says whose grandchildren are leaves; leaf k of the heap is at `behind` + k."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = [_data(context, builder, signature, arguments, k) for k in (0, 1, 2, 4, 7)]
        first = builder.add(_grandchild(builder, arguments[6]), arguments[5])
        places = [builder.gep(data[3], [builder.add(first, _int(k))]) for k in range(4)]
        below = [_all(builder, builder.load(place)) for place in places]
        _fork(builder, (*data[:3], arguments[3]), arguments[6], data[4], below)
        return context.get_dummy_value()

    number = types.int64
    return types.void(columns, features, thresholds, number, leaves, number, number, room), build


@intrinsic  # type: ignore[untyped-decorator]
def fork_of_nodes(
    typing: Any, columns: Any, features: Any, thresholds: Any, base: Any, node: Any, room: Any
) -> Any:
    """What a node says whose four grandchildren have spoken."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = [_data(context, builder, signature, arguments, k) for k in (0, 1, 2, 5)]
        first = _grandchild(builder, arguments[4])
        below = [_lanes(builder, data[3], builder.add(first, _int(k))) for k in range(4)]
        _fork(builder, (*data[:3], arguments[3]), arguments[4], data[3], below)
        return context.get_dummy_value()

    number = types.int64
    return types.void(columns, features, thresholds, number, number, room), build


@intrinsic  # type: ignore[untyped-decorator]
def root_of_two(
    typing: Any, columns: Any, features: Any, thresholds: Any, base: Any, room: Any
) -> Any:
    """What the root says whose two children have spoken."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = [_data(context, builder, signature, arguments, k) for k in (0, 1, 2, 4)]
        goes = _right(builder, (*data[:3], arguments[3]), _int(0))
        low, high = _lanes(builder, data[3], _int(1)), _lanes(builder, data[3], _int(2))
        found = builder.select(goes, high, low)
        builder.store(found, _lanes_at(builder, data[3], _int(0)), align=4)
        return context.get_dummy_value()

    return types.void(columns, features, thresholds, types.int64, room), build


@intrinsic  # type: ignore[untyped-decorator]
def add_root(typing: Any, room: Any, to: Any) -> Any:
    """Add what the root says to the numbers at place `to`."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = _data(context, builder, signature, arguments, 0)
        total = builder.fadd(_lanes(builder, data, arguments[1]), _lanes(builder, data, _int(0)))
        builder.store(total, _lanes_at(builder, data, arguments[1]), align=4)
        return context.get_dummy_value()

    return types.void(room, types.int64), build


_TURNS = (
    (1, (0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
    (2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    (4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)
"""How far apart partners are, and what becomes of the two: shuffles of one instruction each."""
_TURNED = (0, 2, 1, 3, 4, 6, 5, 7)
"""Which column stands where after the turns."""


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Eight rows of eight numbers -> the eight columns."""

    def mixed(a: Any, b: Any, places: tuple[int, ...]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, TILE), places))

    for step, low, high in _TURNS:
        found: list[Any] = [None] * TILE
        for k in range(TILE):
            if not k & step:
                found[k] = mixed(rows[k], rows[k + step], low)
                found[k + step] = mixed(rows[k], rows[k + step], high)
        rows = found
    return [rows[k] for k in _TURNED]


@intrinsic  # type: ignore[untyped-decorator]
def turn_tile(typing: Any, flat: Any, rows: Any, column: Any, columns: Any, lane: Any) -> Any:
    """Columns `column` .. of the rows that begin at eight places of `flat`, into `columns` from a
    lane on. `rows` is a tuple of the eight places."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (_data(context, builder, signature, arguments, k) for k in (0, 3))
        _, places, first, _, lane = arguments
        tile = []
        for k in range(TILE):
            at = builder.add(builder.extract_value(places, k), first)
            tile.append(builder.load(_place(builder, source, at, _TILE), align=4))
        for k, found in enumerate(_turned(builder, tile)):
            at = builder.add(builder.mul(builder.add(first, _int(k)), _int(LANES)), lane)
            builder.store(found, _place(builder, target, at, _TILE), align=4)
        return context.get_dummy_value()

    number = types.int64
    return types.void(flat, types.UniTuple(number, TILE), number, columns, number), build
