"""Kill whole runs at random moments, resume each with --resume, and compare what they end with.

python tests/kill_runs.py --runs 30 --seed 0 --work work_dirs/kills

A run trains the control arm, a teacher and a student on a tiny generated set. One run, which nobody
interrupts, is the reference. Every other run is killed (SIGKILL to the whole process group) one to
three times, at moments drawn evenly from the reference's duration and counted from the start of the
stage in which they lie. Each attempt has 0, 1 or 2 loader workers. All files that a run leaves must
then equal the reference's: the tensors of every published checkpoint, the predictions, the
pseudo-labels, the metrics, the reports.

The command prints a line for each run and a summary, and returns 1 if a run differs. Called again
with the same folder, it goes on after the last finished run.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from pathlib import Path

from forked_runs import TRAIN, fork_program, prepare_to_fork, write_flat_config

from nbseg.checkpoint import read_checkpoint
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.work_dir import WorkDir
from nbseg.pseudo.predictions import PredictionStore

TRAINED = ("control", "teacher", "student")
# Checkpoints are fewer than iterations, so that a resumed training repeats some.
CHANGES = """
iterations = {iterations}
teacher = dict(iterations={iterations})
randomness = dict(deterministic=True)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=2), logger=dict(interval=1))
"""


def make_config(folder, iterations):
    """Write the set and the config of all runs, and return the config's path."""
    data = folder / "shapes"
    if not data.exists():
        generate_shapes(data, ShapesOptions(size=64, train=6, val=2))
    return write_flat_config(folder, data, CHANGES.format(iterations=iterations))


def start(config, work_dir, workers, log):
    """Fork a process that leads its own group and runs tools/train.py; return its id."""
    options = (f"num_workers={workers}", f"persistent_workers={workers > 0}")
    arguments = [config, "--work-dir", work_dir, "--resume", "--cfg-options", *options]
    return fork_program(TRAIN, arguments, log)


def finishes(process, log, moment=None):
    """Wait for a process, and kill its group at a moment.

    Args:
        process: id of the process.
        log: its log, which names each stage.
        moment: a stage, and how many seconds after its start to kill; None lets the process finish.

    Returns:
        True if the process finished, False if it was killed; and when each stage started, in
        seconds, with the start of the process as a stage without a name.
    """
    began = time.monotonic()
    starts = {"": 0.0}
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        now = time.monotonic() - began
        for stage in re.findall(r"^\[(\w+)\] (?:starts|finished)", log.read_text(), re.M):
            starts.setdefault(stage, now)
        if done:
            if status:
                code = os.waitstatus_to_exitcode(status)
                raise SystemExit(f"an attempt failed with status {code}; see {log}")
            return True, {**starts, "end": now}
        if moment and now >= starts.get(moment[0], now + 1) + moment[1]:
            break
        time.sleep(0.01)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False, starts


def place(log):
    """Return where a killed attempt was: the stage that its log names last, and the iteration."""
    text = log.read_text()
    starts = [*re.finditer(r"^\[(\w+)\] starts", text, re.M)]
    if not starts:
        return "before the first stage"
    iterations = re.findall(r"Iter\(train\) \[\s*(\d+)/", text[starts[-1].end() :])
    return starts[-1][1] + (f" after iteration {iterations[-1]}" if iterations else "")


def digests(work_dir):
    """Return a SHA-256 for everything that a run leaves, by name."""
    paths = WorkDir(work_dir)
    found = {}
    for stage in TRAINED:
        digest = hashlib.sha256()
        for name, tensor in sorted(read_checkpoint(paths.checkpoint(stage))["state_dict"].items()):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        found[f"weights of {stage}"] = digest.hexdigest()
    digest = hashlib.sha256()
    # A kill changes how images are distributed over the parts of the store.
    for image in sorted(PredictionStore(paths.predictions), key=lambda image: image.image_id):
        for value in image:
            digest.update(value.tobytes() if hasattr(value, "tobytes") else str(value).encode())
    found["predictions"] = digest.hexdigest()
    files = [paths.metrics, paths.pseudo_labels, *paths.splits.rglob("*.json")]
    files += [*work_dir.glob("*/predictions.*.json"), *paths.report.rglob("*")]
    for file in filter(Path.is_file, files):
        content = file.read_bytes().replace(str(work_dir).encode(), b"{work_dir}")
        found[str(file.relative_to(work_dir))] = hashlib.sha256(content).hexdigest()
    return found


def reference_run(config, folder):
    """Make the uninterrupted run, or read its record: the starts of its stages and its digests."""
    record = folder / "reference.json"
    if not record.exists():
        work_dir, log = folder / "reference", folder / "reference.log"
        shutil.rmtree(work_dir, ignore_errors=True)
        log.write_text("")
        _, starts = finishes(start(config, work_dir, 0, log), log)
        record.write_text(json.dumps({"starts": starts, "digests": digests(work_dir)}))
    return json.loads(record.read_text())


def killed_run(config, folder, reference, draw):
    """Run with one to three kills; return where it was killed and the names of what differs."""
    *starts, (_, end) = reference["starts"].items()
    work_dir = folder / "run"
    shutil.rmtree(work_dir, ignore_errors=True)
    moments = sorted(draw.uniform(0, end) for _ in range(draw.randint(1, 3)))
    places = []
    for number, moment in enumerate([*moments, None]):
        log = folder / f"attempt_{number}.log"
        log.write_text("")
        if moment is not None:
            # Where the machine is slower than it was for the reference, each stage starts later.
            stage, begin = [(name, second) for name, second in starts if second <= moment][-1]
            moment = stage, moment - begin
        finished, _ = finishes(start(config, work_dir, draw.choice((0, 1, 2)), log), log, moment)
        if finished:
            break
        places.append(place(log))
    found, expected = digests(work_dir), reference["digests"]
    names = sorted({*found, *expected})
    return places, [name for name in names if found.get(name) != expected.get(name)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=30, help="number of runs that are killed")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--work", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--iterations", type=int, default=8, help="iterations of a training")
    arguments = parser.parse_args()
    folder = arguments.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare_to_fork()
    config = make_config(folder, arguments.iterations)
    reference = reference_run(config, folder)
    print(f"reference: {reference['starts']['end']:.1f} s, {len(reference['digests'])} results")
    same = kills = 0
    for number in range(arguments.runs):
        record = folder / f"run_{arguments.seed}_{number}.json"
        if not record.exists():
            draw = random.Random(f"{arguments.seed} {number}")
            # A resumed stage is shorter, and a quick run can end before its moment comes.
            result = [], []
            while result == ([], []):
                result = killed_run(config, folder, reference, draw)
            record.write_text(json.dumps(result))
        places, differences = json.loads(record.read_text())
        same, kills = same + (not differences), kills + len(places)
        verdict = f"DIFFERS: {', '.join(differences)}" if differences else "same"
        print(f"run {number}: killed in {'; '.join(places)}: {verdict}", flush=True)
    print(f"{same} of {arguments.runs} runs with {kills} kills end like the uninterrupted run")
    return int(same < arguments.runs)


if __name__ == "__main__":
    sys.exit(main())
