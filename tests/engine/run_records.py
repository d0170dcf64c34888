"""What the tests of the stages ask about a run."""

import json

from nbseg.engine.manifest import Manifest
from nbseg.engine.stages import STAGES
from nbseg.engine.work_dir import WorkDir
from nbseg.files import file_hash, write_json

TRAINED = ("control", "teacher", "student")


def manifest(run, stage):
    return Manifest(WorkDir(run.work_dir).manifest(stage))


def as_if_killed(run, stage):
    """Make a finished stage look as if it had been killed before its end."""
    record = manifest(run, stage)
    record.content["finished"] = False
    write_json(record.path, record.content)
    for file in run.work_dir.glob(f"{stage}/{stage}.pth"):
        file.unlink()


def kept_and_started(printed):
    """The stages that a run says it kept, and those it says it started."""
    lines = printed.splitlines()
    return tuple(
        [stage for stage in STAGES if any(line.startswith(f"[{stage}] {word}") for line in lines)]
        for word in ("is finished and kept", "starts")
    )


def logged_steps(folder):
    """The training iterations that the logs of a stage speak of, latest run first."""
    runs = sorted(folder.glob("*/vis_data/scalars.json"), reverse=True)
    return [
        [
            entry["step"]
            for entry in map(json.loads, run.read_text().splitlines())
            if "loss" in entry
        ]
        for run in runs
    ]


def content_of(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, file_hash(path))
        for path in folder.rglob("*")
        if path.is_file() and "splits" not in path.parts and "report" not in path.parts
    }
