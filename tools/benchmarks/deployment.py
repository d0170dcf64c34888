"""Benchmark deployment on the CPU: an exported model against its PyTorch checkpoint.

A call reads an image file and returns detections with RLE masks. The networks are those of two
configs, with random weights. The weights are adjusted so that time and agreement are like those of
trained networks: activations have unit variance, scores are well separated, and the networks find
the largest number of objects that they can return.

Int8 changes only the backbone and the neck. Its benchmark therefore extracts these two parts from
the float32 and the int8 model, and runs only them.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from benchmarks.case import Case, CaseTimes
from benchmarks.scenes import bitmaps_of, outlines
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from onnx.utils import Extractor

from nbseg.config.plain_config import student_config
from nbseg.deploy.checkpoint_segmenter import CheckpointSegmenter
from nbseg.deploy.detections import Detections
from nbseg.deploy.export import export_checkpoint, save_onnx
from nbseg.deploy.model_info import INPUT
from nbseg.deploy.parity import parity
from nbseg.deploy.preprocessing import as_batch
from nbseg.deploy.quantization import quantize_backbone_and_neck
from nbseg.deploy.runtime import Segmenter
from nbseg.images import read_image

CONFIGS = Path(__file__).parents[2] / "configs"
MODELS_AND_SIZES = {
    "demo 128x128": ("shapes/demo.py", 128, 128),
    "MobileNetV2 512x640": (
        "nuclei/noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py",
        512,
        640,
    ),
}
ROUNDS = 15

# Programs that predict one image in a fresh process and print the memory of this process.
RESIDENT = """
from pathlib import Path
fields = dict(l.split(":", 1) for l in Path("/proc/self/status").read_text().splitlines())
print(*(1024 * int(fields[name].split()[0]) for name in ("VmHWM", "VmRSS")))
"""
WITH_ONNX = """
import sys
from nbseg.images import read_image
from nbseg.deploy.runtime import Segmenter
_, image, threads, model = sys.argv
segmenter = Segmenter(model, ["CPUExecutionProvider"], int(threads))
segmenter(read_image(image))
"""
WITH_PYTORCH = """
import sys
import torch
from mmengine.config import Config
from nbseg.deploy.checkpoint_segmenter import CheckpointSegmenter
from nbseg.images import read_image
_, image, threads, config, checkpoint = sys.argv
torch.set_num_threads(int(threads))
segmenter = CheckpointSegmenter(Config.fromfile(config), checkpoint)
segmenter(read_image(image))
"""


def picture(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return an image of thirty plain objects with noise, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 128, np.uint8)
    for bitmap in bitmaps_of(outlines(rng, 30, height, width), height, width):
        image[bitmap > 0] = rng.integers(0, 256, 3)
    noise = rng.integers(0, 64, image.shape, np.uint8)
    return np.asarray(image // 2 + noise, np.uint8)


def random_detector(plain: Config, image: npt.NDArray[np.uint8]) -> Any:
    """Return a detector with random weights that finds ``max_per_img`` objects in the image."""
    import_modules_from_strings(**plain.custom_imports)
    init_default_scope("mmdet")
    plain.model.backbone.init_cfg = None
    torch.manual_seed(0)
    detector = MODELS.build(plain.model).eval()
    norms = [m for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    pixels = {"inputs": [torch.from_numpy(image).permute(2, 0, 1)], "data_samples": None}
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        detector.extract_feat(detector.data_preprocessor(pixels)["inputs"])
    for norm in norms:
        # One variance for all channels, so that rounding errors of weak channels stay small.
        variance = norm.eval().running_var
        assert variance is not None
        variance.fill_(variance.mean())
    box_head = detector.roi_head.bbox_head
    for layer, deviation in ((detector.rpn_head.rpn_cls, 0.1), (box_head.fc_cls, 0.5)):
        torch.nn.init.normal_(layer.weight, std=deviation)
    return detector


def agree(ours: Detections, theirs: Detections) -> bool:
    """Return whether at least 95% of the detections match; with trained models, all would match."""
    matches = parity(theirs, ours)
    return matches.matched >= 0.95 * matches.total


def close(ours: list[npt.NDArray[Any]], theirs: list[npt.NDArray[Any]]) -> bool:
    """Return whether the features of two models have a correlation above 0.8.

    A lower correlation shows that the models differ by more than rounding. With trained weights,
    float32 and int8 features differ by 4-12% of their norm, and their correlation is 0.99. Random
    weights amplify the rounding, most of all in MobileNetV2. There the features differ by 47% of
    their norm, and their correlation is 0.88.
    """
    return all(
        np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.8 for a, b in zip(ours, theirs, strict=True)
    )


def backbone_and_neck(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session of an exported model's backbone and neck."""
    features = [node.input[0] for node in model.graph.node if node.op_type == "RoiAlign"]
    cut = Extractor(model).extract_model([INPUT], list(dict.fromkeys(features)))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        cut.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def memory_of_process(program: str, *arguments: Any) -> tuple[int, int]:
    """Return the peak and the final memory, in bytes, of a process that predicts one image."""
    command = [sys.executable, "-c", program + RESIDENT, *map(str, arguments)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    highest, last = printed.splitlines()[-1].split()
    return int(highest), int(last)


def compare_memory(image: Path, threads: int, model: Path, checkpoint: Path, _: CaseTimes) -> str:
    texts, highest = [], []
    for name, program, files in (
        ("nbseg", WITH_ONNX, (model,)),
        ("PyTorch", WITH_PYTORCH, (checkpoint.with_name("config.py"), checkpoint)),
    ):
        peak, last = memory_of_process(program, image, threads, *files)
        highest.append(peak)
        texts.append(f"{name} peak {peak / 1e6:.0f}, final {last / 1e6:.0f}")
    return f"{'; '.join(texts)}; nbseg's peak is {highest[0] / highest[1]:.2f} of PyTorch's peak"


def cases(threads: int, device: str) -> Iterator[Case]:
    for name, (config, height, width) in MODELS_AND_SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            yield from cases_of(name, config, height, width, threads, Path(folder))


def cases_of(
    name: str, config: str, height: int, width: int, threads: int, folder: Path
) -> Iterator[Case]:
    image, checkpoint = folder / "image.png", folder / "model.pth"
    cv2.imwrite(str(image), picture(height, width))
    plain = student_config(Config.fromfile(CONFIGS / config), folder)
    detector = random_detector(plain, read_image(image))
    plain.dump(folder / "config.py")
    torch.save({"state_dict": detector.state_dict(), "meta": {}}, checkpoint)
    peer = CheckpointSegmenter(plain, checkpoint)
    info = export_checkpoint(plain, checkpoint, folder / "float32.onnx")
    segmenter = Segmenter(folder / "float32.onnx", ["CPUExecutionProvider"], threads)
    yield Case(
        name=name,
        nbseg=lambda: segmenter(read_image(image)),
        peers={"PyTorch": lambda: peer(read_image(image))},
        agree=agree,
        facts={
            "MB in a fresh process": partial(
                compare_memory, image, threads, folder / "float32.onnx", checkpoint
            )
        },
        rounds=ROUNDS,
    )
    float32 = onnx.load(folder / "float32.onnx")
    quantized, _ = quantize_backbone_and_neck(float32, [image], info.resize)
    save_onnx(quantized, info, folder / "int8.onnx")
    int8 = onnx.load(folder / "int8.onnx")
    pixels = {INPUT: as_batch([info.resize(read_image(image))])}
    sessions = [backbone_and_neck(model, threads) for model in (int8, float32)]
    quick, plain_session = (partial(session.run, None, pixels) for session in sessions)
    yield Case(
        name=f"{name} backbone and neck, int8",
        nbseg=quick,
        peers={"float32": plain_session},
        agree=close,
        rounds=ROUNDS,
    )
