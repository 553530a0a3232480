"""Pages that must not enter: `exclude_urls` and `exclude_domains`, and what `erase` has taken out.

A list holds entries (`pipeline.erasure.url_form`): digests of canonical URLs and of domains, so
that the workdir does not name the pages that it must not hold. A source leaves out what the list
has, as `<source>.excluded`, and no table names it. The work key of a partition takes only the
entries that it met, so that a longer list redoes the partitions that hold those pages and no other:

- no entry met: the key is what it is without a list;
- what a partition meets is known from its URLs in the metrics of an earlier run, or, where there
  is none, only once it was read: its work is looked for in vain and gets its key when it is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline.erasure.excluded import FOLDER, REASON, Entries, stored_entries, work_key
from pipeline.erasure.url_form import domain_entry, url_entry
from pipeline.errors import ConfigError
from pipeline.files.storage import AlreadyExists, Storage
from pipeline.files.tables import iter_batches
from pipeline.planning.config import Config
from pipeline.planning.fingerprint import digest
from pipeline.results.manifest import Manifest, load_manifest
from pipeline.results.records import runs_of

# --- Lists ---------------------------------------------------------------------------------------


def read_entries(path: str, kind: str) -> list[str]:
    """The entries of a file of URLs or domains, one a line; `#` begins a comment line.

    Raises ConfigError with the line.
    """
    make = {"urls": url_entry, "domains": domain_entry}[kind]
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: {error}. Expected a UTF-8 file of {kind}, one a line."
        ) from error
    found = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if kind == "urls" and "://" not in text:
            raise ConfigError(f"{path}:{number}: '{text}' is no URL. Expected http://... in full.")
        try:
            found.append(make(text))
        except ValueError as error:
            raise ConfigError(
                f"{path}:{number}: {error}. Expected one like example.com."
            ) from error
    return found


def configured_entries(config: Config) -> set[str]:
    """Entries of the files that `exclude_urls` and `exclude_domains` name."""
    found: set[str] = set()
    if config.exclude_urls:
        found.update(read_entries(config.exclude_urls, "urls"))
    if config.exclude_domains:
        found.update(read_entries(config.exclude_domains, "domains"))
    return found


def erased_lists(storage: Storage) -> dict[int, tuple[set[str], bool]]:
    """Number of each `erase` of the workdir -> its entries, and whether it was finished."""
    names = {info.path.removeprefix(f"{FOLDER}/") for info in storage.list(FOLDER)}
    found: dict[int, tuple[set[str], bool]] = {}
    for name in sorted(names):
        stem = name.removeprefix("erased-").removesuffix(".json")
        if name.startswith("erased-") and stem.isdigit():
            entries = set(stored_entries(storage, f"{FOLDER}/{name}"))
            found[int(stem)] = entries, f"erased-{stem}.report.json" in names
    return found


def all_entries(config: Config, storage: Storage) -> Entries:
    """What the configuration excludes, and what was erased from the workdir or is about to be."""
    erased = (entries for entries, _ in erased_lists(storage).values())
    return Entries(configured_entries(config).union(*erased))


# --- Keys ----------------------------------------------------------------------------------------


@dataclass
class Exclusions:
    """The list in force for one run, and what is known of what each partition meets of it."""

    storage: Storage
    entries: Entries
    limit: int | None = None
    _recorded: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _checked: str = ""
    """Digest of the list that the recorded run had."""

    @classmethod
    def of(
        cls, storage: Storage, entries: Iterable[str], limit: int | None = None
    ) -> Exclusions | None:
        """None for an empty list. The list is stored by its content, for the workers."""
        found = Entries(entries)
        if not found.all:
            return None
        made = cls(storage, found, limit)
        for path in runs_of(storage):
            try:
                latest: dict[str, Any] = orjson.loads(storage.get(path))
            except orjson.JSONDecodeError:
                continue
            if latest.get("limit") == limit:
                made._recorded, made._checked = latest["keys"], latest.get("exclusions", "")
                break
        return made

    @property
    def path(self) -> str:
        return f"{FOLDER}/list-{self.entries.digest[:16]}.json"

    def store(self) -> None:
        """Put the list where workers read it."""
        body = orjson.dumps({"entries": sorted(self.entries.all)}, option=orjson.OPT_INDENT_2)
        with contextlib.suppress(AlreadyExists):  # the same list
            self.storage.put(self.path, body, if_absent=True)

    def key(self, base: str, node: str, unit: str) -> str:
        """The work key of a source's partition; one that no manifest has if it cannot be known."""
        made = self._made_before(base, node, unit)
        if made is None:
            return digest({"base": base, "list": self.entries.digest})
        before = set(made.counters.get(REASON, {}).get("entries", ()))
        if self._checked == self.entries.digest and made.key == self._at(node, unit):
            return made.key
        if not before <= self.entries.all:  # what came in by then is not known
            return digest({"base": base, "list": self.entries.digest})
        return work_key(base, before | self._met(made))

    def _at(self, node: str, unit: str) -> str:
        return self._recorded.get(node, {}).get(unit, "")

    def _made_before(self, base: str, node: str, unit: str) -> Manifest | None:
        """A manifest of this very work, whatever it left out."""
        for key in (self._at(node, unit), base):
            made = load_manifest(self.storage, key) if key else None
            if made and (made.key == base or made.counters.get(REASON, {}).get("base") == base):
                return made
        return None

    def _met(self, made: Manifest) -> set[str]:
        found: set[str] = set()
        for batch in iter_batches(self.storage, made.outputs["metrics"], ["url"]):
            found |= self.entries.met(batch["url"])[1]
        return found
