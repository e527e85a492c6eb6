"""What an agent is compiled with: its optimizers by role, and whether XLA suits it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras

from kagent import optimizers
from kagent.config import allowed
from kagent.policies.stochastic import StochasticPolicy

MOST_EXECUTIONS = 1 << 16  # updates in one compiled call, whose experience is drawn before it
# Multiplications of a gradient step per pass, from which on TensorFlow's kernels are faster. Single steps are from fewer on;
# loops of steps are not: of PPO with networks of 256-256 they take 1.8 times as long in batches of 64, 0.93 in such of 256.
_PRODUCTS = 1 << 25
_DEFAULTS = {"steps_per_execution": 1, "run_eagerly": False}


class Optimizers(NamedTuple):
    """The optimizer of all roles, the schedules of its learning rates, and what modifies its steps by role."""

    optimizer: Any
    rates: list[tuple[Any, Any]]
    modifiers: dict[str, Any]


def of_parts(parts: Mapping[str, Any], roles: Sequence[str]) -> Optimizers:
    """The optimizers that an agent's parts describe.

    Args:
        parts: By role what `optimizers.get` takes, or None: the role shares the policy's.
        roles: The roles that learn.

    Raises:
        TypeError: None for the policy.
    """
    made, rates, modifiers = {}, [], {}
    for role in roles:
        part = parts[role]
        if part is None:
            continue
        made[role], rate = optimizers.get(part, role)
        modifiers[role] = optimizers.modifiers_of(part)
        if rate is not None:
            rates.append((made[role], rate))
    if "policy" not in made:
        raise TypeError("`optimizer` must be a Keras optimizer, a name, a learning rate or a dict. Received: None")
    return Optimizers(made["policy"] if len(made) == 1 else optimizers.RoleOptimizer(**made), rates, modifiers)


def given(optimizer: Any) -> Optimizers:
    """The optimizer that `compile` received.

    Raises:
        TypeError, ValueError: No Keras optimizer, or one that assigns variables by their paths.
    """
    described = isinstance(optimizer, str) or (isinstance(optimizer, dict) and "class_name" in optimizer)
    if not (described or isinstance(optimizer, keras.optimizers.Optimizer)):
        raise TypeError(
            "`optimizer` of compile must be a Keras optimizer, its name or its configuration. A learning rate, a schedule or a "
            f"dict with 'type' is an argument of the constructor: PPO(env, optimizer=...). Received: {optimizer!r}"
        )
    found = keras.optimizers.get(optimizer)
    if isinstance(found, keras.optimizers.MultiOptimizer) and not isinstance(found, optimizers.RoleOptimizer):
        raise ValueError(
            "`optimizer` MultiOptimizer assigns variables by their paths, which differ in a loaded agent. Allowed: "
            f"kagent.optimizers.RoleOptimizer(policy=..., critic=..., temperature=...). Received: {found!r}"
        )
    return Optimizers(found, [], {})


def check_natural_gradients(compiled: Any, roles: Sequence[str], policy: Any) -> None:
    """Raises:
    ValueError: The natural gradient for a role or a policy that has no KL divergence.
    """
    for role in roles:
        owned = isinstance(compiled, optimizers.RoleOptimizer)
        if not isinstance(compiled.role_map.of(role) if owned else compiled, optimizers.NaturalGradient):
            continue
        if role != "policy":
            raise ValueError(
                "`optimizer` NaturalGradient is for the policy alone: it measures steps by the KL divergence of "
                f"policies. Received: it for the {role} too. Give `{role}_optimizer`"
            )
        if not (isinstance(policy, StochasticPolicy) or getattr(policy, "samples", False)):
            raise ValueError(
                "`optimizer` NaturalGradient needs a policy to sample from, a StochasticPolicy, or predictions of "
                "'logits', or 'loc' and 'scale': it measures steps by the KL divergence of policies. "
                f"Received: {type(policy).__name__}"
            )


def check_own(own: Mapping[str, Any], settings: Mapping[str, Any], has_own_train_step: bool) -> None:
    """Checks arguments of `compile` before any of them is used.

    Args:
        own: `loss`, `loss_weights` and `weighted_metrics`.
        settings: All arguments that may be descriptions of Keras objects.
        has_own_train_step: Whether the agent's class has a `train_step` of its own.

    Raises:
        ValueError: Losses that would not be used, or a description of a class that is not allowed.
    """
    allowed.check_settings({name: value for name, value in settings.items() if isinstance(value, dict | list | tuple)})
    unused = [] if has_own_train_step else [name for name, value in own.items() if value is not None]
    if unused:
        raise ValueError(
            f"`{unused[0]}` is for a `train_step` of your own: kagent's objectives have their own losses, and no "
            f"targets to compare with. Received: {', '.join(f'{name}={own[name]!r}' for name in unused)}"
        )


def suits_xla(jit_compile: bool | str, variables: Sequence[Any], rule: Any) -> bool:
    """Whether to compile with XLA.

    Args:
        jit_compile: As `compile` received it.
        variables: The variables that learn.
        rule: The agent's update rule.

    Raises:
        ValueError: `jit_compile` is neither "auto" nor a bool.
    """
    if isinstance(jit_compile, bool):
        return jit_compile
    if jit_compile != "auto":
        raise ValueError(f"`jit_compile` must be 'auto', True or False. Received: {jit_compile!r}")
    values = [variable.value for variable in variables]
    if rule.unit != "timesteps" or not all("CPU" in value.device for value in values):
        return True  # the length of episodes is not known beforehand
    return sum(math.prod(value.shape) for value in values) * rule.batch_size < _PRODUCTS


def execution(before: Mapping[str, Any], **told: Any) -> dict[str, Any]:
    """The options of an agent's config after a call of `compile` with these arguments: those that are not the defaults."""
    changed = {name: value for name, value in told.items() if value != _DEFAULTS[name]}
    return {name: value for name, value in before.items() if name not in told} | changed
