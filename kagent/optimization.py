"""Optimizers by role: how an agent is compiled, minimizes losses and moves its targets."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from kagent import ops, optimizers
from kagent.arguments import check_count, check_flag
from kagent.config import allowed
from kagent.mixin import Mixin
from kagent.policies.stochastic import StochasticPolicy
from kagent.schedules import evaluate
from kagent.signatures import answering
from kagent.step_metrics import StepMetrics
from kagent.trainability import Trainability

_MOST_STEPS = 1 << 16  # updates in one compiled call, whose experience is drawn before it
TRAINED = ("policy", "critic", "temperature")
NETWORKS = ("policy", "critic")
# Multiplications of a gradient step per pass, from which on TensorFlow's kernels are faster. Single steps are from fewer on;
# loops of steps are not: of PPO with networks of 256-256 they take 1.8 times as long in batches of 64, 0.93 in such of 256.
_PRODUCTS = 1 << 25
_DEFAULTS = {"steps_per_execution": 1, "run_eagerly": False}
_PREFIXES = {"policy": "", "critic": "critic_", "temperature": "temperature_"}  # of logs


class Optimization(Mixin):
    """The part of an agent that turns losses into steps. A mixin of `Agent`."""

    @answering("auto_scale_loss")
    def compile(
        self,
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
                do not depend on each other side by side, one per core; XLA one after the other, each on all cores.
            run_eagerly: Run line by line, for debugging.
            **kwargs: Passed on to Keras (`auto_scale_loss`).

        `get_config` tells the optimizer, `steps_per_execution` and `run_eagerly` of the last call; whether XLA compiles is
        the machine's affair.

        What is `trainable` may be changed at any time, in whole roles or single layers. What is frozen does not move from
        the next `fit` or update on; what is set free again needs `compile`, as its optimizer has no state for it.

        Raises:
            ValueError: `steps_per_execution` is not an integer >= 1; a `keras.optimizers.MultiOptimizer`, whose variables
                are assigned by paths; losses that would not be used; metrics that compare targets with predictions.
            RuntimeError: The agent is in the middle of `fit` or another method.

        Example:

        >>> agent.compile(metrics={"loss": keras.metrics.Mean(name="mean_loss")})
        """
        self.occupation.refuse("compile")
        steps_per_execution = check_count(steps_per_execution, "steps_per_execution", most=_MOST_STEPS)
        check_flag(run_eagerly, "run_eagerly")
        if not (isinstance(jit_compile, bool) or jit_compile == "auto"):
            raise ValueError(f"`jit_compile` must be 'auto', True or False. Received: {jit_compile!r}")
        own = {"loss": loss, "loss_weights": loss_weights, "weighted_metrics": weighted_metrics}
        settings = {"optimizer": optimizer, "metrics": metrics, **own, **kwargs}
        allowed.check_settings(
            {name: value for name, value in settings.items() if isinstance(value, dict | list | tuple)}
        )
        if not self.has_own_train_step:
            given = [name for name, value in own.items() if value is not None]
            if given:
                raise ValueError(
                    f"`{given[0]}` is for a `train_step` of your own: kagent's objectives have their own losses, and no "
                    f"targets to compare with. Received: {', '.join(f'{name}={own[name]!r}' for name in given)}"
                )
        self._check_room(steps_per_execution)
        step_metrics = StepMetrics(metrics, updated=self.has_own_train_step)
        auto = isinstance(optimizer, str) and optimizer == "auto"
        compiled, rates, modifiers = self._auto_optimizers() if auto else (_given(optimizer), [], {})
        self._check_saves(lambda: optimizers.serialize(compiled))
        self._check_natural_gradients(compiled)
        self._rate_schedules: list[tuple[Any, Any]] = rates
        self._modifiers: dict[str, Any] = modifiers
        jit = bool(self._suits_xla() if jit_compile == "auto" else jit_compile) and not run_eagerly
        if isinstance(compiled, optimizers.RoleOptimizer) or optimizers.takes_own_steps(compiled):
            kwargs["auto_scale_loss"] = False  # Keras can scale dynamically only around a single optimizer
        super().compile(
            optimizer=compiled,
            metrics=metrics if self.has_own_train_step else None,
            **own,
            steps_per_execution=steps_per_execution,
            jit_compile=jit,
            run_eagerly=run_eagerly,
            **kwargs,
        )
        if not auto:
            self._optimizer_parts = MappingProxyType({"policy": compiled, "critic": None, "temperature": None})
        self._auto_optimizer, self.step_metrics = auto, step_metrics
        told = {"steps_per_execution": steps_per_execution, "run_eagerly": run_eagerly}
        changed = {name: value for name, value in told.items() if value != _DEFAULTS[name]}
        self.execution = {name: v for name, v in self.execution.items() if name not in told} | changed
        self.jit_compile = jit
        if isinstance(self.optimizer, optimizers.RoleOptimizer):
            self.optimizer.bind({role: getattr(self, role).trainable_variables for role in self._roles})
            if self.dtype_policy.name == "mixed_float16":
                self.optimizer.loss_scale_factor = 128.0
        self.optimizer.build(self.trainable_variables)
        self._trainability = Trainability(self)
        self.memory.hold(steps_per_execution)

    def _check_room(self, steps_per_execution: int) -> None:
        drawn = self.update_rule.batch_size * (self.update_rule.steps or 0) * steps_per_execution
        self.memory.check_room(self._observation, self._action, self.n_envs, drawn)

    @property
    def metrics(self) -> list[Any]:
        """As of `keras.Model`, with those of `compile`."""
        return [*super().metrics, *self.step_metrics.all]

    def _suits_xla(self) -> bool:
        variables = [variable.value for variable in self.trainable_variables]
        if self.update_rule.unit != "timesteps" or not all("CPU" in variable.device for variable in variables):
            return True  # the length of episodes is not known beforehand
        return sum(math.prod(variable.shape) for variable in variables) * self.update_rule.batch_size < _PRODUCTS

    @property
    def _roles(self) -> list[str]:
        return [role for role in TRAINED if getattr(self, role) is not None]

    def _auto_optimizers(self) -> tuple[Any, list[tuple[Any, Any]], dict[str, Any]]:
        made, rates, modifiers = {}, [], {}
        for role in self._roles:
            part = self._optimizer_parts[role]
            if part is None:
                continue
            made[role], rate = optimizers.get(part, role)
            modifiers[role] = optimizers.modifiers_of(part)
            if rate is not None:
                rates.append((made[role], rate))
        if "policy" not in made:
            raise TypeError("`optimizer` must be a Keras optimizer, a name, a learning rate or a dict. Received: None")
        compiled = made["policy"] if len(made) == 1 else optimizers.RoleOptimizer(**made)
        return compiled, rates, modifiers

    def _check_natural_gradients(self, compiled: Any) -> None:
        for role in self._roles:
            owned = isinstance(compiled, optimizers.RoleOptimizer)
            if not isinstance(compiled.role_map.of(role) if owned else compiled, optimizers.NaturalGradient):
                continue
            if role != "policy":
                raise ValueError(
                    "`optimizer` NaturalGradient is for the policy alone: it measures steps by the KL divergence of "
                    f"policies. Received: it for the {role} too. Give `{role}_optimizer`"
                )
            if not (isinstance(self.policy, StochasticPolicy) or getattr(self.policy, "samples", False)):
                raise ValueError(
                    "`optimizer` NaturalGradient needs a policy to sample from, a StochasticPolicy, or predictions of "
                    "'logits', or 'loc' and 'scale': it measures steps by the KL divergence of policies. "
                    f"Received: {type(self.policy).__name__}"
                )

    def assign_learning_rates(self) -> None:
        """Writes scheduled learning rates into their optimizers. Runs in the learner, once per update."""
        for optimizer, rate in self._rate_schedules:
            optimizer.learning_rate.assign(tf.cast(evaluate(rate, self.clock), tf.float32))

    def minimize(
        self, role: str | tuple[str, ...], loss: Callable[..., tuple[tf.Tensor, dict]], batch: Any = None
    ) -> tuple[Any, dict]:
        """One optimizer step of a role, or of several together, on their own variables only.

        Optimizers may evaluate the loss several times, with other values of the variables and on parts of the batch;
        `kagent.optimizers.modifiers_of` says which do.

        Args:
            role: `"policy"`, `"critic"`, `"temperature"`, or a tuple of them.
            loss: Returns the loss and a dict of other values, from `batch` or, without one, from nothing.
            batch: What it is called with: nested tensors `(B, ...)`, rows of which belong together.

        Returns:
            The loss, regularization included, and the dict, of the whole batch before the step. What is not `trainable`
            stays as it is. Where there is regularization, the dict holds it as `"regularization_loss"`, a critic's as
            `"critic_regularization_loss"`.
        """
        together = (role,) if isinstance(role, str) else role
        trained = [getattr(self, name) for name in together]
        l2 = evaluate(self.l2_regularization, self.clock)

        def regularized(part_of_batch: Any) -> tuple[tf.Tensor, dict]:
            total, values = loss() if part_of_batch is None else loss(part_of_batch)
            counted: set[int] = set()  # a network that two roles share is regularized once
            for name, part in zip(together, trained):
                terms = [tf.cast(penalty, tf.float32) for penalty in part.losses]
                squared = [v for v in part.trainable_variables if name in NETWORKS and id(v) not in counted]
                counted.update(map(id, squared))
                if squared and not (isinstance(l2, float) and l2 == 0.0):
                    terms.append(l2 * tf.add_n([ops.sum_of_squares(variable.value) for variable in squared]))
                if terms:
                    term = tf.add_n(terms)
                    total, values = total + term, {**values, f"{_PREFIXES[name]}regularization_loss": term}
            return total, values

        def problem(names: Sequence[str], seed: Any = None) -> optimizers.Problem:
            variables = _once([v for name in names for v in getattr(self, name).trainable_variables])
            policy = self.policy if tuple(names) == ("policy",) else None
            return optimizers.Problem(regularized, variables, batch, self.clock, seed, policy, states)

        states: Sequence[Any] = ()
        turns = [turn for turn in self._optimizers_of(together) if problem(turn[1]).variables]
        if not turns:  # all of it is frozen
            return problem(together).evaluate()
        if any(self._steps_alone(optimizer, names) for optimizer, names in turns):
            before = []
            # Of all networks: the policy's loss may have the critics draw, too.
            parts = [part for name in NETWORKS if (part := getattr(self, name)) is not None]
            trainable = {id(v) for part in parts for v in part.trainable_variables}
            moved = _once([v for part in parts for v in part.variables if id(v) not in trainable])
            states = optimizers.values_of(moved)
            for optimizer, names in turns:
                seed = tf.random.fold_in(self.step_seed(), 1 + TRAINED.index(names[0]), alg="philox")
                step = optimizers.step_of(optimizer, self._modifiers_of(names))
                before.append(step(problem(names, seed)))
            return before[0]
        whole = problem(together)
        found, gradients = whole.slope(turns[0][0].scale_loss)
        by_variable = dict(zip(map(id, whole.variables), gradients))
        for optimizer, names in turns:
            own = problem(names).variables
            optimizers.apply(optimizer, [by_variable[id(v)] for v in own], own)
        return found

    def _modifiers_of(self, roles: Sequence[str]) -> Any:
        # Those of the optimizer that these roles have together.
        owned = isinstance(self.optimizer, optimizers.RoleOptimizer) and roles[0] in list(self.optimizer.role_map)
        return self._modifiers.get(roles[0] if owned else "policy", ())

    def _steps_alone(self, optimizer: Any, roles: Sequence[str]) -> bool:
        return optimizers.takes_own_steps(optimizer) or bool(self._modifiers_of(roles))

    def shares_optimizer(self, role: str) -> bool:
        """Whether a role has no optimizer of its own beside the policy's."""
        roles = self.optimizer.role_map if isinstance(self.optimizer, optimizers.RoleOptimizer) else None
        return roles is None or roles.of(role) is roles.of("policy")

    def _optimizers_of(self, together: tuple[str, ...]) -> list[tuple[Any, list[str]]]:
        if not isinstance(self.optimizer, optimizers.RoleOptimizer):
            return [(self.optimizer, list(together))]
        grouped: dict[int, tuple[Any, list[str]]] = {}
        for name in together:
            optimizer = self.optimizer.role_map.of(name)
            grouped.setdefault(id(optimizer), (optimizer, []))[1].append(name)
        return list(grouped.values())

    def move_targets(self, updates: Any = None, tau: Any = None) -> None:
        """Moves every target towards its online network, by `tau` (None: as much as it is now); with `updates`, only where
        its period is over."""
        tau = evaluate(self.target.tau, self.clock) if tau is None else tau
        copies = isinstance(tau, numbers.Real) and tau == 1

        def move():
            for role in self.objective.targets:
                online, target = getattr(self, role), getattr(self, f"target_{role}")
                for followed, leader in target.follows(online):
                    # Integers have no way in between.
                    if copies or not keras.backend.is_float_dtype(followed.dtype):
                        followed.assign(leader)
                    else:
                        followed.assign(followed + keras.ops.cast(tau, followed.dtype) * (leader - followed))

        period = self.target.period_at(self.clock)
        if updates is None or (isinstance(period, int) and period == 1):
            move()
        else:
            due = tf.equal(tf.cast(updates, tf.int64) % period, 0)
            tf.cond(due, lambda: (move(), tf.constant(0))[1], lambda: tf.constant(0))


def _given(optimizer: Any) -> Any:
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
    return found


def _once(variables: list[Any]) -> list[Any]:
    """Each of them once: roles may share a network."""
    return list({id(variable): variable for variable in variables}.values())
