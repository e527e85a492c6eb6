"""Parts of an agent: how they are made from what is given, checked together, and told again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kagent import exploration, memories, networks, objectives, optimizers, reward_estimation, schedules, spaces, update
from kagent.compat.tensorforce import baselines
from kagent.config import creation
from kagent.config.registry import WithoutConfigurationError, plain
from kagent.mixin import Mixin
from kagent.policies import critics, stochastic, value
from kagent.policies import role as roles
from kagent.saving import older_configs


class Composition(Mixin):
    """The part of an agent that puts it together. A mixin of `Agent`."""

    @property
    def gives_errors(self) -> bool:
        """Whether a gradient step gives the errors of its samples, which a prioritized memory draws by.

        It is the objective's word; a class with a `train_step` of its own that calls `report_errors` sets it to True.
        """
        return self.objective.gives_errors

    def _set_parts(self, policy, objective, memory, update_, estimation, exploration_, target) -> None:
        self.objective = objectives.get(objective)
        self.policy = roles.get(policy, self.objective.policies, "policy")
        self.update_rule = update.get(update_)
        self.reward_estimation = reward_estimation.get(estimation)
        if memory is None and self.objective.memory == "Rollout":
            memory = "recent"
        horizon = self.reward_estimation.horizon
        if isinstance(horizon, int) and self.max_episode_timesteps and horizon > self.max_episode_timesteps:
            raise ValueError(
                "`reward_estimation.horizon` must be at most max_episode_timesteps="
                f"{self.max_episode_timesteps}. Received: {horizon}"
            )
        limits = self.max_episode_timesteps, self._own_limit
        self.memory = memories.resolve(memory, self.update_rule, self.reward_estimation, *limits, self.n_envs)
        sampled = isinstance(self.policy, stochastic.StochasticPolicy)
        epsilon = isinstance(self.policy, value.ValuePolicy)
        self.exploration = exploration.get(exploration_, sample=sampled, epsilon=epsilon)
        target = {"type": "Target", **target} if isinstance(target, dict) else target
        self.target = optimizers.Target() if target is None else optimizers.TARGETS.get(target, "target")

    def _set_roles(self, critic, critic_objective, temperature) -> None:
        needed = self.objective.critic_for(self.reward_estimation)
        allowed = (needed,) if needed else ()
        self.critic = None if critic is None else roles.get(critic, allowed, "critic")
        self.critic_objective = baselines.objective_of(critic_objective)
        if isinstance(temperature, int | float) and not isinstance(temperature, bool):
            temperature = {"type": "Temperature", "initial": temperature}
        found = None if temperature is None else roles.ROLES.get(temperature, "temperature", name="temperature")
        self.temperature = found

    def _set_regularization(self, variable_noise: Any, l2: Any, entropy: Any) -> None:
        self.variable_noise = schedules.get(variable_noise, "variable_noise", 0.0)
        self.l2_regularization = schedules.get(l2, "l2_regularization", 0.0)
        self.entropy_regularization = schedules.get(entropy, "entropy_regularization", 0.0)
        if self.entropy_regularization != 0.0 and not isinstance(self.policy, stochastic.StochasticPolicy):
            raise ValueError(
                "`entropy_regularization` needs a policy with an entropy, a StochasticPolicy. "
                f"Received: {entropy!r} and {type(self.policy).__name__}"
            )
        noisy = self.variable_noise != 0.0
        self.explorer = (
            exploration.WithVariableNoise(self.exploration, self.variable_noise) if noisy else self.exploration
        )
        if callable(getattr(self.policy, "temperature", None)):
            self.explorer = exploration.WithTemperature(self.explorer)

    def _check_parts(self) -> None:
        objective = self.objective
        kind = type(objective).__name__
        critic = objective.critic_for(self.reward_estimation)
        for role, part, allowed in (
            ("policy", self.policy, objective.policies),
            ("memory", self.memory, (objective.memory,)),
            ("critic", self.critic, (critic,) if critic else ()),
        ):
            names = [*(cls.__name__ for cls in type(part).__mro__), *getattr(part, "substitutes", ())]
            if part is None and (not allowed or (role == "critic" and objective.critic_optional)):
                continue
            if not set(names) & set(allowed):
                expected = " or ".join(allowed) or "None"
                raise ValueError(f"`objective` {kind} needs {role}={expected}. Received: {type(part).__name__}")
        if self.memory.prioritized and not self.gives_errors:
            raise ValueError(
                f"`memory` {type(self.memory).__name__} draws by the errors of the samples, and `objective` {kind} gives "
                "none. Allowed: memory='replay', or an objective of action values. A `train_step` of your own gives them by "
                "`self.report_errors(errors)` in a class with `gives_errors = True`"
            )
        objective.check(self)
        if self.reward_estimation.estimate_horizon == "early" and not objective.estimating:
            raise ValueError(
                f"`reward_estimation.estimate_horizon` must be False, 'late' or None: `objective` {kind} estimates nothing "
                "when experience is stored. Received: 'early'"
            )
        baselines.check(self)
        if hasattr(self.exploration, "check"):
            self.exploration.check(self._action)
        self.memory.configure(self.update_rule, self.reward_estimation, lambda: self.training_clock)
        self.memory.check_room(self._observation, self._action, self.n_envs)  # before networks are made

    def _check_saves(self, tell: Callable[[], Any]) -> None:
        # Now, not after the training.
        try:
            tell()
        except WithoutConfigurationError:
            return
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                f"The agent could not be saved. A class of your own needs the decorator "
                f"@keras.saving.register_keras_serializable() and, if it is one of Keras's kinds, a get_config: {error}"
            ) from error

    def _setup_roles(self) -> None:
        generator = self._streams["initialize"]
        seeds: Callable[[], int] = lambda: int(generator.integers(2**31 - 1))  # noqa: E731
        mask_leaves = tuple(i for i, leaf in enumerate(self._observation.leaves) if leaf.path[:1] == ("action_mask",))
        skip = mask_leaves if len(mask_leaves) < len(self._observation.leaves) else ()
        for role in ("policy", "critic"):
            online = getattr(self, role)
            if online is None:
                continue
            if isinstance(online, critics.SharedStateValue):
                online.share(self.policy)
            online.setup(self._observation, self._action, seeds, skip)
            if role in self.objective.targets:
                target = online.twin(f"target_{role}")
                target.setup(self._observation, self._action, seeds, skip)
                target.trainable = False
                target.start_from(online)
                setattr(self, f"target_{role}", target)

    def image_readings(self, legacy: bool = False) -> dict[str, dict[str, str]]:
        """How policy and critic take the images of an observation: words by role and by the image's name.

        Args:
            legacy: How they would with `kagent.networks.Legacy`.
        """
        found = {role: getattr(getattr(self, role), "model", None) for role in ("policy", "critic")}
        found["critic"] = found["critic"] or next(iter(getattr(self.critic, "models", ())), None)
        readings = {role: networks.images_of(model, legacy) for role, model in found.items() if model is not None}
        return {role: images for role, images in readings.items() if images}

    def get_config(self) -> dict[str, Any]:
        """Spaces and parts, JSON-ready; `from_config` is the inverse.

        Where files go (`saver`, `summarizer`, `recorder`) is not in it: that belongs to the machine, not to the agent.
        """
        parts = {
            "policy": roles.ROLES.serialize(self.policy),
            "objective": objectives.OBJECTIVES.serialize(self.objective),
            "memory": memories.MEMORIES.serialize(self.memory),
            "update": update.UPDATES.serialize(self.update_rule),
            "reward_estimation": reward_estimation.REWARD_ESTIMATIONS.serialize(self.reward_estimation),
            "exploration": exploration.EXPLORATIONS.serialize(self.exploration),
            "critic": None if self.critic is None else roles.ROLES.serialize(self.critic),
            "critic_objective": baselines.serialize(self.critic_objective),
            "temperature": None if self.temperature is None else roles.ROLES.serialize(self.temperature),
            "target": optimizers.TARGETS.serialize(self.target),
            "optimizer": optimizers.serialize(self._optimizer_parts["policy"]),
            "critic_optimizer": optimizers.serialize(self._optimizer_parts["critic"]),
            "temperature_optimizer": optimizers.serialize(self._optimizer_parts["temperature"]),
        }
        return {
            "agent": creation.name_of(type(self)),
            "images": older_configs.IMAGES,
            "observation_space": spaces.to_config(self.observation_space),
            "action_space": spaces.to_config(self.action_space),
            **parts,
            "preprocessing": None if self.preprocessing is None else self.preprocessing.get_config(),
            "variable_noise": plain(self.variable_noise),
            "l2_regularization": plain(self.l2_regularization),
            "entropy_regularization": plain(self.entropy_regularization),
            "max_episode_timesteps": self.max_episode_timesteps,
            "parallel_interactions": self.parallel_interactions,
            "device": self.device,
            "execution": dict(self.execution),
            "n_envs": self.n_envs,
            "seed": self.seed,
            "name": self.name,
        }
