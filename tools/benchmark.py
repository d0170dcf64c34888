"""Measure nbseg's ops beside what they replace: same process, same inputs, same results.

A case's module lies in tools/benchmarks and lists its cases as `cases(threads)`; BENCHMARKS names
it. For each case this program checks that all contenders agree, then times one after another,
repeatedly, and prints medians and how many times longer the others take.

The peak memory is that of one call in a fresh process: the kernel's highest count of resident pages
during the call, less the count after it, when only the result is still held. Before either, the
allocator gives its free pages back. The kernel counts in batches, so that it is good to about
0.25 MB; the largest of three processes is reported.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import paste_rle
from benchmarks.case import Case

BENCHMARKS: dict[str, Callable[[int], Iterator[Case]]] = {"paste_rle": paste_rle.cases}
SPREAD_OF_AN_IDLE_MACHINE = 0.1
LOAD_OF_AN_IDLE_MACHINE = 0.3
MEMORY_PROCESSES = 3


@dataclass
class Timing:
    """Of repeated calls, in seconds."""

    median: float
    fastest: float
    spread: float  # between the quartiles, as a part of the median
    repeats: int


def measure(function: Callable[[], Any], seconds: float) -> Timing:
    function()
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < stop and len(times) < 2000):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    low, median, high = statistics.quantiles(times, n=4)
    return Timing(median, min(times), (high - low) / median, len(times))


def resident(field: str) -> int:
    """VmRSS (now) or VmHWM (the highest so far) of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}. Next: run with --no-memory.")


def peak_memory(benchmark: str, name: str, threads: int) -> int:
    """Bytes that a call of nbseg takes beyond its result. Call it in a fresh process."""
    case = next(case for case in BENCHMARKS[benchmark](threads) if case.name == name)
    give_back = ctypes.CDLL(None).malloc_trim
    give_back(0)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest value
    result = case.nbseg()
    highest = resident("VmHWM")
    give_back(0)
    after = resident("VmRSS")
    del result
    return max(0, highest - after)


def peak_memory_in_fresh_processes(benchmark: str, name: str, threads: int) -> int:
    spawn = multiprocessing.get_context("spawn")
    peaks = []
    for _ in range(MEMORY_PROCESSES):
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            peaks.append(pool.submit(peak_memory, benchmark, name, threads).result())
    return max(peaks)


def report(case: Case, benchmark: str, args: argparse.Namespace) -> dict[str, Any]:
    expected = case.nbseg()
    for peer, function in case.peers.items():
        if not case.agree(expected, function()):
            raise SystemExit(
                f"{benchmark}, {case.name}: nbseg and {peer} do not agree, so that their times "
                f"mean nothing. Next: run the op's tests."
            )
    timings = {"nbseg": measure(case.nbseg, args.seconds)}
    timings |= {peer: measure(function, args.seconds) for peer, function in case.peers.items()}
    own = timings["nbseg"].median
    ratios = {peer: timings[peer].median / own for peer in case.peers}
    memory = None
    if args.memory:
        memory = peak_memory_in_fresh_processes(benchmark, case.name, args.threads)

    texts = [f"{own * 1e3:9.3f} ms"]
    texts += [f"{p} {timings[p].median * 1e3:9.3f} ms, {r:6.1f}x" for p, r in ratios.items()]
    if memory is not None:
        texts.append(f"{memory / 1e6:.2f} MB beyond the result")
    print(f"{benchmark} {case.name:28} " + " | ".join(texts), flush=True)
    for contender, timing in timings.items():
        if timing.spread > SPREAD_OF_AN_IDLE_MACHINE:
            print(f"  warning: {contender}'s times spread by {timing.spread:.0%} of their median")
    return {
        "benchmark": benchmark,
        "case": case.name,
        "timings": {contender: asdict(timing) for contender, timing in timings.items()},
        "ratios": ratios,
        "peak_memory": memory,
    }


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--threads", type=int, default=2, help="of all contenders; default: %(default)s"
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="for a contender's repeats; default: %(default)s"
    )
    parser.add_argument(
        "--no-memory", dest="memory", action="store_false", help="do not measure peak memory"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args(argv)
    for name in args.benchmarks:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    load = os.getloadavg()[0]
    if load > LOAD_OF_AN_IDLE_MACHINE:
        print(f"warning: the machine is busy (load {load:.1f}); ratios may be off by far")
    results = [
        report(case, benchmark, args)
        for benchmark in args.benchmarks or BENCHMARKS
        for case in BENCHMARKS[benchmark](args.threads)
    ]
    if args.json:
        machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "load": load}
        document = {**machine, "threads": args.threads, "results": results}
        args.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
