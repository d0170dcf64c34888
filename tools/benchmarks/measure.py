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
    """Summarizes the times of repeated calls.

    Attributes:
        median: median time of a call in seconds.
        fastest: shortest time of a call in seconds.
        spread: difference of the quartiles divided by the median.
        repeats: number of calls.
    """

    median: float
    fastest: float
    spread: float
    repeats: int

    @classmethod
    def of(cls, times: list[float]) -> "Timing":
        """Return the summary of the times of calls, in seconds; at least two times are needed."""
        low, median, high = statistics.quantiles(times, n=4)
        return cls(median, min(times), (high - low) / median, len(times))


def seconds_of(function: Callable[[], Any], device: str) -> float:
    """Call the function once, and return the time of the call in seconds.

    On a GPU, this is the time between two CUDA events on the current stream, before and after the
    call.
    """
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
    """Call a function for the given number of seconds, at least five times; return the timing."""
    return measure_in_slices({"": function}, device, seconds)[""]


def measure_in_slices(
    functions: dict[str, Callable[[], Any]], device: str, seconds: float
) -> dict[str, Timing]:
    """Call each function for the given number of seconds, at least five times.

    The functions take turns. A turn lasts a fifth of the seconds, so that a temporary slowdown of
    the machine affects all functions.

    Returns:
        The timing of each function, by the function's name in ``functions``.
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
    """Call each function once per round, and return the functions' times by name.

    An additional first round, which is not timed, warms up.

    Returns:
        For each function, its time in each round, in seconds.
    """
    for function in functions.values():
        function()
    turns = [
        {name: seconds_of(function, device) for name, function in functions.items()}
        for _ in range(rounds)
    ]
    return {name: [turn[name] for turn in turns] for name in functions}


def graph_replay(function: Callable[[], Any]) -> Callable[[], None] | None:
    """Capture the kernels of a call as a CUDA graph, and return a function that replays the graph.

    If the call makes the CPU wait for the GPU, it cannot be captured, and None is returned.
    """
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
    """Return how many bytes per second are read and written while a large tensor is copied."""
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
    """Return the peak memory of a call in bytes, without the memory of the call's result.

    Use this function only in a fresh process, because memory that earlier calls have left would be
    reused.
    """
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
