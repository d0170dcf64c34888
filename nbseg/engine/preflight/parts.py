"""Build the parts of each stage's config to find misspelled keys before the first stage starts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from difflib import get_close_matches
from inspect import signature
from typing import Any

from mmdet.registry import (
    EVALUATOR,
    LOG_PROCESSORS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    VISBACKENDS,
    VISUALIZERS,
)
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import Registry, init_default_scope
from torch import nn

from nbseg.deploy.detector import build_detector
from nbseg.engine.data_sets import leaves, wrappers
from nbseg.errors import StageError
from nbseg.registry import DATA_SAMPLERS, DATASETS, HOOKS, LOOPS, METRICS, MODELS

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# Keys that MMEngine removes before it builds a part, beside "type" and "_scope_".
READ_BEFORE: dict[Registry, set[str]] = {HOOKS: {"priority"}, VISBACKENDS: {"name"}}
DEFAULT_TYPES = {EVALUATOR: "Evaluator", LOG_PROCESSORS: "LogProcessor"}
# The keys of a config that build_detector reads.
DETECTOR = ("model", "data_preprocessor", "custom_imports", "default_scope")


def check_parts(configs: Mapping[str, Config]) -> None:
    """Refuse unknown types and arguments in the plain configs of stages.

    Models, transforms, optimizers and schedules are built as the stages will build them. Other
    parts, such as hooks, are not built, because they would have side effects. Their keys are
    compared with the arguments of their classes.

    Args:
        configs: plain config of each stage that will run.

    Raises:
        StageError: a part cannot be built; the message names the stage and the key.
    """
    detectors: list[tuple[Any, Any]] = []
    for stage, plain in configs.items():
        read = {key: deepcopy(plain.get(key)) for key in DETECTOR}
        detector = next((built for config, built in detectors if config == read), None)
        if detector is None:
            with _naming(stage, "model"):
                detector = build_detector(plain)
            detectors.append((read, detector))
        init_default_scope(plain.get("default_scope", "mmdet"))
        for key in filter(plain.get, LOADERS):
            _check_loader(stage, key, plain[key])
        if plain.get("optim_wrapper"):
            _check_optimizer(stage, plain, detector)
        for registry, key, part in _other_parts(plain):
            _check_arguments(registry, part, stage, key)
            _check_average(part, stage, key)


def _check_loader(stage: str, key: str, loader: Any) -> None:
    for wrapper in wrappers(loader["dataset"]):
        _check_arguments(DATASETS, wrapper, stage, f"{key}.dataset")
    for leaf in leaves(loader["dataset"]):
        pipeline = _build_pipeline(leaf, stage, f"{key}.dataset")
        if any(getattr(t, "subroutines", True) == [] for t in pipeline.transforms):
            raise StageError(
                f"stage {stage}: TestTimeAug would make no augmented view of an image, so nothing "
                "could be predicted; tta_scales and tta_flips must not be empty"
            )
    for name in ("sampler", "batch_sampler"):
        _check_arguments(DATA_SAMPLERS, loader.get(name), stage, f"{key}.{name}")


def _build_pipeline(leaf: Any, stage: str, key: str) -> Compose:
    kind = _class_of(DATASETS, leaf, stage, key)
    has_transforms = isinstance(kind, type) and issubclass(kind, BaseDataset)
    if has_transforms and kind.__module__.split(".")[0] in ("mmdet", "mmengine", "nbseg"):
        with _naming(stage, key):
            return DATASETS.build({**deepcopy(leaf), "lazy_init": True}).pipeline
    # A user's own class may lack lazy_init, or read the annotations as soon as it is built.
    _check_arguments(DATASETS, leaf, stage, key)
    transforms = leaf.get("pipeline") if has_transforms else None
    with _naming(stage, key):
        return Compose(deepcopy(transforms) if isinstance(transforms, list) else [])


def _check_optimizer(stage: str, plain: Config, detector: Any) -> None:
    optimizer = plain.optim_wrapper.get("optimizer")
    _class_of(OPTIMIZERS, optimizer, stage, "optim_wrapper.optimizer")
    with _naming(stage, "optim_wrapper"):
        wrapper = build_optim_wrapper(detector, plain.optim_wrapper)
    schedulers = plain.get("param_scheduler")
    if not isinstance(wrapper, OptimWrapperDict):
        _check_schedulers(stage, plain, "param_scheduler", schedulers, wrapper)
        return
    named = isinstance(schedulers, Mapping) and "type" not in schedulers
    for name, optimizer in wrapper.items():
        if not named:
            _check_schedulers(stage, plain, "param_scheduler", schedulers, optimizer)
        elif name in schedulers:
            _check_schedulers(stage, plain, f"param_scheduler.{name}", schedulers[name], optimizer)
        else:
            raise StageError(
                f"stage {stage}: param_scheduler has no key {name!r}, but optim_wrapper has an "
                "optimizer of this name; add the schedule of this optimizer"
            )


def _check_schedulers(stage: str, plain: Config, key: str, parts: Any, optimizer: Any) -> None:
    train_cfg = plain.get("train_cfg") or {}
    for number, part in enumerate(_listed(parts)):
        with _naming(stage, f"{key}[{number}]"):
            end = train_cfg.get("max_epochs" if part.get("by_epoch", True) else "max_iters")
            # The number of batches of an epoch is known later; it changes no check.
            arguments = {"optimizer": optimizer, "epoch_length": 1000, "end": end or 10**9}
            PARAM_SCHEDULERS.build(part, default_args=arguments)


def _other_parts(plain: Config) -> Iterator[tuple[Registry, str, Any]]:
    for name, hook in (plain.get("default_hooks") or {}).items():
        yield HOOKS, f"default_hooks.{name}", hook
    for number, hook in enumerate(plain.get("custom_hooks") or []):
        yield HOOKS, f"custom_hooks[{number}]", hook
    for key in ("train_cfg", "val_cfg", "test_cfg"):
        if "type" in (plain.get(key) or {}):
            yield LOOPS, key, plain[key]
    for key in ("val_evaluator", "test_evaluator"):
        for evaluator in _listed(plain.get(key)):
            metrics = evaluator
            if "metrics" in evaluator:
                yield EVALUATOR, key, evaluator
                metrics = evaluator["metrics"]
            for metric in _listed(metrics):
                yield METRICS, key, metric
    yield VISUALIZERS, "visualizer", plain.get("visualizer")
    for backend in _listed((plain.get("visualizer") or {}).get("vis_backends")):
        yield VISBACKENDS, "vis_backends", backend
    yield LOG_PROCESSORS, "log_processor", plain.get("log_processor")


def _check_average(part: Any, stage: str, key: str) -> None:
    """Build the averaged model of an ``EMAHook``, as the hook does when the training starts."""
    kind = _class_of(HOOKS, part, stage, key) if key.startswith("custom_hooks") else None
    if isinstance(kind, type) and issubclass(kind, EMAHook):
        with _naming(stage, key):
            hook = kind(**{k: v for k, v in part.items() if k not in ("type", "priority")})
            MODELS.build(hook.ema_cfg, default_args={"model": nn.Module()})


def _check_arguments(registry: Registry, part: Any, stage: str, key: str) -> None:
    """Refuse keys of a part's config that are not arguments of its class."""
    kind = _class_of(registry, part, stage, key)
    if kind is None:
        return
    known, more = _arguments(kind)
    for name in sorted({*part} - {"type", "_scope_", *known} - READ_BEFORE.get(registry, set())):
        # A class with **kwargs may accept any key. Refuse only a key that looks like a
        # misspelled argument.
        close = _advice(name, known, 0.85 if more else 0.6)
        if close or not more:
            advice = close or f"the arguments of {kind.__name__} are {', '.join(known)}"
            raise StageError(f"stage {stage}: {key} has the unknown key {name!r}; {advice}")


def _arguments(kind: Any) -> tuple[list[str], bool]:
    """Return the names of a class's arguments, and whether the class may take other arguments.

    If a class has ``**kwargs``, the names include the arguments of the parent class.
    """
    classes = kind.__mro__ if isinstance(kind, type) else ()
    names: list[str] = []
    more = False
    for function in [vars(c)["__init__"] for c in classes if "__init__" in vars(c)] or [kind]:
        try:
            parameters = signature(function).parameters.values()
        except (TypeError, ValueError):  # a class written in C may have no signature
            more = True
            break
        names += [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
        more = True
    return [name for name in names if name != "self"], more


def _class_of(registry: Registry, part: Any, stage: str, key: str) -> Any:
    """Return the class of a part's config; None if the part is absent or already built."""
    if isinstance(part, str):
        raise StageError(
            f"stage {stage}: {key} must be a dictionary, found the string {part!r}; set {key} in "
            "the config file, because the command line cannot set dictionaries"
        )
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type", DEFAULT_TYPES.get(registry))
    if kind is None:
        raise StageError(f"stage {stage}: {key} has no 'type'; add 'type' with the name of a class")
    if not isinstance(kind, str):
        return kind
    # As MMEngine does, search the registry of the config's default_scope.
    with _naming(stage, key), registry.switch_scope_and_registry(part.get("_scope_")) as registry:
        found = registry.get(kind)
    if found is None:
        known = {*registry.module_dict, *(registry.parent.module_dict if registry.parent else ())}
        advice = _advice(kind, known) or "correct it, or list the class's module in custom_imports"
        raise StageError(f"stage {stage}: {key} has the unknown type {kind!r}; {advice}")
    return found


def _listed(parts: Any) -> list[Any]:
    """Convert one part, a sequence of parts, or None to a list of parts."""
    return list(parts) if isinstance(parts, (list, tuple)) else [parts] if parts else []


def _advice(name: str, known: Any, cutoff: float = 0.6) -> str:
    close = get_close_matches(name, known, 1, cutoff)
    return f"did you mean {close[0]!r}?" if close else ""


@contextmanager
def _naming(stage: str, key: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a class may raise any error about its arguments
        # Leave out the general advice at the end of MMEngine's messages.
        reason = str(error).split("\n")[0].split(". Please ")[0]
        raise StageError(
            f"stage {stage}: {key} cannot be built ({type(error).__name__}: {reason}); correct its "
            "types, keys and values"
        ) from error
