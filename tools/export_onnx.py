"""Export a checkpoint to ONNX with standard operators only, for any image size and batch size.

    python tools/export_onnx.py configs/shapes/demo.py work_dirs/demo/student/student.pth \\
        --out model.onnx
    python tools/export_onnx.py work_dirs/demo/teacher/config.py \\
        work_dirs/demo/teacher/teacher.pth --out teacher.onnx --fp16
    python tools/export_onnx.py CONFIG CHECKPOINT --out int8.onnx --int8 data/shapes/train
    python tools/export_onnx.py CONFIG CHECKPOINT --out model.onnx --compare data/shapes/val

CONFIG is config.py in the folder of CHECKPOINT. For a student, it can also be the config that you
trained with.
The tool refuses a checkpoint of a model other than CONFIG's. nbseg.deploy.runtime.Segmenter runs
the exported model without PyTorch.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import

from mmengine.config import Config
from mmengine.utils import track_iter_progress

import nbseg.built  # noqa: F401
from nbseg.config.options import add_config_options
from nbseg.config.plain_config import student_config
from nbseg.config.reading import read_config
from nbseg.deploy.checkpoint_segmenter import CheckpointSegmenter
from nbseg.deploy.export import export_checkpoint
from nbseg.deploy.inputs import pick_images
from nbseg.deploy.parity import REDUCED_PRECISION, ROUNDING, Parity, Tolerance, parity
from nbseg.images import read_image


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "config",
        help="config.py in the checkpoint's folder; for a student, also the config of the training",
    )
    parser.add_argument("checkpoint", help=".pth file of the model that the config describes")
    parser.add_argument("--out", required=True, metavar="MODEL.onnx", help="ONNX file to write")
    parser.add_argument(
        "--fp16",
        action="store_true",
        help="use half precision for weights and features, for GPUs; boxes and scores stay in "
        "single precision",
    )
    parser.add_argument(
        "--int8",
        nargs="+",
        metavar="CALIBRATION",
        help="quantize backbone and neck to int8, for CPUs; CALIBRATION names the images to "
        "calibrate on, or folders or patterns of such images; choose images like those that the "
        "model will see, such as the training images; the calibration needs ONNX Runtime",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=100,
        metavar="N",
        help="largest number of calibration images, evenly spread over the images that --int8 "
        "names; default: %(default)s",
    )
    parser.add_argument(
        "--max-detections",
        type=int,
        metavar="N",
        help="largest number of detections per image; default: max_per_img of the test config",
    )
    parser.add_argument(
        "--score",
        type=float,
        metavar="S",
        help="score that detections must exceed; default: score_thr of the test config",
    )
    add_config_options(parser)
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="IMAGE",
        help="images, folders or patterns to predict with the checkpoint and with the exported "
        "model; the tool prints the share of matching detections; without --fp16 and --int8, it "
        "fails if fewer than 99 %% match",
    )
    arguments = parser.parse_args()
    if arguments.int8 and arguments.fp16:
        parser.error("choose --int8, which is for CPUs, or --fp16, which is for GPUs")
    return arguments


def compare(
    plain: Config, checkpoint: str, model: str, images: list[Path], tolerance: Tolerance
) -> Parity:
    """Predict with the checkpoint and the exported model; print matching detections and times."""
    from nbseg.deploy.runtime import Segmenter  # needs ONNX Runtime

    segmenters: tuple[CheckpointSegmenter | Segmenter, ...] = (
        CheckpointSegmenter(plain, checkpoint),
        Segmenter(model),
    )
    seconds = [0.0, 0.0]
    total = Parity()
    for path in track_iter_progress((images, len(images))):
        image = read_image(path)
        detections = []
        for index, segmenter in enumerate(segmenters):
            start = time.perf_counter()
            detections.append(segmenter(image))
            seconds[index] += time.perf_counter() - start
        total += parity(detections[0], detections[1], tolerance=tolerance)
    print(
        f"{total} between PyTorch and ONNX in {len(images)} images (box IoU over "
        f"{tolerance.box_iou}, scores closer than {tolerance.score}, mask IoU over "
        f"{tolerance.mask_iou})"
    )
    with_pytorch, with_onnx = (1e3 * total_seconds / len(images) for total_seconds in seconds)
    print(f"{with_pytorch:.0f} ms per image with PyTorch, {with_onnx:.0f} ms with ONNX Runtime")
    return total


def main() -> None:
    arguments = parse_arguments()
    try:
        calibration = None
        if arguments.int8:
            calibration = pick_images(arguments.int8, arguments.calibration_images)
        compared = pick_images(arguments.compare, sys.maxsize) if arguments.compare else []
        config = read_config(arguments.config, arguments.cfg_options)
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
        f"{info.max_detections} detections per image with scores above {info.score_threshold}"
    )
    if info.quantization:
        print(
            f"int8 backbone and neck, calibrated on {info.quantization.calibration_images} images"
        )
    if compared:
        reduced = bool(arguments.fp16 or arguments.int8)
        tolerance = REDUCED_PRECISION if reduced else ROUNDING
        matches = compare(plain, arguments.checkpoint, arguments.out, compared, tolerance)
        if not reduced and matches.matched < 0.99 * matches.total:
            sys.exit(
                f"{Path(__file__).name}: {matches.matched} of {matches.total} detections match, "
                f"expected at least 99 %; do not use {arguments.out}"
            )


if __name__ == "__main__":
    main()
