"""The checkpoint from which a training goes on, among damaged files."""

import errno
import os
import re

import pytest
import torch

from nbseg.engine.training_checkpoints import AtomicBackend, latest_checkpoint
from nbseg.errors import StageError


def write(path, weight=0.0):
    torch.save({"meta": {}, "state_dict": {"weight": torch.full((500,), weight)}}, path)
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def empty(path):
    path.write_bytes(b"")


def fill_with_zeros(path):
    """What some file systems leave after a power failure."""
    path.write_bytes(bytes(path.stat().st_size))


def change_one_bit_of_a_tensor(path):
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((500,), 3.0).numpy().tobytes()) + 100] ^= 4
    path.write_bytes(content)
    assert torch.load(path)["state_dict"]["weight"][25] != 3  # PyTorch does not notice


@pytest.mark.parametrize("harm", [cut, empty, fill_with_zeros, change_one_bit_of_a_tensor])
def test_the_checkpoint_before_a_damaged_one_is_used(tmp_path, log, harm):
    for iteration in (3, 9, 10):
        path = write(tmp_path / f"iter_{iteration}.pth", weight=3.0)
    harm(path)
    (tmp_path / "last_checkpoint").write_text(str(path))
    assert latest_checkpoint(tmp_path) == str(tmp_path / "iter_9.pth")
    assert re.search(r"iter_10\.pth .*iter_9\.pth is used instead", log.text)


def test_a_half_written_record_of_the_last_checkpoint_does_not_matter(tmp_path):
    write(tmp_path / "epoch_2.pth")
    (tmp_path / "last_checkpoint").write_text("")
    assert latest_checkpoint(tmp_path) == str(tmp_path / "epoch_2.pth")


def test_a_name_of_the_user_counts(tmp_path):
    write(tmp_path / "iter_2.pth")
    own = write(tmp_path / "model-5.pth")
    (tmp_path / "last_checkpoint").write_text(f"/where/the/run/was/{own.name}")
    assert latest_checkpoint(tmp_path) == str(own)


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path) is None


def test_a_run_does_not_start_again_without_a_word(tmp_path):
    for iteration in (1, 2):
        empty(tmp_path / f"iter_{iteration}.pth")
    with pytest.raises(StageError, match=r"no checkpoint in .*iter_2\.pth.*iter_1\.pth.*--resume"):
        latest_checkpoint(tmp_path)


def test_a_failed_write_keeps_the_former_file_and_names_it(tmp_path, file_size_limit):
    path = tmp_path / "iter_1.pth"
    AtomicBackend().put(b"former", path)
    with file_size_limit(100), pytest.raises(OSError, match=r"iter_1\.pth") as failure:
        AtomicBackend().put(bytes(1000), path)
    assert failure.value.errno == errno.EFBIG
    assert path.read_bytes() == b"former"
    assert os.listdir(tmp_path) == ["iter_1.pth"]
