"""Load weights that match a model by name and shape, and refuse files with too few matches.

MMEngine's initializer ``Pretrained`` loads the matching weights and only warns about the others.
If the file was written by another library, the whole model may keep its random weights. Importing
this Python module replaces MMEngine's initializer by an initializer that refuses such files.
"""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from mmdet.registry import WEIGHT_INITIALIZERS
from mmengine.logging import print_log
from mmengine.model import PretrainedInit, update_init_info
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from nbseg.checkpoint import refuse_non_finite
from nbseg.errors import StageError

# Keys under which training programs store the weights.
WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state", "module")
# Beginnings of names that show which library wrote a file.
LIBRARIES = {
    "features.": "torchvision's",
    "conv_stem.": "timm's",
    "blocks.": "timm's",
    "backbone.bottom_up.": "Detectron2's",
}
# Share of the model's tensors that must match. The other tensors may be missing in the file, for
# example the offsets of deformable convolutions.
ENOUGH = 0.9


@WEIGHT_INITIALIZERS.register_module(name="Pretrained")
class MatchingPretrainedInit(PretrainedInit):
    """Initializes a module from a file, and refuses a file that does not fit the module.

    The arguments are those of MMEngine's ``PretrainedInit``. If ``prefix`` is not given, the prefix
    of the tensor names in the file, such as ``backbone.`` or ``module.``, is detected.

    Raises:
        StageError: when called, if :func:`load_matching` refuses the file, for example because too
            few of its tensors match the module.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``."""
        print_log(f"load model from: {self.checkpoint}", logger="current")
        content = CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location, "current")
        kind = type(module).__name__
        load_matching(
            module,
            content,
            self.checkpoint,
            what=f"the {kind}",
            advice=f"Set backbone_weights to a {kind} checkpoint from MMPretrain, MMDetection or "
            "nbseg",
            prefix=self.prefix,
        )
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())


def pretrained_inits(init_cfg: Any) -> list[dict[str, Any]]:
    """Return the entries of an ``init_cfg`` that have the type ``Pretrained``.

    Args:
        init_cfg: MMEngine's config of the initial weights: a dict, a list of dicts, or None.
    """
    entries = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    return [init for init in entries if init.get("type") == "Pretrained"]


def load_pretrained(module: nn.Module) -> None:
    """Load the weight files that are named in the module's ``init_cfg``.

    The ``init_cfg`` of submodules is not used.

    Raises:
        StageError: :func:`load_matching` refuses a file, for example because too few of its tensors
            match the module.
    """
    for init in pretrained_inits(getattr(module, "init_cfg", None)):
        arguments = {key: value for key, value in init.items() if key != "type"}
        MatchingPretrainedInit(**arguments)(module)


def load_matching(
    module: nn.Module,
    content: dict[str, Any],
    source: str,
    what: str,
    advice: str,
    prefix: str | None = None,
) -> dict[str, Tensor]:
    """Load the weights of a file into a module, and refuse a file that does not fit.

    A tensor of the module matches if the file has a tensor of the same name and shape. These rules
    apply:

    - If the module has no ``backbone``, at least 90% of its tensors must match.
    - If the module has a ``backbone``, at least 90% of the backbone's tensors and at least half of
      all the module's tensors must match. So the heads may be missing in the file, or may be for
      another number of classes.
    - The file of a deeper network is refused, even if all tensors of the module match.

    A warning gives the number of tensors that keep their initial values.

    Args:
        module: the module to fill; its ``load_state_dict`` pre-hooks may adapt the weights.
        content: the loaded file: a dict of tensors by name, or a dict that holds this dict under a
            key such as ``model``.
        source: path or address of the file, for messages.
        what: name of the module in messages.
        advice: last sentence of the error message if the file does not fit.
        prefix: prefix of the tensor names in the file; None detects the prefix.

    Returns:
        A dict with the file's tensors whose names begin with the prefix. The keys are the names
        without the prefix.

    Raises:
        StageError: the file has no weights, too few weights match, too many weights of the file are
            not in the module, several models in the file match equally well, or a weight is not
            finite.
    """
    state = _weights(content, source)
    refuse_non_finite(state, source)
    wanted = _countable(module.state_dict())
    prefix = _best_prefix(state, wanted, source) if prefix is None else prefix.rstrip(".") + "."
    named = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    left, unknown = _load(module, named)
    core = [name for name in wanted if name.startswith("backbone.")]
    enough = _share(wanted, left) >= 0.5 if core else True
    enough &= _share(core or wanted, left) >= ENOUGH
    # The file of a deeper backbone has all tensors of a shallower backbone. So also count the
    # tensors of the file that the module does not have.
    rooms = {_room(name) for name in core or wanted}
    strangers = [name for name in unknown if _room(name) in rooms]
    if not enough or len(strangers) > (1 - ENOUGH) * len(core or wanted):
        matching = len(wanted) - len(left)
        counts = f"{matching} of the model's {len(wanted)} tensors match by name and shape"
        if not enough:
            backbone = " of the backbone's tensors and half of all tensors" if core else ""
            counts += f" (needed: {ENOUGH:.0%}{backbone})"
        if strangers:
            counts += f"; {len(strangers)} tensors of the file are not in the model"
        example = _example(named or state, strangers)
        reason = (
            f"The file has, for example, {example}; the model expects {_example(wanted, left)}. "
            f"{_cause(state, wanted, left)}"
            if left
            else f"The file's model is deeper: the file also has, for example, {example}. "
        )
        raise StageError(f"{source} does not fit {what}: {counts}. {reason}{advice}")
    if left:
        print_log(
            f"{len(left)} of {len(wanted)} tensors of {what} keep their initial values, because "
            f"{source} has no tensors of the same names and shapes; for example "
            f"{_example(wanted, left)}. The training must learn these tensors",
            logger="current",
            level=logging.WARNING,
        )
    return named


def _weights(content: dict[str, Any], source: str) -> dict[str, Tensor]:
    inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), content)
    state = {name: value for name, value in inner.items() if isinstance(value, Tensor)}
    if not state:
        raise StageError(
            f"{source} has no weights: expected tensors by name, found the keys "
            f"{list(map(str, inner))[:5]}; save the model's state_dict()"
        )
    return state


def _countable(state: dict[str, Tensor]) -> dict[str, Tensor]:
    # Checkpoints of old PyTorch versions lack this counter of batch normalization.
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _best_prefix(state: dict[str, Tensor], wanted: dict[str, Tensor], source: str) -> str:
    """Return the prefix whose removal lets the most tensors match by name and shape.

    Args:
        state: the file's tensors by name.
        wanted: the module's tensors by name.
        source: path or address of the file, for messages.

    Returns:
        The prefix with its final dot. It is empty if the names need no prefix, or if no tensor
        matches.

    Raises:
        StageError: several prefixes are equally good, and more than half of the tensors match.
    """
    matches = Counter[str]()
    for name, value in state.items():
        for start in [0, *(dot.end() for dot in re.finditer(r"\.", name))]:
            target = wanted.get(name[start:])
            if target is not None and target.shape == value.shape:
                matches[name[:start]] += 1
    most = max(matches.values(), default=0)
    best = [prefix for prefix, count in matches.items() if count == most]
    if not best or "" in best:
        return ""
    if len(best) > 1 and most > len(wanted) / 2:
        raise StageError(
            f"{source} has several models that match, with the prefixes {str(best)[1:-1]}. Choose "
            f"one model: for a backbone, set for example init_cfg.prefix={best[0]!r}; for "
            "load_from, save the chosen model to a separate file"
        )
    return best[0]


def _load(module: nn.Module, state: dict[str, Tensor]) -> tuple[list[str], list[str]]:
    """Load the tensors that match the module by name and shape.

    ``nn.Module.load_state_dict`` raises an error if a tensor has another shape. This function
    therefore calls the loading method of each submodule itself, and collects the errors.

    Returns:
        Two lists of names: the module's tensors that were not loaded, and the file's tensors that
        the module does not have.
    """
    missing: list[str] = []
    unknown: list[str] = []
    errors: list[str] = []

    def load(part: nn.Module, own: dict[str, Tensor], prefix: str) -> None:
        part._load_from_state_dict(own, prefix, {}, True, missing, unknown, errors)
        for name, child in part._modules.items():
            if child is not None:
                path = f"{prefix}{name}."
                load(child, {k: v for k, v in own.items() if k.startswith(path)}, path)

    load(module, dict(state), "")
    other_shape = [match[1] for e in errors if (match := re.match(r"size mismatch for (\S+):", e))]
    left = [name for name in (*missing, *other_shape) if not name.endswith("num_batches_tracked")]
    return left, [name for name in unknown if not name.endswith("num_batches_tracked")]


def _share(names: Collection[str], left: list[str]) -> float:
    """Return the share of ``names`` that are not in ``left``."""
    return 1 - len(set(names) & set(left)) / len(names)


def _room(name: str) -> str:
    """Return the first part of a tensor's name, after ``backbone.`` if the name begins with it.

    For example, the first part of ``backbone.layer1.0.conv1.weight`` is ``layer1``.
    """
    return name.removeprefix("backbone.").split(".")[0]


def _example(state: dict[str, Tensor], names: Iterable[str]) -> str:
    name = next((name for name in names if name in state), next(iter(state)))
    return f"{name} {tuple(state[name].shape)}"


def _cause(state: dict[str, Tensor], wanted: dict[str, Tensor], left: list[str]) -> str:
    if any(f"backbone.{name}" in wanted for name in state):
        return "The file has only a backbone: pass the file as backbone_weights=FILE. "
    if any(name in state for name in left):
        return "Names match, but shapes differ: the file's model has another width or depth. "
    for begin, library in LIBRARIES.items():
        if any(name.startswith(begin) for name in state):
            return (
                f"The file's names are {library}: convert the file, for example with a script from "
                "MMPretrain's tools/model_converters. "
            )
    return ""
