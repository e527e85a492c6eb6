"""The natural gradient within a trust region."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from kagent import ops
from kagent.config.checks import MOST_ITERATIONS, check_count, check_flag

if TYPE_CHECKING:
    from kagent.optimizers.minimizer import Found, Problem


@keras.saving.register_keras_serializable("kagent")
class NaturalGradient(keras.optimizers.Optimizer):
    """Steps of a bounded change of the policy: trust region policy optimization (Schulman et al. 2015,
    arXiv:1502.05477, appendix C).

    Where a gradient step is bounded by the length of the gradient, this one is by the mean KL divergence, over the
    batch, of the new policy from the old: `d = (F + damping)^-1 g` is solved for by conjugate gradients on products with
    the KL's second derivative `F` (the Fisher information), and made `sqrt(2 * radius / (d' (F + damping) d))` long.
    From there the step is shrunk until the true KL is within the radius and the loss has become smaller. If no step is
    found it is refused: no weight moves, to the bit, `iterations` do not count it, and neither does `agent.updates` where
    nothing but the policy learns.

    It logs `kl_divergence`, that of the step that was taken (0 of a refused one), and `accepted`, 1 or 0: means over the
    steps of an update.

    It is for the policy, a `StochasticPolicy`, alone; other roles need optimizers of their own.

    Args:
        learning_rate: Radius: the largest mean KL divergence of an update, in nats. Larger learns faster and less
            surely. May be a schedule of Keras's, or in a dict one of kagent's.
        cg_max_iterations: Products with `F`, each of about two gradients' work. More solve more exactly.
        cg_damping: Added to the diagonal of `F`, at least 0. Larger steps more like a plain gradient, and more surely.
        only_positive_updates: Whether steps must make the loss smaller; False: the KL alone decides.
        linesearch_iterations: How often a step may be shrunk.
        linesearch_backtracking: By what it is multiplied each time, in (0, 1).
        override_line_search: Whether the whole step is taken where none is found, beyond the radius or to a larger loss as it
            may be. (None is taken to where the divergence is not finite, or without a gradient.)
        name: The optimizer's name.

    Raises:
        ValueError: An argument outside its range.

    Example:

    >>> agent = kagent.Agent.create("trpo", "CartPole-v1", max_kl=0.01)
    >>> agent.compile(optimizer=kagent.optimizers.RoleOptimizer(
    ...     policy=kagent.optimizers.NaturalGradient(0.02), critic=keras.optimizers.Adam(1e-3, name="critic")))
    """

    may_refuse = True  # tells the learner that `accepted` in its logs counts steps

    def __init__(
        self,
        learning_rate: Any = 0.01,
        cg_max_iterations: int = 10,
        cg_damping: float = 1e-3,
        only_positive_updates: bool = True,
        linesearch_iterations: int = 10,
        linesearch_backtracking: float = 0.75,
        override_line_search: bool = False,
        name: str = "natural_gradient",
    ):
        if isinstance(learning_rate, numbers.Real):
            learning_rate = _number(learning_rate, "learning_rate", "at least 0", lambda x: x >= 0.0)
        super().__init__(learning_rate=learning_rate, name=name)
        self.cg_max_iterations = check_count(cg_max_iterations, "optimizer.cg_max_iterations", most=MOST_ITERATIONS)
        self.cg_damping = _number(cg_damping, "cg_damping", "at least 0", lambda x: x >= 0.0)
        flags = {"only_positive_updates": only_positive_updates, "override_line_search": override_line_search}
        for flag, given in flags.items():
            check_flag(given, f"optimizer.{flag}")
        self.only_positive_updates, self.override_line_search = only_positive_updates, override_line_search
        self.linesearch_iterations: int = check_count(
            linesearch_iterations, "optimizer.linesearch_iterations", 0, MOST_ITERATIONS
        )
        self.linesearch_backtracking: float = _number(
            linesearch_backtracking, "linesearch_backtracking", "in (0.0, 1.0), ends excluded", lambda x: 0.0 < x < 1.0
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        raise ValueError(
            "NaturalGradient steps by the KL divergence of a policy: it trains agents of kagent, not models by "
            "their gradients alone"
        )

    def step(self, problem: Problem) -> Found:
        """One step on a problem, which has a `policy`; returns its loss and other values before it."""
        found, gradients = problem.gradients()
        radius = tf.cast(tf.convert_to_tensor(self.learning_rate), tf.float32)
        divergence = mean_kl(problem)
        variables = [variable.value for variable in problem.variables]
        flat = ops.flatten([tf.zeros_like(v) if g is None else g for g, v in zip(gradients, variables)])
        # The length is set below; a gradient of length 1 leaves room for the squares of its entries in float32.
        size = tf.sqrt(ops.sum_of_squares(flat))
        downhill = tf.where(size > 0.0, -flat / tf.where(size > 0.0, size, 1.0), 0.0)

        def product(vector: tf.Tensor) -> tf.Tensor:
            return fisher_product(divergence, variables, vector) + self.cg_damping * vector

        direction = ops.conjugate_gradient(product, downhill, self.cg_max_iterations)
        length = ops.trust_region_length(tf.reduce_sum(direction * product(direction)), radius)
        change = ops.unflatten(length * direction, variables)
        kept = self._search(problem, found[0], change, divergence, radius)
        self.iterations.assign_add(tf.cast(kept, self.iterations.dtype))
        told = {"kl_divergence": tf.where(kept, divergence(), 0.0), "accepted": tf.cast(kept, tf.float32)}
        return found[0], {**found[1], **told}

    def _search(
        self,
        problem: Problem,
        loss: tf.Tensor,
        change: list[tf.Tensor],
        divergence: Callable[[], tf.Tensor],
        radius: tf.Tensor,
    ) -> tf.Tensor:
        """Moves the variables by the share of the change that is found; returns whether there is one."""
        before = problem.snapshot()

        def at(share: tf.Tensor) -> tf.Tensor:
            problem.assign([b + tf.cast(share * c, b.dtype) for b, c in zip(before, change)])
            return problem.value() if self.only_positive_updates else -share

        accepted, _ = ops.line_search(
            at, 0.0, 1.0,
            max_backtracks=self.linesearch_iterations + 1,
            backtracking=self.linesearch_backtracking,
            before=loss if self.only_positive_updates else 0.0,
            within=lambda share: divergence() <= radius,
        )  # fmt: skip
        if self.override_line_search:
            share = tf.cast(tf.logical_not(accepted), tf.float32)
            now = problem.snapshot()
            whole = [tf.where(accepted, n, b + tf.cast(share * c, b.dtype)) for n, b, c in zip(now, before, change)]
            problem.assign(whole)
            moved = tf.reduce_any([tf.reduce_any(c != 0.0) for c in change])
            accepted = tf.logical_or(accepted, tf.logical_and(moved, tf.math.is_finite(divergence())))
        problem.restore_unless(accepted, before)
        return accepted

    def get_config(self) -> dict[str, Any]:
        base = super().get_config()
        own = (
            "cg_max_iterations",
            "cg_damping",
            "only_positive_updates",
            "linesearch_iterations",
            "linesearch_backtracking",
            "override_line_search",
        )
        return {
            "learning_rate": base["learning_rate"],
            **{name: getattr(self, name) for name in own},
            "name": self.name,
        }


def mean_kl(problem: Problem) -> Callable[[], tf.Tensor]:
    """The KL divergence, mean over the batch, from the policy as it is now to the policy at the time of the call."""
    policy, batch = problem.policy, problem.batch
    masks = batch.get("action_mask")
    if masks is not None:  # a dataset has no place for None: there a leaf without mask has one of width 0
        masks = [None if mask is None or mask.shape[-1] == 0 else mask for mask in masks]
    old = [tf.stop_gradient(head) for head in policy.parameters_of(batch["observation"], masks)]

    def divergence() -> tf.Tensor:
        new = policy.parameters_of(batch["observation"], masks)
        return ops.weighted_mean(policy.joint.kl(old, new), batch.get("weight"))

    return divergence


def fisher_product(divergence: Callable[[], tf.Tensor], variables: list[Any], vector: tf.Tensor) -> tf.Tensor:
    """The second derivative of a divergence times a vector, by two gradients (Pearlmutter 1994).

    Args:
        divergence: Returns a scalar: from what the variables were to what they are. Where these are the same, its second
            derivative is the Fisher information.
        variables: `tf.Variable`s, of n entries together.
        vector: float32 `(n,)`.

    Returns:
        float32 `(n,)`.
    """
    zero = tf.UnconnectedGradients.ZERO
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            for variable in variables:
                outer.watch(variable)
                inner.watch(variable)
            value = divergence()
        slope = ops.flatten(inner.gradient(value, variables, unconnected_gradients=zero))
        along = tf.reduce_sum(slope * vector)
    return ops.flatten(outer.gradient(along, variables, unconnected_gradients=zero))


def _number(value: Any, name: str, allowed: str, right: Callable[[float], bool]) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not right(float(value)):
        raise ValueError(f"`optimizer.{name}` must be a number {allowed}. Received: {value!r}")
    return float(value)
