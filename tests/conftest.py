"""Fixtures that several folders share."""

import contextlib
import logging
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger


@pytest.fixture(scope="session")
def repository():
    """The root of the repository, where configs/ and tools/ lie."""
    return Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def _one_thread():
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


@pytest.fixture(scope="session", autouse=True)
def plain_config_text():
    """Configs are written as they come: laying them out neatly takes most of a tiny training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **style: (text, True))
        yield


@pytest.fixture
def log(caplog):
    """``caplog`` that sees MMEngine's current logger, which does not pass its records on."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.INFO)
    yield caplog
    logger.setLevel(level)
    logger.removeHandler(caplog.handler)
