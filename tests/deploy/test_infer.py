"""Check tools/infer.py on images, folders, patterns and videos, with both kinds of models."""

import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from small_detectors import CLASSES, pictures, predict
from tool_runs import run_tool

from nbseg.deploy.detections import Detections
from nbseg.deploy.drawing import draw_detections
from nbseg.deploy.inputs import find_files

SIZES = [(112, 160), (201, 90), (128, 128)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write two images, one more in a subfolder, a text file, and a video of three frames."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "below").mkdir()
    images = pictures(*SIZES)
    for name, image in zip(("a.png", "b.png", "below/a.png"), images, strict=True):
        cv2.imwrite(str(folder / name), image)
    (folder / "notes.txt").write_text("not an image")
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(folder / "clip.avi"), codec, 10, (160, 112))
    for frame in pictures((112, 160), (112, 160), (112, 160)):
        video.write(frame)
    video.release()
    return folder


@pytest.fixture
def infer(repository):
    """Run the tool in a new process; return its exit code, output and errors."""

    def run(*arguments):
        command = [sys.executable, repository / "tools" / "infer.py", *arguments, "--threads", "1"]
        return subprocess.run([str(part) for part in command], capture_output=True, text=True)

    return run


def test_inputs_become_files(folder, monkeypatch):
    monkeypatch.chdir(folder)
    a, b, below, clip = (Path(p) for p in ("a.png", "b.png", "below/a.png", "clip.avi"))
    assert find_files(["."]) == [a, b, below, clip]
    assert find_files(["b.png", "*.png"]) == [b, a]
    assert find_files(["**/a.png", "notes.txt"]) == [a, below, Path("notes.txt")]
    assert find_files(["none.png", "none*.png"]) == [Path("none.png"), Path("none*.png")]


def test_an_exported_model(mask_rcnn, folder, infer, tmp_path):
    """The json holds MMDetection's predictions; an unreadable file is named and skipped."""
    out = tmp_path / "out"
    run = infer(mask_rcnn.onnx, folder, folder / "notes.txt", "none.png", "--out", out)
    assert run.returncode == 1
    assert "notes.txt cannot be read as an image" in run.stderr
    assert "none.png" in run.stderr
    assert "infer.py: 2 of 6 files could not be read" in run.stderr
    assert "CPUExecutionProvider" in run.stdout
    assert "6/6 files" in run.stdout
    assert "images/s" in run.stdout

    content = json.loads((out / "predictions.json").read_text())
    assert [c["name"] for c in content["categories"]] == list(CLASSES)
    sources = [
        (Path(i["file_name"]).relative_to(folder).as_posix(), i.get("frame"))
        for i in content["images"]
    ]
    assert sources == [
        *[(name, None) for name in ("a.png", "b.png", "below/a.png")],
        *[("clip.avi", frame) for frame in range(3)],
    ]
    images = pictures(*SIZES)
    expected = predict(mask_rcnn.detector, mask_rcnn.config, images)
    for image_id, (image, instances) in enumerate(zip(images, expected, strict=True), 1):
        entry = content["images"][image_id - 1]
        assert (entry["id"], entry["height"], entry["width"]) == (image_id, *image.shape[:2])
        found = [a for a in content["annotations"] if a["image_id"] == image_id]
        assert [a["category_id"] - 1 for a in found] == instances.labels.tolist()
        np.testing.assert_allclose([a["score"] for a in found], instances.scores, atol=1e-4)
        boxes = np.array([a["bbox"] for a in found])
        boxes[:, 2:] += boxes[:, :2]
        np.testing.assert_allclose(boxes, instances.bboxes, atol=1e-2)
        overlaps = [
            coco_mask.iou([a["segmentation"]], [rle], [0])[0, 0]
            for a, rle in zip(found, instances.masks, strict=True)
            if coco_mask.area(rle)
        ]
        assert min(overlaps) > 0.9
    names = sorted(path.name for path in (out / "pictures").iterdir())
    assert names == ["a-2.jpg", "a.jpg", "b.jpg", "clip.mp4"]
    assert cv2.imread(str(out / "pictures" / "a-2.jpg")).shape == (128, 128, 3)
    video = cv2.VideoCapture(str(out / "pictures" / "clip.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert video.get(cv2.CAP_PROP_FPS) == 10


# The tool where nothing but NumPy, OpenCV and ONNX Runtime is installed.
WITHOUT_TRAINING = """
import runpy, sys

for name in ("torch", "mmcv", "mmdet", "mmengine", "pycocotools", "onnx", "matplotlib"):
    sys.modules[name] = None  # to import it is an ImportError
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_an_exported_model_needs_no_training_library(mask_rcnn, folder, repository, tmp_path):
    tool = repository / "tools" / "infer.py"
    command = [sys.executable, "-c", WITHOUT_TRAINING, tool, mask_rcnn.onnx, folder]
    command += ["--out", tmp_path, "--threads", "1"]
    subprocess.run([str(part) for part in command], check=True)
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert len(content["images"]) == 6
    assert content["annotations"]
    assert len(list((tmp_path / "pictures").iterdir())) == 4


def test_a_checkpoint_gives_what_its_export_gives(cascade, folder, repository, tmp_path):
    cascade.config.dump(tmp_path / "config.py")
    contents = []
    for name, model in (
        ("torch", (tmp_path / "config.py", cascade.checkpoint)),
        ("onnx", (cascade.onnx,)),
    ):
        out = tmp_path / name
        arguments = (*model, folder / "a.png", "--out", out, "--no-pictures", "--score", "0.5")
        said = io.StringIO()
        assert run_tool(repository / "tools" / "infer.py", arguments, said, said) == 0, (
            said.getvalue()
        )
        assert [path.name for path in out.iterdir()] == ["predictions.json"]
        contents.append(json.loads((out / "predictions.json").read_text()))
    torch_content, onnx_content = contents
    assert torch_content["images"] == onnx_content["images"]
    assert torch_content["categories"] == onnx_content["categories"]
    assert len(torch_content["annotations"]) == len(onnx_content["annotations"]) > 0
    for expected, found in zip(
        torch_content["annotations"], onnx_content["annotations"], strict=True
    ):
        assert found["category_id"] == expected["category_id"]
        assert found["score"] == pytest.approx(expected["score"], abs=1e-4)
        assert found["bbox"] == pytest.approx(expected["bbox"], abs=1e-2)
        assert found["score"] >= 0.5


def test_a_model_that_cannot_be_loaded_is_one_line(folder, infer, tmp_path):
    run = infer(folder / "notes.txt", folder, "--out", tmp_path / "out")
    assert run.returncode == 1
    assert run.stderr.startswith("infer.py: ONNX Runtime cannot load")
    assert not (tmp_path / "out").exists()
    run = infer("model.onnx", "--out", tmp_path / "out")
    assert run.returncode == 2
    assert "no INPUT is given" in run.stderr


def test_drawing_tints_the_masks_alone():
    mask = np.zeros((60, 80), np.uint8)
    mask[20:50, 10:70] = 1
    detections = Detections(
        boxes=np.array([[10, 20, 70, 50], [0, 0, 80, 60]], np.float32),
        scores=np.array([0.9, 0.2], np.float32),
        labels=np.array([1, 0]),
        rles=[coco_mask.encode(np.asfortranarray(m)) for m in (mask, np.ones_like(mask))],
    )
    image = np.full((60, 80, 3), 200, np.uint8)
    picture = draw_detections(image, detections, ("square", "disc"), min_score=0.5)
    assert (image == 200).all()
    changed = (picture != 200).any(-1)
    assert changed[30:50, 10:70].all()
    # Below the text, which stands on the box's upper edge.
    changed[:24] = False
    assert not changed[mask == 0].any()
