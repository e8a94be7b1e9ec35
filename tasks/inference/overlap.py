"""Work done ahead in a thread."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

AHEAD: Final = 1
"""Batches that wait, beside the one that the model works on: one is enough to keep it busy, each more takes memory."""

Item = TypeVar("Item")


def ahead(items: Iterator[Item], *, count: int = AHEAD) -> Iterator[Item]:
    """`items` in their order, the next `count` of them made in a thread while the caller works on one.

    What making an item raises is raised here, in its place. When the caller stops early, the item in the making is
    waited for; no thread is left.
    """
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        waiting = deque(thread.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, items, end))
            yield item
