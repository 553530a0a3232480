"""What every stream of ours that knows its size has in common."""

from __future__ import annotations

import io


class Seekable(io.RawIOBase):
    """A stream for reading that stands at `_at`; `size` is where it ends."""

    size: int
    _at: int = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self._at, self.size)[whence]
        if at < 0:
            raise ValueError(f"seek to {at}")
        self._at = at
        return at
