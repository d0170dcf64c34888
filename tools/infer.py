"""Find objects in images and videos; an exported model needs neither PyTorch nor MMDetection.

    python tools/infer.py model.onnx photo.jpg folder/ 'more/*.png' clip.mp4 --out predictions/
    python tools/infer.py CONFIG CHECKPOINT folder/ --out predictions/

CONFIG is config.py in the folder of CHECKPOINT. For a student, CONFIG can also be the config that
you trained with.

The tool writes two results into the folder of --out:
  predictions.json  COCO json of all images and video frames; each annotation has a score
  pictures/         copies of the images and videos with the detections drawn on them

A file that cannot be read is reported and skipped. The exit code is then 1.
"""

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network call at import

import nbseg.built  # noqa: F401
from nbseg.coco import write_coco
from nbseg.deploy.coco_predictions import CocoPredictions
from nbseg.deploy.drawing import PictureFolder
from nbseg.deploy.inputs import find_files, is_video, read_frames
from nbseg.deploy.tiling import TiledSegmenter
from nbseg.large_images import LargeImage


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model",
        nargs="+",
        metavar="MODEL INPUT",
        help="MODEL.onnx or CONFIG CHECKPOINT, then images, folders, patterns or videos",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder to write the results to"
    )
    parser.add_argument(
        "--score",
        type=float,
        default=0.0,
        help="lowest score of detections in the json; default: 0",
    )
    parser.add_argument(
        "--draw-score",
        type=float,
        default=0.5,
        help="lowest score of detections in the pictures; default: 0.5",
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="write the json, but no pictures"
    )
    parser.add_argument(
        "--threads", type=int, help="number of CPU threads; default: the number of cores"
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="side of a tile: predict larger images tile by tile, and join the parts of objects "
        "that lie in several tiles; default: predict each image as a whole",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        metavar="PIXELS",
        help="smallest number of pixels that neighboring tiles share; choose a number larger than "
        "most objects; default: a quarter of --tile",
    )
    parser.add_argument(
        "--providers",
        type=lambda text: text.split(","),
        metavar="NAME,...",
        help="execution providers of ONNX Runtime, e.g. TensorrtExecutionProvider; default: CUDA "
        "if available, otherwise the CPU",
    )
    arguments = parser.parse_args()
    arguments.checkpoint = None
    arguments.model, *arguments.inputs = arguments.model
    if Path(arguments.model).suffix == ".py" and arguments.inputs:
        arguments.checkpoint, *arguments.inputs = arguments.inputs
    if not arguments.inputs:
        parser.error("no INPUT is given; name images, folders, patterns or videos")
    if arguments.overlap is not None and arguments.tile is None:
        parser.error("--overlap has no effect without --tile; add --tile, or remove --overlap")
    return arguments


def load_segmenter(arguments: argparse.Namespace) -> Any:
    """Load an exported model without importing PyTorch, or load a checkpoint with PyTorch."""
    if arguments.checkpoint is None:
        from nbseg.deploy.runtime import Segmenter

        return Segmenter(arguments.model, arguments.providers, arguments.threads)
    import torch

    from nbseg.config.plain_config import student_config
    from nbseg.config.reading import read_config
    from nbseg.deploy.checkpoint_segmenter import CheckpointSegmenter

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = student_config(read_config(arguments.model), "work_dirs/infer")
    return CheckpointSegmenter(config, arguments.checkpoint)


def predict_file(
    segmenter: Any,
    path: Path,
    predictions: CocoPredictions,
    pictures: PictureFolder | None,
    score: float,
) -> None:
    """Find the objects in an image or in all frames of a video, and store them.

    The detections are added to ``predictions`` and, unless it is None, to ``pictures``. Only
    detections with at least the given ``score`` are added to ``predictions``.
    """
    video = is_video(path)
    for number, image in enumerate(read_frames(path) if video else [segmenter.read(path)]):
        detections = segmenter(image)
        frame = {"frame": number} if video else {}
        predictions.add(image, detections, score, file_name=str(path), **frame)
        if isinstance(image, LargeImage):
            text = f"no picture is drawn of {path}, because the image is too large"
            warnings.warn(text, stacklevel=1)
            image.close()
        elif pictures:
            pictures.add(path, image, detections)


def main() -> None:
    arguments = parse_arguments()
    out = Path(arguments.out)
    try:
        files = find_files(arguments.inputs)
        segmenter = load_segmenter(arguments)
        if arguments.tile is not None:
            segmenter = TiledSegmenter(segmenter, arguments.tile, arguments.overlap)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    print(f"{len(files)} files; the model runs with {', '.join(segmenter.providers)}")
    predictions = CocoPredictions(segmenter.classes)
    pictures = None
    if not arguments.no_pictures:
        pictures = PictureFolder(out / "pictures", segmenter.classes, arguments.draw_score)
    unreadable = 0
    warned: list[str] = []
    started = time.perf_counter()
    for number, path in enumerate(files, 1):
        try:
            with warnings.catch_warnings(record=True) as caught:
                predict_file(segmenter, path, predictions, pictures, arguments.score)
            warned += [str(warning.message) for warning in caught]
        except (ValueError, OSError) as error:
            unreadable += 1
            named = "" if str(path) in str(error) else f"{path}: "
            print(f"skipped: {named}{error}", file=sys.stderr)
        rate = len(predictions.images) / (time.perf_counter() - started)
        if sys.stdout.isatty() or number == len(files):
            end = "\n" if number == len(files) else ""
            print(f"\r{number}/{len(files)} files, {rate:.1f} images/s", end=end, flush=True)
    if pictures:
        pictures.close()
    write_coco(out / "predictions.json", vars(predictions).items())
    print(
        f"{len(predictions.images)} images, {len(predictions.annotations)} objects: "
        f"{out / 'predictions.json'}"
    )
    if warned:
        more = f" ({len(warned) - 1} more warnings)" if len(warned) > 1 else ""
        print(f"warning: {warned[0]}{more}", file=sys.stderr)
    if unreadable:
        sys.exit(f"{Path(__file__).name}: {unreadable} of {len(files)} files could not be read")


if __name__ == "__main__":
    main()
