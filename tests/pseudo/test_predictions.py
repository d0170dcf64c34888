"""The store of raw predictions: round trip, interruption, resumption."""

import numpy as np
import pytest

from nbseg.pseudo.predictions import ImagePredictions, PredictionStore, PredictionWriter

CLASSES = [f"class {i}" for i in range(5)]


def predictions(image_id, count=2, seed=None):
    rng = np.random.default_rng(image_id if seed is None else seed)
    return ImagePredictions(
        image_id=image_id,
        file_name=f"folder/ünïcode {image_id}.png",
        height=40 + image_id,
        width=60,
        boxes=rng.uniform(0, 60, (count, 4)).astype(np.float32),
        scores=rng.random(count, np.float32),
        labels=rng.integers(0, 5, count),
        soft_masks=rng.integers(0, 256, (count, 28, 28), dtype=np.uint8),
    )


def write(folder, images, **options):
    writer = PredictionWriter(folder, CLASSES, **options)
    for one in images:
        writer.append([one])
    writer.flush()


def assert_same(actual, expected):
    for name, one, other in zip(ImagePredictions._fields, actual, expected, strict=True):
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype and np.array_equal(one, other), name
        else:
            assert one == other and type(one) is type(other), name


def parts(folder):
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(tmp_path):
    images = [predictions(i, count) for i, count in ((3, 2), (1, 0), (2, 5), (9, 0), (4, 1))]
    write(tmp_path / "new" / "store", images, images_per_part=2)
    store = PredictionStore(tmp_path / "new" / "store")
    assert set(store.file_names()) == {1, 2, 3, 4, 9}
    assert store.classes() == CLASSES
    images.sort(key=lambda image: image.image_id)
    for actual, expected in zip(store, images, strict=True):
        assert_same(actual, expected)
    assert len(list(store)) == len(list(store)) == 5


def test_a_store_without_class_names_is_refused(tmp_path):
    write(tmp_path, [predictions(1)])
    (path,) = tmp_path.iterdir()
    with np.load(path) as part:
        older = {name: part[name] for name in part if name != "classes"}
    np.savez(path, **older)
    with pytest.raises(ValueError, match=r"does not name the classes .*--redo predict"):
        PredictionStore(tmp_path).classes()


def test_parts_are_bounded(tmp_path):
    writer = PredictionWriter(tmp_path, CLASSES, images_per_part=3)
    sizes = []
    for i in range(8):
        writer.append([predictions(i)])
        sizes.append(len(parts(tmp_path)))
    assert sizes == [0, 0, 1, 1, 1, 2, 2, 2]
    writer.flush()
    writer.flush()
    assert parts(tmp_path) == [f"part-000-{i:06d}.npz" for i in range(3)]
    counts = [len(np.load(tmp_path / name)["image_id"]) for name in parts(tmp_path)]
    assert counts == [3, 3, 2]


def test_a_batch_stays_in_one_part(tmp_path):
    writer = PredictionWriter(tmp_path, CLASSES, images_per_part=3)
    for first in (0, 2, 4, 6):
        writer.append([predictions(first), predictions(first + 1)])
    assert [len(np.load(tmp_path / name)["image_id"]) for name in parts(tmp_path)] == [4, 4]


def test_the_order_is_the_images_whoever_predicted_them(tmp_path):
    writers = [
        PredictionWriter(tmp_path, CLASSES, images_per_part=2, rank=rank) for rank in range(3)
    ]
    for image_id in range(50, 0, -1):
        writers[image_id % 3].append([predictions(image_id)])
    for writer in writers:
        writer.flush()
    store = PredictionStore(tmp_path)
    for image, image_id in zip(store, range(1, 51), strict=True):
        assert_same(image, predictions(image_id))


def test_unfinished_parts_are_not_read(tmp_path):
    write(tmp_path, [predictions(1)])
    (tmp_path / ".part-000-000001.4321.npz").write_bytes(b"half of a part")
    store = PredictionStore(tmp_path)
    assert set(store.file_names()) == {1}
    assert len(list(store)) == 1
    write(tmp_path, [predictions(2)])
    assert set(store.file_names()) == {1, 2}


def test_an_image_counts_once_the_first_time(tmp_path):
    write(tmp_path, [predictions(1), predictions(2)])
    write(tmp_path, [predictions(2, seed=77), predictions(3)])
    images = list(PredictionStore(tmp_path))
    assert [one.image_id for one in images] == [1, 2, 3]
    assert_same(images[1], predictions(2))


def test_a_later_writer_adds_parts(tmp_path):
    write(tmp_path, [predictions(i) for i in range(3)], images_per_part=1)
    write(tmp_path, [predictions(i) for i in range(3, 5)], images_per_part=1)
    assert parts(tmp_path) == [f"part-000-{i:06d}.npz" for i in range(5)]
    assert set(PredictionStore(tmp_path).file_names()) == set(range(5))


def test_a_later_writer_overwrites_nothing_where_a_part_was_removed(tmp_path):
    write(tmp_path, [predictions(i) for i in range(3)], images_per_part=1)
    (tmp_path / "part-000-000000.npz").unlink()
    write(tmp_path, [predictions(7)])
    assert set(PredictionStore(tmp_path).file_names()) == {1, 2, 7}


def test_processes_do_not_share_parts(tmp_path):
    writers = [PredictionWriter(tmp_path, CLASSES, rank=rank) for rank in range(2)]
    for writer in writers:
        writer.append([predictions(writer.rank)])
        writer.flush()
    assert parts(tmp_path) == ["part-000-000000.npz", "part-001-000000.npz"]
    assert set(PredictionStore(tmp_path).file_names()) == {0, 1}


def test_a_missing_store_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no prediction store at .*predict stage first"):
        PredictionStore(tmp_path / "missing")
    assert list(PredictionStore(tmp_path)) == []
