"""Export a checkpoint to ONNX: standard operators only, any image size and batch size.

    python tools/export_onnx.py configs/shapes/demo.py work_dirs/demo/student/student.pth \\
        --out model.onnx
    python tools/export_onnx.py work_dirs/demo/teacher/config.py \\
        work_dirs/demo/teacher/teacher.pth --out teacher.onnx --fp16

CONFIG is the user's, then it means the student, or the plain config in a stage's folder. A
checkpoint of another model is refused. nbseg.deploy.runtime.Segmenter runs MODEL.onnx without
PyTorch.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import

from mmengine.config import Config, DictAction

from nbseg.deploy.export import export_checkpoint
from nbseg.engine.stage_config import stage_config


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="the user's config, or a stage's plain one")
    parser.add_argument("checkpoint", help="a .pth file of the model that the config describes")
    parser.add_argument("--out", required=True, metavar="MODEL.onnx")
    parser.add_argument(
        "--fp16",
        action="store_true",
        help="weights and features of half precision, for GPUs; boxes and scores stay single",
    )
    parser.add_argument(
        "--max-detections", type=int, help="of an image; default: the test config's"
    )
    parser.add_argument(
        "--score", type=float, help="keep detections above this; default: the test config's"
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    try:
        config = Config.fromfile(arguments.config)
        if arguments.cfg_options:
            config.merge_from_dict(arguments.cfg_options)
        print("tracing and checking the model; this takes a minute or two", flush=True)
        info = export_checkpoint(
            stage_config(config, "student", "work_dirs/export"),
            arguments.checkpoint,
            arguments.out,
            half=arguments.fp16,
            max_detections=arguments.max_detections,
            score_threshold=arguments.score,
        )
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    size = Path(arguments.out).stat().st_size / 1e6
    print(
        f"{arguments.out}: {size:.1f} MB, {len(info.classes)} classes, at most "
        f"{info.max_detections} detections an image with scores above {info.score_threshold}"
    )


if __name__ == "__main__":
    main()
