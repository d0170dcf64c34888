"""Check the runtime: its imports, its errors and its results."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from small_detectors import CLASSES, GRAY, pictures

from nbseg.deploy.runtime import Segmenter

CPU = ["CPUExecutionProvider"]

ALONE = """
import json, sys
import numpy as np
from nbseg.deploy.runtime import Segmenter

detections = Segmenter(sys.argv[1], threads=1)(np.load(sys.argv[2]))
foreign = {"torch", "mmcv", "mmdet", "mmengine", "pycocotools", "onnx"} & set(sys.modules)
print(json.dumps({"foreign": sorted(foreign), "boxes": detections.boxes.tolist()}))
"""


@pytest.fixture
def segmenter(mask_rcnn):
    return Segmenter(mask_rcnn.onnx, providers=CPU, threads=1)


def test_no_training_library_is_imported(mask_rcnn, segmenter, tmp_path):
    (image,) = pictures((112, 160))
    np.save(tmp_path / "image.npy", image)
    command = [sys.executable, "-c", ALONE, str(mask_rcnn.onnx), str(tmp_path / "image.npy")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(printed)
    assert result["foreign"] == []
    np.testing.assert_allclose(result["boxes"], segmenter(image).boxes, rtol=1e-5)


def test_detections_describe_the_original_image(segmenter):
    (image,) = pictures((333, 517))
    detections = segmenter(image)
    assert len(detections.scores)
    assert detections.boxes.dtype == detections.scores.dtype == np.float32
    assert detections.labels.dtype == np.int64
    assert (np.diff(detections.scores) <= 0).all()
    assert (detections.boxes >= 0).all()
    assert (detections.boxes[:, 2:] <= (517.01, 333.01)).all()
    assert all(rle["size"] == [333, 517] for rle in detections.rles)


def test_an_images_result_does_not_depend_on_its_batch(segmenter):
    images = pictures((112, 160), (90, 90), (112, 160), (224, 320))
    alone = [segmenter(image) for image in images]
    for expected, found in zip(alone, segmenter.predict(images), strict=True):
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert segmenter.predict([]) == []


def test_what_it_says_about_itself(mask_rcnn, segmenter):
    assert segmenter.classes == CLASSES
    assert segmenter.providers == tuple(CPU)
    assert segmenter.info == mask_rcnn.info
    segmenter.warm_up(40, 60, batch=2)


def test_by_default_it_uses_what_the_machine_has(mask_rcnn, capfd):
    segmenter = Segmenter(mask_rcnn.onnx)
    assert segmenter.providers[-1] == "CPUExecutionProvider"
    assert "Error" not in capfd.readouterr().err
    assert segmenter(GRAY).rles == []


def test_a_provider_that_cannot_be_used_is_an_error(mask_rcnn):
    with pytest.raises(
        RuntimeError, match="no execution provider Abacus; choose from .*CPUExecution"
    ):
        Segmenter(mask_rcnn.onnx, providers=["Abacus"])
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime knows no CUDA")
    if "CUDAExecutionProvider" in Segmenter(mask_rcnn.onnx).providers:
        pytest.skip("CUDA can be used here")
    with pytest.raises(RuntimeError, match="could not start the execution provider CUDAExecution"):
        Segmenter(mask_rcnn.onnx, providers=["CUDAExecutionProvider", *CPU])


def test_images_of_another_kind_are_refused(segmenter):
    with pytest.raises(ValueError, match="COLOR_GRAY2BGR"):
        segmenter(GRAY[:, :, 0])
    with pytest.raises(TypeError, match="uint16"):
        segmenter(GRAY.astype(np.uint16))


def test_files_that_are_no_model_are_refused(mask_rcnn, tmp_path):
    with pytest.raises(FileNotFoundError, match="no model .*none"):
        Segmenter(tmp_path / "none.onnx")
    content = mask_rcnn.onnx.read_bytes()
    for name, broken in (
        ("empty", b""),
        ("text", b"no model"),
        ("cut", content[: len(content) // 2]),
    ):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=f"cannot load .*{name}"):
            Segmenter(path, providers=CPU)


def test_models_of_others_are_refused(mask_rcnn, tmp_path):
    path = tmp_path / "identity.onnx"
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", [x], [y])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    with pytest.raises(
        ValueError, match=r"not exported by nbseg: .*found \['x'\] and .*export_onnx"
    ):
        Segmenter(path, providers=CPU)
    model = onnx.load(mask_rcnn.onnx)
    for entries, message in (
        ({}, "the model's metadata lack the entry 'resize'"),
        ({"resize": "{]"}, "malformed"),
    ):
        del model.metadata_props[:]
        helper.set_model_props(model, entries)
        onnx.save(model, path)
        with pytest.raises(ValueError, match=f"not exported by nbseg: .*{message}"):
            Segmenter(path, providers=CPU)


def test_threads_must_be_a_number_above_zero(mask_rcnn):
    with pytest.raises(ValueError, match="threads must be at least 1, found 0"):
        Segmenter(mask_rcnn.onnx, threads=0)
