"""Wrap the student in a training method whose batches mix labeled and other images.

The other images are unlabeled or pseudo-labeled.
"""

from typing import Any

from mmengine.config import Config, ConfigDict

# Keys of the sections ``online`` and ``student`` that no runner reads.
ONLINE_KEYS = frozenset({"method", "hook"})


def train_online(plain: Config) -> None:
    """Wrap the detector of an MMDetection config in the model of a training method, in place.

    Args:
        plain: an MMDetection config with two more keys, ``method`` and ``hook``, that this function
            removes. ``method`` is the config of an ``OnlineTeacher`` or a ``JointStudent``, without
            the keys ``detector`` and ``data_preprocessor``. ``hook`` is the config of the hook that
            updates the teacher. A ``JointStudent`` has no teacher and needs no key ``hook``.

    Raises:
        ValueError: the method is an ``OnlineTeacher``, and the key ``hook`` is missing.
    """
    method, hook = plain.pop("method"), plain.pop("hook", None)
    if method.get("type") == "OnlineTeacher" and not hook:
        raise ValueError(
            "method=dict(type='OnlineTeacher') needs a hook that updates the teacher; set the key "
            "hook of the section online to dict(type='OnlineTeacherHook')"
        )
    inner = plain.model.get("data_preprocessor") or plain.get("data_preprocessor")
    branches = ConfigDict(type="MultiBranchDataPreprocessor", data_preprocessor=inner)
    plain.model = ConfigDict(**method, detector=plain.model, data_preprocessor=branches)
    if hook:
        plain.model.setdefault("predict_on", "teacher")
        plain.custom_hooks = [*(plain.get("custom_hooks") or []), hook]


def plain_detector(model: Any) -> Any:
    """Return the config of the detector that a training method wraps.

    If ``model`` is not the config of a training method, ``model`` is returned.
    """
    return model.get("detector", model)


def published_part(model: Any) -> str | None:
    """Return which detector of a training method is kept: ``"teacher"`` or ``"student"``.

    At the end of the training, only the weights of this detector are published. The function
    returns None if ``model`` is not the config of an ``OnlineTeacher`` or a ``JointStudent``.
    """
    if "detector" not in model or "semi_test_cfg" in model:
        return None
    if model.get("type") == "OnlineTeacher":
        return str(model.get("predict_on", "teacher"))
    branches = (model.get("data_preprocessor") or {}).get("type") == "MultiBranchDataPreprocessor"
    return str(model.get("predict_on", "student")) if branches else None
