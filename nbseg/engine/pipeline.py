"""Runs the stages: control, teacher, pseudo-labels, student; keeps what is finished."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, init_dist, is_distributed, is_main_process
from mmengine.runner import Runner
from mmengine.runner.checkpoint import find_latest_checkpoint

from nbseg.checkpoint import load_strictly, publish
from nbseg.config.stage_config import (
    STAGES,
    TRAINING_STAGES,
    coco_evaluator,
    resolve,
    stage_config,
)
from nbseg.datasets.splits import write_split
from nbseg.engine.data_checks import (
    annotation_files,
    check_batches,
    check_data,
    check_labeled,
    check_overlap,
)
from nbseg.engine.manifest import PREDICTION_KEYS, TRAINING_KEYS, Manifest, relevant_keys
from nbseg.engine.pseudo_report import write_pseudo_report
from nbseg.errors import StageError
from nbseg.files import write_json
from nbseg.pseudo.labels import make_pseudo_labels
from nbseg.pseudo.predictions import PredictionStore

# What each stage reads of the others; --redo goes down these edges.
NEEDS = {
    "supervised": (),
    "teacher": (),
    "pseudo": ("teacher",),
    "labels": ("pseudo",),
    "student": ("labels",),
    "oracle": ("teacher",),
}


class Pipeline:
    """The stages of one work directory.

    Args:
        config: the user's config, with sections (see ``stage_config``).
        work_dir: holds a folder a stage, ``metrics.json`` and ``splits/``.
        stages: which to run, in the order of ``STAGES``.
        resume: ``"auto"`` continues an unfinished training from its last checkpoint, a path from
            that one; None starts it again.
        redo: stages to run again though finished; what depends on them follows.
        launcher: of MMEngine.
        amp: train with mixed precision.
        auto_scale_lr: scale the learning rate with the batch size.

    Raises:
        ValueError: a key of a finished stage changed, an unknown stage, or a bad config; all of
            them before anything runs.
    """

    def __init__(
        self,
        config: Config,
        work_dir: str | Path,
        stages: Sequence[str],
        resume: str | None = None,
        redo: Sequence[str] = (),
        launcher: str = "none",
        amp: bool = False,
        auto_scale_lr: bool = False,
    ) -> None:
        unknown = sorted({*stages, *redo} - set(STAGES))
        if unknown:
            raise ValueError(f"unknown stages {unknown}; there are {', '.join(STAGES)}")
        self.config = config
        self.work_dir = Path(work_dir)
        self.resume = resume
        self.launcher = launcher
        self.stages = [stage for stage in STAGES if stage in stages and not self._replaced(stage)]
        self.redo = set(redo)
        for stage in STAGES:
            if self.redo & set(NEEDS[stage]):
                self.redo.add(stage)
        self.configs: dict[str, Config] = {}
        for stage in self.stages:
            if stage != "labels":
                plain = stage_config(config, stage, self.work_dir)
                plain.launcher = launcher
                if stage in TRAINING_STAGES:
                    self._set_options(plain, amp, auto_scale_lr)
                    coco_evaluator(plain).outfile_prefix = f"{plain.work_dir}/predictions"
                self.configs[stage] = plain
                check_batches(stage, plain)
        for stage in self.stages:
            if self._kept(stage):
                self._refuse(stage, self._manifest(stage).changes(self._keys(stage)))

    def check_inputs(self) -> None:
        """Refuse finished stages that were made from other files than there are now.

        Raises:
            StageError: names the stage and the files.
        """
        for stage in self.stages:
            if self._kept(stage):
                self._refuse(stage, self._manifest(stage).changed_inputs(self._inputs(stage)))

    def run(self) -> dict[str, dict[str, float]]:
        """Run the stages that are not finished; return the metrics of every trained stage."""
        if self.launcher != "none" and not is_distributed():
            # A runner would do it too late: until then every process takes itself for the main one.
            init_dist(self.launcher, **self.config.get("env_cfg", {}).get("dist_cfg", {}))
        if is_main_process():
            self._split()
        barrier()
        check_data(self.configs, {self._pseudo_labels(), self.work_dir / "teacher/teacher.pth"})
        if "labels" in self.stages:
            check_labeled(resolve(self.config, "labels", self.work_dir).labels)
        if "pseudo" in self.stages and not self._kept("pseudo") and is_main_process():
            self._check_overlap()
        if self._brings("teacher", "checkpoint") and not self._teacher_checkpoint().is_file():
            raise FileNotFoundError(f"there is no teacher.checkpoint {self._teacher_checkpoint()}")
        for stage in self.stages:
            manifest = self._manifest(stage)
            inputs = self._inputs(stage)
            if self._kept(stage):
                self._refuse(stage, manifest.changed_inputs(inputs))
                _announce(f"[{stage}] finished before, kept ({manifest.path.parent})")
                continue
            absent = [f"{name}: {path}" for name, path in inputs.items() if not path.exists()]
            if absent:
                raise FileNotFoundError(
                    f"stage {stage} needs what is not there ({'; '.join(absent)}); run the stage "
                    "that makes it, or correct the path"
                )
            if manifest.started and self.resume and stage not in {*self.redo, "labels"}:
                changes = manifest.changes(self._keys(stage)) + manifest.changed_inputs(inputs)
                self._refuse(stage, changes)
            elif is_main_process():
                self._clear(stage)
            if is_main_process():
                manifest.start(stage, self._keys(stage), inputs)
            barrier()
            _announce(f"[{stage}] starts in {manifest.path.parent}")
            results = self._run_stage(stage)
            if is_main_process():
                manifest.finish(**results)
                write_json(self.work_dir / "metrics.json", self.metrics(), indent=1)
            barrier()
        return self.metrics()

    def metrics(self) -> dict[str, dict[str, float]]:
        """Return the test metrics of the stages trained so far."""
        manifests = {stage: self._manifest(stage) for stage in TRAINING_STAGES}
        return {s: m.content["metrics"] for s, m in manifests.items() if m.finished}

    def _run_stage(self, stage: str) -> dict[str, Any]:
        if stage == "labels":
            return self._make_labels() if is_main_process() else {}
        plain = self.configs[stage]
        folder = self.work_dir / stage
        folder.mkdir(parents=True, exist_ok=True)
        if is_main_process():
            plain.dump(folder / "config.py")
        if stage == "pseudo":
            runner = Runner.from_cfg(plain)
            load_strictly(runner.model, self._teacher_checkpoint())
            runner.test()
            return {}
        if self.resume:
            latest = _latest_checkpoint(folder) if self.resume == "auto" else self.resume
            self.resume = "auto"  # a path is of the first training that goes on, not of the next
            plain.load_from = latest or plain.load_from
            plain.resume = latest is not None
        runner = Runner.from_cfg(plain)
        runner.train()
        metrics = {name.split("/", 1)[-1]: float(v) for name, v in runner.test().items()}
        if is_main_process():
            publish(_latest_checkpoint(folder), folder / f"{stage}.pth")
        return {"metrics": metrics}

    def _make_labels(self) -> dict[str, Any]:
        config = resolve(self.config, "labels", self.work_dir)
        arguments = dict(config.labels)
        arguments.pop("ann_file", None)
        store = PredictionStore(self.work_dir / "pseudo" / "predictions")
        try:
            info = make_pseudo_labels(store, out=self._pseudo_labels(), **arguments)
        except ValueError as error:
            raise StageError(str(error)) from error
        # Before the student trains: a person may want to stop here.
        write_pseudo_report(config, self.work_dir)
        return {"info": info}

    def _split(self) -> None:
        """Split the annotations into labeled and unlabeled, if the config asks for it."""
        split = resolve(self.config, "student", self.work_dir).get("split")
        if split:
            try:
                write_split(**split, out_dir=self.work_dir / "splits")
            except ValueError as error:
                raise StageError(str(error)) from error
            except FileNotFoundError as error:
                raise StageError(
                    f"{error}; correct data_root or split.ann_file (--cfg-options data_root=DIR)"
                ) from error

    def _check_overlap(self) -> None:
        if self.config.get("allow_overlap"):
            return
        teacher = stage_config(self.config, "teacher", self.work_dir)
        check_overlap(
            teacher.train_dataloader.dataset, self.configs["pseudo"].test_dataloader.dataset
        )

    def _kept(self, stage: str) -> bool:
        return self._manifest(stage).finished and stage not in self.redo

    def _brings(self, section: str, key: str) -> bool:
        return bool((self.config.get(section) or {}).get(key))

    def _replaced(self, stage: str) -> bool:
        """Whether the user brought what the stage would make."""
        if stage == "teacher":
            return self._brings("teacher", "checkpoint")
        return stage in ("pseudo", "labels") and self._brings("labels", "ann_file")

    def _teacher_checkpoint(self) -> Path:
        return Path(
            self.config.get("teacher", {}).get("checkpoint")
            or self.work_dir / "teacher" / "teacher.pth"
        )

    def _pseudo_labels(self) -> Path:
        return self.work_dir / "pseudo" / "pseudo_labels.json"

    def _manifest(self, stage: str) -> Manifest:
        folder = "pseudo" if stage == "labels" else stage
        return Manifest(self.work_dir / folder / f"{stage}.manifest.json")

    def _keys(self, stage: str) -> dict[str, Any]:
        if stage == "labels":
            return relevant_keys(
                resolve(self.config, stage, self.work_dir), ["labels"], self.work_dir
            )
        keys = PREDICTION_KEYS if stage == "pseudo" else TRAINING_KEYS
        return relevant_keys(self.configs[stage], keys, self.work_dir)

    def _inputs(self, stage: str) -> dict[str, Path]:
        """Return the files that a stage reads, by name."""
        if stage == "pseudo":
            images = annotation_files(self.configs[stage].test_dataloader.dataset)
            inputs = {f"unlabeled images {i}": path for i, path in enumerate(images)}
            return {"teacher checkpoint": self._teacher_checkpoint(), **inputs}
        if stage == "labels":
            labels = resolve(self.config, "labels", self.work_dir).labels
            return {
                "labeled annotations": Path(labels.labeled_json),
                "pseudo stage": self._manifest("pseudo").path,
            }
        plain = self.configs[stage]
        inputs = {
            f"annotations {i}": path
            for i, path in enumerate(annotation_files(plain.train_dataloader.dataset))
        }
        if plain.get("load_from") and Path(plain.load_from) == self._teacher_checkpoint():
            inputs["teacher checkpoint"] = self._teacher_checkpoint()
        return inputs

    def _refuse(self, stage: str, changes: list[str]) -> None:
        if changes:
            more = f" (and {len(changes) - 5} more)" if len(changes) > 5 else ""
            raise StageError(
                f"stage {stage} in {self.work_dir} was made with something else: "
                f"{'; '.join(changes[:5])}{more}. Make it again (--redo {stage}, or delete "
                f"{self._manifest(stage).path}), or choose another --work-dir"
            )

    def _clear(self, stage: str) -> None:
        """Remove what an earlier attempt left to go on from, so that a later one cannot."""
        folder = self.work_dir / stage
        for pattern in ("iter_*.pth", "epoch_*.pth", "last_checkpoint", "predictions/part-*"):
            for file in folder.glob(pattern):
                file.unlink()

    @staticmethod
    def _set_options(plain: Config, amp: bool, auto_scale_lr: bool) -> None:
        if amp:
            if not torch.cuda.is_available():
                raise ValueError("--amp needs a GPU, and torch finds none; leave it out")
            plain.optim_wrapper.type = "AmpOptimWrapper"
            plain.optim_wrapper.loss_scale = "dynamic"
        if auto_scale_lr:
            if "base_batch_size" not in plain.get("auto_scale_lr", {}):
                raise ValueError(
                    "--auto-scale-lr needs auto_scale_lr.base_batch_size in the config; add it"
                )
            plain.auto_scale_lr.enable = True


def _announce(line: str) -> None:
    if is_main_process():
        print(line, flush=True)


def _latest_checkpoint(folder: Path) -> str | None:
    """Return the checkpoint that MMEngine wrote last, also in a folder that has been moved."""
    latest = find_latest_checkpoint(str(folder))
    return str(folder / Path(latest).name) if latest else None
