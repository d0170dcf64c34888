"""Check the tables of a COCO json: the entries, their keys, ids and references."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from nbseg.coco_values import canonical_id

# Keys that every entry of a table needs.
KEYS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
IDS = ("id", "image_id", "category_id")
NAMES = ("file_name", "name")


def check_tables(content: Any, path: object, tables: Iterable[str], consistent: bool) -> None:
    """Check that a COCO json has the required tables, and that each entry has the necessary keys.

    Args:
        content: the parsed json.
        path: path of the json, for messages.
        tables: names of the tables (top-level lists) that the json must have.
        consistent: whether to refuse repeated ids, and annotations of unknown images or categories.

    Raises:
        ValueError: a table or a key is missing or has a wrong type. With ``consistent``: an id is
            repeated, or an annotation refers to an unknown id.
    """
    tables = tuple(tables)
    for table, keys in KEYS.items():
        rows = content.get(table) if isinstance(content, dict) else None
        if rows is None and table not in tables:
            continue
        if not isinstance(rows, list):
            raise ValueError(
                f"{path} is not a COCO json: it has no list {table!r}. Give a json that is an "
                f"object with the list(s) {', '.join(tables)}"
            )
        for position, row in enumerate(rows):
            _check_row(row, f"{path} is not a COCO json: {table}[{position}]")
            for key in keys:
                if table in tables and key not in row:
                    raise ValueError(
                        f"{path} is not a COCO json: {table}[{position}] has no {key!r}; add it"
                        + ", or run tools/prepare_data.py import" * (key in ("id", "bbox"))
                    )
    if consistent:
        _check_references(content, path, tables)


def _check_row(row: Any, place: str) -> None:
    if not isinstance(row, dict):
        raise ValueError(f"{place} is {repr(row)[:40]}; expected an object. Correct this entry")
    for key in IDS:
        if not isinstance(row.get(key, 0), (int, float, str)):
            raise ValueError(
                f"{place} has the {key} {repr(row[key])[:40]}; expected a number or a string. "
                "Correct this value"
            )
    for key in NAMES:
        if not isinstance(row.get(key, ""), str):
            raise ValueError(
                f"{place} has the {key} {repr(row[key])[:40]}; expected a string. Correct this "
                "value"
            )


def _check_references(content: Any, path: object, tables: tuple[str, ...]) -> None:
    for table in tables:
        counts = Counter(canonical_id(row["id"]) for row in content[table])
        if len(counts) != len(content[table]):
            ((repeated, times),) = counts.most_common(1)
            raise ValueError(
                f"{path}: the id {repeated!r} occurs {times} times in {table}; ids must be unique, "
                "so change the repeated ids"
            )
    if "annotations" not in tables:
        return
    for key, table in (("image_id", "images"), ("category_id", "categories")):
        known = {canonical_id(row["id"]) for row in content[table]}
        for annotation in content["annotations"]:
            if canonical_id(annotation[key]) not in known:
                raise ValueError(
                    f"{path}: annotation {annotation['id']} has the {key} {annotation[key]}, but "
                    f"{table} has no entry with this id; add the entry, or drop the annotation"
                )
