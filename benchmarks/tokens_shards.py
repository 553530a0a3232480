"""Part of `tokens`: from documents to token shards, against datatrove's DocumentTokenizer.

Both read the same Parquet files in one process, encode with the same tokenizer.json, put an
end-of-document id behind each text, shuffle and write. Ours shuffles the whole corpus, the peer
each file by itself; ours stores a checksum a row group, metrics of every document and all steps'
outputs, the peer ids and where documents end. Documents of both are compared id by id.

Memory is that of our run alone, on 1, 10 and (without --quick) 100 files of 30 MB of text, with
shards of 10 M tokens: a shard is sorted whole, so `tokens_per_shard` bounds it. Beyond what the
bulk has, its pages come again with the ASCII letters rotated by one more.
"""

from __future__ import annotations

import itertools
import json
import string
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from benchmarks import tokens_input
from benchmarks.bulk import bulk_texts, spread
from benchmarks.peers import LISTS, peer_environment, python_of
from benchmarks.report import Options, ratio, side_json
from benchmarks.turns import Side, alternate, say
from benchmarks.web import FOLDER, Web

FILES = 4
WHOLE_BYTES, QUICK_BYTES = 150_000_000, 60_000_000
PEER = "datatrove_document_tokenizer"
FILE_BYTES = 30_000_000
TIMES, QUICK_TIMES = (1, 10, 100), (1, 10)
MEMORY_SHARD = 10_000_000
DECODE_TURNS = 5


def ours(tokenizer: Path, tokens_per_shard: int = 100_000_000) -> Side:
    def command(web: Web, out: Path) -> list[str]:
        out.mkdir()
        path = out / "config.yaml"
        paths = json.dumps(str(web.folder / "*.parquet"))
        path.write_text(
            f"name: shards\nseed: 1\nworkdir: {json.dumps(str(out / 'work'))}\nsteps:\n"
            f"  - read_parquet: {{paths: [{paths}], id: id}}\n"
            f"  - use_tokenizer: {{file: {json.dumps(str(tokenizer))}}}\n"
            f"  - tokenize: {{}}\n"
            f"  - write_shards: {{tokens_per_shard: {tokens_per_shard}}}\n"
        )
        return [sys.executable, "-m", "pipeline", "run", str(path), "--workers", "0", "--quiet"]

    return Side("ours (documents to shards)", command, our_shards)


def datatrove(tokenizer: Path) -> Side:
    python, script = python_of("datatrove"), LISTS / "datatrove_tokens.py"

    def command(web: Web, out: Path) -> list[str]:
        return [str(python), str(script), str(web.folder), str(out), str(tokenizer)]

    return Side(PEER, command, peer_documents, peer_environment())


def _counted(documents: Iterable[Any]) -> Counter[int]:
    """Digest of a document's ids -> how often it is there."""
    return Counter(xxhash.xxh3_64_intdigest(one.astype("<u4").tobytes()) for one in documents)


def our_shards(out: Path) -> dict[str, Any]:
    """What stands in the shards, their size, and how fast ids are read back."""
    paths = sorted((out / "work" / "dataset" / "shards").glob("*.parquet"))
    return {
        "documents": _counted(_our_documents(paths)),
        "bytes": sum(path.stat().st_size for path in paths),
        "tokens": sum(map(_tokens, paths)),
        "id_bytes": sum(_stored_ids(path) for path in paths),
        "decode": _decode_speed(paths),
    }


def _our_documents(paths: Sequence[Path]) -> Iterator[Any]:
    for path in paths:
        file = pq.ParquetFile(path)
        for number in range(file.num_row_groups):
            lists = file.read_row_group(number, columns=["tokens"])["tokens"].combine_chunks()
            ends, values = lists.offsets.to_numpy(), lists.values.to_numpy()
            yield from (values[a:b] for a, b in itertools.pairwise(ends))


def _tokens(path: Path) -> int:
    return int(pc.sum(pq.read_table(path, columns=["num_tokens"])["num_tokens"]).as_py())


def _stored_ids(path: Path) -> int:
    """Compressed bytes of the column of ids."""
    file = pq.read_metadata(path)
    groups = [file.row_group(number) for number in range(file.num_row_groups)]
    columns = [group.column(k) for group in groups for k in range(group.num_columns)]
    return sum(c.total_compressed_size for c in columns if c.path_in_schema.startswith("tokens"))


def _decode_speed(paths: Sequence[Path]) -> float:
    """Million ids a CPU second from a shard's bytes in memory to an array, in one thread."""
    data = pa.py_buffer(max(paths, key=lambda path: path.stat().st_size).read_bytes())
    found = []
    for _ in range(DECODE_TURNS):
        began = time.process_time()
        table = pq.ParquetFile(pa.BufferReader(data)).read(["tokens"], use_threads=False)
        count = sum(len(chunk.values) for chunk in table["tokens"].chunks)
        found.append(count / 1e6 / (time.process_time() - began))
    return max(found)


def peer_documents(out: Path) -> dict[str, Any]:
    """Ids of all documents, the end-of-document id with them, as ours have it."""
    found: Counter[int] = Counter()
    for path in sorted((out / "tokens").glob("*.ds")):
        ids = np.fromfile(path, "<u2")
        ends = np.fromfile(path.with_name(f"{path.name}.index"), "<u8").astype(np.int64)
        found += _counted(ids[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True))
    return {"documents": found}


def input_files(most: int) -> tuple[Web, Web]:
    """The first texts of the bulk in FILES files, and one text a file for start-up."""
    rows = [text for _, text in tokens_input.bulk(most)]
    ids = [str(number) for number in range(len(rows))]
    table = pa.table([pa.array(ids), pa.array(rows, pa.large_string())], names=["id", "text"])
    return spread(table, "shards", FILES), spread(table.slice(0, FILES), "shards", FILES)


def grown(files: int) -> Web:
    """So many files of FILE_BYTES of text each, written once."""
    folder = FOLDER / f"shards-grown-{files}-{bulk_texts().parent.name}"
    documents = size = 0
    sources = _pages()
    done = (folder / "complete").exists()
    if done:
        documents, size = json.loads((folder / "complete").read_text())
        return Web(folder, documents, size, "")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        texts, left = [], FILE_BYTES
        while left > 0:
            texts.append(next(sources))
            left -= len(texts[-1].encode())
        ids = [f"{number}-{at}" for at in range(len(texts))]
        table = pa.table([pa.array(ids), pa.array(texts, pa.large_string())], names=["id", "text"])
        pq.write_table(table, folder / f"part-{number:05d}.parquet", compression="zstd")
        documents, size = documents + len(texts), size + FILE_BYTES - left
    (folder / "complete").write_text(json.dumps([documents, size]))
    return Web(folder, documents, size, "")


def _pages() -> Iterator[str]:
    """All texts of the bulk, round after round, each time other letters."""
    letters = string.ascii_lowercase
    for turn in range(len(letters)):
        rotated = letters[turn:] + letters[:turn]
        changed = str.maketrans(letters + letters.upper(), rotated + rotated.upper())
        for batch in pq.ParquetFile(bulk_texts()).iter_batches(1000, columns=["text"]):
            for text in batch["text"].to_pylist():
                yield text.translate(changed) if turn else text


def memory(options: Options, tokenizer: Path) -> dict[str, Any]:
    """Bytes of text -> our run's peak."""
    found = {}
    for times in QUICK_TIMES if options.quick else TIMES:
        web = grown(times)
        side = ours(tokenizer, MEMORY_SHARD)
        side.look = lambda out: None
        used = side.trial(web)
        found[f"{times}x"] = {
            "text_bytes": web.bytes,
            "documents": web.documents,
            "peak_process_rss_bytes": used.peak_process_rss_bytes,
            "cpu_seconds": round(used.cpu_seconds, 1),
        }
        say(f"{web.bytes / 1e6:,.0f} MB of text: {used.peak_process_rss_bytes >> 20} MB")
    return found


def part(options: Options) -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, float]]:
    """(figures of ours, the peer, other ratios)."""
    tokenizer = tokens_input.tokenizers() / tokens_input.PATTERNS[0] / "tokenizer.json"
    web, few = input_files(QUICK_BYTES if options.quick else WHOLE_BYTES)
    say(f"{web.documents:,} documents, {web.bytes / 1e6:.1f} MB of text in {FILES} files")
    mine, peer = ours(tokenizer), datatrove(tokenizer)
    mine.start_up(few)
    peer.start_up(few)
    alternate(mine, options.turns, peer, options.peer_turns, web)
    found, theirs = mine.found, peer.found["documents"]
    differ = sum(((found["documents"] - theirs) + (theirs - found["documents"])).values())
    say(f"documents with other ids than {PEER}: {differ}")
    spent = sorted(turn.cpu_seconds - mine.startup.cpu_seconds for turn in mine.turns)
    figures = {
        **side_json(mine.turns, mine.startup, {"workers": 0}),
        "documents": web.documents,
        "text_bytes": web.bytes,
        "mb_per_cpu_second": round(web.bytes / 1e6 / spent[len(spent) // 2], 2),
        "tokens": found["tokens"],
        "bytes_per_token": round(found["bytes"] / found["tokens"], 4),
        "id_bytes_per_token": round(found["id_bytes"] / found["tokens"], 4),
        "decode_million_tokens_per_cpu_second": round(found["decode"], 1),
        "documents_with_other_ids": differ,
        "memory": memory(options, tokenizer),
    }
    peers = {PEER: side_json(peer.turns, peer.startup, {"workers": 1}, documents=web.documents)}
    better = ratio(peer.turns, peer.startup, mine.turns, mine.startup)
    return {"shards": figures}, peers, {"ours_vs_datatrove_document_tokenizer": better}
