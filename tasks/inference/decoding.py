"""Decoded frames, kept while a worker is at their shard."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from tasks.data.frames import FrameReader
from tasks.inference.shards import Shard

CACHE_BYTES: Final = 256 * 2**20
"""Decoded frames kept by a worker: several shards of a small format, or 40 frames of full HD."""

Frame = npt.NDArray[np.uint8]
Item = TypeVar("Item")


class FrameCache:
    """Decoded frames of one shard: the first that fit, for a shard is read from its start for every severity."""

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self._shard: Shard | None = None
        self._frames: dict[int, Frame] = {}
        self._bytes = 0

    def open(self, shard: Shard) -> None:
        """From here on frames of `shard` are read."""
        if self._shard is None or shard.digest != self._shard.digest:
            self._frames, self._bytes = {}, 0
        self._shard = shard

    def read(self, places: Sequence[int]) -> list[Frame]:
        """The frames at `places` of the shard in order, read-only: later corruptions and models share them."""
        assert self._shard is not None
        absent = [place for place in places if place not in self._frames]
        read = dict(zip(absent, self._reader.read(self._shard.frames.iloc[absent]), strict=True)) if absent else {}
        for place, image in read.items():
            image.flags.writeable = False
            if self._bytes + image.nbytes <= CACHE_BYTES:
                self._frames[place] = image
                self._bytes += image.nbytes
        return [read[place] if place in read else self._frames[place] for place in places]


@dataclass
class Stopwatch:
    """Time spent inside an iterator."""

    ms: float = field(default=0.0)

    def watch(self, items: Iterator[Item]) -> Iterator[Item]:
        """`items`, timed."""
        while True:
            start = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.ms += (time.perf_counter() - start) * 1e3
            yield item
