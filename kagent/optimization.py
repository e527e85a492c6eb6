"""Optimizers by role: how an agent is compiled, minimizes losses and moves its targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kagent import memories, ops, optimizers
from kagent.mixin import Mixin
from kagent.schedules import evaluate

TRAINED = ("policy", "critic", "temperature")
NETWORKS = ("policy", "critic")


class Optimization(Mixin):
    """The part of an agent that turns losses into steps. A mixin of `Agent`."""

    def compile(
        self,
        optimizer: Any = "auto",
        loss: Any = None,
        *,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        run_eagerly: bool = False,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`. The constructor has called it already; call it again to change something.

        Args:
            optimizer: A Keras optimizer for all roles, a `keras.optimizers.MultiOptimizer` of a
                `kagent.optimizers.RoleMap`, or "auto": those of the agent's parts.
            loss: Kept for `compute_loss` in a `train_step` of your own; kagent's objectives have their own losses.
            steps_per_execution: Due updates run in one compiled call; the environment steps between them are taken
                first. More is faster, with a policy that is older by so many updates.
            jit_compile: "auto" and True compile with XLA, also on CPUs; False runs the same graph unfused.
            run_eagerly: Run line by line, for debugging.
            **kwargs: Passed on to Keras (`metrics`, `auto_scale_loss` ...).

        Raises:
            ValueError: `steps_per_execution` is not an integer >= 1.
        """
        steps_per_execution = memories.memory.check_count(steps_per_execution, "steps_per_execution")
        if jit_compile not in ("auto", True, False):
            raise ValueError(f"`jit_compile` must be 'auto', True or False. Received: {jit_compile!r}")
        self._auto_optimizer = isinstance(optimizer, str) and optimizer == "auto"
        self._rate_schedules: list[tuple[Any, Any]] = []
        compiled = self._auto_optimizers() if self._auto_optimizer else keras.optimizers.get(optimizer)
        jit = bool(jit_compile) and not run_eagerly
        if isinstance(compiled, optimizers.RoleOptimizer):
            kwargs["auto_scale_loss"] = False  # Keras can scale dynamically only around a single optimizer
        super().compile(
            optimizer=compiled,
            loss=loss,
            steps_per_execution=steps_per_execution,
            jit_compile=jit,
            run_eagerly=run_eagerly,
            **kwargs,
        )
        self.jit_compile = jit
        if isinstance(self.optimizer, optimizers.RoleOptimizer):
            self.optimizer.bind({role: getattr(self, role).trainable_variables for role in self._roles})
            if self.dtype_policy.name == "mixed_float16":
                self.optimizer.loss_scale_factor = 128.0
        self.optimizer.build(self.trainable_variables)
        self.memory.hold(steps_per_execution)

    @property
    def _roles(self) -> list[str]:
        return [role for role in TRAINED if getattr(self, role) is not None]

    def _auto_optimizers(self) -> Any:
        made = {}
        for role in self._roles:
            part = self._optimizer_parts[role]
            if part is None:
                continue
            made[role], rate = optimizers.get(part, role)
            if rate is not None:
                self._rate_schedules.append((made[role], rate))
        if len(made) == 1:
            return made["policy"]
        return optimizers.RoleOptimizer(**made)

    def assign_learning_rates(self) -> None:
        """Writes scheduled learning rates into their optimizers. Runs in the learner, once per update."""
        for optimizer, rate in self._rate_schedules:
            optimizer.learning_rate.assign(tf.cast(evaluate(rate, self.clock), tf.float32))

    def minimize(
        self, role: str | tuple[str, ...], loss: Callable[..., tuple[tf.Tensor, dict]], batch: Any = None
    ) -> tuple[Any, dict]:
        """One optimizer step of a role, or of several together, on their own variables only.

        Args:
            role: `"policy"`, `"critic"`, `"temperature"`, or a tuple of them.
            loss: Returns the loss and a dict of other values, from `batch` or, without one, from nothing.
            batch: What it is called with: nested tensors `(B, ...)`, rows of which belong together.

        Returns:
            The loss, regularization included, and the dict.
        """
        together = (role,) if isinstance(role, str) else role
        trained = [getattr(self, name) for name in together]
        variables = [variable for part in trained for variable in part.trainable_variables]
        given = () if batch is None else (batch,)
        optimizers_ = self._optimizers_of(together)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable.value)
            total, values = loss(*given)
            penalties = [penalty for part in trained for penalty in part.losses]
            if penalties:
                total = total + tf.add_n([tf.cast(penalty, tf.float32) for penalty in penalties])
            l2 = evaluate(self.l2_regularization, self.clock)
            squared = [v for name, part in zip(together, trained) if name in NETWORKS for v in part.trainable_variables]
            if squared and not (isinstance(l2, float) and l2 == 0.0):
                total = total + l2 * tf.add_n([ops.sum_of_squares(variable.value) for variable in squared])
            scaled = optimizers_[0][0].scale_loss(total)
        gradients = dict(zip(map(id, variables), tape.gradient(scaled, [v.value for v in variables])))
        for optimizer, names in optimizers_:
            own = [v for name in names for v in getattr(self, name).trainable_variables]
            optimizers.apply(optimizer, [gradients[id(v)] for v in own], own)
        return total, values

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

    def move_targets(self, updates: Any = None) -> None:
        """Moves every target towards its online network; with `updates`, only where its period is over."""

        def move():
            for role in self.objective.targets:
                online, target = getattr(self, role), getattr(self, f"target_{role}")
                for followed, leader in zip(target.variables, online.variables):
                    if self.target.tau == 1:
                        followed.assign(leader)
                    else:
                        followed.assign(followed + self.target.tau * (leader - followed))

        if updates is None or self.target.period == 1:
            move()
        else:
            due = tf.equal(tf.cast(updates, tf.int64) % self.target.period, 0)
            tf.cond(due, lambda: (move(), tf.constant(0))[1], lambda: tf.constant(0))
