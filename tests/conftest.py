"""Fixtures that several folders share."""

import contextlib
import functools
import gc
import logging
import os
import resource
from pathlib import Path
from types import SimpleNamespace

# Before torch and OpenCV are imported: every core runs a process of tests already.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# Importing the tests makes no garbage, but searches for some take a fifth of the time.
gc.disable()

# Fixtures import PyTorch and MMEngine: the process of pytest-xdist that hands out the tests runs
# none, and all workers would wait for its imports.

# For many random cases: FUZZ_CASES=7000 python -m pytest tests/fuzz --hypothesis-profile=long
settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=50)
LONG = int(os.environ.get("FUZZ_CASES", "50000"))
settings.register_profile("long", deadline=None, max_examples=LONG)
settings.load_profile("fixed")

# Folders whose tests share a run or an export that takes long to make.
TOGETHER = ("deploy", "engine")
# What takes longer than seconds: files, and fixtures that train or export.
SLOW_FILES = {
    *("configs/test_cityscapes_configs.py", "configs/test_coco_and_bdd100k_configs.py"),
    *("configs/test_figure5_configs.py", "configs/test_plain_configs.py"),
    *("configs/test_configs.py", "configs/test_reproduced_rows.py", "csrc/test_ctest.py"),
    *("csrc/test_nvcc.py", "datasets/test_prepare_data.py", "deploy/test_fresh_environment.py"),
    *("deploy/test_parity.py", "test_kills.py", "test_process_runs.py"),
    *("deploy/test_traced_detector.py", "engine/test_pseudo_label_loop.py"),
    *("experiments/test_job_queue.py", "models/test_comparison_models.py"),
    *("ops/test_cpu_capability.py", "tools/test_benchmark.py", "tools/test_reproduce.py"),
}
SLOW_FIXTURES = {"cascade", "finished", "mask_rcnn", "moved"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Give each process whole files, or whole folders of ``TOGETHER``; start with the slow ones."""
    tests = Path(__file__).parent
    for item in items:
        file = item.path.relative_to(tests)
        item.add_marker(
            pytest.mark.xdist_group(file.parts[0] if file.parts[0] in TOGETHER else str(file))
        )
        if str(file) in SLOW_FILES or SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    # Processes that start with what takes long end together.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def repository():
    """The root of the repository, where configs/ and tools/ lie."""
    return Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def _one_thread():
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def in_one_thread():
    """A context, for fixtures of the whole session."""
    return _one_thread


@pytest.fixture(scope="module")
def one_thread():
    """For small networks on a busy machine, where threads waiting for one another cost the most."""
    with _one_thread():
        yield


@pytest.fixture
def file_size_limit():
    """A context in which no file may grow beyond a number of bytes, as on a disk that is full."""

    @contextlib.contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


@pytest.fixture(scope="session", autouse=True)
def garbage_is_collected_seldom():
    """Search for garbage seldom: MMEngine spends half a second a data set on it."""
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmengine.dataset.base_dataset.gc", SimpleNamespace(collect=lambda: 0))
        yield
    # pytest collects five times in the end: the first time finds everything.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def plain_config_text():
    """Configs are written as they come: laying them out neatly takes most of a tiny training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **style: (text, True))
        yield


@pytest.fixture(scope="session", autouse=True)
def package_index_read_once():
    """MMEngine reads a hundred files of MMDetection for each config on ``mmdet::``: 0.4 seconds."""
    from mmengine.fileio import load

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmengine.config.utils.load", functools.cache(load))
        yield


@pytest.fixture(scope="session", autouse=True)
def config_style_found_once():
    """MMEngine parses a config two times more, to learn whether the config imports its bases."""
    from mmengine.config import Config

    found, styles = Config._is_lazy_import, {}

    def is_lazy_import(filename):
        if Path(filename).suffix != ".py":
            return found(filename)
        content = Path(filename).read_bytes()
        if content not in styles:
            styles[content] = found(filename)
        return styles[content]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "_is_lazy_import", staticmethod(is_lazy_import))
        yield


@pytest.fixture
def log(caplog):
    """``caplog`` that sees MMEngine's current logger, which does not pass its records on."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield caplog
    logger.setLevel(level)
    logger.removeHandler(caplog.handler)
