"""Prepare data: make the procedural set, split annotation files."""

import argparse
import sys
from pathlib import Path

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.datasets.splits import write_split

SHAPES_EXAMPLES = """\
examples:
  python tools/prepare_data.py shapes --out data/shapes
  python tools/prepare_data.py shapes --out data/shapes-large --size 192 --train 5000 --val 500
"""
SPLIT_EXAMPLES = """\
Writes NAME.SEED@PERCENT.json and NAME.SEED@PERCENT-unlabeled.json for each percent and seed. The
unlabelled file keeps its annotations as hidden truth for analysis.

examples:
  python tools/prepare_data.py split data/shapes/annotations/instances_train.json \\
      --percent 5 --seed 0 1 2
  python tools/prepare_data.py split data/coco/annotations/instances_train2017.json \\
      --percent 1 2 5 10 --seed 1 --out data/coco/splits
"""


def shapes(args: argparse.Namespace) -> None:
    options = ShapesOptions(size=args.size, train=args.train, val=args.val, seed=args.seed)
    made = generate_shapes(args.out, options, force=args.force)
    print(f"{args.out}: {'made' if made else 'already there, left as it is'}")


def split(args: argparse.Namespace) -> None:
    for seed in args.seed:
        for percent in args.percent:
            for path in write_split(args.annotations, percent, seed, args.out):
                print(path)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter
    defaults = ShapesOptions()

    command = commands.add_parser(
        "shapes",
        help="make the procedural set: images and COCO annotations from a seed",
        description="Make the procedural set: five classes of shapes, images and COCO annotations.",
        epilog=SHAPES_EXAMPLES,
        formatter_class=raw,
    )
    command.add_argument(
        "--out", type=Path, default=Path("data/shapes"), help="default: %(default)s"
    )
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
    command.set_defaults(run=shapes)

    command = commands.add_parser(
        "split",
        help="split a COCO annotation file into labelled and unlabelled images",
        description="Split a COCO annotation file into labelled and unlabelled images.",
        epilog=SPLIT_EXAMPLES,
        formatter_class=raw,
    )
    command.add_argument("annotations", type=Path, metavar="JSON", help="a COCO annotation file")
    command.add_argument(
        "--percent", type=float, nargs="+", required=True, metavar="P", help="how much to label"
    )
    command.add_argument("--seed", type=int, nargs="+", required=True, metavar="S")
    command.add_argument("--out", type=Path, metavar="DIR", help="default: beside JSON")
    command.set_defaults(run=split)
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
