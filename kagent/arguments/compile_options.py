"""Tensorforce's `execution`, `config` and `buffer_observe` in Keras's terms."""

from __future__ import annotations

import math
import numbers
from typing import Any

OPTIONS = ("jit_compile", "run_eagerly", "steps_per_execution")
_ARGUMENTS = ("buffer_observe", "device", "name", "seed")
_REFUSED = {
    "session_config": "there are no sessions in TensorFlow 2",
    "api_functions": "only what is used is compiled",
    "enable_int_action_masking": "masks are used where the environment gives them",
    "create_tf_assertions": "arguments are always checked, on the host",
    "create_debug_assertions": "use execution={'run_eagerly': True}",
    "tf_log_level": "set the environment variable TF_CPP_MIN_LOG_LEVEL",
    "distributed": "training on several machines is not supported",
    "cluster_spec": "training on several machines is not supported",
}


def read(execution: Any, config: Any, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of `compile`, and arguments of the agent, of `execution` and `config`.

    Args:
        execution: None, or a dict of `jit_compile`, `run_eagerly`, `steps_per_execution`.
        config: None, or a dict of the same, of `eager_mode` (`run_eagerly`), or of `buffer_observe`, `device`, `name`
            and `seed`, which are arguments of the agent too.
        given: These arguments, as given; None where not.

    Returns:
        The options, and the arguments with those that were in `config`.

    Raises:
        TypeError: Not a dict.
        ValueError: A key that has no meaning here, with the reason; one that was given twice.
    """
    options: dict[str, Any] = {}
    arguments = dict(given)
    for argument, spec, known in (
        ("execution", execution, OPTIONS),
        ("config", config, (*OPTIONS, "eager_mode", *_ARGUMENTS)),
    ):
        if spec is None:
            continue
        if not isinstance(spec, dict):
            raise TypeError(f"`{argument}` must be a dict or None. Received: {spec!r}")
        for key, value in spec.items():
            if key not in known:
                reason = f": {_REFUSED[key]}" if key in _REFUSED else ""
                raise ValueError(f"`{argument}` cannot have {key!r}{reason}. Known: {', '.join(known)}")
            name = "run_eagerly" if key == "eager_mode" else key
            taken = options if name in OPTIONS else arguments
            if taken.get(name) is not None:
                raise ValueError(f"`{argument}[{key!r}]` is given twice. Received: {value!r} and {taken[name]!r}")
            taken[name] = value
    return options, arguments


def check_buffer(buffer_observe: Any, update: Any) -> None:
    """Checks `buffer_observe`, which changes nothing here: what is observed is stored at once, at no cost.

    Raises:
        ValueError: Neither a bool nor an integer > 0, or more than the timesteps between updates.
    """
    if buffer_observe is None or isinstance(buffer_observe, bool):
        return
    if not isinstance(buffer_observe, numbers.Integral) or buffer_observe < 1:
        raise ValueError(f"`buffer_observe` must be True, False or an integer > 0. Received: {buffer_observe!r}")
    if update.unit == "timesteps" and buffer_observe > update.period and update.period < math.inf:
        raise ValueError(
            f"`buffer_observe` must be at most the timesteps between updates, {int(update.period)}. "
            f"Received: {buffer_observe}"
        )
