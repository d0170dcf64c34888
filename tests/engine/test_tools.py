"""tools/test.py on what a run left."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # MMEngine names a run by the second; two tests may share one.
    pytest.mark.filterwarnings("ignore:.*instance named of"),
]


def printed_metrics(printed):
    lines = [line.split(": ") for line in printed.splitlines() if line.startswith("coco/")]
    return {name.removeprefix("coco/"): float(value) for name, value in lines}


@pytest.mark.parametrize("stage", ["student", "teacher"])
def test_a_checkpoint_tests_as_in_its_run(finished, tmp_path, test, stage):
    """The user's config means the student; a stage's own plain config means that stage."""
    config = finished.work_dir / "teacher" / "config.py" if stage == "teacher" else finished.config
    checkpoint = finished.work_dir / stage / f"{stage}.pth"
    printed = test(
        config,
        checkpoint,
        *("--work-dir", tmp_path / "logs", "--out", tmp_path / "results"),
        *("--show-dir", tmp_path / "pictures"),
    )
    metrics = json.loads((finished.work_dir / "metrics.json").read_text())[stage]
    assert printed_metrics(printed) == pytest.approx(metrics, abs=1e-6)
    results, expected = (
        json.loads(path.read_text())
        for path in (
            tmp_path / "results.segm.json",
            finished.work_dir / stage / "predictions.segm.json",
        )
    )
    assert results == expected
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == ["000000.png", "000001.png"]


def test_one_view_predicts_as_no_view_and_flips_agree_with_their_mirror(finished, tmp_path, test):
    """An image and its mirror image have mirrored views, so their averages are mirrored, too."""
    checkpoint = finished.work_dir / "student" / "student.pth"
    mirrored = tmp_path / "mirrored"
    mirrored.mkdir()
    for path in sorted((finished.data / "val").glob("*.png")):
        cv2.imwrite(str(mirrored / path.name), cv2.flip(cv2.imread(str(path)), 1))
    upright = tmp_path / "upright.py"
    upright.write_text(
        f"_base_ = '{finished.config}'\ntta_flips = [dict(type='RandomFlip', prob=0.0)]\n"
    )
    runs = {
        "plain": (finished.config, []),
        "one view": (upright, ["--tta"]),
        "views": (finished.config, ["--tta"]),
        "mirrored views": (finished.config, ["--tta", "--cfg-options", f"val_images={mirrored}/"]),
    }
    results = {}
    for name, (config, options) in runs.items():
        out = tmp_path / name
        test(config, checkpoint, "--work-dir", tmp_path / "logs", "--out", out, *options)
        found = json.loads(Path(f"{out}.bbox.json").read_text())
        results[name] = {
            image: sorted([*r["bbox"], r["score"]] for r in found if r["image_id"] == image)
            for image in (1, 2)
        }
    for image in (1, 2):
        plain, one_view = (np.array(results[name][image]) for name in ("plain", "one view"))
        np.testing.assert_allclose(one_view, plain, atol=1e-3)
        views, mirror = (np.array(results[name][image]) for name in ("views", "mirrored views"))
        mirror[:, 0] = 64 - mirror[:, 0] - mirror[:, 2]
        # Column by column: equal scores may stand in another order.
        np.testing.assert_allclose(np.sort(mirror, axis=0), np.sort(views, axis=0), atol=1e-2)


def test_another_models_checkpoint_is_refused(finished, tmp_path, test):
    checkpoint = finished.work_dir / "teacher" / "teacher.pth"
    with pytest.raises(SystemExit, match="test.py: .*teacher.pth is not a checkpoint of"):
        test(finished.config, checkpoint, "--work-dir", tmp_path)
    with pytest.raises(SystemExit, match="test.py: .*there is no checkpoint .*missing.pth"):
        test(finished.config, tmp_path / "missing.pth", "--work-dir", tmp_path)
    pointer = tmp_path / "pointer.pth"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(SystemExit, match="test.py: .*pointer.pth cannot be loaded: .*git lfs pull"):
        test(finished.config, pointer, "--work-dir", tmp_path)
