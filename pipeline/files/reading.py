"""Open a partition for its source, and judge afterwards whether what was read was the file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from pipeline.files.checksums import check_checksum
from pipeline.stage import Partition, Source


@contextlib.contextmanager
def opened(stage: Source, partition: Partition) -> Iterator[BinaryIO]:
    """The stream of a partition; at the end InputError if it broke or has another checksum.

    A server's error may have reached the reader as an end of the file: it is raised in any case.
    With `head` no checksum is judged: the file is not read to its end.
    """
    with stage.open(partition) as stream:
        try:
            yield stream
        except Exception as error:
            failure = _failure(stream)
            if failure is None:
                raise
            raise failure from error
        failure = _failure(stream)
        if failure is not None:
            raise failure
        if partition.head is None:
            check_checksum(stream, partition.path)


def _failure(stream: BinaryIO) -> Exception | None:
    while stream is not None:
        failure: Exception | None = getattr(stream, "failure", None)
        if failure is not None:
            return failure
        stream = getattr(stream, "raw", None) or getattr(stream, "within", None)  # type: ignore[assignment]
    return None


def size_of(stream: BinaryIO, partition: Partition) -> int:
    """Bytes that are there to be read."""
    size = partition.num_bytes or stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size
