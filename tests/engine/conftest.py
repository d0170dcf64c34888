"""A run of all stages on a tiny generated set, made once."""

import contextlib
import io
import runpy
import shutil
import sys
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.pipeline import Pipeline
from nbseg.engine.stages import DEFAULT_STAGES

# The config of the generated set with everything that takes time made small. What a network says
# after three steps hardly differs from chance, so boxes of low scores become pseudo-labels.
CONFIG = """
_base_ = '{repository}/configs/shapes/demo.py'
data_root = '{data}'
percent = 50
batch_size = 2
num_workers = 0
persistent_workers = False
iterations = 3
warmup_iterations = 1
teacher = dict(iterations=2)
label = dict(floor=0.05)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1), logger=dict(interval=1))
vis_backends = [dict(type='LocalVisBackend')]

extractor = dict(out_channels=16)
mask_head = dict(in_channels=16, conv_out_channels=8, num_convs=1)
plain_mask_head = dict(in_channels=16, conv_out_channels=8, num_convs=1)
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=extractor,
        bbox_head=dict(in_channels=16, conv_out_channels=16, fc_out_channels=32),
        mask_roi_extractor=extractor),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=50, max_per_img=30), rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=30), rcnn=dict(max_per_img=10)))
"""


def _run_tool(script, *arguments):
    """Run a tool in this process and return what it prints; a refusal raises SystemExit."""
    printed = io.StringIO()
    before = sys.argv
    sys.argv = [str(script), *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before
    return printed.getvalue()


@pytest.fixture(scope="session")
def train(repository):
    """Run tools/train.py with the given arguments."""
    return lambda *arguments: _run_tool(repository / "tools" / "train.py", *arguments)


@pytest.fixture(scope="session")
def test(repository):
    """Run tools/test.py with the given arguments."""
    return lambda *arguments: _run_tool(repository / "tools" / "test.py", *arguments)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, repository, train, in_one_thread):
    """``config`` (a file), ``data``, ``work_dir`` and what was ``printed`` of a whole run."""
    folder = tmp_path_factory.mktemp("pipeline")
    data = folder / "shapes"
    generate_shapes(data, ShapesOptions(size=64, train=6, val=2))
    config = folder / "tiny.py"
    config.write_text(CONFIG.replace("{repository}", str(repository)).replace("{data}", str(data)))
    work_dir = folder / "run"
    with in_one_thread():
        printed = train(config, "--work-dir", work_dir)
    return SimpleNamespace(config=config, data=data, work_dir=work_dir, printed=printed)


@pytest.fixture
def moved(finished, tmp_path):
    """A copy of the finished run, in another folder, to be changed."""
    work_dir = tmp_path / "moved"
    shutil.copytree(finished.work_dir, work_dir)
    return SimpleNamespace(**{**vars(finished), "work_dir": work_dir})


@pytest.fixture
def make_pipeline():
    """Build the pipeline of a run: ``make_pipeline(run, {"key": value}, stages=..., ...)``."""

    def make(run, changes=None, stages=DEFAULT_STAGES, **options):
        config = Config.fromfile(run.config)
        config.merge_from_dict(changes or {})
        return Pipeline(config, run.work_dir, stages, **options)

    return make
