"""Masks that go out to a labeling tool and come back, and what a person changed there."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from tool_runs import run_tool

from nbseg.datasets.converters.brush_rle import decode_brush, encode_brush
from nbseg.datasets.converters.import_labels import LabelSource, import_labels
from nbseg.datasets.exporters.export_labels import TOOLS, export_labels

TOOLS_FOLDER = Path(__file__).parents[2] / "tools"
HEIGHT, WIDTH = 47, 61


def masks():
    """Return masks by name: what labeling tools are known to tear apart, fill or lose."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(rows - 20, columns - 25)
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.5
    return {
        "disk": distance <= 9,
        "overlapping disk": np.hypot(rows - 22, columns - 33) <= 9,
        "ring": (distance <= 12) & (distance > 7),
        "two parts": (distance <= 3) | (np.hypot(rows - 40, columns - 50) <= 4),
        "a pixel": distance == 0,
        "the last pixel": (rows == HEIGHT - 1) & (columns == WIDTH - 1),
        "a line": (rows == 5) & (columns > 3),
        "whole columns": (columns > 10) & (columns < 14),
        "noise": noise,
        "chequer": (rows + columns) % 2 > 0,
        "everything": distance >= 0,
    }


def rle(mask):
    found = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": found["size"], "counts": found["counts"].decode()}


@pytest.fixture
def pseudo(tmp_path):
    """A COCO json of pseudo-labels of four images, the last of which has none."""
    (tmp_path / "images/sub").mkdir(parents=True)
    names = ["a.png", "sub/b.jpg", "c.tif", "sub/empty.png"]
    images, annotations = [], []
    for number, name in enumerate(names, start=5):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for mask in masks().values() if number < 8 else ():
            annotation = {"id": len(annotations) + 1, "image_id": number, "iscrowd": 0}
            score = 0.9 - number / 10 + len(annotations) / 1000
            annotation |= {"category_id": 3 + len(annotations) % 2, "segmentation": rle(mask)}
            annotation |= {"bbox": [0, 0, 1, 1], "area": int(mask.sum()), "score": score}
            annotations.append(annotation)
    categories = [{"id": 4, "name": "b <cell>"}, {"id": 3, "name": "a"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = tmp_path / "pseudo.json"
    path.write_text(json.dumps(content))
    return path


def objects(path):
    """Return class and mask of all objects in a COCO json, by image."""
    content = json.loads(path.read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    found = {image["id"]: [] for image in content["images"]}
    for each in content["annotations"]:
        mask = coco_mask.decode(each["segmentation"])
        found[each["image_id"]].append((names[each["category_id"]], mask.tobytes()))
    return {image["file_name"]: found[image["id"]] for image in content["images"]}


def as_export(tasks):
    """Return tasks as Label Studio 1.23 exports them after the predictions were submitted."""
    for number, task in enumerate(tasks):
        (prediction,) = task.pop("predictions")
        done = {"id": number, "was_cancelled": False, "updated_at": "2026-11-28T10:00:00Z"}
        task |= {"id": number, "annotations": [done | {"result": prediction["result"]}]}
        task["file_upload"] = f"0123abcd-{number}.png"
    return tasks


def corrected(folder, tool):
    """Return what a person's labeling tool exports without a change."""
    if tool != "label-studio":
        return folder if tool == "labelme" else folder / "annotations.xml"
    path = folder / "export.json"
    path.write_text(json.dumps(as_export(json.loads((folder / "tasks.json").read_text()))))
    return path


@pytest.mark.parametrize("tool", TOOLS)
def test_masks_come_back_unchanged(pseudo, tmp_path, tool):
    images, out = tmp_path / "images", tmp_path / "correct"
    count, _ = export_labels(pseudo, images, tool, out)
    assert count == 4
    source = LabelSource(corrected(out, tool), images, keep_empty=tool == "cvat")
    made = import_labels(source, tmp_path / "back.json")
    assert objects(tmp_path / "back.json") == objects(pseudo)
    assert made.notes == (["unchanged objects: 33"] if tool == "label-studio" else [])


def test_the_least_certain_images_come_first(pseudo, tmp_path):
    """Image c.tif has the lowest scores; a list of names, or the table of rank, decides instead."""

    def exported(*arguments):
        said = io.StringIO()
        command = ("export-labels", pseudo, "--images", tmp_path / "images", "--to", "label-studio")
        out = ("--out", tmp_path / "correct", "--url", "/data/local-files/?d=x/", "--force")
        status = run_tool(TOOLS_FOLDER / "analyze.py", (*command, *out, *arguments), said, said)
        assert status == 0, said.getvalue()
        tasks = json.loads((tmp_path / "correct/tasks.json").read_text())
        return [task["data"]["image"].removeprefix("/data/local-files/?d=x/") for task in tasks]

    assert exported() == ["c.tif", "sub/b.jpg", "a.png", "sub/empty.png"]
    assert exported("--count", "1") == ["c.tif"]
    (tmp_path / "names.txt").write_text("\ufeffsub/empty.png\na.png\n\n", encoding="utf-8")
    assert exported("--list", tmp_path / "names.txt") == ["sub/empty.png", "a.png"]
    table = f"rank,file,reason\n1,{tmp_path / 'images/sub/b.jpg'},kind\n"
    (tmp_path / "rank.csv").write_text(table)
    assert exported("--list", tmp_path / "rank.csv") == ["sub/b.jpg"]
    config = (tmp_path / "correct/labeling_config.xml").read_text()
    assert '<Label value="b &lt;cell&gt;"/>' in config

    (tmp_path / "names.txt").write_text("z.png")
    with pytest.raises(ValueError, match=r"1 of 1 listed images are not in the json.*z\.png"):
        export_labels(pseudo, tmp_path / "images", "cvat", tmp_path, listed=tmp_path / "names.txt")
    with pytest.raises(FileExistsError, match=r"tasks\.json exists, and may hold corrections"):
        export_labels(pseudo, tmp_path / "images", "label-studio", tmp_path / "correct")
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 images are not in .*first: a\.png"):
        export_labels(pseudo, tmp_path / "images", "cvat", tmp_path)


def test_changes_in_label_studio_are_counted(pseudo, tmp_path):
    """One region changed with a soft brush, one deleted, one new; the other 30 stay exact."""
    images, out = tmp_path / "images", tmp_path / "correct"
    export_labels(pseudo, images, "label-studio", out)
    tasks = as_export(json.loads((out / "tasks.json").read_text()))
    task = next(task for task in tasks if task["data"]["file_name"] == "a.png")
    regions = task["annotations"][0]["result"]
    assert [region["origin"] for region in regions] == ["prediction"] * 11
    values = np.where(masks()["disk"], 255, 0)
    values[20, 16:36] = 100  # the soft edge of the eraser
    values[0, :5] = 140  # the soft edge of the brush
    regions[0] |= {"origin": "prediction-changed"}
    regions[0]["value"]["rle"] = literal(values)
    del regions[5]
    new = masks()["disk"][::-1]
    regions.append({**regions[1], "id": "x7Gh", "origin": "manual"})
    regions[-1]["value"] = {"format": "rle", "rle": encode_brush(new), "brushlabels": ["a"]}
    (out / "export.json").write_text(json.dumps(tasks))
    made = import_labels(LabelSource(out / "export.json", images), tmp_path / "back.json")
    assert made.notes == [
        "changed objects: 1",
        "deleted objects: 1",
        "new objects: 1",
        "unchanged objects: 31",
    ]
    before, after = objects(pseudo), objects(tmp_path / "back.json")
    label = before["a.png"][0][0]
    changed = (values > 127).astype(np.uint8)
    expected = [(label, np.asfortranarray(changed).tobytes()), *before["a.png"][1:5]]
    expected += [*before["a.png"][6:], ("a", new.astype(np.uint8).tobytes())]
    as_masks = [(name, np.frombuffer(content, np.uint8).sum()) for name, content in after["a.png"]]
    assert as_masks == [(n, np.frombuffer(c, np.uint8).sum()) for n, c in expected]
    assert after["a.png"][1:5] == before["a.png"][1:5]
    assert {name: after[name] for name in after if name != "a.png"} == {
        name: before[name] for name in before if name != "a.png"
    }


def literal(values):
    """Return a stream of literals with other sizes of lengths and opaque colors before alpha."""
    bits = [f"{4 * values.size:032b}", f"{7:05b}", *(f"{size:04b}" for size in (0, 1, 5, 9))]
    flat = np.stack([np.full(values.size, 255)] * 3 + [values.ravel()], axis=1).ravel().tolist()
    for start in range(0, len(flat), 64):
        part = flat[start : start + 64]
        bits += ["0", "10", f"{len(part) - 1:06b}", *(f"{value:08b}" for value in part)]
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[start : start + 8], 2) for start in range(0, len(text), 8)]


@pytest.mark.parametrize("name", masks())
def test_brush_streams_are_decoded_bit_by_bit(name):
    """Against a decoder that reads one bit after the other, and an encoder of literals alone."""
    mask = masks()[name]
    stream = encode_brush(mask)
    assert all(type(byte) is int for byte in stream)
    assert slow_decode(stream) == np.repeat(mask.ravel() * 255, 4).tolist()
    for each in (stream, literal(mask * 255)):
        np.testing.assert_array_equal(decode_brush(each, *mask.shape), mask)


def slow_decode(stream):
    bits = iter("".join(f"{byte:08b}" for byte in stream))

    def take(count):
        return int("".join(next(bits) for _ in range(count)), 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        run, size = take(1), sizes[take(2)]
        length = take(size) + 1
        values += [take(word)] * length if run else [take(word) for _ in range(length)]
    return values


def test_long_runs_are_split():
    """A run of more than 65536 values, which is the longest in a record."""
    mask = np.zeros((300, 400), bool)
    mask[200:, 7] = True
    for each in (mask, ~mask):
        np.testing.assert_array_equal(decode_brush(encode_brush(each), 300, 400), each)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stream: stream[:-3], "cut off"),
        (lambda stream: stream[:3], "cut off"),
        (lambda stream: [*stream[:3], stream[3] ^ 4, *stream[4:]], "four for each of 61 x 47"),
        (lambda stream: [300, *stream[1:]], "not a list of bytes"),
        (lambda stream: "text", "not a list of bytes"),
    ],
)
def test_damaged_brush_streams_are_refused(change, message):
    stream = encode_brush(masks()["disk"])
    with pytest.raises(ValueError, match=message):
        decode_brush(change(stream), HEIGHT, WIDTH)


def test_files_of_labelme_lie_in_the_folder_and_differ(tmp_path):
    """Images of one name with two suffixes, of other folders, and with absolute paths."""
    images = tmp_path / "images"
    images.mkdir()
    names = ["a.png", "a.jpg", "../other/b.png", str(images / "c.png"), str(tmp_path / "d.png")]
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    for number, name in enumerate(names, start=1):
        (images / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(images / name), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        size = {"height": HEIGHT, "width": WIDTH}
        content["images"].append({"id": number, "file_name": name, **size})
        mask = masks()["disk"] if number % 2 else masks()["ring"]
        annotation = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
        annotation |= {"segmentation": rle(mask), "bbox": [0, 0, 1, 1], "area": int(mask.sum())}
        content["annotations"].append(annotation)
    # A tool may write polygons of two points beside others, and objects without a pixel.
    odd = [[1, 1, 5, 5], [1, 1, 5, 1, 5, 5, 1, 5]]
    for segmentation in (odd, [[5.1, 5.1, 5.3, 5.1, 5.3, 5.3]], []):
        number = len(content["annotations"]) + 1
        annotation = {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0}
        annotation |= {"segmentation": segmentation, "bbox": [0, 0, 1, 1], "area": 1}
        content["annotations"].append(annotation)
    (tmp_path / "all.json").write_text(json.dumps(content))
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "correct"
    export_labels(tmp_path / "all.json", images, "labelme", out)
    written = {path.relative_to(out).as_posix() for path in out.rglob("*.json")}
    assert written == {"a.png.json", "a.jpg.json", "other/b.json", "c.json", "d.json"}
    assert sorted(set(tmp_path.rglob("*")) - set(before) - set(out.rglob("*"))) == [out]
    counts = {
        path.name: len(json.loads(path.read_text())["shapes"]) for path in out.rglob("*.json")
    }
    assert counts == {"a.png.json": 2, "a.jpg.json": 1, "b.json": 1, "c.json": 1, "d.json": 1}
    for path in out.rglob("*.json"):
        stored = json.loads(path.read_text())["imagePath"]
        assert (path.parent / stored).resolve().is_file()

    content["annotations"][0]["segmentation"] = {"size": [9, 9], "counts": [40, 41]}
    (tmp_path / "all.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="annotation 1 is for an image of 9 x 9 pixels"):
        export_labels(tmp_path / "all.json", images, "cvat", tmp_path / "other_out")
