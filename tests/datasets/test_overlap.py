"""Images of the labeled set that lie in the unlabeled one too, and copies within a set."""

from nbseg.datasets.overlap import content_keys, distinct_images, overlapping_images


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_same_file_and_copies_of_it(tmp_path):
    first = written(tmp_path / "labeled" / "1.png", b"first")
    second = written(tmp_path / "labeled" / "2.png", b"second")
    link = tmp_path / "link.png"
    link.symlink_to(first)
    copy = written(tmp_path / "unlabeled" / "x.png", b"second")
    same_size = written(tmp_path / "unlabeled" / "1.png", b"other")
    unlabeled = [link, copy, same_size, first, tmp_path / "absent.png"]
    assert overlapping_images([first, str(second), tmp_path / "no.png"], unlabeled) == [
        (first, link),
        (second, copy),
        (first, first),
    ]
    assert overlapping_images([], unlabeled) == []
    assert overlapping_images([first], [copy, same_size]) == []


def test_files_are_read_only_where_sizes_and_ends_agree(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        "nbseg.datasets.overlap.file_hash", lambda path: read.append(path.name) or path.read_bytes()
    )
    labeled = [written(tmp_path / f"l{size}.png", bytes(size)) for size in (100, 200, 300, 400)]
    begins, ends = bytes([7]) + bytes(299), bytes(399) + bytes([7])
    unlabeled = [written(tmp_path / f"u{len(c)}.png", c) for c in (begins, ends, bytes(500))]
    assert overlapping_images(labeled, unlabeled) == []
    assert sorted(read) == ["l300.png", "u300.png"]


def test_files_with_the_same_bytes_have_the_same_key(tmp_path):
    contents = [b"first", b"other", b"longer", b"first"]
    paths = [written(tmp_path / f"{n}.png", content) for n, content in enumerate(contents)]
    keys = content_keys(paths)
    assert keys[0] == keys[3] and len(set(keys)) == 3


def test_the_first_of_several_copies_is_kept(tmp_path):
    same = b"x" * 300
    contents = {"a": same, "b": b"y" + same[1:], "c": same, "d": b"x", "e": b"z" * 300}
    paths = [written(tmp_path / name, content) for name, content in contents.items()]
    (tmp_path / "link").symlink_to(tmp_path / "d")
    a, b, _, d, e = paths
    missing = tmp_path / "missing"
    assert distinct_images([*paths, tmp_path / "link", missing, a]) == [a, b, d, e, missing]
    assert distinct_images([]) == []
