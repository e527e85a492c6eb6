"""What modifies the steps of an optimizer: each wraps a step into another."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import MOST_ITERATIONS
from kagent.config.registry import Part, Registry
from kagent.distributions.distribution import uniform

if TYPE_CHECKING:
    from kagent.optimizers.minimizer import Found, Problem

Step: TypeAlias = (
    "Callable[[Problem], Found]"  # moves the variables; returns what the problem's `evaluate` would have before
)

MODIFIERS = Registry("optimizer", arguments={"ls_max_iterations": "max_iterations"})
CLIPPING_MODES = ("global_norm", "norm", "value")


class Modifier(Part):
    """Base of the modifiers. One of your own is a frozen dataclass, decorated `@MODIFIERS.register()`.

    Attributes:
        idle: Whether it leaves all steps as they are.
    """

    @property
    def idle(self) -> bool:
        """Whether it leaves all steps as they are."""
        return False

    def wrap(self, step: Step) -> Step:
        """A step made of steps.

        Args:
            step: Moves the variables of a `Problem`; returns its loss and other values before the move.

        Returns:
            A function of the same kind.
        """
        raise NotImplementedError


@MODIFIERS.register()
@dataclasses.dataclass(frozen=True)
class MultiStep(Modifier):
    """Several steps on the same batch in one update. The optimizer's own `iterations` count them all.

    Args:
        num_steps: How many, an integer >= 1. May be a schedule, whose values are rounded.
    """

    num_steps: Any

    def __post_init__(self) -> None:
        _set_count(self, "num_steps", "multi_step", 1)

    @property
    def idle(self) -> bool:
        return bool(self.num_steps == 1.0)

    def wrap(self, step: Step) -> Step:
        def several(problem: Problem) -> Found:
            found = problem.evaluate()
            problem.rewind()
            count = _count(self.num_steps, problem)

            def one(i: Any) -> tuple[Any]:
                step(problem.with_seed(i))
                return (i + 1,)

            tf.while_loop(lambda i: i < count, one, (tf.constant(0),))
            return found

        return several


@MODIFIERS.register()
@dataclasses.dataclass(frozen=True)
class SubsamplingStep(Modifier):
    """Steps on a random part of the batch, drawn anew for each of them, without replacement.

    Rows of weight 0 (padding) are drawn only where there are no others. A loss that takes no batch stays as it is.

    Args:
        fraction: An int: so many rows (all, if the batch has fewer); a float in (0, 1]: so large a part of them, rounded
            down, at least one. May be a schedule of such floats; then rows that are not drawn get the weight 0 in
            `batch["weight"]`, as a compiled program cannot change its shapes.
    """

    fraction: Any

    def __post_init__(self) -> None:
        name, value = "subsampling_fraction", self.fraction
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            if value < 1:
                raise ValueError(f"`optimizer.{name}` must be an integer >= 1 or in (0.0, 1.0]. Received: {value!r}")
            object.__setattr__(self, "fraction", int(value))
            return
        found = schedules.get(value, f"optimizer.{name}", 0.0, 1.0)
        if found == 0.0:
            raise ValueError(f"`optimizer.{name}` must be an integer >= 1 or in (0.0, 1.0]. Received: {value!r}")
        object.__setattr__(self, "fraction", found)

    @property
    def idle(self) -> bool:
        return isinstance(self.fraction, float) and self.fraction == 1.0

    def wrap(self, step: Step) -> Step:
        def partly(problem: Problem) -> Found:
            if problem.batch is None:
                return step(problem)
            found = problem.evaluate()
            step(dataclasses.replace(problem, batch=self.part(problem)))
            return found

        return partly

    def part(self, problem: Problem) -> Any:
        """The part of the batch that the problem's seed draws."""
        batch = problem.batch
        rows = next(x for x in tf.nest.flatten(batch) if x is not None).shape[0]
        weight = batch.get("weight") if isinstance(batch, dict) else None
        keys = uniform((rows,), problem.seed)
        keys = keys if weight is None else tf.where(tf.cast(weight, tf.float32) > 0.0, keys, keys - 1.0)
        if callable(self.fraction):
            if not isinstance(batch, dict):
                raise TypeError(
                    "A schedule as `optimizer.subsampling_fraction` needs a batch that is a dict, with weights. "
                    f"Received: {type(batch).__name__}"
                )
            share = tf.cast(schedules.evaluate(self.fraction, problem.clock), tf.float32)
            count = tf.clip_by_value(tf.cast(tf.floor(share * rows + 1e-4), tf.int32), 1, rows)
            rank = tf.argsort(tf.argsort(keys, direction="DESCENDING"))
            drawn = tf.cast(rank < count, tf.float32)
            return {**batch, "weight": drawn if weight is None else drawn * tf.cast(weight, tf.float32)}
        whole = isinstance(self.fraction, int)
        number = min(self.fraction, rows) if whole else max(1, math.floor(self.fraction * rows + 1e-9))
        if isinstance(batch, dict) and "begins" in batch:  # sequences stay whole: the others weigh nothing
            drawn = tf.cast(tf.argsort(tf.argsort(keys, direction="DESCENDING")) < number, tf.float32)
            return {**batch, "weight": drawn * batch["weight"]}
        drawn = tf.math.top_k(keys, number, sorted=False).indices
        return tf.nest.map_structure(lambda x: None if x is None else tf.gather(x, drawn), batch)


@MODIFIERS.register()
@dataclasses.dataclass(frozen=True)
class ClippingStep(Modifier):
    """Keeps the change that a step makes to the variables small; gradients are clipped by the optimizers themselves.

    Args:
        threshold: The most that is allowed, > 0. May be a schedule.
        mode: Of what: `"global_norm"`, the norm of all changes together; `"norm"`, that of each variable's; `"value"`,
            every entry's size.
    """

    threshold: Any
    mode: str = "global_norm"

    def __post_init__(self) -> None:
        found = schedules.get(self.threshold, "optimizer.clipping_threshold", 0.0)
        if found == 0.0:
            raise ValueError(f"`optimizer.clipping_threshold` must be > 0. Received: {self.threshold!r}")
        object.__setattr__(self, "threshold", found)
        if self.mode not in CLIPPING_MODES:
            raise ValueError(f"`optimizer.clipping_mode` must be one of {CLIPPING_MODES}. Received: {self.mode!r}")

    def wrap(self, step: Step) -> Step:
        def clipped(problem: Problem) -> Found:
            before = problem.snapshot()
            found = step(problem)
            after = problem.snapshot()
            changes = [a - b for a, b in zip(after, before)]
            limited = self.clip(changes, tf.cast(schedules.evaluate(self.threshold, problem.clock), tf.float32))
            # What was not clipped stays to the bit: adding the difference again would round.
            problem.assign(
                [
                    tf.where(limit == change, a, b + tf.cast(limit, b.dtype))
                    for limit, change, a, b in zip(limited, changes, after, before)
                ]
            )
            return found

        return clipped

    def clip(self, changes: list[tf.Tensor], threshold: tf.Tensor) -> list[tf.Tensor]:
        """Changes of the same shapes within the threshold."""
        if self.mode == "value":
            return [tf.clip_by_value(change, -threshold, threshold) for change in changes]
        if self.mode == "norm":
            return [limited for change in changes for limited in ops.clip_by_global_norm([change], threshold)]
        return ops.clip_by_global_norm(changes, threshold)


@MODIFIERS.register("optimizing_step")
@dataclasses.dataclass(frozen=True)
class LinesearchStep(Modifier):
    """Shrinks a step until it makes the loss smaller, and takes it back if none does (backtracking; Nocedal and Wright
    2006, algorithm 3.1, with simple decrease).

    Only variables are taken back: what an optimizer remembers of gradients it goes on remembering.

    Args:
        max_iterations: How often a step may be shrunk, an integer >= 0; 0: steps are left as they are. May be a schedule.
        backtracking_factor: By what a step is multiplied each time, in (0, 1). May be a schedule.
    """

    max_iterations: Any
    backtracking_factor: Any = 0.75

    def __post_init__(self) -> None:
        _set_count(self, "max_iterations", "linesearch_iterations", 0)
        name = "optimizer.linesearch_backtracking"
        factor = schedules.get(self.backtracking_factor, name, 0.0, 1.0)
        if factor in (0.0, 1.0):
            raise ValueError(f"`{name}` must be in (0.0, 1.0), ends excluded. Received: {self.backtracking_factor!r}")
        object.__setattr__(self, "backtracking_factor", factor)

    @property
    def idle(self) -> bool:
        return bool(self.max_iterations == 0.0)

    def wrap(self, step: Step) -> Step:
        def searched(problem: Problem) -> Found:
            before = problem.snapshot()
            found = step(problem)
            after = problem.snapshot()
            most = _count(self.max_iterations, problem)
            factor = tf.cast(schedules.evaluate(self.backtracking_factor, problem.clock), tf.float32)

            def shrink(i: Any, share: Any, _: Any) -> tuple[Any, Any, Any]:
                share = share * factor
                problem.assign([b + tf.cast(share, b.dtype) * (a - b) for a, b in zip(after, before)])
                return i + 1, share, problem.value() < found[0]

            _, _, improved = tf.while_loop(
                lambda i, _, improved: tf.logical_and(i < most, tf.logical_not(improved)),
                shrink,
                (tf.constant(0), tf.constant(1.0), problem.value() < found[0]),
            )
            problem.restore_unless(tf.logical_or(improved, tf.equal(most, 0)), before)
            return found

        return searched


@MODIFIERS.register()
@dataclasses.dataclass(frozen=True)
class DoublecheckStep(Modifier):
    """Takes a step back that did not make the loss smaller. As `LinesearchStep`, only variables are taken back."""

    def wrap(self, step: Step) -> Step:
        def checked(problem: Problem) -> Found:
            before = problem.snapshot()
            found = step(problem)
            problem.restore_unless(problem.value() < found[0], before)
            return found

        return checked


def _set_count(modifier: Any, field: str, name: str, least: int) -> None:
    given = getattr(modifier, field)
    found = schedules.get(given, f"optimizer.{name}", float(least), float(MOST_ITERATIONS))
    if isinstance(found, float) and found != int(found):
        raise ValueError(f"`optimizer.{name}` must be an integer >= {least} or a schedule. Received: {given!r}")
    object.__setattr__(modifier, field, found)


def _count(value: Any, problem: Problem) -> tf.Tensor:
    return tf.cast(tf.round(tf.cast(schedules.evaluate(value, problem.clock), tf.float32)), tf.int32)
