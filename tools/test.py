"""Measure the box, mask and boundary AP of a checkpoint or an exported model.

    python tools/test.py configs/shapes/demo.py work_dirs/demo/student/student.pth
    python tools/test.py work_dirs/demo/teacher/config.py work_dirs/demo/teacher/teacher.pth
    python tools/test.py CONFIG CHECKPOINT --tta --out results/student --show-dir pictures/
    python tools/test.py CONFIG model.onnx

CONFIG is config.py in the folder of CHECKPOINT. For a student, CONFIG can also be the config that
you trained with.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import

from mmengine.dist import is_main_process
from mmengine.runner import Runner

import nbseg.built  # noqa: F401
from nbseg.checkpoint import load_strictly
from nbseg.config.options import add_config_options
from nbseg.config.plain_config import coco_evaluator, predict_with_tta, student_config
from nbseg.config.reading import read_config
from nbseg.engine.processes import add_launcher_options, distribute, failing_as_one, init_processes
from nbseg.engine.run_summary import draw_test_results


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "config",
        help="config.py in the checkpoint's folder; for a student, the training config works, too",
    )
    parser.add_argument(
        "checkpoint", help=".pth or .onnx file of the model that the config describes"
    )
    parser.add_argument(
        "--work-dir",
        default="work_dirs/test",
        help="folder to write the logs to; default: %(default)s",
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="use test-time augmentation with the views of the config's tta_pipeline",
    )
    parser.add_argument(
        "--out",
        metavar="PREFIX",
        help="prefix of the result files, PREFIX.segm.json and PREFIX.bbox.json; default: "
        "WORK_DIR/predictions",
    )
    parser.add_argument(
        "--show-dir",
        help="folder to write pictures to, which show predictions next to the ground truth",
    )
    add_launcher_options(parser)
    add_config_options(parser)
    arguments = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(arguments.local_rank))
    return arguments


def run(arguments: argparse.Namespace) -> None:
    try:
        config = read_config(arguments.config, arguments.cfg_options)
        plain = student_config(config, arguments.work_dir)
        exported = Path(arguments.checkpoint).suffix == ".onnx"
        if arguments.tta and exported:
            raise ValueError(
                "--tta needs a .pth checkpoint, because an exported model predicts a single view; "
                "remove --tta, or give the .pth checkpoint"
            )
        if arguments.launcher != "none" and exported:
            raise ValueError("only one process can test an exported model; remove --launcher")
        init_processes(arguments.launcher, plain)
        distribute(plain, arguments.launcher)
        results = arguments.out or str(Path(arguments.work_dir) / "predictions")
        coco_evaluator(plain).outfile_prefix = results
        if arguments.tta:
            predict_with_tta(plain)
        if not Path(arguments.checkpoint).is_file():
            raise FileNotFoundError(
                f"there is no checkpoint {arguments.checkpoint}; correct the path"
            )
        if exported:
            from nbseg.deploy.exported_detector import predict_with_onnx  # needs ONNX Runtime

            predict_with_onnx(plain, arguments.checkpoint)
        runner = Runner.from_cfg(plain)
        if not exported:
            model = runner.model.module if arguments.tta else runner.model
            load_strictly(model, arguments.checkpoint)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    metrics = runner.test()
    if not is_main_process():
        return
    for name, value in metrics.items():
        print(f"{name}: {value:.6f}")
    if arguments.show_dir:
        draw_test_results(plain, f"{results}.segm.json", arguments.show_dir, "prediction")


if __name__ == "__main__":
    options = parse_arguments()
    with failing_as_one(options.launcher):
        run(options)
