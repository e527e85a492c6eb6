"""Steps without gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from kagent.config.checks import MOST_ITERATIONS, check_count
from kagent.distributions.distribution import normal

if TYPE_CHECKING:
    from kagent.optimizers.minimizer import Found, Problem


@keras.saving.register_keras_serializable("kagent")
class Evolutionary(keras.optimizers.Optimizer):
    """Random steps, taken where they make the loss smaller and turned round where they make it larger: evolution
    strategies (Rechenberg 1973) with mirrored samples.

    The change is the mean over samples. No gradients are computed, so losses need none.

    Args:
        learning_rate: Standard deviation of each variable's change, in every entry. May be a schedule of Keras's, or in
            a dict one of kagent's.
        num_samples: Steps tried per update; each takes one evaluation of the loss.
        name: The optimizer's name.

    Raises:
        ValueError: An argument outside its range.
    """

    def __init__(self, learning_rate: Any = 1e-3, num_samples: int = 1, name: str = "evolutionary"):
        super().__init__(learning_rate=learning_rate, name=name)
        self.num_samples = check_count(num_samples, "optimizer.num_samples", most=MOST_ITERATIONS)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        raise ValueError(
            "Evolutionary steps by the loss: it trains agents of kagent, not models by their gradients alone"
        )

    def step(self, problem: Problem) -> Found:
        """One step on a problem; returns its loss and other values before it."""
        found = problem.evaluate()
        before = problem.snapshot()
        deviation = tf.cast(tf.convert_to_tensor(self.learning_rate), tf.float32)

        def sample(i: Any, *changes: tf.Tensor) -> tuple[Any, ...]:
            seed = problem.with_seed(i).seed
            steps = [
                tf.cast(deviation * normal(b.shape, tf.random.fold_in(seed, number, alg="philox")), b.dtype)
                for number, b in enumerate(before)
            ]
            problem.assign([b + step for b, step in zip(before, steps)])
            value = problem.value()
            sign = tf.cast(value < found[0], tf.float32) - tf.cast(value > found[0], tf.float32)
            return i + 1, *(c + tf.cast(sign / self.num_samples, c.dtype) * s for c, s in zip(changes, steps))

        start = (tf.constant(0), *(tf.zeros_like(b) for b in before))
        _, *changes = tf.while_loop(lambda i, *_: i < self.num_samples, sample, start)
        problem.assign([b + change for b, change in zip(before, changes)])
        self.iterations.assign_add(1)
        return found

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": super().get_config()["learning_rate"],
            "num_samples": self.num_samples,
            "name": self.name,
        }
