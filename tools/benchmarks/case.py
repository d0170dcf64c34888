"""What tools/benchmark.py measures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import eq
from typing import Any


@dataclass
class Measured:
    """Of one case.

    Attributes:
        seconds: of each contender, the median.
        ratios: by peer, how many times nbseg's seconds it takes.
    """

    seconds: dict[str, float]
    ratios: dict[str, float]


@dataclass
class Case:
    """One input for nbseg and for its peers.

    Attributes:
        name: of the input, unique in its benchmark.
        nbseg: the call that is measured; returns its result.
        peers: by name, the calls that it is compared with, on the same input.
        agree: whether the results of nbseg and of a peer are the same.
        bytes_moved: that a call must read and write at the least, if that says anything.
        kernels: what a CUDA graph captures of nbseg, if not all of `nbseg`: a copy from pinned
            memory cannot be replayed, because that memory is used again.
        facts: by name, what else a reader should know of the case.
        rounds: for calls of seconds: the contenders take turns so many times, and a ratio is the
            median of the rounds' own ratios. 0 is for short calls, repeated.
    """

    name: str
    nbseg: Callable[[], Any]
    peers: dict[str, Callable[[], Any]]
    agree: Callable[[Any, Any], bool] = eq
    bytes_moved: int = 0
    kernels: Callable[[], Any] | None = None
    facts: dict[str, Callable[[Measured], str]] = field(default_factory=dict)
    rounds: int = 0
