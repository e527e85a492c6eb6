"""What an agent is compiled with: its optimizers by role, and whether XLA suits it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import tensorflow as tf

from kagent import optimizers
from kagent.config import allowed, creation
from kagent.config.checks import check_count, check_flag
from kagent.config.saveability import check_saves
from kagent.config.signatures import answering
from kagent.learning.device import device_of, device_scope
from kagent.learning.step_metrics import StepMetrics
from kagent.learning.trainability import Trainability
from kagent.networks.contents import layers_of
from kagent.optimizers.role_optimizer import ROLES
from kagent.policies.stochastic import StochasticPolicy

if TYPE_CHECKING:
    from kagent.agent import Agent

MOST_EXECUTIONS = 1 << 16  # updates in one compiled call, whose experience is drawn before it
# Multiplications of a gradient step per pass, from which on TensorFlow's kernels are faster. Single steps are from fewer on;
# loops of steps are not: of PPO with networks of 256-256 they take 1.8 times as long in batches of 64, 0.93 in such of 256.
_PRODUCTS = 1 << 25
_CONVOLUTIONS = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose, keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)  # fmt: skip
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
    """Checks that natural gradients are those of a policy with a KL divergence.

    Raises:
        ValueError: One is for another role, or for a policy without.
    """
    for role in roles:
        owned = isinstance(compiled, optimizers.RoleOptimizer)
        if not isinstance(compiled.role_map.of(role) if owned else compiled, optimizers.NaturalGradient):
            continue
        if role != "policy":
            raise ValueError(
                "`optimizer` NaturalGradient is for the policy alone: it measures steps by the KL divergence of "
                f"policies. Received: it for the {role} too. Give `{role}_optimizer`"
                f"{' (`baseline_optimizer`) as an optimizer' if role == 'critic' else ''}"
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


def suits_xla(jit_compile: bool | str, variables: Sequence[Any], rule: Any, models: Iterable[Any] = ()) -> bool:
    """Whether to compile with XLA.

    Args:
        jit_compile: As `compile` received it.
        variables: The variables that learn.
        rule: The agent's update rule.
        models: The networks that learn.

    Raises:
        ValueError: `jit_compile` is neither "auto" nor a bool.
    """
    if not isinstance(jit_compile, bool) and jit_compile != "auto":
        raise ValueError(f"`jit_compile` must be 'auto', True or False. Received: {jit_compile!r}")
    replicated = tf.distribute.has_strategy() and tf.distribute.get_strategy().num_replicas_in_sync > 1
    if jit_compile is True and replicated:
        raise ValueError("`jit_compile` must be 'auto' or False over several replicas of tf.distribute. Received: True")
    if jit_compile is False or replicated:
        return False
    values = [variable.value for variable in variables]
    on_cpu = all("CPU" in value.device for value in values)
    convolves = on_cpu and any(isinstance(layer, _CONVOLUTIONS) for model in models for layer in layers_of(model))
    if jit_compile is True:
        if convolves:
            warnings.warn(
                "`jit_compile=True`: on CPUs, XLA's convolutions are slower than TensorFlow's, which 'auto' takes, and many times "
                "slower in an update of several gradient steps",
                stacklevel=5,  # the call of `compile`
            )
        return True
    if not on_cpu:
        return True
    if convolves:
        return False
    if rule.unit != "timesteps":
        return True  # the length of episodes is not known beforehand
    return bool(sum(math.prod(value.shape) for value in values) * rule.batch_size < _PRODUCTS)


def execution(before: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """The options of an agent's config after a call of `compile` with these arguments: those that are not the defaults."""
    changed = {name: value for name, value in options.items() if value != _DEFAULTS[name]}
    return {name: value for name, value in before.items() if name not in options} | changed


@answering("auto_scale_loss")
def compile(
    agent: Agent,
    optimizer: Any = "auto",
    loss: Any = None,
    loss_weights: Any = None,
    metrics: Any = None,
    weighted_metrics: Any = None,
    *,
    steps_per_execution: int = 1,
    jit_compile: bool | str = "auto",
    run_eagerly: bool = False,
    **kwargs: Any,
) -> None:
    """As `keras.Model.compile`. The constructor has called it already; call it again to change something.

    Args:
        optimizer: A Keras optimizer for all roles, a `kagent.optimizers.RoleOptimizer`, or "auto": those of the agent's
            parts. One that is given is part of the agent from here on: of `get_config`, and of what "auto" means.
        loss, loss_weights, weighted_metrics: Kept for `compute_loss` and `compute_metrics` in a `train_step` of your
            own. kagent's objectives have their own losses: without such a `train_step` they are refused.
        metrics: `keras.metrics.Metric` objects that take a single value, such as `Mean`: each gets, at every gradient
            step, the log of its own name. Or a dict from the names of logs to one or several of them. Results are
            logged under the metrics' names, and speak for the epoch so far. With a `train_step` of your own they are
            for its `compute_metrics`, as in Keras.
        steps_per_execution: Due updates run in one compiled call; the environment steps between them are taken
            first. More is faster, with a policy that is older by so many updates.
        jit_compile: True compiles with XLA, also on CPUs; False runs the same graph unfused. "auto": True, but False on
            CPUs where a gradient step is so large that its matrix products are what it costs: where `batch_size` times
            the number of trained parameters is 2**25 or more (SAC's defaults are). TensorFlow computes products that
            do not depend on each other side by side, one per core; XLA one after the other, each on all cores. Neither does
            "auto" take XLA on CPUs for convolutions, with which an update of PPO takes nine times as long; True warns of it.
        run_eagerly: Run line by line, for debugging.
        **kwargs: Passed on to Keras (`auto_scale_loss`).

    `get_config` has the optimizer, `steps_per_execution` and `run_eagerly` of the last call; whether XLA compiles is
    the machine's affair.

    An agent that was made in the scope of a `tf.distribute` strategy of several replicas is compiled in it, without XLA, and with
    optimizers that step by one gradient.

    What is `trainable` may be changed at any time, in whole roles or single layers. What is frozen does not move from
    the next `fit` or update on; what is set free again needs `compile`, as its optimizer has no state for it.

    Raises:
        ValueError: `steps_per_execution` is not an integer >= 1; a `keras.optimizers.MultiOptimizer`, whose variables
            are assigned by paths; losses that would not be used; metrics that compare targets with predictions.
        RuntimeError: The agent is in the middle of `fit` or another method.

    Example:

    >>> agent.compile(metrics={"loss": keras.metrics.Mean(name="mean_loss")})
    """
    agent._occupation.refuse("compile")
    made_in = agent.minimizer.strategy if hasattr(agent, "minimizer") else tf.distribute.get_strategy()
    alone = made_in.num_replicas_in_sync == 1
    # What XLA compiles together must be on one device.
    with optimizers.replicas.scope(made_in), device_scope(device_of(agent) if alone else None):
        _compile(
            agent,
            optimizer,
            loss,
            loss_weights,
            metrics,
            weighted_metrics,
            steps_per_execution,
            jit_compile,
            run_eagerly,
            kwargs,
        )


def _compile(
    agent: Agent,
    optimizer: Any,
    loss: Any,
    loss_weights: Any,
    metrics: Any,
    weighted_metrics: Any,
    steps_per_execution: int,
    jit_compile: bool | str,
    run_eagerly: bool,
    kwargs: dict[str, Any],
) -> None:
    steps_per_execution = check_count(steps_per_execution, "steps_per_execution", most=MOST_EXECUTIONS)
    check_flag(run_eagerly, "run_eagerly")
    own_step = creation.has_own_train_step(agent)
    own = {"loss": loss, "loss_weights": loss_weights, "weighted_metrics": weighted_metrics}
    parts = {role: part for role in ROLES if (part := getattr(agent, role)) is not None}
    models = [model for role in (agent.policy, agent.critic) if role is not None for model in role.inner_models()]
    jit = suits_xla(jit_compile, agent.trainable_variables, agent.update_rule, models) and not run_eagerly
    check_own(own, {"optimizer": optimizer, "metrics": metrics, **own, **kwargs}, own_step)
    agent.parts.check_room(agent._observation, agent._action, agent.n_envs, steps_per_execution)
    step_metrics = StepMetrics(metrics, updated=own_step)
    auto = isinstance(optimizer, str) and optimizer == "auto"
    made = of_parts(agent.parts.optimizers, list(parts)) if auto else given(optimizer)
    check_saves(lambda: optimizers.serialize(made.optimizer))
    check_natural_gradients(made.optimizer, list(parts), agent.policy)
    if isinstance(made.optimizer, optimizers.RoleOptimizer) or optimizers.uses_closure(made.optimizer):
        kwargs["auto_scale_loss"] = False  # Keras can scale dynamically only around a single optimizer
    # The optimizer of an agent whose saver has just restored it begins with the restored state.
    restored = None if agent._own_callbacks.counted_from is None else agent.optimizer
    keras.Model.compile(
        agent,
        optimizer=made.optimizer,
        metrics=metrics if own_step else None,
        **own,
        steps_per_execution=steps_per_execution,
        jit_compile=jit,
        run_eagerly=run_eagerly,
        **kwargs,
    )
    if not auto:
        agent.parts.optimizers = {"policy": made.optimizer, "critic": None, "temperature": None}
    agent._auto_optimizer, agent._step_metrics, agent.jit_compile = auto, step_metrics, jit
    options = {"steps_per_execution": steps_per_execution, "run_eagerly": run_eagerly}
    agent.execution = execution(agent.execution, **options)
    if isinstance(agent.optimizer, optimizers.RoleOptimizer):
        agent.optimizer.bind({role: part.trainable_variables for role, part in parts.items()})
        if agent.dtype_policy.name == "mixed_float16":
            agent.optimizer.loss_scale_factor = 128.0
    agent.optimizer.build(agent.trainable_variables)
    if restored is not None:
        _keep_state(restored, agent.optimizer)
    # With the optimizer as Keras has it, which may be one around that which was made.
    agent.minimizer = optimizers.Minimizer(parts, agent.optimizer, made.rates, made.modifiers, agent.l2_regularization)
    agent._trainability = Trainability(agent)
    agent.memory.reserve(steps_per_execution)


def _keep_state(restored: Any, optimizer: Any) -> None:
    """Has the optimizer given to `compile` begin with the state of the one that a saver restored."""
    pairs = list(zip(restored.variables, optimizer.variables))
    if len(restored.variables) == len(optimizer.variables) and all(a.shape == b.shape for a, b in pairs):
        for old, new in pairs:
            new.assign(old)
    else:
        warnings.warn(
            "The optimizer given to `compile` is of another kind than that of the checkpoint which the saver restored: "
            "its state begins anew",
            stacklevel=3,
        )
