"""Check that tools/test.py gives an exported model the metrics of its checkpoint."""

import json
import runpy
import sys

import cv2
import pytest
from mmengine.config import Config
from small_detectors import CLASSES, GRAY, pictures, predict

from nbseg.files import write_json

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # MMEngine names a run by the second; two tests may share one.
    pytest.mark.filterwarnings("ignore:.*instance named of"),
]


@pytest.fixture(scope="module")
def config(mask_rcnn, tmp_path_factory):
    """Return Mask R-CNN's config with a data set whose truth is every second prediction."""
    folder = tmp_path_factory.mktemp("data")
    images = [*pictures((112, 160), (201, 90), (333, 517)), GRAY]
    predictions = predict(mask_rcnn.detector, mask_rcnn.config, images)
    content = {"images": [], "annotations": []}
    content["categories"] = [{"id": i, "name": name} for i, name in enumerate(CLASSES, 5)]
    for index, (image, instances) in enumerate(zip(images, predictions, strict=True)):
        cv2.imwrite(str(folder / f"{index}.png"), image)
        height, width = image.shape[:2]
        entry = {"id": index, "file_name": f"{index}.png", "height": height, "width": width}
        content["images"].append(entry)
        for number in range(0, len(instances.scores), 2):
            x0, y0, x1, y1 = instances.bboxes[number].tolist()
            rle = instances.masks[number]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": index,
                    "category_id": int(instances.labels[number]) + 5,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "segmentation": {**rle, "counts": rle["counts"].decode()},
                }
            )
    truth = folder / "truth.json"
    write_json(truth, content)
    config = Config(mask_rcnn.config.to_dict())
    config.custom_imports.imports.append("nbseg.evaluation.instance_metric")
    pipeline = [t for t in config.test_dataloader.dataset.pipeline if "Annot" not in t["type"]]
    config.test_dataloader = {
        "batch_size": 3,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": {
            **config.test_dataloader.dataset,
            "ann_file": str(truth),
            "data_prefix": {"img": f"{folder}/"},
            "test_mode": True,
            "pipeline": pipeline,
        },
    }
    config.test_evaluator = {"type": "InstanceMetric", "ann_file": str(truth)}
    config.test_cfg = {"type": "TestLoop"}
    config.dump(folder / "config.py")
    return folder / "config.py"


@pytest.fixture
def test(repository, tmp_path, monkeypatch, capsys):
    """Run tools/test.py and return its metrics."""

    def run(*arguments):
        tool = repository / "tools" / "test.py"
        arguments = [tool, *arguments, "--work-dir", tmp_path]
        monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
        capsys.readouterr()
        runpy.run_path(str(tool), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()
        pairs = [line.split(": ") for line in lines if line.startswith("coco/")]
        return {name: float(value) for name, value in pairs}

    return run


def test_an_exported_model_has_its_checkpoints_metrics(mask_rcnn, config, test, tmp_path):
    expected = test(config, mask_rcnn.checkpoint, "--cfg-options", "test_dataloader.batch_size=1")
    assert 0.2 < expected["coco/segm_mAP"] < 1
    found = test(config, mask_rcnn.onnx, "--out", tmp_path / "onnx")
    assert found == pytest.approx(expected, abs=1e-3)
    assert json.loads((tmp_path / "onnx.segm.json").read_text())


def test_what_an_exported_model_cannot_do_is_refused(mask_rcnn, config, test):
    with pytest.raises(
        SystemExit, match=r"test\.py: --tta needs a .pth checkpoint, because an exported"
    ):
        test(config, mask_rcnn.onnx, "--tta")
    with pytest.raises(
        SystemExit, match=r"only one process can test an exported model; remove --launcher"
    ):
        test(config, mask_rcnn.onnx, "--launcher", "pytorch")
    classes = "test_dataloader.dataset.metainfo.classes=['disc','square','moon']"
    message = "has the classes disc, square, star, but the config has .*moon"
    with pytest.raises(SystemExit, match=message):
        test(config, mask_rcnn.onnx, "--cfg-options", classes)
