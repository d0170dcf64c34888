"""Put the student of a plain config into a detector that trains it together with its teacher."""

from typing import Any

from mmengine.config import Config, ConfigDict

# Keys of the section ``online`` that no runner reads.
ONLINE_KEYS = frozenset({"method", "hook"})


def train_online(plain: Config) -> None:
    """Replace the model of a plain config by an online method around this model, in place.

    Args:
        plain: a plain config with two more keys, which are removed: ``method``, the config of a
            detector such as ``OnlineTeacher`` without ``detector`` and ``data_preprocessor``; and
            ``hook``, the config of the hook that updates the teacher.

    Raises:
        ValueError: one of the two keys is missing.
    """
    method, hook = plain.pop("method", None), plain.pop("hook", None)
    if not method or not hook:
        raise ValueError(
            "the section online needs the keys method and hook, which is the hook that updates the "
            "teacher, such as dict(type='OnlineTeacherHook'); add them, or remove the section"
        )
    inner = plain.model.get("data_preprocessor") or plain.get("data_preprocessor")
    branches = ConfigDict(type="MultiBranchDataPreprocessor", data_preprocessor=inner)
    plain.model = ConfigDict(**method, detector=plain.model, data_preprocessor=branches)
    plain.custom_hooks = [*(plain.get("custom_hooks") or []), hook]


def plain_detector(model: Any) -> Any:
    """Return the config of the detector inside an online method, or another model unchanged."""
    return model.get("detector", model)


def published_part(model: Any) -> str | None:
    """Return ``"teacher"`` or ``"student"``, whose weights an online method publishes.

    For a model that is no online method, return None.
    """
    online = "detector" in model and ("predict_on" in model or model.get("type") == "OnlineTeacher")
    return str(model.get("predict_on", "teacher")) if online else None
