"""Functions that spoil the content of a COCO json, or return one that does."""

from pycocotools import mask as coco_mask


def annotation(**values):
    """Change the first annotation."""
    return lambda content: content["annotations"][0].update(values)


def image(**values):
    return lambda content: content["images"][0].update(values)


def every(table, **values):
    def change(content):
        for row in content[table]:
            row.update(values)

    return change


def without(table, key):
    def change(content):
        del content[table][0][key]

    return change


def twice(table, **values):
    return lambda content: content[table].append({**content[table][0], **values})


def category(**values):
    return lambda content: content["categories"][0].update(values)


def box(*values):
    return annotation(bbox=list(values))


def texts(key):
    """Make ids texts in all tables."""
    names = {"images": ("image_id",), "categories": ("category_id",), "annotations": ()}[key]

    def change(content):
        for row in content[key]:
            row["id"] = f"x{row['id']}"
        for row in content["annotations"]:
            row.update({name: f"x{row[name]}" for name in names})

    return change


def large(content):
    for row in content["images"]:
        row["id"] += 2**60
    for row in content["annotations"]:
        row["id"] += 2**60
        row["image_id"] += 2**60


def from_zero(content):
    for row in content["categories"]:
        row["id"] -= 1
    for row in content["annotations"]:
        row["category_id"] -= 1


def rle(height, width, compressed):
    def change(content):
        row = content["annotations"][0]
        x, y, w, h = (int(value) for value in row["bbox"])
        counts = [x * height + y] + [h, height - h] * (w - 1) + [h]
        counts.append(height * width - sum(counts))
        value = {"size": [height, width], "counts": counts}
        if compressed:
            value = coco_mask.frPyObjects(value, height, width)
            value["counts"] = value["counts"].decode()
        row.update(segmentation=value, bbox=[x, y, w, h], area=w * h)

    return change


def empty_runs(content):
    """Give the first object's run lengths two runs of no pixel at the start."""
    rle(64, 64, compressed=False)(content)
    content["annotations"][0]["segmentation"]["counts"][:0] = [0, 0]


def corners(content):
    for row in content["annotations"]:
        x, y, w, h = row["bbox"]
        row["bbox"] = [x, y, x + w, y + h]


def polygons(scale, nested=False):
    """Give each object a rectangle as its mask, in units of ``scale`` pixels."""

    def change(content):
        for row in content["annotations"]:
            x, y, w, h = (value / scale for value in row["bbox"])
            points = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
            row["segmentation"] = [points if nested else sum(points, [])]

    return change


def shifted(number):
    """Add a number to all ids but those of categories."""

    def change(content):
        for row in content["images"]:
            row["id"] += number
        for row in content["annotations"]:
            row["id"] += number
            row["image_id"] += number

    return change


def odd_supercategories(content):
    for row, value in zip(content["categories"], [None, 3, ["a"], {}, "leaf"], strict=True):
        row["supercategory"] = value


def table_twice(text):
    return text[:-1] + ', "annotations": []}'


def one_image(content):
    content["images"] = content["images"][:1]
    number = content["images"][0]["id"]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] == number]


def one_instance(content):
    number = content["categories"][0]["id"]
    of_class = [a for a in content["annotations"] if a["category_id"] == number]
    others = [a for a in content["annotations"] if a["category_id"] != number]
    content["annotations"] = [of_class[0], *others]


def reversed_categories(content):
    content["categories"].reverse()


def crossing(content):
    """Give the first object a polygon in the shape of an hourglass."""
    row = content["annotations"][0]
    x, y, w, h = row["bbox"]
    row["segmentation"] = [[x, y, x + w, y + h, x + w, y, x, y + h]]
