"""Tell by its name what a config trains."""

# Names of the configs of the comparison methods start with these.
OFFLINE = ("data-distillation_", "stac_", "dual-branch_")
ONLINE = ("unbiased-teacher_", "csd_", "cct_")


def is_comparison(path):
    """Whether the student trains with a method to compare nbseg's with."""
    return path.stem.startswith(OFFLINE + ONLINE)


def trains_online(path):
    """Whether the student needs no pseudo-labels."""
    return path.stem.endswith("_online") or path.stem.startswith(ONLINE)
