"""Values and tables as text for a terminal of 80 columns or more; colour on a TTY only.

Web pages are hostile: everything that a page wrote is shown with its control and direction
characters escaped, so that no page can move the cursor or reverse a line.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

MAX_WIDTH = 120
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LONG = ("text", "html", "url", "file")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def width() -> int:
    """Columns to fill: the terminal's, 100 when piped, at most 120."""
    return max(60, min(MAX_WIDTH, shutil.get_terminal_size((100, 24)).columns))


def coloured() -> bool:
    """True where colour is shown: standard output is a terminal and NO_COLOR is unset."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, *styles: str) -> str:
    """The text in these styles on a terminal, unchanged elsewhere."""
    if not coloured() or not text:
        return text
    return f"\x1b[{';'.join(_COLOURS[style] for style in styles)}m{text}\x1b[0m"


def clean(text: str) -> str:
    """One printable line: newlines as \\n, other control and format characters as escapes."""
    if text.isprintable():
        return text
    return "".join(
        ch if ch.isprintable() else _ESCAPES.get(ch) or (" " if ch.isspace() else _escape(ch))
        for ch in text
    )


def _escape(ch: str) -> str:
    return f"\\x{ord(ch):02x}" if ord(ch) < 256 else f"\\u{ord(ch):04x}"


def cells(text: str) -> int:
    """Columns that a cleaned text takes; a CJK character takes two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def pad(text: str, columns: int) -> str:
    return text + " " * max(0, columns - cells(text))


def cut(text: str, columns: int, length: int | None = None, unit: str = "chars") -> str:
    """The text in at most so many columns; what is cut off says how long it was."""
    if cells(text) <= columns:
        return text
    tail = f"… ({len(text) if length is None else length:,} {unit})"
    return _head(text, max(1, columns - len(tail))) + tail


def folded(text: str, columns: int) -> list[str]:
    """The text in lines of at most so many columns; at least one line."""
    lines = []
    while text:
        line = _head(text, columns) or text[0]
        lines.append(line)
        text = text[len(line) :]
    return lines or [""]


def _head(text: str, columns: int) -> str:
    """The longest beginning that takes at most so many columns."""
    if text.isascii():
        return text[:columns]
    used = 0
    for at, ch in enumerate(text):
        used += cells(ch)
        if used > columns:
            return text[:at]
    return text


def shown(value: Any, columns: int) -> str:
    """One value of a table in at most about so many columns."""
    if value is None:
        return "null"
    if isinstance(value, bytes):
        if len(value) == 16:
            return value.hex()
        head = value[: 4 * columns].decode("utf-8", "replace")
        text = value[: 4 * columns].hex() if "\ufffd" in head or "\0" in head else clean(head)
        return cut(text, columns, len(value), "bytes")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, list):
        return _shown_list(value, columns)
    if isinstance(value, str):
        return cut(clean(value[: 4 * columns]), columns, len(value))
    return str(value)


def _shown_list(values: Sequence[Any], columns: int) -> str:
    parts: list[str] = []
    used = 2
    for value in values:
        part = shown(value, columns)
        used += len(part) + 2
        if used > columns - 16 and len(parts) < len(values):
            return f"[{', '.join(parts)}, … ({len(values):,} values)]"
        parts.append(part)
    return f"[{', '.join(parts)}]"


def as_json(value: Any) -> Any:
    """A table's value as a JSON value: ids in hex, pages as text, times as RFC 3339."""
    if isinstance(value, bytes):
        return value.hex() if len(value) == 16 else value.decode("utf-8", "replace")
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    return value


def size_text(num_bytes: float) -> str:
    """A number of bytes for people: `512 bytes`, `4.7 MB`."""
    if num_bytes < 1000:
        return f"{num_bytes:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        num_bytes /= 1000
        if num_bytes < 1000:
            return f"{num_bytes:.1f} {unit}"
    return f"{num_bytes / 1000:.1f} TB"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def wrapped(parts: Iterable[str], indent: str, separator: str = "  ") -> str:
    """Parts one after the other, in lines of at most `width()` columns."""
    lines = [indent]
    for part in parts:
        fresh = lines[-1] == indent
        if not fresh and cells(lines[-1]) + len(separator) + cells(part) > width():
            lines.append(indent)
            fresh = True
        lines[-1] += part if fresh else separator + part
    return "\n".join(line.rstrip() for line in lines)


def schema_line(schema: Iterable[pa.Field], indent: str = "  ") -> str:
    """Columns with their types."""
    return wrapped((f"{f.name}: {_type(f.type)}" for f in schema), indent, ", ")


def _type(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_binary(kind):
        return f"binary({kind.byte_width})"
    if pa.types.is_list(kind):
        return f"list<{_type(kind.value_type)}>"
    return "timestamp" if pa.types.is_timestamp(kind) else str(kind)


def rows_text(rows: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> str:
    """Rows as a grid where they fit the terminal, else one block of lines a row, numbered."""
    if not rows:
        return "  (no rows)"
    names = list(dict.fromkeys(name for row in rows for name in row))
    grid = [[shown(row.get(name), 40) for name in names] for row in rows]
    widths = [max(len(name), *(cells(line[at]) for line in grid)) for at, name in enumerate(names)]
    if sum(widths) + 2 * len(widths) <= width():
        return _grid(names, grid, widths, rows)
    return "\n\n".join(_block(number, row) for number, row in zip(numbers, rows, strict=True))


def _grid(
    names: Sequence[str],
    grid: Sequence[Sequence[str]],
    widths: Sequence[int],
    rows: Sequence[Mapping[str, Any]],
) -> str:
    right = [
        all(isinstance(row.get(name), (int, float, type(None))) for row in rows) for name in names
    ]

    def line(values: Sequence[str]) -> str:
        padded = [
            " " * (columns - cells(value)) + value if numeric else pad(value, columns)
            for value, columns, numeric in zip(values, widths, right, strict=True)
        ]
        return ("  " + "  ".join(padded)).rstrip()

    return "\n".join([paint(line(names), "dim"), *(line(values) for values in grid)])


def _block(number: int, row: Mapping[str, Any]) -> str:
    left = min(32, max(len(name) for name in row))
    lines = [paint(f"  row {number}", "bold")]
    for name, value in row.items():
        room = width() - left - 4
        text = shown(value, 3 * room if name in _LONG else room)
        pieces = folded(text, room)
        lines.append(f"  {paint(pad(name, left), 'cyan')}  {pieces[0]}")
        lines += [f"  {'':<{left}}  {piece}" for piece in pieces[1:]]
    return "\n".join(lines)
