"""Export a checkpoint to ONNX with standard operators only, for any image size and batch size.

    python tools/export_onnx.py configs/shapes/demo.py work_dirs/demo/student/student.pth \\
        --out model.onnx
    python tools/export_onnx.py work_dirs/demo/teacher/config.py \\
        work_dirs/demo/teacher/teacher.pth --out teacher.onnx --fp16
    python tools/export_onnx.py CONFIG CHECKPOINT --out int8.onnx --int8 data/shapes/train
    python tools/export_onnx.py CONFIG CHECKPOINT --out model.onnx --compare data/shapes/val

CONFIG is config.py in the folder of CHECKPOINT. For a student, CONFIG can also be the config that
you trained with. The tool refuses a checkpoint that does not fit the model of CONFIG.
nbseg.deploy.runtime.Segmenter runs the exported model without PyTorch.
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
from nbseg.deploy.runtime import Segmenter


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "config",
        help="config.py in the checkpoint's folder; for a student, the training config works, too",
    )
    parser.add_argument("checkpoint", help=".pth file of the model that the config describes")
    parser.add_argument("--out", required=True, metavar="MODEL.onnx", help="ONNX file to write")
    parser.add_argument(
        "--fp16",
        action="store_true",
        help="use float16 for weights and features; meant for GPUs; boxes, scores and masks stay "
        "float32",
    )
    parser.add_argument(
        "--int8",
        nargs="+",
        metavar="CALIBRATION",
        help="quantize the backbone and the neck to int8; meant for CPUs; "
        "CALIBRATION is an image, folder or pattern to calibrate on; choose images like those that "
        "the model will see, such as the training images",
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
        help="largest number of detections per image; default: model.test_cfg.rcnn.max_per_img",
    )
    parser.add_argument(
        "--score",
        type=float,
        metavar="S",
        help="return only detections with a score above S; default: model.test_cfg.rcnn.score_thr",
    )
    add_config_options(parser)
    parser.add_argument(
        "--compare",
        nargs="+",
        metavar="IMAGE",
        help="image, folder or pattern to predict with the checkpoint and with the exported model; "
        "the tool prints the share of matching detections; without --fp16 and --int8, a share "
        "below 99 %% is an error",
    )
    arguments = parser.parse_args()
    if arguments.int8 and arguments.fp16:
        parser.error("found --int8 and --fp16; choose --int8 for CPUs, or --fp16 for GPUs")
    return arguments


def compare(
    plain: Config, checkpoint: str, model: str, images: list[Path], tolerance: Tolerance
) -> Parity:
    """Predict images with the checkpoint and the exported model, and print how well they agree.

    The function prints how many detections match, and the mean time per image of both models.

    Returns:
        The number of detections that match, and the number of all detections.
    """
    segmenters: tuple[CheckpointSegmenter | Segmenter, ...] = (
        CheckpointSegmenter(plain, checkpoint),
        Segmenter(model),
    )
    seconds = [0.0, 0.0]
    total = Parity()
    for path in track_iter_progress((images, len(images))):
        image = segmenters[0].read(path)
        detections = []
        for index, segmenter in enumerate(segmenters):
            start = time.perf_counter()
            detections.append(segmenter(image))
            seconds[index] += time.perf_counter() - start
        total += parity(detections[0], detections[1], tolerance=tolerance)
    print(
        f"{total} between PyTorch and ONNX in {len(images)} images (box IoU above "
        f"{tolerance.box_iou}, score difference below {tolerance.score}, mask IoU above "
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
