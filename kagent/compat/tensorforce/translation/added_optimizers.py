"""Two optimizers in one, as Tensorforce's `plus` has them."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("kagent")
class AddedOptimizers(keras.optimizers.Optimizer):
    """Both steps of two optimizers, by the same gradient.

    Args:
        first, second: Keras optimizers.
        name: The optimizer's name.

    Its `learning_rate` is the first one's at the beginning, and changes neither; each optimizer has its own.

    Example:

    >>> variable = keras.Variable([1.0])
    >>> both = AddedOptimizers(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.25))
    >>> steps = both.apply([np.array([2.0])], [variable])
    >>> round(float(variable[0]), 4)
    0.3
    """

    def __init__(self, first: Any, second: Any, name: str = "added"):
        super().__init__(learning_rate=float(first.learning_rate), name=name)
        self.first, self.second = first, second

    def build(self, variables: list[Any]) -> None:
        for optimizer in (self.first, self.second):
            if not optimizer.built:
                optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[Any]:
        """Those of both, behind its own."""
        return [*super().variables, *self.first.variables, *self.second.variables]

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        if not self.built and trainable_variables is not None:
            self.build(trainable_variables)
        for optimizer in (self.first, self.second):
            optimizer.apply(grads, trainable_variables)
        return self.iterations.assign_add(1)

    def get_config(self) -> dict[str, Any]:
        return {
            "first": keras.optimizers.serialize(self.first),
            "second": keras.optimizers.serialize(self.second),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> AddedOptimizers:
        parts = {name: keras.optimizers.deserialize(config[name], custom_objects) for name in ("first", "second")}
        return cls(**parts, name=config["name"])
