"""Long work shown with an estimate, and a function over many files in several processes."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

# Below it, starting processes takes longer than the work.
FEW = 48


def with_progress(items: Iterable[Item], total: int, activity: str) -> Iterable[Item]:
    """Pass on the items; shows progress and an estimate on stderr."""
    return track(items, activity, total=total, console=Console(stderr=True))


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, activity: str
) -> Iterator[Result]:
    """Yield ``function(item)`` of each item in order; shows progress and an estimate on stderr.

    Args:
        function: of a module, or a ``functools.partial`` of one: processes get it by pickling.
        items: what to work on.
        workers: processes; up to 1 works in this one.
        activity: words beside the progress bar.

    Raises:
        Exception: the first that ``function`` raises.
    """
    if workers <= 1 or len(items) < FEW:
        yield from with_progress(map(function, items), len(items), activity)
        return
    # Processes are spawned, because a fork would copy the locks of this one's threads.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        chunk = max(1, min(16, len(items) // (4 * workers)))
        yield from with_progress(pool.imap(function, items, chunk), len(items), activity)
