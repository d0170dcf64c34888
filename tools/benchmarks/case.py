"""What tools/benchmark.py measures."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import eq
from typing import Any


@dataclass
class Case:
    """One input for nbseg and for its peers.

    Attributes:
        name: of the input, unique in its benchmark.
        nbseg: the call that is measured; returns its result.
        peers: by name, the calls that it is compared with, on the same input.
        agree: whether the results of nbseg and of a peer are the same.
    """

    name: str
    nbseg: Callable[[], Any]
    peers: dict[str, Callable[[], Any]]
    agree: Callable[[Any, Any], bool] = eq
