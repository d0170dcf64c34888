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
        ratios: the peer's seconds divided by nbseg's, by peer.
    """

    seconds: dict[str, float]
    ratios: dict[str, float]


@dataclass
class Case:
    """Describes one input for nbseg and its peers.

    Attributes:
        name: name of the input, unique in its benchmark.
        nbseg: calls nbseg on the input, and returns the result.
        peers: by name, the functions that call the peers on the same input.
        agree: returns whether the results of nbseg and of a peer are the same.
        bytes_moved: smallest number of bytes that a call must read and write; 0 if this number says
            nothing about the call.
        kernels: the part of `nbseg` that a CUDA graph captures; None captures all. A copy from
            pinned memory cannot be replayed, because this memory is reused.
        facts: further results to print, by name; computed from the measured times.
        rounds: number of rounds for calls that take seconds: the contenders take turns, and a ratio
            is the median of the rounds' ratios. 0 is for short calls, which are repeated for
            a fixed time.
        memory: whether to measure the peak memory also of calls that take seconds.
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
