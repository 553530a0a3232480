"""Writes text in one way: mojibake mended, invisible characters gone, plain white space, NFC.

The steps, in this order, each with its switch:

1. `mojibake`: UTF-8 that somebody read as another encoding (`â€™` for `’`), by ftfy's
   `fix_encoding`, line by line, in lines that its heuristic calls bad. Of ftfy's further fixes only
   `restore_byte_a0` and `decode_inconsistent_utf8` are on. Off: `replace_lossy_sequences`, which
   writes U+FFFD, and `fix_c1_controls`, which makes stray control bytes visible letters (of three
   pages of LibreOffice's help that it changes all three got worse); HTML entities, ligatures, full
   width and quotes are not mojibake and are never touched.
2. `control_characters`: C0, DEL and C1 except tab and line breaks, U+206A-206F, U+FFF9-FFFB.
3. `zero_width`: U+200B, U+2060, U+FEFF, U+00AD, and U+200C and U+200D where they mean nothing. They
   stay where one of the two neighbours is of a script that joins letters or puts its spaces so
   (Arabic, Syriac, Mongolian, scripts of India and South-East Asia), and U+200D between emoji.
4. `white_space`: every line break is a newline (Unicode Standard 5.8), no-break and other spaces
   of typography are spaces (not U+3000), no space before a newline, at most one blank line in a
   row, none around the text. Indentation and spaces within lines stay.
5. `nfc`: Unicode normalisation form C, by the running Python. NFKC would rewrite `x²` to `x2`.

ftfy's heuristic alone takes a second for 2.7 MB, so a kernel (`stages.kernels.unclean`) tells first
which texts have anything to look at; the others are not even decoded. Mojibake is looked for where
some characters of one of ftfy's ten encodings are the bytes of a whole sequence of UTF-8, or C1;
so not in a line whose only mojibake is `Ã` and a plain blank (`Ã la`), which ftfy alone would mend.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.stage import Processed, Side, TextBatch, TextMap, knob

_STEPS = ("mojibake", "control_characters", "zero_width", "white_space", "nfc")
_ENCODINGS = (
    "latin-1",
    "sloppy-windows-1252",
    "sloppy-windows-1251",
    "sloppy-windows-1250",
    "sloppy-windows-1253",
    "sloppy-windows-1254",
    "sloppy-windows-1257",
    "iso-8859-2",
    "macroman",
    "cp437",
)
"""ftfy.chardata.CHARMAP_ENCODINGS of 6.3.1; a test says that they are still the same."""
_MAX_MENDED_CHARS = 100_000
"""ftfy sees at most so much of a line at once: its time grows with the length and its rounds."""

# Arabic to Thaana and Arabic Extended, the Brahmic blocks, Mongolian, Balinese to Sundanese and
# Batak, Phags-pa to Meetei Mayek, Arabic presentation forms, and scripts of India above the BMP.
_JOINED = (
    "\u0600-\u08ff\u0900-\u0fff\u1000-\u109f\u1700-\u18af\u1900-\u1cff\ua840-\uabff"
    "\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
)
_EMOJI = "\u200d\ufe0f\u20e3\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_INVISIBLE = re.compile(
    "[\u00ad\ufeff]"
    f"|[\u200b\u2060](?<![{_JOINED}].)(?![{_JOINED}])"
    f"|\u200c(?<![{_JOINED}].)(?![{_JOINED}])"
    f"|\u200d(?<![{_JOINED}{_EMOJI}].)(?![{_JOINED}])"
    f"|\u200d(?<![{_JOINED}].)(?![{_JOINED}{_EMOJI}])"
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u206a-\u206f\ufff9-\ufffb]")
_BREAK = re.compile("[\r\v\f\x85\u2028\u2029]")
_SPACE = re.compile("[\u00a0\u2000-\u200a\u202f\u205f]")
_BLANK_LINES = re.compile(r"\n{3,}+")


# --- What the kernel looks for -------------------------------------------------------------------


@functools.cache
def character_table() -> npt.NDArray[np.uint8]:
    """The kernel's flags of every code point that is not ASCII."""
    from stages.kernels.unclean import COMPOSED, CONTROL, INVISIBLE, MOJIBAKE, SPACING

    table = np.zeros(0x110000, dtype=np.uint8)
    table[[0x85, 0x2028, 0x2029, 0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F]] |= SPACING
    table[[*range(0x80, 0xA0), *range(0x206A, 0x2070), *range(0xFFF9, 0xFFFC)]] |= CONTROL
    table[range(0x80, 0xA0)] |= MOJIBAKE
    table[[0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF]] |= INVISIBLE
    seconds: set[int] = set()
    for code in (*range(0x80, 0x20000), *range(0x2F800, 0x2FA20)):  # no other plane composes
        character = chr(code)
        parts = unicodedata.decomposition(character)
        if parts and not parts.startswith("<"):
            seconds.update(int(part, 16) for part in parts.split()[1:])
            if unicodedata.normalize("NFC", character) != character:
                table[code] |= COMPOSED
        if unicodedata.combining(character):
            table[code] |= COMPOSED
    seconds.update(range(0x1161, 0x1176), range(0x11A8, 0x11C3))  # Hangul composes by arithmetic
    table[sorted(seconds)] |= COMPOSED
    table.setflags(write=False)
    return table


@functools.cache
def encoded_bytes() -> npt.NDArray[np.uint32]:
    """For every code point up to the highest of them, its part in UTF-8 read as each encoding."""
    import ftfy.bad_codecs  # noqa: F401  (registers the sloppy encodings)

    masks = np.zeros((0x10000, 4), dtype=np.uint32)
    for number, encoding in enumerate(_ENCODINGS):
        for byte in range(0x80, 0x100):
            code = ord(bytes([byte]).decode(encoding))
            for column, low, high in (
                (0, 0x80, 0xBF),
                (1, 0xC2, 0xDF),
                (2, 0xE0, 0xEF),
                (3, 0xF0, 0xF4),
            ):
                if low <= byte <= high:
                    masks[code, column] |= np.uint32(1 << number)
    masks = masks[: np.flatnonzero(masks.any(axis=1)).max() + 1].copy()
    masks.setflags(write=False)
    return masks


# --- The steps -----------------------------------------------------------------------------------


@functools.cache
def _ftfy_config() -> Any:
    import ftfy

    return ftfy.TextFixerConfig(replace_lossy_sequences=False, fix_c1_controls=False)


def mend(text: str) -> str:
    """The text with mojibake mended, line by line, by ftfy."""
    if text.isascii():
        return text
    import ftfy

    config = _ftfy_config()
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line.isascii():
            pieces = [
                ftfy.fix_encoding(line[at : at + _MAX_MENDED_CHARS], config)
                for at in range(0, len(line), _MAX_MENDED_CHARS)
            ]
            lines[number] = "".join(pieces)
    return "\n".join(lines)


def without_control_characters(text: str) -> str:
    """The text without control characters that break no line."""
    return _CONTROL.sub("", text)


def without_zero_width(text: str) -> str:
    """The text without characters of no width, except where they have a meaning."""
    return _INVISIBLE.sub("", text)


def with_plain_space(text: str) -> str:
    """The text with newlines and spaces alone as white space, and no more of it than needed."""
    text = _SPACE.sub(" ", _BREAK.sub("\n", text.replace("\r\n", "\n")))
    if " \n" in text or "\t\n" in text:
        # Not by a pattern: on a run of spaces within a line it would begin anew at each of them.
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    return _BLANK_LINES.sub("\n\n", text).strip(" \t\n")


def composed(text: str) -> str:
    """The text in NFC."""
    return unicodedata.normalize("NFC", text)


_FUNCTIONS = dict(
    zip(
        _STEPS,
        (mend, without_control_characters, without_zero_width, with_plain_space, composed),
        strict=True,
    )
)


@dataclass(frozen=True)
class Normalise(TextMap):
    """Mends mojibake, removes invisible characters, makes white space plain, writes NFC."""

    mojibake: bool = knob(
        True,
        unit="switch",
        source="measured: mends 4 of 1,012 web texts, all rightly, and none of 2,497 clean ones",
    )
    control_characters: bool = knob(
        True, unit="switch", source="Unicode Standard 23.1: no meaning in running text"
    )
    zero_width: bool = knob(
        True, unit="switch", source="Unicode Standard 23.2; UAX 31, section 2.3: where they count"
    )
    white_space: bool = knob(
        True, unit="switch", source="Unicode Standard 5.8; DCLM: at most two newlines"
    )
    nfc: bool = knob(
        True, unit="switch", source="UAX 15; W3C Character Model: text on the web is NFC"
    )

    compiles: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("ftfy", "unicodedata")
    metrics: ClassVar[Mapping[str, type]] = dict.fromkeys(
        ("text_changed", *(f"{name}_changed" for name in _STEPS)), int
    )

    def check(self) -> None:
        if not any(getattr(self, name) for name in _STEPS):
            raise ValueError("every step is switched off: switch one on, or leave the step out")

    def process(self, batch: TextBatch, side: Side) -> Processed:
        texts = batch.column("text")
        flags = self._flags(texts) & self._wanted()
        rows = np.flatnonzero(flags)
        counts = {name: np.zeros(len(batch), dtype=np.int64) for name in self.metrics}
        changed: dict[int, str] = {}
        for row in rows.tolist():
            before = texts[row].as_py()
            after = self._rewritten(before, int(flags[row]), row, counts)
            if after != before:
                changed[row] = after
        counts["text_changed"][list(changed)] = 1
        metrics: dict[str, Any] = dict(counts)
        for name in _STEPS:
            if not getattr(self, name):
                metrics[f"{name}_changed"] = pa.nulls(len(batch), pa.int64())
        if not changed:
            return Processed(metrics=metrics)
        return Processed({"text": replaced(texts, changed)}, metrics)

    def _rewritten(self, text: str, flags: int, row: int, counts: Mapping[str, Any]) -> str:
        """The text after the chosen steps; counts which of them changed it."""
        before = text
        for (name, function), flag in zip(_FUNCTIONS.items(), _kernel_flags(), strict=True):
            # Without its flag a step has nothing to do, unless an earlier one changed the text.
            if getattr(self, name) and (flags & flag or (text != before and name != "mojibake")):
                after = function(text)
                counts[f"{name}_changed"][row] = after != text
                text = after
        return text

    def _flags(self, texts: pa.Array) -> npt.NDArray[np.uint8]:
        from stages.kernels.unclean import unclean

        return unclean(texts, character_table(), encoded_bytes())

    def _wanted(self) -> int:
        return sum(
            f for name, f in zip(_STEPS, _kernel_flags(), strict=True) if getattr(self, name)
        )


def _kernel_flags() -> tuple[int, ...]:
    """The kernel's flag of each step."""
    from stages.kernels.unclean import COMPOSED, CONTROL, INVISIBLE, MOJIBAKE, SPACING

    return MOJIBAKE, CONTROL, INVISIBLE, SPACING, COMPOSED


def replaced(texts: pa.Array, changed: Mapping[int, str]) -> pa.Array:
    """The column with some texts replaced; the bytes of the others are copied, not decoded."""
    parts: list[pa.Array] = []
    behind = 0
    for row in sorted(changed):
        parts += [texts.slice(behind, row - behind), pa.array([changed[row]], texts.type)]
        behind = row + 1
    parts.append(texts.slice(behind))
    return pa.concat_arrays(parts)
