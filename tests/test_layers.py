"""The order of the folders of nbseg: imports run down, never up and never in a circle."""

import ast
from pathlib import Path

# From top to bottom. A folder or module imports what stands below its own line; rooms on the same
# line do not know one another.
LAYERS = (
    ("experiments",),
    ("register",),
    ("engine",),
    ("analysis",),
    ("semi",),
    ("models", "datasets", "pseudo", "deploy", "evaluation"),
    ("visualization",),
    ("ops",),
    ("structures", "config"),
    ("coco", "checkpoint", "built"),
    ("coco_tables", "image_headers", "large_images"),
    ("images", "errors", "files", "registry", "coco_values", "commands"),
    ("coco_masks", "rle", "tiff", "microscopes", "image_names"),
    ("tiff_values",),
    ("tiff_picture",),
    ("planes",),
    ("tiff_colors", "tiff_window"),
    ("image_options",),
    ("tiles",),
    ("_native",),
    ("__init__",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def _imports(path: Path, modules: set[str]) -> set[str]:
    """Return the modules of nbseg that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module for module in found if module.split(".")[0] == "nbseg"}


def _graph(repository: Path) -> dict[str, set[str]]:
    files = {}
    for path in sorted((repository / "nbseg").rglob("*.py")):
        parts = path.relative_to(repository).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {module: _imports(path, {*files, "nbseg._native"}) for module, path in files.items()}


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_room_has_a_level(repository):
    assert {_room(module) for module in _graph(repository)} <= set(LEVEL)


def test_no_import_runs_upwards(repository):
    upward = [
        f"{module} imports {target}"
        for module, targets in _graph(repository).items()
        for target in targets
        if _room(module) != _room(target) and LEVEL[_room(module)] >= LEVEL[_room(target)]
    ]
    assert not upward, "\n".join(upward)


def test_no_imports_in_a_circle(repository):
    graph = _graph(repository)
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in finished:
            for target in graph.get(module, ()):
                visit(target, (*path, module))
            finished.add(module)

    for module in graph:
        visit(module, ())
