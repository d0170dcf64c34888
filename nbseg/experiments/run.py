"""Describes a run: one call of tools/train.py with its own work directory."""

import json
import statistics
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nbseg.config.options import override
from nbseg.engine.manifest import Manifest
from nbseg.engine.pipeline import Pipeline
from nbseg.engine.work_dir import WorkDir


@dataclass(frozen=True, eq=False)
class Run:
    """Holds the stages and options of one run of a config.

    Attributes:
        folder: the run's work directory, relative to the work directory of all runs.
        config: path of the config file.
        stages: value of ``--stages``.
        options: values for ``--cfg-options`` by key.
        inputs: further options whose values are files of other runs; for each key, the other run
            and the file's path in that run's folder.
        needs: further runs that must finish before this run starts, in addition to the runs in
            ``inputs``.
    """

    folder: str
    config: str
    stages: tuple[str, ...]
    options: Mapping[str, Any]
    inputs: Mapping[str, tuple["Run", str]] = field(default_factory=dict)
    needs: tuple["Run", ...] = ()

    @property
    def name(self) -> str:
        """Return the unique name of the run: its folder and its stages."""
        return f"{self.folder} ({', '.join(self.stages)})"

    def before(self) -> list["Run"]:
        """Return the runs that must finish before this run starts."""
        return [*self.needs, *(run for run, _ in self.inputs.values())]

    def all_options(self, work_dir: Path) -> dict[str, Any]:
        """Return ``options`` and, by the keys of ``inputs``, the paths of these files as strings.

        Args:
            work_dir: work directory of all runs.
        """
        files = {key: str(work_dir / run.folder / file) for key, (run, file) in self.inputs.items()}
        return {**self.options, **files}

    def arguments(self, work_dir: Path) -> list[str]:
        """Return the command-line arguments of tools/train.py after the config."""
        return [
            *("--work-dir", str(work_dir / self.folder), "--stages", ",".join(self.stages)),
            *("--resume", "--cfg-options"),
            *(f"{key}={value}" for key, value in self.all_options(work_dir).items()),
        ]

    def command(self, work_dir: Path, tools: Path, gpus: int = 1) -> list[str]:
        """Return the whole command, which starts one process per GPU.

        Args:
            work_dir: work directory of all runs.
            tools: folder that contains train.py.
            gpus: number of GPUs; with 1, the run uses the CPU if the machine has no GPU.
        """
        train = [str(tools / "train.py"), self.config]
        if gpus > 1:
            train += ["--launcher", "pytorch"]
            launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={gpus}"]
        else:
            launch = []
        return [sys.executable, *launch, *train, *self.arguments(work_dir)]

    def parsed(self, work_dir: Path, configs: dict[str, Config]) -> Config:
        """Return the config with the run's options merged in.

        Args:
            work_dir: work directory of all runs.
            configs: cache of parsed config files by path; this method fills the cache.
        """
        if self.config not in configs:
            configs[self.config] = Config.fromfile(self.config)
        config = Config(configs[self.config].to_dict())
        override(config, self.all_options(work_dir))
        return config

    def check(self, work_dir: Path, configs: dict[str, Config]) -> None:
        """Check the config and the finished stages of this run.

        The arguments are those of :meth:`parsed`.

        Raises:
            ValueError: the config is invalid, or a finished stage was made with other options or
                from other files. The message names the key or file, and says what to do.
        """
        Pipeline(self.parsed(work_dir, configs), work_dir / self.folder, self.stages).check_inputs()

    def manifest(self, work_dir: Path, stage: str) -> Manifest:
        """Return the record of a stage: its config keys and inputs, and whether it finished."""
        return Manifest(WorkDir(work_dir / self.folder).manifest(stage))

    def finished(self, work_dir: Path) -> bool:
        """Return whether all stages of the run are finished."""
        return all(self.manifest(work_dir, stage).finished for stage in self.stages)

    def metrics(self, work_dir: Path, stage: str) -> dict[str, float]:
        """Return a stage's test metrics by name, as fractions; empty for an unfinished stage."""
        path = WorkDir(work_dir / self.folder).metrics
        if not (self.manifest(work_dir, stage).finished and path.is_file()):
            return {}
        metrics: dict[str, dict[str, float]] = json.loads(path.read_text())
        return metrics.get(stage, {})

    def iterations(self, work_dir: Path, stage: str) -> int | None:
        """Return the training length of a stage in iterations; None for an unfinished stage."""
        manifest = self.manifest(work_dir, stage)
        return manifest.content["keys"].get("train_cfg.max_iters") if manifest.finished else None

    def seconds(self, work_dir: Path, stage: str) -> float | None:
        """Return the median time of a stage's training iterations in seconds.

        Each time comes from MMEngine's logs, and is a mean over several iterations. If there is no
        log of a training, return None.
        """
        logs = WorkDir(work_dir / self.folder).folder(stage).glob("*/vis_data/scalars.json")
        times = []
        for line in (line for path in logs for line in path.read_text().splitlines()):
            with suppress(ValueError):  # a killed run may leave half a line
                entry = json.loads(line)
                times += [entry["time"]] if "loss" in entry else []
        return statistics.median(times) if times else None
