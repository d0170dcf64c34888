"""Export a checkpoint to ONNX: standard operators only, any image size and batch size.

    python tools/export_onnx.py configs/shapes/demo.py work_dirs/demo/student/student.pth \\
        --out model.onnx
    python tools/export_onnx.py work_dirs/demo/teacher/config.py \\
        work_dirs/demo/teacher/teacher.pth --out teacher.onnx --fp16
    python tools/export_onnx.py CONFIG CHECKPOINT --out int8.onnx --int8 data/shapes/train
    python tools/export_onnx.py CONFIG CHECKPOINT --out model.onnx --compare data/shapes/val

CONFIG is the user's, then it means the student, or the plain config in a stage's folder. A
checkpoint of another model is refused. nbseg.deploy.runtime.Segmenter runs MODEL.onnx without
PyTorch.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import

from mmengine.config import Config, DictAction
from mmengine.utils import track_iter_progress

from nbseg.config.options import override
from nbseg.config.plain_config import student_config
from nbseg.deploy.checkpoint_segmenter import CheckpointSegmenter
from nbseg.deploy.export import export_checkpoint
from nbseg.deploy.inputs import pick_images
from nbseg.deploy.parity import REDUCED_PRECISION, ROUNDING, Parity, Tolerance, parity
from nbseg.images import read_image


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
        "--int8",
        nargs="+",
        metavar="CALIBRATION",
        help="quantize backbone and neck, for CPUs; images, folders or patterns like those that "
        "the model will see, the training images for instance; needs ONNX Runtime",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=100,
        metavar="N",
        help="use at most so many, evenly spread; default: %(default)s",
    )
    parser.add_argument(
        "--max-detections", type=int, help="of an image; default: the test config's"
    )
    parser.add_argument(
        "--score", type=float, help="keep detections above this; default: the test config's"
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="IMAGE",
        help="then predict these images, folders or patterns with both, and count what agrees; "
        "in single precision less than 99 %% is a failure",
    )
    arguments = parser.parse_args()
    if arguments.int8 and arguments.fp16:
        parser.error("choose --int8, which is for CPUs, or --fp16, which is for GPUs")
    return arguments


def compare(
    plain: Config, checkpoint: str, model: str, images: list[Path], tolerance: Tolerance
) -> Parity:
    """Predict with both, and print how many detections agree and how long it took."""
    from nbseg.deploy.runtime import Segmenter  # needs ONNX Runtime

    segmenters = [CheckpointSegmenter(plain, checkpoint), Segmenter(model)]
    seconds = [0.0, 0.0]
    total = Parity()
    for path in track_iter_progress((images, len(images))):
        image = read_image(path)
        detections = []
        for index, segmenter in enumerate(segmenters):
            start = time.perf_counter()
            detections.append(segmenter(image))
            seconds[index] += time.perf_counter() - start
        total += parity(*detections, tolerance=tolerance)
    print(
        f"{total} in {len(images)} images (box IoU over {tolerance.box_iou}, scores closer than "
        f"{tolerance.score}, mask IoU over {tolerance.mask_iou})"
    )
    with_pytorch, with_onnx = (1e3 * total_seconds / len(images) for total_seconds in seconds)
    print(f"{with_pytorch:.0f} ms an image with PyTorch, {with_onnx:.0f} ms with ONNX Runtime")
    return total


def main() -> None:
    arguments = parse_arguments()
    try:
        calibration = None
        if arguments.int8:
            calibration = pick_images(arguments.int8, arguments.calibration_images)
        compared = pick_images(arguments.compare, sys.maxsize) if arguments.compare else []
        config = Config.fromfile(arguments.config)
        if arguments.cfg_options:
            override(config, arguments.cfg_options)
        print("tracing and checking the model; this takes a minute or two", flush=True)
        plain = student_config(config, "work_dirs/export")
        info = export_checkpoint(
            plain,
            arguments.checkpoint,
            arguments.out,
            half=arguments.fp16,
            calibration=calibration,
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
    if info.quantization:
        print(
            f"int8 backbone and neck, calibrated on {info.quantization.calibration_images} images"
        )
    if compared:
        reduced = bool(arguments.fp16 or arguments.int8)
        tolerance = REDUCED_PRECISION if reduced else ROUNDING
        found = compare(plain, arguments.checkpoint, arguments.out, compared, tolerance)
        if not reduced and found.matched < 0.99 * found.total:
            sys.exit(f"{Path(__file__).name}: the exported model does not predict the same")


if __name__ == "__main__":
    main()
