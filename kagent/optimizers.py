"""Optimizers by role, and how targets follow."""

from __future__ import annotations

import copy
import dataclasses
import numbers
from typing import Any

import keras
import tensorflow as tf

from kagent import ops, schedules
from kagent.registry import Registry, plain

TARGETS = Registry("target")


@TARGETS.register()
@dataclasses.dataclass(frozen=True)
class Target:
    """How target networks follow their online networks: `target += tau * (online - target)`.

    Args:
        tau: How far a target moves each time, 0 to 1. 1 copies; 0.005 trails by about 200 moves. Larger learns faster
            and wobbles more.
        period: A move every so many `unit`s.
        unit: `"timesteps"` (checked before each update) or `"updates"` (gradient steps).
    """

    tau: float = 1.0
    period: int = 1
    unit: str = "updates"

    def __post_init__(self):
        if isinstance(self.tau, bool) or not isinstance(self.tau, numbers.Real) or not 0 < self.tau <= 1:
            raise ValueError(f"`tau` must be in (0, 1]. Received: {self.tau!r}")
        if isinstance(self.period, bool) or not isinstance(self.period, numbers.Integral) or self.period < 1:
            raise ValueError(f"`target_update_period` must be an integer >= 1. Received: {self.period!r}")
        if self.unit not in ("timesteps", "updates"):
            raise ValueError(f"`target.unit` must be 'timesteps' or 'updates'. Received: {self.unit!r}")


class RoleMap(keras.optimizers.OptimizerMap):
    """Variables to optimizers by role. Looked up by identity, not by path: paths change when a model is loaded."""

    def __init__(self, default_optimizer: Any, optimizer_map: dict[str, Any]):
        super().__init__(default_optimizer, optimizer_map)
        self.roles: dict[int, str] = {}

    def of(self, role: str) -> Any:
        return self[role] if role in list(self) else self.default_optimizer

    def __call__(self, variable: Any) -> Any:
        return self.of(self.roles.get(id(variable), ""))


@keras.saving.register_keras_serializable("kagent")
class RoleOptimizer(keras.optimizers.MultiOptimizer):
    """An optimizer for each role.

    Args:
        policy: Optimizer of the policy, and of every role without its own.
        critic, temperature: Optimizers of these roles.

    Learning-rate callbacks address and log each by its name (`learning_rate_<name>`).

    Example:

    >>> Adam = keras.optimizers.Adam
    >>> optimizer = RoleOptimizer(policy=Adam(1e-3, name="policy"), critic=Adam(3e-4, name="critic"))
    """

    def __init__(
        self, policy: Any, critic: Any = None, temperature: Any = None, loss_scale_factor: Any = None, name: Any = None
    ):
        given = {"critic": critic, "temperature": temperature}
        role_map = RoleMap(policy, {role: o for role, o in given.items() if o is not None})
        super().__init__(role_map, loss_scale_factor=loss_scale_factor, name=name or "roles")
        self.role_map = role_map

    def bind(self, roles: dict[str, list[Any]]) -> None:
        """Tells it the variables of each role; the agent does when it is compiled."""
        self.role_map.roles = {id(variable): role for role, variables in roles.items() for variable in variables}

    def get_config(self):
        own = {role: keras.optimizers.serialize(self.role_map[role]) for role in list(self.role_map)}
        return {
            "policy": keras.optimizers.serialize(self.role_map.default_optimizer),
            **own,
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        roles = ("policy", "critic", "temperature")
        config = copy.deepcopy(config)  # Keras writes into it
        made = {role: keras.optimizers.deserialize(config[role]) for role in roles if config.get(role) is not None}
        return cls(**made, loss_scale_factor=config.get("loss_scale_factor"), name=config.get("name"))


def get(identifier: Any, name: str, clip: float | None = None) -> tuple[Any, Any]:
    """A Keras optimizer and the schedule of its learning rate (None if the rate is a number).

    Args:
        identifier: A Keras optimizer, a name, a learning rate, or a dict `{"type": "Adam", "learning_rate": ...,
            **arguments}` whose learning rate may be a schedule, also one of `keras.optimizers.schedules`.
        name: The optimizer's name: that of its role.
        clip: `global_clipnorm`, where the dict does not say it.

    Raises:
        ValueError, TypeError: Unknown optimizer or arguments.
    """
    if isinstance(identifier, keras.optimizers.Optimizer):
        return identifier, None
    if isinstance(identifier, str):
        identifier = {"type": identifier}
    if isinstance(identifier, numbers.Real) and not isinstance(identifier, bool):
        identifier = {"type": "Adam", "learning_rate": float(identifier)}
    if isinstance(identifier, dict) and "class_name" in identifier:
        return keras.optimizers.get(copy.deepcopy(identifier)), None  # Keras writes into it
    if not isinstance(identifier, dict) or "type" not in identifier:
        raise TypeError(
            "An optimizer must be a Keras optimizer, a name, a learning rate or a dict with 'type'. "
            f"Received: {identifier!r}"
        )
    arguments = dict(identifier)
    kind = _known(arguments.pop("type"))
    rate = schedules.get(arguments.pop("learning_rate", 1e-3), "learning_rate", 0.0)
    arguments = {"name": name, **arguments, "learning_rate": schedules.start_of(rate)}
    if clip is not None:
        arguments.setdefault("global_clipnorm", clip)
    try:
        optimizer = keras.optimizers.get({"class_name": kind, "config": arguments})
    except (TypeError, ValueError) as error:
        raise ValueError(f"`optimizer` {kind} of {name!r} refuses its arguments: {error}") from error
    return optimizer, None if isinstance(rate, float) else rate


def apply(optimizer: Any, gradients: list[Any], variables: list[Any]) -> None:
    """`optimizer.apply`, with `global_clipnorm` by `ops.clip_by_global_norm`, which XLA compiles to faster code."""
    norm = getattr(optimizer, "global_clipnorm", None)
    if norm is None or any(not isinstance(gradient, tf.Tensor) for gradient in gradients):
        optimizer.apply(gradients, variables)
        return
    optimizer.global_clipnorm = None
    try:
        optimizer.apply(ops.clip_by_global_norm(gradients, norm), variables)
    finally:
        optimizer.global_clipnorm = norm


def _known(kind: Any) -> str:
    # A Keras optimizer, or one that the user registered: a file may not name any other class.
    base = keras.optimizers.Optimizer
    classes = {n: c for n, c in vars(keras.optimizers).items() if isinstance(c, type) and issubclass(c, base)}
    for wrapper in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer"):
        classes.pop(wrapper, None)
    custom = keras.saving.get_registered_object(kind) if isinstance(kind, str) else None
    if isinstance(custom, type) and issubclass(custom, base):
        return kind
    for name in classes:
        if isinstance(kind, str) and name.lower() == kind.lower():
            return name
    raise ValueError(f"Unknown `optimizer`. Received: {kind!r}. Known: {', '.join(sorted(classes))}")


def serialize(identifier: Any) -> Any:
    """The inverse of `get`, JSON-ready."""
    if isinstance(identifier, keras.optimizers.Optimizer):
        return keras.optimizers.serialize(identifier)
    return plain(identifier)
