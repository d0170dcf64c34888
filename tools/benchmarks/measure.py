"""Seconds, bytes and bandwidth of a call."""

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
    """Of repeated calls, in seconds."""

    median: float
    fastest: float
    spread: float  # between the quartiles, as a part of the median
    repeats: int

    @classmethod
    def of(cls, times: list[float]) -> "Timing":
        low, median, high = statistics.quantiles(times, n=4)
        return cls(median, min(times), (high - low) / median, len(times))


def seconds_of(function: Callable[[], Any], device: str) -> float:
    """Of one call; on a GPU between two events on the current stream."""
    if device == "cpu":
        start = time.perf_counter()
        function()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    function()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def measure(function: Callable[[], Any], device: str, seconds: float) -> Timing:
    """Repeat a call for so many seconds, at least five times."""
    return measure_in_slices({"": function}, device, seconds)[""]


def measure_in_slices(
    functions: dict[str, Callable[[], Any]], device: str, seconds: float
) -> dict[str, Timing]:
    """Repeat each call for so many seconds, at least five times.

    The calls take turns, a slice of the seconds each: what slows the machine down for a while slows
    all of them.
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
    """The seconds of each call in each round; a first round warms up."""
    for function in functions.values():
        function()
    turns = [
        {name: seconds_of(function, device) for name, function in functions.items()}
        for _ in range(rounds)
    ]
    return {name: [turn[name] for turn in turns] for name in functions}


def graph_replay(function: Callable[[], Any]) -> Callable[[], None] | None:
    """The call's kernels alone, as a CUDA graph; None where the call waits for the GPU."""
    if synchronizes(function):
        return None  # such a capture would fail, and leave torch on the stream of the capture
    stream = torch.cuda.Stream()
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
    """Whether the call makes the CPU wait for the GPU."""
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
    """Bytes read and written a second by copying a large tensor."""
    source = torch.ones(2**28 if device == "cuda" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timing = measure(lambda: target.copy_(source), device, seconds=0.5)
    return 2 * source.numel() / timing.median


def resident(field: str) -> int:
    """VmRSS (now) or VmHWM (the highest so far) of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}. Next: run with --no-memory.")


def peak_memory(call: Callable[[], Any]) -> int:
    """Bytes that a call takes beyond its result. Use a fresh process."""
    call()  # what it imports or compiles is not its own
    give_back = ctypes.CDLL(None).malloc_trim
    give_back(0)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest value
    result = call()
    highest = resident("VmHWM")
    give_back(0)
    after = resident("VmRSS")
    del result
    return max(0, highest - after)


def in_fresh_processes(function: Callable[..., int], arguments: Iterable[Any]) -> int:
    """The highest result of some runs, each in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    results = []
    for _ in range(MEMORY_PROCESSES):
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            results.append(pool.submit(function, *arguments).result())
    return max(results)
