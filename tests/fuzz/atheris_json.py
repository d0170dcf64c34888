"""Feed mutated bytes to the readers of COCO jsons and run lengths, guided by coverage (atheris).

python tests/fuzz/atheris_json.py -max_total_time=600 work_dirs/corpus

The folder keeps inputs that reached new code. An input that ends in anything but a ValueError that
names the file is written to a file crash-..., and the command stops. Needs atheris, pycocotools and
numpy, but neither torch nor MMDetection; nbseg._native must be built.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
with atheris.instrument_imports(include=["nbseg", "pycocotools", "json"]):
    from pycocotools import mask as coco_mask

    from nbseg.coco import index_coco, read_coco, read_results
    from nbseg.coco_masks import to_rle
    from nbseg.coco_values import area_of, reason_left_out
    from nbseg.datasets.annotation_checks import annotation_problem

FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
PATH = FOLDER / "content.json"
LARGEST = 1 << 16  # pixels; decoding larger images takes the time for other inputs


def read_json_file(content):
    """Read a json as ``check``, training and evaluation do."""
    PATH.write_bytes(content)
    for read in (read_results, read_coco, lambda path: read_coco(path, consistent=False)):
        try:
            found = read(PATH)
            if not isinstance(found, dict):
                continue
            for image in found["images"]:
                if image["height"] * image["width"] > LARGEST:
                    return
            for annotation in found["annotations"]:
                reason_left_out(annotation)
                area_of(annotation)
                annotation_problem(annotation, 24, 32)
            if read is read_coco:
                index_coco(found, PATH, masks=True)
        except ValueError as error:
            assert "content.json" in str(error), error


def read_run_lengths(content):
    """Decode any bytes as run lengths, and compare with pycocotools."""
    height, width, counts = content[0], content[1], content[2:]
    try:
        rle = to_rle({"size": [height, width], "counts": counts}, height, width)
    except ValueError:
        return
    assert int(coco_mask.area(rle)) == int(coco_mask.decode(rle).sum())


def test_one_input(content):
    """Run one input; its first byte chooses the reader."""
    if content[:1] == b"{" or len(content) < 3:
        read_json_file(content)
    else:
        read_run_lengths(content)
        read_json_file(content)


def main():
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from json_mutations import valid_coco

    for folder in (name for name in sys.argv[1:] if not name.startswith("-")):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "valid").write_text(json.dumps(valid_coco()))
        (Path(folder) / "runs").write_bytes(b"\x18\x20Z25c00Vd0")
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
