"""Compare the time and memory of nbseg with those of the code that it replaces.

A benchmark is a module in tools/benchmarks. Its function `cases(threads, device)` yields cases. A
case is one input for several contenders: nbseg, and the code that nbseg replaces (its peers).

For each case, this program checks that the results of all contenders agree, and times the
contenders in turns. It prints the median time of each contender, and each peer's time divided by
nbseg's time. On a GPU, it also times a CUDA graph of each contender. The time of a graph's replay
does not include the kernel launches. A contender that waits for the GPU during its call has no
graph.

The share of the copy bandwidth is the number of bytes that a call must move, divided by the number
of bytes that copying a large tensor moves in the same time.

The peak memory is measured on the second call in a fresh process. It is the highest number of
resident pages during the call, minus the number of resident pages after the call while the result
is still held. The allocator returns its free pages to the system before each count. The system
counts pages in batches, so the value is accurate to about 0.25 MB. The program prints the largest
value of three processes.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from benchmarks.case import Case, CaseTimes
from benchmarks.measure import (
    Timing,
    copy_bandwidth,
    graph_replay,
    in_fresh_processes,
    measure,
    measure_in_slices,
    measure_in_turns,
    peak_memory,
)

BENCHMARKS = (
    "paste_rle",
    "bpm_mask_loss",
    "mask_targets",
    "mask_branch",
    "data_pipeline",
    "read_image",
    "student_iteration",
    "online_step",
    "deployment",
    "evaluation",
)
ON_A_GPU = ("bpm_mask_loss", "mask_targets")
SPREAD_OF_AN_IDLE_MACHINE = 0.1
LOAD_OF_AN_IDLE_MACHINE = 0.3


def cases_of(benchmark: str, threads: int, device: str) -> Iterator[Case]:
    """Yield the cases of a benchmark, which is the name of a module in tools/benchmarks.

    torch then uses ``threads`` CPU threads.
    """
    torch.set_num_threads(threads)
    module = importlib.import_module(f"benchmarks.{benchmark}")
    yield from module.cases(threads, device)


def peak_memory_of(benchmark: str, name: str, contender: str, threads: int) -> int:
    """Return the peak memory in bytes of one contender; call this function in a fresh process."""
    cases = cases_of(benchmark, threads, "cpu")  # keep the generator: it deletes the case's files
    case = next(case for case in cases if case.name == name)
    return peak_memory(case.nbseg if contender == "nbseg" else case.peers[contender])


def time_contenders(
    case: Case, args: argparse.Namespace
) -> tuple[dict[str, Timing], dict[str, float]]:
    """Return the timing of each contender, and the ratio of each peer's time to nbseg's time.

    Both dictionaries have the names of the contenders as keys. On a GPU, they also have entries for
    the CUDA graphs of the contenders, such as "nbseg (graph)".
    """
    contenders = {"nbseg": case.nbseg, **case.peers}
    if case.rounds:
        turns = measure_in_turns(contenders, args.device, case.rounds)
        timings = {name: Timing.of(times) for name, times in turns.items()}
        ratios = {
            peer: statistics.median(
                theirs / ours for ours, theirs in zip(turns["nbseg"], turns[peer], strict=True)
            )
            for peer in case.peers
        }
        return timings, ratios
    timings = measure_in_slices(contenders, args.device, args.seconds)
    ratios = {peer: timings[peer].median / timings["nbseg"].median for peer in case.peers}
    if args.device == "cuda":
        for name, function in {**contenders, "nbseg": case.kernels or case.nbseg}.items():
            if (replay := graph_replay(function)) is not None:
                timings[f"{name} (graph)"] = measure(replay, args.device, args.seconds)
        ours = timings.get("nbseg (graph)")
        for peer in case.peers:
            if ours is not None and (theirs := timings.get(f"{peer} (graph)")) is not None:
                ratios[f"{peer} (graph)"] = theirs.median / ours.median
    return timings, ratios


def report(
    case: Case, benchmark: str, bandwidth: float, args: argparse.Namespace
) -> dict[str, Any]:
    """Measure a case, print the results, and return the entry of the case in the json."""
    expected = case.nbseg()
    for peer, function in case.peers.items():
        if not case.agree(expected, function()):
            raise SystemExit(
                f"{benchmark}, {case.name}: nbseg and {peer} return different results, so their "
                "times cannot be compared. Run the tests of this operation."
            )
    del expected
    timings, ratios = time_contenders(case, args)
    medians = {name: timing.median for name, timing in timings.items()}
    texts = [f"{medians['nbseg'] * 1e3:9.3f} ms"]
    if "nbseg (graph)" in medians:
        texts.append(f"as a CUDA graph {medians['nbseg (graph)'] * 1e3:.3f} ms")
    texts += [f"{p} {medians[p] * 1e3:9.3f} ms, {r:6.2f}x" for p, r in ratios.items()]
    facts = {name: fact(CaseTimes(medians, ratios)) for name, fact in case.facts.items()}
    share = None
    if case.bytes_moved:
        kernels = medians.get("nbseg (graph)", medians["nbseg"])
        share = case.bytes_moved / kernels / bandwidth
        facts["bytes"] = f"{case.bytes_moved / 1e6:.2f} MB, {share:.0%} of the copy bandwidth"
    memory = {}
    if args.memory and (case.memory or not case.rounds):
        for name in ("nbseg", *case.peers):
            where = (benchmark, case.name, name, args.threads)
            memory[name] = in_fresh_processes(peak_memory_of, where)
        sizes = (f"{name} {size / 1e6:.2f}" for name, size in memory.items())
        facts["peak memory beyond the result, in MB"] = ", ".join(sizes)
    print(f"{benchmark} {case.name:28} " + " | ".join(texts), flush=True)
    for name, fact in facts.items():
        print(f"  {name}: {fact}", flush=True)
    for contender, timing in timings.items():
        if timing.spread > SPREAD_OF_AN_IDLE_MACHINE:
            print(
                f"  warning: the times of {contender} vary: their quartiles differ by "
                f"{timing.spread:.0%} of the median; repeat the benchmark on an idle machine"
            )
    return {
        "benchmark": benchmark,
        "case": case.name,
        "timings": {contender: asdict(timing) for contender, timing in timings.items()},
        "ratios": ratios,
        "share_of_copy_bandwidth": share,
        "peak_memory": memory,
        "facts": facts,
    }


def machine(device: str) -> dict[str, Any]:
    """Return a dictionary that describes the machine, its load and the versions of the software."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    return {
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "cpu": f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "load": os.getloadavg()[0],
    }


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="BENCHMARK",
        help=f"benchmarks to run: {', '.join(BENCHMARKS)}; default: all",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=2,
        help="number of CPU threads that each contender uses; default: %(default)s",
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help=f"device to run on; cuda runs only {' and '.join(ON_A_GPU)}; default: %(default)s",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="seconds to spend on each contender, except in cases with a fixed number of rounds; "
        "default: %(default)s",
    )
    parser.add_argument(
        "--no-memory",
        dest="memory",
        action="store_false",
        help="skip the measurement of peak memory",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write the results to")
    args = parser.parse_args(argv)
    if args.device == "cuda":
        if not torch.cuda.is_available():
            parser.error(
                "--device cuda needs a CUDA device, but torch finds none; use --device cpu"
            )
        args.memory = False  # the measurement counts only the host's memory
    known = ON_A_GPU if args.device == "cuda" else BENCHMARKS
    args.benchmarks = args.benchmarks or known
    for name in args.benchmarks:
        if name not in known:
            parser.error(
                f"there is no benchmark {name!r} for {args.device}; choose from {', '.join(known)}"
            )
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    where = machine(args.device)
    print(", ".join(f"{name} {value}" for name, value in where.items() if value is not None))
    if where["load"] > LOAD_OF_AN_IDLE_MACHINE:
        print(
            f"warning: the machine is busy (load {where['load']:.1f}), so the ratios are not "
            "reliable; repeat the benchmark on an idle machine"
        )
    torch.set_num_threads(args.threads)
    bandwidth = copy_bandwidth(args.device)
    print(f"copy bandwidth {bandwidth / 1e9:.1f} GB/s, {args.threads} threads", flush=True)
    results = [
        report(case, benchmark, bandwidth, args)
        for benchmark in args.benchmarks
        for case in cases_of(benchmark, args.threads, args.device)
    ]
    if args.json:
        document = {**where, "threads": args.threads, "copy_bandwidth": bandwidth}
        part = args.json.with_name(args.json.name + ".part")
        part.write_text(json.dumps({**document, "results": results}, indent=2) + "\n")
        part.replace(args.json)


if __name__ == "__main__":
    main()
