"""Target networks, and how they follow."""

from __future__ import annotations

import numbers
from typing import Any

import keras
import tensorflow as tf

from kagent.optimizers import Target
from kagent.schedules import Clock, evaluate


class TargetNetworks:
    """The target networks of an agent, and when and how far they follow their online networks.

    Args:
        rule: How they follow.

    Attributes:
        pairs: By role the online network and its target.
    """

    def __init__(self, rule: Target):
        self.rule = rule
        self.pairs: dict[str, tuple[Any, Any]] = {}
        self._moves: Any = None  # the compiled move

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def add(self, role: str, online: Any, *made_for: Any) -> Any:
        """Makes the target of a role, equal to its online network, which is set up.

        Args:
            role: The role's name.
            online: Its online network.
            *made_for: What `setup` of the network takes.
        """
        target = online.twin(f"target_{role}")
        target.setup(*made_for)
        target.trainable = False
        target.start_from(online)
        self.pairs[role] = online, target
        return target

    def move(self, clock: Clock, tau: Any = None) -> None:
        """Moves every target towards its online network.

        Args:
            clock: The time now, for schedules.
            tau: How far, 0 to 1; None: as far as the rule says now.
        """
        tau = evaluate(self.rule.tau, clock) if tau is None else tau
        copies = isinstance(tau, numbers.Real) and tau == 1
        for online, target in self.pairs.values():
            for followed, leader in target.follows(online):
                # Integers have no way in between.
                if copies or not keras.backend.is_float_dtype(followed.dtype):
                    followed.assign(leader)
                else:
                    followed.assign(followed + keras.ops.cast(tau, followed.dtype) * (leader - followed))

    def after_step(self, clock: Clock) -> None:
        """Moves them after a gradient step, where their period counts gradient steps and is over. Runs in the learner.

        Args:
            clock: The time before the step.
        """
        if not self.pairs or self.rule.unit != "updates":
            return
        period = self.rule.period_at(clock)
        if isinstance(period, int) and period == 1:
            self.move(clock)
        else:

            def move() -> tf.Tensor:
                self.move(clock)
                return tf.constant(0)

            tf.cond(tf.equal(tf.cast(clock.updates + 1, tf.int64) % period, 0), move, lambda: tf.constant(0))

    def follow(self, clock: Clock, moved: tf.Tensor) -> tf.Tensor:
        """Moves them in a program, where their period counts timesteps and is over.

        Args:
            clock: The time now, as tensors.
            moved: Timesteps at their last move, int64.

        Returns:
            The same, from now on.
        """
        if not self.pairs or self.rule.unit != "timesteps":
            return moved
        timesteps, period = tf.cast(clock.timesteps, tf.int64), self.rule.period_at(clock)
        due = timesteps // period > moved // period

        def move() -> tf.Tensor:
            self.move(clock)
            return tf.constant(0)

        tf.cond(due, move, lambda: tf.constant(0))
        return tf.where(due, timesteps, moved)

    def is_due(self, timesteps: int, moved: int, clock: Clock) -> bool:
        """Whether their period counts timesteps and is over.

        Args:
            timesteps: Timesteps so far.
            moved: Timesteps at their last move.
            clock: The time now, for schedules.
        """
        if not self.pairs or self.rule.unit != "timesteps":
            return False
        period = int(self.rule.period_at(clock) if callable(self.rule.period) else self.rule.period)
        return timesteps // period > moved // period

    def move_now(self, clock: Clock, jit: bool, eager: bool) -> None:
        """Moves them between updates.

        Args:
            clock: The time now, as numbers.
            jit: Whether to compile the move with XLA.
            eager: Whether to run without compilation.
        """
        scheduled = callable(self.rule.tau)
        if self._moves is None:
            move: Any = (lambda tau: self.move(Clock(), tau)) if scheduled else (lambda: self.move(Clock()))
            # Concrete: TensorFlow would take the functions of several agents for one that is traced again and again.
            compiled = tf.function(move, jit_compile=jit, autograph=False)
            given = [tf.TensorSpec((), tf.float32)] if scheduled else []
            self._moves = move if eager else compiled.get_concrete_function(*given)
        if scheduled:
            self._moves(tf.constant(evaluate(self.rule.tau, clock), tf.float32))
        else:
            self._moves()
