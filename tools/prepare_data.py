"""Prepare data: make the procedural set, convert downloaded sets, check and split annotations."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.datasets.splits import write_split

if TYPE_CHECKING:
    from nbseg.datasets.converters.coco_json import Prepared

SHAPES_EXAMPLES = """\
examples:
  python tools/prepare_data.py shapes --out data/shapes
  python tools/prepare_data.py shapes --out data/shapes-large --size 192 --train 5000 --val 500
"""
SPLIT_EXAMPLES = """\
Writes NAME.SEED@PERCENT.json and NAME.SEED@PERCENT-unlabeled.json for each percent and seed. The
unlabeled file keeps its annotations as hidden truth for analysis.

examples:
  python tools/prepare_data.py split data/shapes/annotations/instances_train.json \\
      --percent 5 --seed 0 1 2
  python tools/prepare_data.py split data/coco/annotations/instances_train2017.json \\
      --percent 1 2 5 10 --seed 1 --out data/coco/splits
"""
CITYSCAPES_EXAMPLES = """\
Writes DIR/annotations/instancesonly_filtered_gtFine_{train,val}.json and, where leftImg8bit and
gtCoarse have train_extra, instancesonly_filtered_gtCoarse_train_extra.json.

examples:
  python tools/prepare_data.py cityscapes data/cityscapes
  python tools/prepare_data.py cityscapes /mnt/cityscapes --out data/cityscapes --splits train val
"""
COCO_EXAMPLES = """\
Checks train2017 and val2017; writes DIR/annotations/instances_unlabeled2017.json where
unlabeled2017 is, and where instances_val2014.json is, instances_train2017-val35k.json (the 35k
images that were in val2014) and its complement instances_train2017-val35k-unlabeled.json.

examples:
  python tools/prepare_data.py coco data/coco
  python tools/prepare_data.py coco data/coco --val2014 /mnt/coco2014/instances_val2014.json
"""
BDD100K_EXAMPLES = """\
Writes DIR/annotations/ins_seg_{train,val}.json and, where images/100k/train is,
det_train_unlabeled.json: the images that images/10k does not have.

examples:
  python tools/prepare_data.py bdd100k data/bdd100k
  python tools/prepare_data.py bdd100k data/bdd100k --masks rles
"""
CHECK_EXAMPLES = """\
Looks for missing images, wrong sizes, ids and names that are used twice or unknown, degenerate
polygons, run lengths that do not fit, boxes that do not fit their masks, and annotations that
MMDetection leaves out. Exits with 2 if there are any.

examples:
  python tools/prepare_data.py check my.json --images my/images
  python tools/prepare_data.py check my.json --images my/images --picture samples.jpg
"""
FOLDER_EXAMPLES = """\
examples:
  python tools/prepare_data.py folder my/unlabeled --out my/unlabeled.json --classes cat dog
"""

# The converters are imported by their commands: making shapes needs numpy and OpenCV only.


def shapes(args: argparse.Namespace) -> None:
    options = ShapesOptions(size=args.size, train=args.train, val=args.val, seed=args.seed)
    made = generate_shapes(args.out, options, force=args.force)
    print(f"{args.out}: {'made' if made else 'already there, left as it is'}")


def split(args: argparse.Namespace) -> None:
    for seed in args.seed:
        for percent in args.percent:
            for path in write_split(args.annotations, percent, seed, args.out):
                print(path)


def cityscapes(args: argparse.Namespace) -> None:
    from nbseg.datasets.converters.cityscapes import convert_cityscapes

    out = _annotations(args)
    _report(convert_cityscapes(args.dir, out, args.splits, args.workers, args.force), out)


def coco(args: argparse.Namespace) -> None:
    from nbseg.datasets.converters.coco2017 import convert_coco

    out = _annotations(args)
    _report(convert_coco(args.dir, out, args.val2014, args.workers, args.force), out)


def bdd100k(args: argparse.Namespace) -> None:
    from nbseg.datasets.converters.bdd100k import convert_bdd100k

    out = _annotations(args)
    _report(convert_bdd100k(args.dir, out, args.masks, args.workers, args.force), out)


def folder(args: argparse.Namespace) -> None:
    from nbseg.datasets.converters.folder import convert_folder

    absolute = Path(os.path.abspath(args.dir))
    out = args.out or absolute.with_name(f"{absolute.name}.json")
    _report([convert_folder(args.dir, out, args.classes, args.workers, args.force)], out.parent)


def check(args: argparse.Namespace) -> None:
    from nbseg.datasets.check_coco import check_coco
    from nbseg.datasets.converters.samples import write_samples
    from nbseg.datasets.converters.summary import describe

    prepared, problems = check_coco(args.annotations, args.images, args.workers)
    print(describe(prepared))
    if problems:
        kinds = [f"{len(which)} {kind}, the first: {which[0]}" for kind, which in problems.items()]
        raise ValueError(f"{args.annotations}: " + "; ".join(kinds))
    if args.picture:
        write_samples(prepared, args.picture)
        print(f"  samples: {args.picture}")
    print("  nothing wrong was found")


def _annotations(args: argparse.Namespace) -> Path:
    folder: Path = args.out or args.dir
    return folder / "annotations"


def _report(results: Sequence[Prepared], out: Path) -> None:
    from nbseg.datasets.converters.samples import write_samples
    from nbseg.datasets.converters.summary import describe

    for prepared in results:
        print(describe(prepared))
        if prepared.summary and prepared.summary.samples:
            picture = out / f"{prepared.path.stem}.samples.jpg"
            if picture.resolve().is_relative_to(prepared.image_folder.resolve()):
                continue  # there it would be one more image of the set
            write_samples(prepared, picture)
            print(f"  samples: {picture}")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        run: Callable[[argparse.Namespace], None], text: str, epilog: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            run.__name__,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    def add_workers(command: argparse.ArgumentParser) -> None:
        command.add_argument(
            "--workers",
            type=int,
            default=len(os.sched_getaffinity(0)),
            metavar="N",
            help="processes (default: one a core)",
        )

    command = add(shapes, "make the procedural set: images and COCO annotations", SHAPES_EXAMPLES)
    command.add_argument(
        "--out", type=Path, default=Path("data/shapes"), help="default: %(default)s"
    )
    defaults = ShapesOptions()
    for name, text in [
        ("size", "side of an image in pixels"),
        ("train", "number of training images"),
        ("val", "number of validation images"),
        ("seed", "of everything random"),
    ]:
        default = getattr(defaults, name)
        command.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    command.add_argument(
        "--force", action="store_true", help="make it again, in place of the set that is there"
    )

    command = add(
        split, "split a COCO annotation file into labeled and unlabeled images", SPLIT_EXAMPLES
    )
    command.add_argument("annotations", type=Path, metavar="JSON", help="a COCO annotation file")
    command.add_argument(
        "--percent", type=float, nargs="+", required=True, metavar="P", help="how much to label"
    )
    command.add_argument("--seed", type=int, nargs="+", required=True, metavar="S")
    command.add_argument("--out", type=Path, metavar="DIR", help="default: beside JSON")

    converters = {}
    for run, text, epilog in [
        (cityscapes, "convert Cityscapes to COCO jsons", CITYSCAPES_EXAMPLES),
        (coco, "check COCO 2017 and write the jsons that it lacks", COCO_EXAMPLES),
        (bdd100k, "convert BDD100K to COCO jsons", BDD100K_EXAMPLES),
        (folder, "list a folder of images in a COCO json", FOLDER_EXAMPLES),
    ]:
        command = converters[run] = add(run, text, epilog)
        command.add_argument("dir", type=Path, metavar="DIR", help="where the set was unpacked")
        target = (
            ("JSON", "default: DIR.json, beside DIR")
            if run is folder
            else ("DIR", "where annotations/ is written (default: in DIR)")
        )
        command.add_argument("--out", type=Path, metavar=target[0], help=target[1])
        command.add_argument(
            "--force", action="store_true", help="replace jsons that are already there"
        )
        add_workers(command)
    converters[cityscapes].add_argument(
        "--splits", nargs="+", choices=("train", "val", "train_extra"), help="default: all"
    )
    converters[coco].add_argument(
        "--val2014",
        type=Path,
        metavar="JSON",
        help="instances_val2014.json (default: in DIR/annotations, if it is there)",
    )
    converters[bdd100k].add_argument(
        "--masks",
        choices=("bitmasks", "rles", "polygons"),
        help="what masks are read from (default: the first that is there)",
    )
    converters[folder].add_argument(
        "--classes", nargs="+", default=(), metavar="NAME", help="categories of the json"
    )

    command = add(check, "check a COCO json and the headers of its images", CHECK_EXAMPLES)
    command.add_argument("annotations", type=Path, metavar="JSON", help="a COCO annotation file")
    command.add_argument("--images", type=Path, required=True, metavar="DIR", help="its images")
    command.add_argument("--picture", type=Path, metavar="JPG", help="draw a few images with masks")
    add_workers(command)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
