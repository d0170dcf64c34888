"""Define the cases that tools/benchmark.py measures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import eq
from typing import Any


@dataclass
class CaseTimes:
    """Holds the measured times of one case.

    Attributes:
        seconds: median seconds by contender.
        ratios: for each peer, its seconds divided by nbseg's seconds.
    """

    seconds: dict[str, float]
    ratios: dict[str, float]


@dataclass
class Case:
    """Describes one input for nbseg and its peers. The peers are the code that nbseg replaces.

    Attributes:
        name: name of the input, unique in its benchmark.
        nbseg: calls nbseg on the input, and returns the result.
        peers: for each peer's name, a function that calls the peer on the same input.
        agree: returns whether the results of nbseg and of a peer are the same.
        bytes_moved: smallest number of bytes that a call must read and write. With 0, the share of
            the copy bandwidth is not reported.
        kernels: a function with the part of `nbseg` that a CUDA graph captures; None captures the
            whole call. Leave out copies from pinned memory, because a replay would read memory that
            has been reused since the capture.
        facts: further results to print. For each name of a result, a function that turns the
            measured times into the text of the result.
        rounds: number of rounds for calls that take seconds. In each round, every contender runs
            once; a ratio is the median of the rounds' ratios. 0 is for short calls, which are
            repeated for a fixed time.
        memory: whether to measure the peak memory although `rounds` is not 0.
    """

    name: str
    nbseg: Callable[[], Any]
    peers: dict[str, Callable[[], Any]]
    agree: Callable[[Any, Any], bool] = eq
    bytes_moved: int = 0
    kernels: Callable[[], Any] | None = None
    facts: dict[str, Callable[[CaseTimes], str]] = field(default_factory=dict)
    rounds: int = 0
    memory: bool = False
