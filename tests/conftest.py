"""Fixtures that several folders share."""

import logging
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger


@pytest.fixture(scope="session")
def repository():
    """The root of the repository, where configs/ and tools/ lie."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def one_thread():
    """For small networks on a busy machine, where threads waiting for one another cost the most."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
