"""Unlabeled images that cannot be read, leave or join: what is predicted and what is kept."""

import json
import shutil
from types import SimpleNamespace

import pytest
from mmengine.dataset import pseudo_collate
from run_records import manifest
from torch.utils.data import DataLoader

from nbseg.datasets.image_folder import ImageFolderDataset
from nbseg.engine.pseudo_label_loop import ReadableImages, collate_readable
from nbseg.errors import StageError
from nbseg.pseudo.predictions import PredictionStore

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=["json", "folder"])
def unlabeled(request, finished, tmp_path, make_pipeline):
    """A run whose unlabeled images, of a json or a folder, can be changed."""
    run = SimpleNamespace(config=finished.config, work_dir=tmp_path / "run")
    folder, file = tmp_path / "images", tmp_path / "unlabeled.json"
    folder.mkdir()
    split = finished.work_dir / "splits"
    source = json.loads((split / "instances_train.0@50-unlabeled.json").read_text())
    images = [finished.data / "train" / image["file_name"] for image in source["images"]]
    changes = {
        "split": None,
        "labeled_json": str(split / "instances_train.0@50.json"),
        "unlabeled_json": str(file),
        "unlabeled_folder": str(folder),
        "report.hidden_truth": None,
        "teacher.checkpoint": f"{finished.work_dir}/teacher/teacher.pth",
        "predict.test_dataloader.batch_size": 1,
    }
    if request.param == "folder":
        changes |= {
            "predict.test_dataloader.dataset.type": "ImageFolderDataset",
            "predict.test_dataloader.dataset.ann_file": "",
        }

    def put(*names):
        """Make these the images of the set, in this order."""
        for path in folder.iterdir():
            if path.name not in names:
                path.unlink()
        for name in names:
            if not (folder / name).exists():
                shutil.copy(images[ord(name[0]) % 3], folder / name)
        # Ids that are no numbers become the places in the json.
        entries = [
            {"id": f"image {number}", "file_name": name, "height": 64, "width": 64}
            for number, name in enumerate(names, 1)
        ]
        categories = source["categories"]
        content = {"images": entries, "categories": categories, "annotations": []}
        file.write_text(json.dumps(content))

    def predict(*stages):
        make_pipeline(run, changes, stages=["predict", *stages]).run()
        return PredictionStore(run.work_dir / "pseudo_labels" / "predictions")

    return SimpleNamespace(run=run, folder=folder, put=put, predict=predict)


def cut(path):
    """Keep the header, which is sound, and a part of the body."""
    path.write_bytes(path.read_bytes()[:200])


def test_a_broken_image_is_left_out_and_counted(unlabeled):
    unlabeled.put("a.png", "b.png", "c.png")
    cut(unlabeled.folder / "b.png")
    store = unlabeled.predict("label")
    kept = {1: "a.png", 3: "c.png"}
    assert {image.image_id: image.file_name for image in store} == kept
    record = manifest(unlabeled.run, "predict").content
    assert (record["images"], record["left_out"]) == (2, ["b.png"])
    labels = json.loads(
        (unlabeled.run.work_dir / "pseudo_labels" / "pseudo_labels.json").read_text()
    )
    assert {image["id"]: image["file_name"] for image in labels["images"]} == kept
    assert labels["info"]["left_out"] == ["b.png"]
    page = (unlabeled.run.work_dir / "report" / "index.html").read_text()
    assert "1 unlabeled images could not be read and are left out: b.png." in page


def test_images_leave_and_join_without_new_predictions_of_the_others(unlabeled):
    unlabeled.put("b.png", "c.png", "d.png")
    cut(unlabeled.folder / "c.png")
    store = unlabeled.predict()
    parts = {path: path.read_bytes() for path in store.folder.glob("part-*")}
    before = {image.file_name: image for image in store}
    # The broken image is taken out, and a new one moves all ids.
    unlabeled.put("a.png", "b.png", "d.png")
    store = unlabeled.predict()
    assert {image.image_id: image.file_name for image in store} == {
        1: "a.png",
        2: "b.png",
        3: "d.png",
    }
    for image in store:
        if image.file_name != "a.png":
            assert image.scores.tobytes() == before[image.file_name].scores.tobytes()
    assert all(path.read_bytes() == content for path, content in parts.items())
    (new,) = set(store.folder.glob("part-*")) - set(parts)
    assert manifest(unlabeled.run, "predict").content["left_out"] == []
    # A third call with the same images has nothing to do.
    files = set(store.folder.iterdir())
    unlabeled.predict()
    assert set(store.folder.iterdir()) == files
    # What has left is no longer read, but it is still there.
    unlabeled.put("b.png")
    assert list(unlabeled.predict().file_names().values()) == ["b.png"]
    assert set(store.predicted()) == {"a.png", "b.png", "d.png"}


def test_a_set_without_a_readable_image_is_refused(unlabeled, monkeypatch):
    unlabeled.put("a.png", "b.png")
    for path in unlabeled.folder.iterdir():
        cut(path)
    with pytest.raises(StageError, match="2 images that cannot be decoded in .*, the first: a.png"):
        unlabeled.predict()
    # The samples of a large set may be sound, or files may break later.
    monkeypatch.setattr("nbseg.engine.pipeline.preflight", lambda *_: [])
    with pytest.raises(StageError, match=r"none of the 2 unlabeled images can be read \(a.png, b"):
        unlabeled.predict()


def test_errors_of_images_pass_through_worker_processes(tmp_path, finished):
    (picture,) = list((finished.data / "val").iterdir())[:1]
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(picture, tmp_path / name)
    cut(tmp_path / "b.png")
    dataset = ImageFolderDataset(
        data_prefix={"img": str(tmp_path)}, pipeline=[{"type": "LoadImageFromFile"}], test_mode=True
    )
    (tmp_path / "c.png").unlink()
    loader = DataLoader(
        ReadableImages(dataset), batch_size=1, num_workers=1, collate_fn=collate_readable
    )
    (first, none), (no_batch, broken), (no_image, missing) = loader
    assert first["file_name"] == ["a.png"] and not none
    assert no_batch is None and "b.png cannot be read as an image" in str(broken[0])
    assert no_image is None and isinstance(missing[0], FileNotFoundError)
    batch, errors = collate_readable([dataset[0], broken[0]])
    assert batch.keys() == pseudo_collate([dataset[0]]).keys() and errors == broken


def test_a_fault_of_the_pipeline_is_not_taken_for_a_broken_image(tmp_path, finished):
    (picture,) = list((finished.data / "val").iterdir())[:1]
    shutil.copy(picture, tmp_path / "a.png")
    dataset = ImageFolderDataset(
        data_prefix={"img": str(tmp_path)},
        pipeline=[{"type": "LoadImageFromFile"}, {"type": "mmdet.Resize", "scale": "wrong"}],
        test_mode=True,
    )
    with pytest.raises(StageError, match=r"fails on .*a\.png \(64 x 64 pixels\): .*resize"):
        ReadableImages(dataset)[0]
