"""Map a function over many items in several processes, and show the progress."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

# With fewer items, starting processes takes longer than the work.
FEW = 48


def with_progress(items: Iterable[Item], total: int, activity: str) -> Iterable[Item]:
    """Yield the items, and show progress and the remaining time on stderr."""
    return track(items, activity, total=total, console=Console(stderr=True))


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, activity: str
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item in order, and show progress on stderr.

    Args:
        function: module-level function, or a ``functools.partial`` of a module-level function. The
            function is pickled, so other functions do not work.
        items: arguments of the calls.
        workers: number of processes. If it is 1 or less, or if there are fewer than 48 items, the
            current process does the work.
        activity: text next to the progress bar.

    Raises:
        Exception: the first exception that ``function`` raises.
    """
    if workers <= 1 or len(items) < FEW:
        yield from with_progress(map(function, items), len(items), activity)
        return
    # Spawn the processes, because a fork would copy locks held by the current threads.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        chunk = max(1, min(16, len(items) // (4 * workers)))
        yield from with_progress(pool.imap(function, items, chunk), len(items), activity)
