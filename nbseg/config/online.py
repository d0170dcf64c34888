"""Wrap the student of a plain config in a detector that trains student and teacher together."""

from typing import Any

from mmengine.config import Config, ConfigDict

# Keys of the section ``online`` that no runner reads.
ONLINE_KEYS = frozenset({"method", "hook"})


def train_online(plain: Config) -> None:
    """Wrap the model of a plain config in an online method, in place.

    Args:
        plain: a plain config that also has the keys ``method`` and ``hook``, which are removed.
            ``method`` is the config of a detector such as ``OnlineTeacher``, without the keys
            ``detector`` and ``data_preprocessor``. ``hook`` is the config of the hook that updates
            the teacher.

    Raises:
        ValueError: the key ``method`` or ``hook`` is missing.
    """
    method, hook = plain.pop("method", None), plain.pop("hook", None)
    if not method or not hook:
        raise ValueError(
            "the section online needs the keys method and hook, such as method="
            "dict(type='OnlineTeacher') and hook=dict(type='OnlineTeacherHook'); set both keys, or "
            "remove the section"
        )
    inner = plain.model.get("data_preprocessor") or plain.get("data_preprocessor")
    branches = ConfigDict(type="MultiBranchDataPreprocessor", data_preprocessor=inner)
    plain.model = ConfigDict(**method, detector=plain.model, data_preprocessor=branches)
    plain.custom_hooks = [*(plain.get("custom_hooks") or []), hook]


def plain_detector(model: Any) -> Any:
    """Return the config of the detector in an online method; return other models unchanged."""
    return model.get("detector", model)


def published_part(model: Any) -> str | None:
    """Return the part of an online method that is published: ``"teacher"`` or ``"student"``.

    For any other model, return None.
    """
    online = "detector" in model and ("predict_on" in model or model.get("type") == "OnlineTeacher")
    return str(model.get("predict_on", "teacher")) if online else None
