"""Train a teacher, a student on the teacher's pseudo-labels, and a control arm to compare with.

The control arm has the architecture of the teacher. It trains on the labeled images alone, for as
many iterations as teacher and student together.

python tools/train.py configs/shapes/demo.py
python tools/train.py CONFIG --stages teacher,predict,label --resume
python tools/train.py CONFIG --cfg-options data_root=data/nuclei percent=5 seed=1
python tools/train.py CONFIG --stages label --redo label --cfg-options label.floor=0.2
tools/dist_train.sh CONFIG 8
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import

from mmengine.dist import is_main_process

import nbseg.built  # noqa: F401
from nbseg.config.options import add_config_options
from nbseg.config.reading import read_config
from nbseg.engine.estimate import estimate
from nbseg.engine.pipeline import Pipeline
from nbseg.engine.processes import add_launcher_options, failing_as_one
from nbseg.engine.run_summary import print_metrics, write_pictures
from nbseg.engine.stages import DEFAULT_STAGES, STAGES
from nbseg.engine.work_dir import default_work_dir
from nbseg.errors import StageError


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config of a run; docs/configs.md describes its sections")
    parser.add_argument(
        "--work-dir",
        help="work directory of the run; default: work_dir of the config, or work_dirs/CONFIG",
    )
    parser.add_argument(
        "--stages",
        type=lambda text: text.split(","),
        default=list(DEFAULT_STAGES),
        metavar="STAGE,...",
        help=f"stages to run: {', '.join(STAGES)}; default: all except oracle",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="continue an interrupted stage from CHECKPOINT, or from the stage's latest checkpoint "
        "if no CHECKPOINT is given; without --resume, an interrupted stage starts from scratch",
    )
    parser.add_argument(
        "--redo",
        type=lambda text: text.split(","),
        default=[],
        metavar="STAGE,...",
        help="finished stages to run again, together with the stages that depend on them",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check configs and data, print which stages would start, and stop",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="do the same as --dry-run, and also run a few iterations of each stage to estimate "
        "how much time and memory the run would need",
    )
    parser.add_argument(
        "--amp", action="store_true", help="train in mixed precision (float16, on a GPU)"
    )
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rates with the batch size"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        choices=[1, 2],
        default=1,
        help="number of processes; 2 trains the control arm in a second process, while the other "
        "stages run. Each process uses half of the CPU threads. The second process uses the second "
        "GPU, or shares the only GPU; default: 1",
    )
    add_launcher_options(parser)
    add_config_options(parser)
    arguments = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(arguments.local_rank))
    return arguments


def run(arguments: argparse.Namespace) -> None:
    try:
        config = read_config(arguments.config, arguments.cfg_options, import_modules=False)
        work_dir = arguments.work_dir or default_work_dir(config, arguments.config)
        pipeline = Pipeline(
            config,
            work_dir,
            arguments.stages,
            resume=arguments.resume,
            redo=arguments.redo,
            launcher=arguments.launcher,
            amp=arguments.amp,
            auto_scale_lr=arguments.auto_scale_lr,
            jobs=arguments.jobs,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    try:
        if arguments.dry_run:
            print("\n".join(pipeline.prepare()))
            return
        if arguments.estimate:
            print("\n".join([*pipeline.prepare(), *estimate(pipeline.waiting)]))
            return
        metrics = pipeline.run()
        if is_main_process():
            try:
                write_pictures(pipeline.settings, pipeline.configs, pipeline.work_dir)
            except Exception as error:  # pictures must not fail a finished run
                print(f"warning: the pictures cannot be drawn: {type(error).__name__}: {error}")
            print_metrics(metrics, pipeline.work_dir, pipeline.configs)
    except (StageError, FileNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    except OSError as error:
        # The disk is full or read-only, or a limit was reached. Finished files are kept.
        place = "" if error.filename else f" (in {work_dir})"
        sys.exit(
            f"{Path(__file__).name}: {error}{place}; remove the cause, then continue with --resume"
        )


if __name__ == "__main__":
    options = parse_arguments()
    with failing_as_one(options.launcher):
        run(options)
