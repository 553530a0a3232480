"""Reads pages of a Common Crawl crawl: whole WARC or WET files, or the pages that an index names.

Without `index` the files are those of `warc.paths.gz` (`wet.paths.gz`) that `segments`, `paths` and
`sample` choose. With `index` one of the two URL indices is read once, while planning, and only the
records of wanted pages are fetched, as byte ranges; the choice is kept in the workdir under
`plan/`. It costs some 16 bytes of the driver's memory a wanted page. A partition is one WARC file
either way, so a larger sample or another choice reads again only the files that changed.

Records are read as `read_warc` reads them, whose version is this stage's:

2: as read_warc 2.
3: as read_warc 3.
4: as read_warc 4.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, ClassVar, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.files.spans import Spans
from pipeline.files.storage import AlreadyExists, Storage
from pipeline.files.uris import input_ranges, open_input, open_storage
from pipeline.network.spanned_file import SpannedFile, places_of
from pipeline.planning.fingerprint import digest
from pipeline.schema import WEB_DOCUMENTS
from pipeline.stage import (
    Listed,
    Partition,
    Side,
    Source,
    SourceBatch,
    knob,
    location,
)
from stages.common_crawl.cdx import blocks_of, places_in_blocks
from stages.common_crawl.columnar import places_in, sorted_places
from stages.common_crawl.files import chosen, listed
from stages.common_crawl.wanted import Wanted, wanted_of
from stages.documents import MAX_HTML_BYTES
from stages.read_warc import ReadWarc

BASE = "https://data.commoncrawl.org"
_READERS = 4
"""Files of an index that are read at a time: it waits for the network most of the time."""


@dataclass(frozen=True)
class ReadCommonCrawl(Source):
    """Pages of a Common Crawl crawl, by its lists of files or by its URL index."""

    version: ClassVar[int] = ReadWarc.version
    libraries: ClassVar[tuple[str, ...]] = ReadWarc.libraries
    schema: ClassVar[pa.Schema] = WEB_DOCUMENTS

    # What chooses files and pages is in the identity of each partition, not of the stage.
    crawl: str = location(help="such as CC-MAIN-2024-10")
    paths: tuple[str, ...] = location((), help="only these WARC (WET) files; `*` matches any text")
    base: str | None = location(BASE, help="where crawl-data and cc-index lie: a mirror, a folder")
    segments: tuple[str, ...] = knob((), identity=False, help="only files of these segments")
    sample: float = knob(
        1.0, identity=False, unit="share of the files", minimum=0.0, maximum=1.0,
        help="by the hash of each path; a larger sample holds a smaller one",
    )  # fmt: skip
    index: Mapping[str, Any] | None = knob(
        None, identity=False,
        help="only pages of these `languages`, `domains`, `mime`, `status` ([200]); `table` is "
        "parquet or cdx",
    )  # fmt: skip
    gap: int = knob(
        64 << 10, identity=False, unit="bytes", minimum=0,
        help="wanted records at most so far apart share a request",
    )  # fmt: skip
    format: Literal["warc", "wet"] = knob(
        "warc", source="Common Crawl: pages are in WARC files, their texts in WET files",
        help="wet: texts by Common Crawl's own extraction, a tenth of the bytes",
    )  # fmt: skip
    max_document_bytes: int = knob(
        MAX_HTML_BYTES, unit="bytes of UTF-8", source="DESIGN section 4", minimum=1
    )

    def check(self) -> None:
        if self.index is not None:
            wanted_of(self.index)
            if self.format == "wet":
                raise ValueError("the index names records of WARC files: no `index` with `wet`")
        if not self.sample > 0:
            raise ValueError("sample is 0, expected a share above 0")
        if "/" in self.crawl or not self.crawl:
            raise ValueError(f"crawl is '{self.crawl}', expected a name such as CC-MAIN-2024-10")
        self._reader()

    def _reader(self) -> ReadWarc:
        """What reads the records."""
        text: Mapping[str, Any] = {"records": "text"} if self.format == "wet" else {}
        return ReadWarc(paths=(), max_document_bytes=self.max_document_bytes, **text)

    def document_schema(self) -> pa.Schema:
        return self._reader().document_schema()

    @property
    def _base(self) -> str:
        return (self.base or BASE).rstrip("/")

    # --- what is read ------------------------------------------------------------------------

    def listing(self, kept: Storage) -> Sequence[Listed]:
        if self.index is not None:
            return self._pages(wanted_of(self.index), kept)
        found = []
        for path in self._files():
            # The files of a crawl never change under their names; those of a folder may.
            storage = open_storage(self._base)
            local = storage.info(path) if storage.local_path("") is not None else None
            size, token = (local.size, local.token) if local else (0, "")
            found.append(Listed(f"{self._base}/{path}", path, size, token))
        return found

    def _files(self) -> list[str]:
        """Paths of the chosen files below `base`."""
        where = f"read_common_crawl of {self.crawl}"
        plain = self.paths and not any(set("*?[") & set(path) for path in self.paths)
        listing = self.paths if plain else listed(self._base, self.crawl, self.format)
        return chosen(listing, self.segments, self.paths, self.sample, where)

    def _pages(self, wanted: Wanted, kept: Storage) -> list[Listed]:
        """One entry a WARC file with the ranges of its wanted records."""
        places = self._places(wanted, kept)
        if not len(places):
            raise InputError(
                f"read_common_crawl of {self.crawl}: the index names no page of "
                f"{wanted.identity} in the chosen files. Widen `index` or `sample`."
            )
        codes = places["file"].combine_chunks().dictionary_encode().indices.to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(places)]
        offsets, lengths = places["offset"].to_numpy(), places["length"].to_numpy()
        found = []
        for low, high in itertools.pairwise(edges):
            path = places["file"][low].as_py()
            try:
                spans = Spans.of(offsets[low:high], lengths[low:high])
            except ValueError as error:
                raise InputError(
                    f"the index of {self.crawl} is wrong for {path}: {error}."
                ) from error
            found.append(Listed(f"{self._base}/{path}", path, spans.num_bytes, spans.digest, spans))
        return found

    def _places(self, wanted: Wanted, kept: Storage) -> pa.Table:
        """Every wanted page, in order of (file, offset): kept before, or read from the index."""
        narrow = bool(self.segments or self.paths or self.sample < 1)
        files = self._files() if narrow else None
        kind = "cc-index-table" if wanted.table == "parquet" else "cc-index"
        paths = sorted(listed(self._base, self.crawl, kind))
        key = digest([self._base, wanted.identity, files, paths])
        name = f"plan/pages-{key}.parquet"
        if kept.info(name) is not None:
            return pq.read_table(io.BytesIO(kept.get(name)))
        with ThreadPoolExecutor(_READERS) as readers:
            if wanted.table == "parquet":
                names = pa.array(files, pa.string()) if files is not None else None
                mine = [f"{self._base}/{path}" for path in paths if "subset=warc/" in path]
                tables = list(readers.map(lambda path: places_in(path, wanted, names), mine))
            else:
                only = frozenset(files) if files is not None else None
                blocks = blocks_of(self._base, paths, wanted)
                tables = list(
                    readers.map(
                        lambda found: places_in_blocks(
                            f"{self._base}/{found[0]}", found[1], wanted, only, self.gap
                        ),
                        blocks,
                    )
                )
        places = sorted_places(tables)
        sink = io.BytesIO()
        pq.write_table(places, sink, compression="zstd")
        try:
            kept.put(name, sink.getvalue(), if_absent=True)
        except AlreadyExists:
            return pq.read_table(io.BytesIO(kept.get(name)))
        return places

    # --- reading -----------------------------------------------------------------------------

    def open(self, partition: Partition) -> BinaryIO:
        if partition.spans is None:
            return open_input(partition.path, partition.size, partition.token)
        raw = SpannedFile(input_ranges(partition.path), partition.spans, self.gap)
        return cast(BinaryIO, io.BufferedReader(raw, buffer_size=1 << 16))

    def read(self, partition: Partition, stream: BinaryIO, side: Side) -> Iterator[SourceBatch]:
        for batch in self._reader().read(partition, stream, side):
            yield batch if partition.spans is None else _in_the_file(batch, partition.spans)


def _in_the_file(batch: SourceBatch, spans: Spans) -> SourceBatch:
    """The batch with every offset as of the WARC file, where it was of its wanted records."""
    documents = batch.documents
    if documents is not None:
        moved = places_of(spans, documents["offset"].to_numpy())
        at = documents.schema.get_field_index("offset")
        documents = documents.set_column(at, documents.schema.field(at), pa.array(moved))
    refused = [{**row, "offset": _moved(spans, row["offset"])} for row in batch.refused]
    damage = [replace(lost, offset=_moved(spans, lost.offset)) for lost in batch.damage]
    return SourceBatch(documents, refused, damage)


def _moved(spans: Spans, offset: int) -> int:
    return int(places_of(spans, [offset])[0])
