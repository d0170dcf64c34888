"""The method of one's own that docs/methods.md shows."""

import re
import shutil
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from run_records import manifest
from tiny_config import write_tiny_config

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_documented_method_trains(finished, make_pipeline, repository, tmp_path, monkeypatch):
    page = (repository / "docs/methods.md").read_text()
    blocks = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL))
    assert len(blocks["my_method.py"].strip().splitlines()) <= 10
    (tmp_path / "my_method.py").write_text(blocks["my_method.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    # The documented config on the tiny one.
    write_tiny_config(tmp_path / "tiny.py", repository, finished.data)
    text = blocks["my_config.py"].replace(
        "configs/shapes/noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py", "tiny.py"
    )
    config = tmp_path / "my_config.py"
    config.write_text(text.replace("configs/_base_", f"{repository}/configs/_base_"))
    work_dir = tmp_path / "run"
    for folder in ("teacher", "splits"):
        shutil.copytree(finished.work_dir / folder, work_dir / folder)
    run = SimpleNamespace(config=config, work_dir=work_dir)
    changes = {"shared_steps": ["{random_flip}"]}
    make_pipeline(run, changes, stages=["teacher", "student"]).run()
    assert manifest(run, "student").content["finished"]
    assert Config.fromfile(work_dir / "student/config.py").model.type == "BrightnessConsistency"
    assert list((work_dir / "student").glob("*/vis_data/scalars.json"))
    (log,) = (work_dir / "student").glob("*/vis_data/scalars.json")
    assert '"unsup_loss_brightness": 0.' in log.read_text()
