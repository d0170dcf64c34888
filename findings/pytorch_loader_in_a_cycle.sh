#!/usr/bin/env bash
# PyTorch 2.13.0: a DataLoader's iterator in a reference cycle costs 5 seconds for each worker.
#
# A good engineer expects an object to be freed in the same way, only later, if the garbage
# collector finds it and not the reference count. An iterator with workers is often in a cycle: a
# trainer holds its loop, the loop the iterator, and some hook the trainer. An iterator that is not
# exhausted (or that belongs to a loader with persistent workers) then stops the program at some
# later collection, 5 seconds for each worker, one after the other, and kills the workers.
#
# The cause: Python's collector first calls the callbacks of weak references and then __del__
# (https://github.com/python/cpython/issues/84492). One callback is the finalizer of the
# multiprocessing.Queue to a worker, which tells the queue's thread to end. The iterator's __del__
# then puts None, the signal to end, into the queue; nobody sends it, so each worker is waited for
# 5 seconds (MP_STATUS_CHECK_INTERVAL). Without that finalizer the collector is as fast as the
# reference count. https://github.com/pytorch/pytorch/issues/64766 tells of such seconds.
#
# Output seen on 2026-11-29 (Python 3.11, CPU build of torch, Linux x86_64):
#   reference count, 1 worker: 0 waits of 5 seconds
#   reference count, 2 workers: 0 waits of 5 seconds
#   garbage collector, 1 worker: 1 waits of 5 seconds
#   garbage collector, 2 workers: 2 waits of 5 seconds
#   garbage collector, 2 workers, queues without finalizer: 0 waits of 5 seconds
# The script fails if a line changes. nbseg drops its iterators as soon as a stage ends
# (tests/engine/test_stage_runner.py, test_workers_end_with_their_training).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6
cat > free.py <<'PY'
import gc
import time

import torch
from torch.utils.data import DataLoader


class Trainer:
    pass


def waits(workers, cycle, finalizer=True):
    trainer = Trainer()
    trainer.batches = iter(DataLoader(torch.zeros(8, 2), batch_size=2, num_workers=workers))
    next(trainer.batches)
    if cycle:
        trainer.hook = trainer
    if not finalizer:
        for queue in trainer.batches._index_queues:
            queue._close.cancel()
    gc.collect()
    start = time.monotonic()
    del trainer
    gc.collect()
    # Without a wait 0.2 seconds were measured, and 0.2 more than the waits otherwise.
    return f"{int((time.monotonic() - start + 0.5) / 5)} waits of 5 seconds"


print(f"reference count, 1 worker: {waits(1, cycle=False)}")
print(f"reference count, 2 workers: {waits(2, cycle=False)}")
print(f"garbage collector, 1 worker: {waits(1, cycle=True)}")
print(f"garbage collector, 2 workers: {waits(2, cycle=True)}")
print(
    "garbage collector, 2 workers, queues without finalizer: "
    f"{waits(2, cycle=True, finalizer=False)}"
)
PY
env/bin/python free.py | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
reference count, 1 worker: 0 waits of 5 seconds
reference count, 2 workers: 0 waits of 5 seconds
garbage collector, 1 worker: 1 waits of 5 seconds
garbage collector, 2 workers: 2 waits of 5 seconds
garbage collector, 2 workers, queues without finalizer: 0 waits of 5 seconds
TXT
