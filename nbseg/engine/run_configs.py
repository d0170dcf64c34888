"""Derive the plain MMDetection configs of all stages of a run, and check them."""

from collections.abc import Sequence

from mmengine.config import Config

from nbseg.config.plain_config import coco_evaluator
from nbseg.engine.config_checks import check_stage
from nbseg.engine.processes import distribute
from nbseg.engine.stages import STAGES, stage_config
from nbseg.engine.training import set_training_options
from nbseg.engine.work_dir import WorkDir


def run_configs(
    config: Config,
    stages: Sequence[str],
    work_dir: WorkDir,
    launcher: str,
    amp: bool,
    auto_scale_lr: bool,
) -> dict[str, Config]:
    """Return the config of each stage, by name, with the command's options.

    Args:
        config: the user's config, with sections.
        stages: names of the stages.
        work_dir: paths of the run.
        launcher: ``"none"``, ``"pytorch"`` or ``"slurm"``.
        amp: whether to train with mixed precision.
        auto_scale_lr: whether to scale the learning rate with the batch size.

    Raises:
        ValueError: a config or an option is invalid.
    """
    configs = {}
    for name in stages:
        plain = configs[name] = stage_config(config, name, work_dir)
        if name != "label":
            distribute(plain, launcher)
            check_stage(name, plain)
        if STAGES[name].trains:
            set_training_options(plain, amp, auto_scale_lr)
            coco_evaluator(plain).outfile_prefix = str(work_dir.test_results(name))
    return configs
