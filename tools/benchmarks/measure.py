"""Measure the time, memory and bandwidth of a call."""

import ctypes
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

MEMORY_PROCESSES = 3
SLICES = 5


@dataclass
class Timing:
    """Holds the times of repeated calls in seconds."""

    median: float
    fastest: float
    spread: float  # difference of the quartiles divided by the median
    repeats: int

    @classmethod
    def of(cls, times: list[float]) -> "Timing":
        """Summarize the seconds of each call."""
        low, median, high = statistics.quantiles(times, n=4)
        return cls(median, min(times), (high - low) / median, len(times))


def seconds_of(function: Callable[[], Any], device: str) -> float:
    """Return the seconds of one call; on a GPU, between two events on the current stream."""
    if device == "cpu":
        start = time.perf_counter()
        function()
        return time.perf_counter() - start
    begin, end = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )
    begin.record()
    function()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def measure(function: Callable[[], Any], device: str, seconds: float) -> Timing:
    """Time the calls of a function for the given number of seconds, at least five calls."""
    return measure_in_slices({"": function}, device, seconds)[""]


def measure_in_slices(
    functions: dict[str, Callable[[], Any]], device: str, seconds: float
) -> dict[str, Timing]:
    """Time the calls of each function for the given number of seconds, at least five calls.

    The functions take turns. A turn lasts a fifth of the seconds, so that a temporary slowdown of
    the machine affects all functions.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(SLICES):
        for name, function in functions.items():
            function()
            stop = time.perf_counter() + seconds / SLICES
            times[name].append(seconds_of(function, device))
            while time.perf_counter() < stop:
                times[name].append(seconds_of(function, device))
    return {name: Timing.of(values) for name, values in times.items()}


def measure_in_turns(
    functions: dict[str, Callable[[], Any]], device: str, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each function in each round; an additional first round warms up."""
    for function in functions.values():
        function()
    turns = [
        {name: seconds_of(function, device) for name, function in functions.items()}
        for _ in range(rounds)
    ]
    return {name: [turn[name] for turn in turns] for name in functions}


def graph_replay(function: Callable[[], Any]) -> Callable[[], None] | None:
    """Capture the call's kernels as a CUDA graph; return None if the call waits for the GPU."""
    if synchronizes(function):
        return None  # the capture would fail and leave torch on its stream
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def synchronizes(function: Callable[[], Any]) -> bool:
    """Return whether the call makes the CPU wait for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        function()
    except RuntimeError as error:
        if "synchronizing CUDA operation" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False


def copy_bandwidth(device: str) -> float:
    """Return the bytes read and written per second by copying a large tensor."""
    source = torch.ones(2**28 if device == "cuda" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timing = measure(lambda: target.copy_(source), device, seconds=0.5)
    return 2 * source.numel() / timing.median


def resident_bytes(field: str) -> int:
    """Return VmRSS (current) or VmHWM (highest) of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}; run with --no-memory")


def peak_memory(call: Callable[[], Any]) -> int:
    """Return the bytes that a call takes beyond its result; measure only in a fresh process."""
    call()  # import and compile before the measurement
    give_back = ctypes.CDLL(None).malloc_trim
    give_back(0)
    Path("/proc/self/clear_refs").write_text("5")  # reset VmHWM
    result = call()
    highest = resident_bytes("VmHWM")
    give_back(0)
    after = resident_bytes("VmRSS")
    del result
    return max(0, highest - after)


def in_fresh_processes(function: Callable[..., int], arguments: Iterable[Any]) -> int:
    """Run a function in several fresh processes, and return the highest result."""
    spawn = multiprocessing.get_context("spawn")
    results = []
    for _ in range(MEMORY_PROCESSES):
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            results.append(pool.submit(function, *arguments).result())
    return max(results)
