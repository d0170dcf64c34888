"""A report that finds no room ends the run; a report that misses images does not."""

import errno

import pytest
from mmengine.config import Config

from nbseg.engine import pseudo_report
from nbseg.engine.work_dir import WorkDir


@pytest.mark.parametrize(("number", "ends"), [(errno.ENOSPC, True), (errno.ENOENT, False)])
def test_a_full_disk_is_not_only_a_warning(tmp_path, monkeypatch, number, ends):
    def fail(*arguments):
        raise OSError(number, "reason", "file")

    monkeypatch.setattr(pseudo_report, "read_inputs", fail)
    config = Config({"report": {"image_folder": "images"}, "label": {"labeled_json": "a.json"}})
    if ends:
        with pytest.raises(OSError, match="reason: 'file'"):
            pseudo_report.write_pseudo_report(config, WorkDir(tmp_path))
    else:
        pseudo_report.write_pseudo_report(config, WorkDir(tmp_path))
