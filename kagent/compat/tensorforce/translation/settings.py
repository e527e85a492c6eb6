"""What Tensorforce's agents have beside learning: config, saver, summarizer, recorder, tracking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kagent.callbacks import Checkpoint
from kagent.compat.tensorforce.translation.context import Context, check_taken

# Words of `config` that say how TensorFlow runs Tensorforce's programs.
_OF_PROGRAMS = (
    "api_functions", "create_debug_assertions", "create_tf_assertions", "enable_int_action_masking", "tf_log_level",
    "buffer_observe",
)  # fmt: skip
# Tensorforce's `summaries` as labels.
SUMMARIES = {
    "distribution": "distributions", "entropy": "entropies", "graph": "graph", "kl-divergence": "kl-divergences",
    "loss": "losses", "parameters": "parameters", "reward": "rewards", "update-norm": "update-norm", "updates": "updates",
    "variables": "variables",
}  # fmt: skip


def config(value: Any, context: Context) -> dict[str, Any]:
    """Arguments of kagent's agent that `config` stands for: `name`, `seed`, `device`, `config`.

    Raises:
        ValueError, TypeError: Unknown words.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"`config` must be a dict or None. Received: {value!r}")
    check_taken(value, ("name", "seed", "device", "eager_mode", *_OF_PROGRAMS), "config")
    programs = [name for name in _OF_PROGRAMS if value.get(name) is not None]
    if programs:
        context.note(
            f"{', '.join(f'`{name}`' for name in programs)} of `config` have no meaning here: nothing is to be chosen"
        )
    made = {name: value[name] for name in ("name", "seed") if value.get(name) is not None}
    if value.get("device") is not None:
        made["device"] = str(value["device"]).upper()
    if value.get("eager_mode"):
        made["config"] = {"eager_mode": True}
    return made


def callbacks(spec: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """`saver`, `summarizer` and `recorder` as kagent's agent takes them.

    Raises:
        ValueError, TypeError: Unknown words.
    """
    if spec.get("tracking") is not None:
        context.note(
            "`tracking` has no meaning here: `kagent.callbacks.Summarizer` and the logs of `update()` show these numbers"
        )
    made = {
        "saver": _saver(_read(spec.get("saver")), context),
        "summarizer": _summarizer(_read(spec.get("summarizer")), context),
        "recorder": _read(spec.get("recorder")),
    }
    return {name: value for name, value in made.items() if value is not None}


def _read(value: Any) -> Any:
    """A dict, of a path alone that of its directory; objects as they are. None too of a dict without a directory."""
    if isinstance(value, str):
        return {"directory": value}
    if not isinstance(value, Mapping):
        return value
    return None if value.get("directory") is None else dict(value)


def _saver(value: Any, context: Context) -> Any:
    if not isinstance(value, dict) or context.older:
        return value
    made = {name: one for name, one in value.items() if one is not None}
    unit = made.pop("unit", "updates")
    made.setdefault("load", False)
    if made.pop("max_hour_frequency", None) is not None:
        context.note("`saver[max_hour_frequency]` has no meaning here: the newest `max_checkpoints` are kept")
    named = {name.replace("-", "_"): one for name, one in made.items()}
    check_taken(named, ("directory", "filename", "frequency", "load", "max_checkpoints"), "saver")
    return Checkpoint(**{"frequency": 10, "max_checkpoints": 10, **named, "unit": unit})


def _summarizer(value: Any, context: Context) -> Any:
    if not isinstance(value, dict):
        return value
    made = {name: one for name, one in value.items() if one is not None}
    if made.pop("filename", None) is not None:
        context.note("`summarizer[filename]` has no meaning here: a summary's name is its time")
    if "summaries" in made or not context.older:
        made.pop("frequency", None)
        wanted = made.pop("summaries", "all")
        wanted = list(SUMMARIES) if wanted == "all" else [wanted] if isinstance(wanted, str) else list(wanted)
        if "action-value" in wanted:
            context.note("the summary 'action-value' has no meaning here: `agent.model.policy.values` gives them")
            wanted.remove("action-value")
        check_taken(wanted, SUMMARIES, "summarizer[summaries]")
        made["labels"] = [SUMMARIES[name] for name in wanted]
        made.setdefault("max_summaries", 7)
    return made
