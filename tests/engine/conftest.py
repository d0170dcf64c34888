"""A run of all stages on a tiny generated set, made once."""

import contextlib
import copy
import functools
import io
import runpy
import shutil
import sys
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from tiny_config import write_tiny_config

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.pipeline import Pipeline
from nbseg.engine.stages import DEFAULT_STAGES


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


# Each test changes a copy.
_read = functools.cache(Config.fromfile)


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
    write_tiny_config(config, repository, data)
    # Without its bases, a config is read in no time.
    config.write_text(Config.fromfile(config).pretty_text)
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
        config = copy.deepcopy(_read(run.config))
        config.merge_from_dict({**getattr(run, "changes", {}), **(changes or {})})
        return Pipeline(config, run.work_dir, stages, **options)

    return make
