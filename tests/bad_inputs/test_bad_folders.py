"""Folders, files and links in places where images are expected."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from nbseg.datasets.image_folder import ImageFolderDataset
from nbseg.deploy.inputs import find_files, pick_images
from nbseg.image_names import image_names


def names_in(root, folder):
    """The images that are found: as a data set, as inputs of the tools, and to calibrate on."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = ImageFolderDataset(data_prefix={"img": str(folder)}, pipeline=[], test_mode=True)
    names = [dataset.get_data_info(i)["file_name"] for i in range(len(dataset))]
    files = [path.relative_to(folder).as_posix() for path in find_files([str(folder)])]
    picked = [path.relative_to(folder).as_posix() for path in pick_images([str(folder)], 99)]
    assert names == files == picked == image_names(folder)
    return names


def hidden_files(folder):
    for name in (".ipynb_checkpoints/000000-checkpoint.png", "._000000.png", ".hidden/a.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "000000.png", folder / name)
    (folder / "._000001.png").write_bytes(b"\0\5\x16\7 Mac OS X")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._000000.png").write_bytes(b"\0\5\x16\7 Mac OS X")


def other_files(folder):
    for name in ("notes.txt", "labels.json", "Thumbs.db", "photo.jfif", "photo.gif", "no_suffix"):
        (folder / name).write_bytes(b"x")


def nested(folder):
    (folder / "b/c").mkdir(parents=True)
    (folder / "000000.png").rename(folder / "b/c/deep.PNG")


def spaces(folder):
    (folder / "with a space").mkdir()
    (folder / "000000.png").rename(folder / "with a space" / "a b.png")


def unicode_names(folder):
    (folder / "000000.png").rename(folder / "ünïcode 图像.png")


def line_break(folder):
    (folder / "000000.png").rename(folder / "a\nb.png")


def loop(folder):
    (folder / "again").symlink_to(folder, target_is_directory=True)
    (folder / "b").mkdir()
    (folder / "c").mkdir()
    (folder / "b/c").symlink_to("../c", target_is_directory=True)
    (folder / "c/b").symlink_to("../b", target_is_directory=True)
    (folder / "itself").symlink_to("itself")


def linked_folder(folder):
    (folder.parent / "elsewhere").mkdir()
    (folder / "000000.png").rename(folder.parent / "elsewhere/a.png")
    (folder / "link").symlink_to("../elsewhere", target_is_directory=True)


def folder_named_as_an_image(folder):
    (folder / "a.png").mkdir()
    (folder / "000000.png").rename(folder / "a.png/b.png")


LISTED = {
    "hidden files": (hidden_files, ["000000.png", "000001.png"]),
    "other files": (other_files, ["000000.png", "000001.png"]),
    "nested folders": (nested, ["000001.png", "b/c/deep.PNG"]),
    "spaces": (spaces, ["000001.png", "with a space/a b.png"]),
    "unicode names": (unicode_names, ["000001.png", "ünïcode 图像.png"]),
    "a line break in a name": (line_break, ["000001.png", "a\nb.png"]),
    "loops of links": (loop, ["000000.png", "000001.png"]),
    "a link to a folder": (linked_folder, ["000001.png", "link/a.png"]),
    "a folder named as an image": (folder_named_as_an_image, ["000001.png", "a.png/b.png"]),
}


@pytest.mark.parametrize("name", LISTED)
def test_one_rule_lists_a_folder(root, name, infer):
    change, names = LISTED[name]
    change(root / "val")
    assert names_in(root, root / "val") == names
    inferred = infer("val")
    assert inferred.status == 0 and "2 images, 0 objects" in inferred.says


def nothing(folder):
    for path in folder.iterdir():
        path.unlink()


def only_others(folder):
    nothing(folder)
    for name in ("a.jfif", "b.jfif", "c.gif", "d"):
        (folder / name).write_bytes(b"x")


def only_hidden(folder):
    for path in list(folder.iterdir()):
        path.rename(folder / f".{path.name}")


def no_folder(folder):
    shutil.rmtree(folder)


def a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("x")


EMPTY = {
    "an empty folder": (nothing, ("no image in", "found no file")),
    "other suffixes": (only_others, ("no image in", "2 .jfif, 1 .gif, 1 without a suffix")),
    "hidden files only": (only_hidden, ("no image in", "found no file")),
    "no folder": (no_folder, ("val",)),
    "a file instead of a folder": (a_file, ("val",)),
}


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_found_is_an_error(root, name, infer, tool):
    change, says = EMPTY[name]
    change(root / "val")
    answers = {
        "infer": infer("val"),
        "folder": tool("prepare_data", "folder", "val", "--out", "val_out.json", "--workers", 1),
        "int8": tool("export_onnx", "tiny.py", "x.pth", "--out", "m.onnx", "--int8", "val"),
        "compare": tool("export_onnx", "tiny.py", "x.pth", "--out", "m.onnx", "--compare", "val"),
    }
    for answer in answers.values():
        assert answer.status in (1, 2)
        for phrase in says:
            assert phrase in answer.says
    with pytest.raises(FileNotFoundError, match="no image"):
        ImageFolderDataset(data_prefix={"img": "val"}, pipeline=[], test_mode=True)


def test_a_folder_that_cannot_be_listed_is_named(root, infer, monkeypatch):
    def scandir(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    listed = os.scandir
    (root / "val/secret").mkdir()
    # Permissions do not keep the superuser out.
    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(PermissionError, match="secret"):
        image_names(root / "val")
    refusal = infer("val")
    assert refusal.status == 1 and "val/secret" in refusal.says


def test_a_file_that_cannot_be_opened_is_named(root, infer, monkeypatch):
    def fromfile(path, dtype):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("numpy.fromfile", fromfile)
    refusal = infer("val")
    assert refusal.status == 1 and "2 of 2 files could not be read" in refusal.says
    assert "Permission denied: 'val/000000.png'" in refusal.says


def test_patterns_with_folders_and_without_matches(root, infer):
    (root / "more/sub").mkdir(parents=True)
    shutil.copy(root / "val/000000.png", root / "more/sub/a.png")
    assert "1 images" in infer("m?re").says
    refusal = infer("none*.png", "val/000000.png")
    assert refusal.status == 1 and "none*.png" in refusal.says


TRAINED = {
    "no folder of labeled images": ("train_images=nowhere/", "nowhere"),
    "no folder of validation images": ("val_images=nowhere/", "nowhere"),
    "no folder of unlabeled images": ("unlabeled_folder=nowhere/", "nowhere"),
    "no data": ("labeled_json=nowhere.json", "nowhere.json"),
    "a folder instead of a json": ("labeled_json=train", "train"),
    "a json instead of a folder": ("train_images=val.json", "val.json"),
}


@pytest.mark.parametrize("name", TRAINED)
def test_paths_of_a_training(root, name, train):
    option, says = TRAINED[name]
    refusal = train("--cfg-options", option)
    assert refusal.status == 1 and says in refusal.says, refusal.says


def test_unlabeled_folders_without_images(root, train):
    (root / "empty").mkdir()
    dataset = "predict.test_dataloader.dataset"
    refusal = train(
        *("--stages", "teacher,predict", "--cfg-options", "unlabeled_folder=empty"),
        *(f"{dataset}.type=ImageFolderDataset", f"{dataset}.ann_file="),
    )
    assert refusal.status == 1 and "no image in empty" in refusal.says, refusal.says


def test_a_work_directory_among_the_unlabeled_images(root, train):
    dataset = "predict.test_dataloader.dataset"
    options = ("unlabeled_folder=val", f"{dataset}.type=ImageFolderDataset", f"{dataset}.ann_file=")
    arguments = ("--stages", "teacher,predict", "--cfg-options", *options)
    refusal = train(*arguments, "--work-dir", "val/run")
    assert refusal.status == 1 and "set val: the work directory lies in this" in refusal.says
    assert train(*arguments).status == 0


def test_two_runs_in_one_work_directory(root, train):
    (root / "run").mkdir()
    lock = "import fcntl; f = open('run/.lock', 'a'); fcntl.lockf(f, fcntl.LOCK_EX)"
    other = subprocess.Popen(
        [sys.executable, "-S", "-c", f"{lock}; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    other.stdout.readline()
    refusal = train()
    other.communicate(b"\n")
    assert refusal.status == 1 and "another process is running in run;" in refusal.says
    assert train().status == 0


def test_names_that_are_not_utf_8(root, infer, train, tool):
    """A picture is drawn, on which OpenCV alone would crash; what trains needs other names."""
    source = os.fsencode(root / "val/000000.png")
    shutil.copy(source, os.fsencode(root / "val") + b"/\xfc.png")
    inferred = infer("val")
    assert inferred.status == 0 and "3 images, 0 objects" in inferred.says
    assert b"\xfc.jpg" in os.listdir(b"out/pictures")
    dataset = "predict.test_dataloader.dataset"
    options = ("unlabeled_folder=val", f"{dataset}.type=ImageFolderDataset", f"{dataset}.ann_file=")
    for refusal in (
        train("--stages", "teacher,predict", "--cfg-options", *options),
        tool("prepare_data", "folder", "val", "--out", "val_out.json", "--workers", 1),
    ):
        assert refusal.status in (1, 2), refusal.says
        assert "val has 1 file names that are not UTF-8, the first: '\\udcfc.png'" in refusal.says


def test_a_video_whose_name_is_not_utf_8(root, infer):
    path = os.fsencode(root / "val") + b"/\xfc.mp4"
    shutil.copy(root / "val/000000.png", path)
    refusal = infer(os.fsdecode(path))
    assert refusal.status == 1 and "is not UTF-8; rename the file or the folder" in refusal.says


WORK_DIRS = {
    "a name beyond the limit": ("a" * 300, "File name too long"),
    "below a file": ("val.json/run", "val.json"),
    "a file": ("val.json", "val.json"),
}


@pytest.mark.parametrize("name", WORK_DIRS)
def test_work_directories_that_cannot_be_made(root, name, tool):
    folder, says = WORK_DIRS[name]
    refusal = tool("train", "tiny.py", "--work-dir", folder)
    assert refusal.status == 1 and says in refusal.says
    assert "Traceback" not in refusal.says


def test_files_of_microscopes_are_counted(tmp_path):
    (tmp_path / "a.png").touch()
    for name in ("b.lif", "c.LIF", "d.nd2", "e.zarr/0/0.0", "e.zarr/0/0.1", "f.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"\(2 \.lif, 1 \.nd2, 1 \.zarr\); they are left out"):
        assert image_names(tmp_path) == ["a.png"]
