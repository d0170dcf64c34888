"""Stages that were killed or failed: what goes on where it stopped."""

import errno
import json
import re

import numpy as np
import pytest
import torch
from run_records import as_if_killed, logged_steps, manifest

from nbseg.datasets.shape_outlines import CLASSES
from nbseg.engine.work_dir import WorkDir
from nbseg.pseudo.predictions import PredictionStore, PredictionWriter

pytestmark = pytest.mark.usefixtures("one_thread")


def keep_nothing(run):
    """Empty the store as a new run does, and return the first image."""
    first = next(iter(PredictionStore(run.work_dir / "pseudo_labels" / "predictions")))
    WorkDir(run.work_dir).clear("predict")
    return first


def keep_one_image(run):
    """Leave one image in the store, marked by a score that no model gives."""
    first = keep_nothing(run)
    folder = run.work_dir / "pseudo_labels" / "predictions"
    writer = PredictionWriter(folder, CLASSES)
    writer.append([first._replace(scores=np.full_like(first.scores, 2))])
    writer.flush()
    (folder / ".part-000-000001.4321.npz").write_bytes(b"half of a part")
    return first.image_id


def marked_images(run):
    store = PredictionStore(run.work_dir / "pseudo_labels" / "predictions")
    assert len(store.file_names()) == len(list(store)) == 3
    return [image.image_id for image in store if (image.scores == 2).any()]


def test_a_killed_prediction_goes_on_with_the_missing_images(moved, make_pipeline):
    as_if_killed(moved, "predict")
    image_id = keep_one_image(moved)
    original = {
        image.image_id: image
        for image in PredictionStore(moved.work_dir / "pseudo_labels" / "predictions")
    }
    make_pipeline(moved, stages=["predict"], resume="auto").run()
    assert manifest(moved, "predict").finished
    assert marked_images(moved) == [image_id]
    assert set(original) == {image_id}


def test_another_image_under_a_known_id_is_predicted(moved, make_pipeline):
    as_if_killed(moved, "predict")
    store = PredictionStore(moved.work_dir / "pseudo_labels" / "predictions")
    names = store.file_names()
    first = keep_nothing(moved)
    writer = PredictionWriter(store.folder, CLASSES)
    writer.append([first._replace(file_name="another.png", scores=np.full_like(first.scores, 2))])
    writer.flush()
    make_pipeline(moved, stages=["predict"], resume="auto").run()
    assert marked_images(moved) == []
    assert {image.image_id: image.file_name for image in store} == names


def test_without_resume_prediction_starts_again(moved, make_pipeline):
    as_if_killed(moved, "predict")
    keep_one_image(moved)
    make_pipeline(moved, stages=["predict"]).run()
    assert marked_images(moved) == []


def test_predictions_of_another_teacher_are_not_continued(moved, make_pipeline):
    as_if_killed(moved, "predict")
    keep_one_image(moved)
    checkpoint = torch.load(moved.work_dir / "teacher" / "teacher.pth", weights_only=False)
    checkpoint["meta"]["another"] = True
    torch.save(checkpoint, moved.work_dir / "teacher" / "teacher.pth")
    with pytest.raises(ValueError, match="stage predict in .*teacher checkpoint.*--redo predict"):
        make_pipeline(moved, stages=["predict"], resume="auto").run()


def unfinished_student(run):
    """Leave the student after its first iteration."""
    as_if_killed(run, "student")
    folder = run.work_dir / "student"
    for iteration in (2, 3):
        (folder / f"iter_{iteration}.pth").unlink()
    (folder / "last_checkpoint").write_text(str(folder / "iter_1.pth"))
    return folder


def weights(folder):
    state = torch.load(folder / f"{folder.name}.pth", weights_only=False)["state_dict"]
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}


def test_resume_continues_a_training_from_its_last_checkpoint(moved, make_pipeline):
    uninterrupted = weights(moved.work_dir / "student")
    folder = unfinished_student(moved)
    metrics = make_pipeline(moved, resume="auto").run()
    assert weights(folder) == uninterrupted
    assert logged_steps(folder) == [[2, 3], [1, 2, 3]]
    assert manifest(moved, "student").finished
    assert torch.load(folder / "student.pth", weights_only=False)["meta"]["iter"] == 3
    assert metrics == json.loads((moved.work_dir / "metrics.json").read_text())


def test_a_cut_checkpoint_is_named_and_the_one_before_is_used(moved, make_pipeline, log):
    folder = moved.work_dir / "student"
    uninterrupted = weights(folder)
    as_if_killed(moved, "student")
    cut = folder / "iter_3.pth"
    cut.write_bytes(cut.read_bytes()[:-1000])
    (folder / ".iter_3.partial4321.pth").write_bytes(b"half of a checkpoint")
    make_pipeline(moved, stages=["student"], resume="auto").run()
    assert re.search(r"iter_3\.pth cannot be loaded.*iter_2\.pth is used instead", log.text)
    assert logged_steps(folder) == [[3], [1, 2, 3]]
    assert weights(folder) == uninterrupted
    assert not list(folder.glob(".*.pth"))


def test_a_given_checkpoint_that_is_cut_is_refused(moved, train):
    as_if_killed(moved, "student")
    cut = moved.work_dir / "student" / "iter_2.pth"
    cut.write_bytes(cut.read_bytes()[:-1000])
    with pytest.raises(
        SystemExit, match=r"^train\.py: .*iter_2\.pth cannot be loaded: it is truncated"
    ):
        train(moved.config, "--work-dir", moved.work_dir, "--resume", cut)


def test_a_file_size_limit_ends_a_run_that_can_be_continued(moved, train, file_size_limit):
    """The limit stands for a full disk: both make a write fail in the middle of a file."""
    folder = moved.work_dir / "student"
    uninterrupted = weights(folder)
    unfinished_student(moved)
    size = (folder / "iter_1.pth").stat().st_size
    command = (moved.config, "--work-dir", moved.work_dir, "--resume")
    with file_size_limit(size // 2), pytest.raises(SystemExit) as refusal:
        train(*command)
    assert re.fullmatch(
        rf"train.py: \[Errno {errno.EFBIG}\] .*student/iter_2.pth'; remove the cause, then "
        "continue with --resume",
        str(refusal.value),
    )
    assert sorted(path.name for path in folder.rglob("*.pth")) == ["iter_1.pth"]
    train(*command)
    assert weights(folder) == uninterrupted


def test_files_that_a_killed_run_was_writing_are_removed(moved, make_pipeline):
    """A killed process leaves temporary names; other hidden files of the user stay."""
    folder = moved.work_dir / "report" / "student_predictions"
    partial = [
        folder / ".000001.partial23985.png",
        moved.work_dir / "student" / ".iter_2.partial17.pth",
    ]
    partial += [moved.work_dir / "pseudo_labels" / "predictions" / ".part-000-000001.partial4.npz"]
    kept = [moved.work_dir / ".backup.2.json", moved.work_dir / "student" / ".notes.txt"]
    for file in partial + kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (moved.work_dir / ".folder.partial1").mkdir()
    make_pipeline(moved).prepare()
    assert all(file.exists() for file in partial)  # another process may be writing them
    make_pipeline(moved).run()
    assert not any(file.exists() for file in partial)
    assert all(file.exists() for file in kept)


def test_resume_from_a_given_checkpoint(moved, make_pipeline):
    folder = unfinished_student(moved)
    checkpoint = folder / "iter_1.pth"
    checkpoint = checkpoint.rename(moved.work_dir / "somewhere.pth")
    make_pipeline(moved, resume=str(checkpoint)).run()
    assert logged_steps(folder)[0] == [2, 3]


def test_without_resume_a_training_starts_again(moved, make_pipeline):
    folder = unfinished_student(moved)
    make_pipeline(moved).run()
    assert logged_steps(folder)[0] == [1, 2, 3]


def test_a_changed_training_is_not_continued(moved, make_pipeline):
    unfinished_student(moved)
    with pytest.raises(ValueError, match="stage student in .*loss_mask.gain: was 1.0, is 2.0"):
        make_pipeline(moved, {"mask_loss.gain": 2.0}, resume="auto")


def test_labels_that_failed_are_made_with_other_settings(moved, make_pipeline):
    changes = {"label.floor": 0.99}
    with pytest.raises(ValueError, match="no pseudo-label remains.*label.floor"):
        make_pipeline(moved, changes, stages=["label"], redo=["label"]).run()
    assert not manifest(moved, "label").finished
    make_pipeline(moved, stages=["label"], resume="auto").run()
    assert manifest(moved, "label").finished
