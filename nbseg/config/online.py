"""Wrap the student of a plain config in a method that trains it on two kinds of images."""

from typing import Any

from mmengine.config import Config, ConfigDict

# Keys of the sections ``online`` and ``student`` that no runner reads.
ONLINE_KEYS = frozenset({"method", "hook"})


def train_online(plain: Config) -> None:
    """Wrap the model of a plain config in the model of its method, in place.

    Args:
        plain: a plain config that also has the keys ``method`` and ``hook``, which are removed.
            ``method`` is the config of an ``OnlineTeacher`` or a ``JointStudent``, without the keys
            ``detector`` and ``data_preprocessor``. ``hook`` is the config of the hook that updates
            the teacher; a ``JointStudent`` has none.

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
    """Return the config of the detector in a method; return other models unchanged."""
    return model.get("detector", model)


def published_part(model: Any) -> str | None:
    """Return the part of a method's model that is published: ``"teacher"`` or ``"student"``.

    For any other model, return None.
    """
    if "detector" not in model or "semi_test_cfg" in model:
        return None
    if model.get("type") == "OnlineTeacher":
        return str(model.get("predict_on", "teacher"))
    branches = (model.get("data_preprocessor") or {}).get("type") == "MultiBranchDataPreprocessor"
    return str(model.get("predict_on", "student")) if branches else None
