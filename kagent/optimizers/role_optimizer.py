"""An optimizer for each role."""

from __future__ import annotations

import copy
from typing import Any

import keras

ROLES = ("policy", "critic", "temperature")  # what an optimizer trains


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
        self._bound: dict[str, list[Any]] = {}

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the policy's optimizer: loggers of other libraries, such as W&B's, read one from every optimizer.

        Those of the roles are `optimizer.role_map.of("critic").learning_rate`. It cannot be set here.
        """
        return self.role_map.default_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        raise AttributeError(
            f"Each role has a learning rate of its own: set optimizer.role_map.of(role).learning_rate. Received: {value!r}"
        )

    def bind(self, roles: dict[str, list[Any]]) -> None:
        """Tells it the variables of each role; the agent does when it is compiled."""
        self.role_map.roles = {}
        self._bound = {role: list(variables) for role, variables in roles.items()}
        for role, variables in self._bound.items():
            for variable in variables:
                self.role_map.roles.setdefault(id(variable), role)

    def build(self, var_list: list[Any]) -> None:
        # Keras gives every variable to one optimizer; a network that two roles share is trained by those of both.
        for role, variables in () if self.built else self._bound.items():
            optimizer = self.role_map.of(role)
            if any(self.role_map(variable) is not optimizer for variable in variables):
                optimizer.build(variables)
        super().build(var_list)

    def get_config(self) -> dict[str, Any]:
        own = {role: keras.optimizers.serialize(self.role_map[role]) for role in list(self.role_map)}
        return {
            "policy": keras.optimizers.serialize(self.role_map.default_optimizer),
            **own,
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RoleOptimizer:
        roles = ("policy", "critic", "temperature")
        config = copy.deepcopy(config)  # Keras writes into it
        made = {role: keras.optimizers.deserialize(config[role]) for role in roles if config.get(role) is not None}
        return cls(**made, loss_scale_factor=config.get("loss_scale_factor"), name=config.get("name"))
