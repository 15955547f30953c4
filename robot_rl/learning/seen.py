"""Which episodes came, so that none counts twice."""

from __future__ import annotations

from bisect import bisect_left
from hashlib import blake2b

SIZE = 16       # bytes of a digest: two of a billion episodes meet with probability 1e-21


class Seen:
    """A set of texts that keeps a digest of each: they are all that a learner holds per episode.

    The digests lie in one block, ascending. A set of the texts themselves takes some 300 bytes
    each, in pieces that live on between what comes and goes.
    """

    def __init__(self):
        self._block = bytearray()

    def __len__(self) -> int:
        return len(self._block) // SIZE

    def __getitem__(self, index: int) -> bytes:
        """Return the digest of that rank."""
        return bytes(self._block[index * SIZE:index * SIZE + SIZE])

    def __contains__(self, text: str) -> bool:
        digest = _digest(text)
        index = bisect_left(self, digest)
        return index < len(self) and self[index] == digest

    def add(self, text: str) -> bool:
        """Add a text; return whether it was new."""
        digest = _digest(text)
        index = bisect_left(self, digest)
        if index < len(self) and self[index] == digest:
            return False
        self._block[index * SIZE:index * SIZE] = digest
        return True


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors='surrogatepass'), digest_size=SIZE).digest()
