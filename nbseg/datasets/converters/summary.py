"""Describe in text how many images and instances a converted set has, and should have."""

from nbseg.datasets.converters.coco_json import Prepared


def describe(prepared: Prepared) -> str:
    """Return a text with the counts of a json: images, and instances and crowds of each class.

    If the data set documents how many images the full set has, the text gives this number. If the
    json has exactly this number of images, the text also gives the documented numbers of instances.
    If the json already existed and was not written again, the text has no counts.
    """
    summary = prepared.summary
    if summary is None:
        return f"{prepared.path}: already there, not changed (--force writes the file again)"
    expected = prepared.documented_images
    documented = f" (documented for the full set: {expected})" if expected else ""
    lines = [
        f"{prepared.path}: {summary.images} images{documented}, {summary.empty} without "
        f"instances; {summary.instances.total()} instances, {summary.crowds.total()} crowds"
    ]
    by_class = prepared.documented_instances if summary.images == expected else {}
    if summary.instances or summary.crowds:
        width = max(len(category["name"]) for category in prepared.categories)
        lines.append(f"  {'':{width}} instances    crowds" + "  documented" * bool(by_class))
        for category in prepared.categories:
            name = category["name"]
            counts = f"{summary.instances[name]:9}{summary.crowds[name]:10}"
            lines.append(f"  {name:{width}} {counts}{by_class.get(name, ''):>12}".rstrip())
    return "\n".join(lines + [f"  {note}" for note in prepared.notes])
