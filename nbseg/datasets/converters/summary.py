"""The counts of a set as text, beside the documented ones."""

from nbseg.datasets.converters.coco_json import Prepared


def describe(prepared: Prepared) -> str:
    """Return lines on the json: images, and instances and crowds by class.

    Documented numbers are of the full set: those of classes are left out where the number of
    images is another.
    """
    summary = prepared.summary
    if summary is None:
        return f"{prepared.path}: already there, left as it is (--force makes it again)"
    expected = prepared.documented_images
    documented = f" (documented for the full set: {expected})" if expected else ""
    lines = [
        f"{prepared.path}: {summary.images} images{documented}, {summary.empty} of them without "
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
