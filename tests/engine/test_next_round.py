"""A round of correction: pseudo-labels go out, come back corrected, and train a student."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from pycocotools import mask as coco_mask
from tool_runs import run_tool

from nbseg.analysis.corrections.changes import Changes, find_changes
from nbseg.engine.next_round import write_next_round
from nbseg.engine.stages import left_out
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError

pytestmark = pytest.mark.usefixtures("one_thread")


def read(path):
    return json.loads(Path(path).read_text())


def rle(*blocks):
    """Return the RLE of rectangles (top, bottom, left, right) in an image of 20 x 30 pixels."""
    mask = np.zeros((20, 30), np.uint8, order="F")
    for top, bottom, left, right in blocks:
        mask[top:bottom, left:right] = 1
    return coco_mask.encode(mask)


def test_changes_of_an_image():
    a, b, c = rle((0, 4, 0, 4)), rle((5, 9, 5, 9)), rle((10, 20, 10, 20))
    smaller, overlapping = rle((10, 20, 10, 16)), rle((10, 20, 10, 19))
    assert find_changes([("x", a), ("x", b)], [("x", b), ("x", a)]) == Changes(unchanged=2)
    assert find_changes([("x", a)], [("y", a)]) == Changes(changed=1)
    assert find_changes([("x", c)], [("x", smaller)]) == Changes(changed=1)
    assert find_changes([("x", a)], [("x", c)]) == Changes(new=1, deleted=1)
    # The better pair is formed first, whatever the order.
    found = find_changes([("x", c)], [("x", smaller), ("x", overlapping)])
    assert found == find_changes([("x", c)], [("x", overlapping), ("x", smaller)])
    assert found == Changes(changed=1, new=1)
    assert find_changes([], []) == Changes()
    assert Changes(1, 2, 3, 4) + Changes(1, 1, 1, 1) == Changes(2, 3, 4, 5)


@pytest.fixture
def corrected(finished, repository, tmp_path):
    """Two unlabeled images whose pseudo-labels a person changed in labelme, as a COCO json."""

    def run(tool, *arguments):
        said = io.StringIO()
        assert run_tool(repository / "tools" / tool, arguments, said, said) == 0, said.getvalue()
        return said.getvalue()

    images = finished.data / "train"
    pseudo = WorkDir(finished.work_dir).pseudo_labels
    run("analyze.py", "export-labels", pseudo, "--images", images, "--to", "labelme",
        "--count", "2", "--out", tmp_path / "labelme")  # fmt: skip
    paths = sorted((tmp_path / "labelme").glob("*.json"))
    assert len(paths) == 2
    shapes = read(paths[0])
    square = {"shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9], [1, 9]]}
    square |= {"label": "star", "group_id": None, "flags": {}}
    shapes["shapes"] = [
        *shapes["shapes"][1:],
        square,
        {**square, "points": [[50, 50], [60, 50], [60, 60]]},
    ]
    paths[0].write_text(json.dumps(shapes))
    out = tmp_path / "corrected.json"
    run("prepare_data.py", "import", tmp_path / "labelme", "--images", images, "--out", out)
    return out


def test_a_round(finished, repository, corrected, tmp_path, train):
    out = tmp_path / "second.py"
    said = io.StringIO()
    command = ["next-round", finished.config, "--corrected", corrected, "--out", out]
    command += ["--work-dir", finished.work_dir]
    assert run_tool(repository / "tools/prepare_data.py", command, said, said) == 0, said.getvalue()
    run = WorkDir(finished.work_dir)
    labels, before = (
        read(tmp_path / "second-labeled.json"),
        read(next(run.splits.glob("*@*[0-9].json"))),
    )
    unlabeled = read(tmp_path / "second-unlabeled.json")
    new = read(corrected)
    moved = {image["file_name"] for image in new["images"]}
    names = {image["file_name"] for image in labels["images"]}
    assert names == moved | {image["file_name"] for image in before["images"]}
    assert len(labels["annotations"]) == len(before["annotations"]) + len(new["annotations"])
    assert labels["annotations"][: len(before["annotations"])] == before["annotations"]
    for table in ("images", "annotations"):
        assert len({row["id"] for row in labels[table]}) == len(labels[table])
    rest = {image["file_name"] for image in unlabeled["images"]}
    everything = {path.name for path in (finished.data / "train").iterdir()}
    assert rest == everything - names and not unlabeled["annotations"]
    # A corrected object keeps class and mask.
    known = {category["id"]: category["name"] for category in labels["categories"]}
    added = labels["annotations"][len(before["annotations"]) :]
    classes = {category["id"]: category["name"] for category in new["categories"]}
    assert [(known[a["category_id"]], a["segmentation"]) for a in added] == [
        (classes[a["category_id"]], a["segmentation"]) for a in new["annotations"]
    ]

    page = (tmp_path / "second-corrections.html").read_text()
    assert page.count("<figure>") == 2 and "data:image/jpeg" in page
    (first,) = read(tmp_path / "second-rounds.json")
    assert first["labeled"] == len(before["images"])
    assert first["student"] == read(run.metrics)["student"]
    assert "2 added" in said.getvalue() and "next: python" in said.getvalue()

    train(out, "--work-dir", tmp_path / "run", "--stages", "teacher")
    config = Config.fromfile(tmp_path / "run/teacher/config.py")
    assert config.load_from == str(run.checkpoint("student"))

    with pytest.raises(FileExistsError, match="second-labeled.json exists"):
        write_next_round(finished.config, run, corrected, out)


def test_what_is_refused(finished, corrected, tmp_path):
    run = WorkDir(finished.work_dir)
    content = read(corrected)

    def refused(error, message, changes=None, config=finished.config, run=run):
        (tmp_path / "changed.json").write_text(json.dumps({**content, **(changes or {})}))
        with pytest.raises(error, match=message):
            write_next_round(config, run, tmp_path / "changed.json", tmp_path / "second.py")
        assert not [*tmp_path.glob("second*")]

    labeled = read(next(run.splits.glob("*@*[0-9].json")))["images"][0]
    renamed = {**content["images"][0], "file_name": labeled["file_name"]}
    refused(StageError, "1 of 2 images .* are not unlabeled images", {
        "images": [renamed, content["images"][1]]
    })  # fmt: skip
    refused(StageError, r"has the classes \['dog'\]", {
        "categories": [{**c, "name": "dog"} for c in content["categories"]]
    })  # fmt: skip
    split = next(run.splits.glob("*@*[0-9].json"))
    derived = tmp_path / "derived.py"
    derived.write_text(
        f"_base_ = {str(finished.config)!r}\nlabeled_dataset = dict(ann_file={str(split)!r})"
    )
    refused(StageError, "does not use the key labeled_json for its labeled imag", config=derived)
    text = derived.read_text().splitlines()[0]
    derived.write_text(f"{text}\nteacher = dict(checkpoint={str(run.checkpoint('teacher'))!r})")
    write_next_round(derived, run, corrected, tmp_path / "other.py")
    assert not left_out(Config.fromfile(tmp_path / "other.py"), "teacher")
    refused(FileNotFoundError, r"round has not written .*student\.pth", run=WorkDir(tmp_path))
    with pytest.raises(ValueError, match=r"must end in \.py"):
        write_next_round(finished.config, run, corrected, tmp_path / "second.yaml")
