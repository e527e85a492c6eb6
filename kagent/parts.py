"""Parts of an agent: made from arguments, checked together, built, and serialized."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import keras
import numpy as np

from kagent import exploration, memories, networks, objectives, optimizers, reward_estimation, schedules, update
from kagent.config import part_arguments
from kagent.config.registry import Part, plain
from kagent.exploration import Exploration
from kagent.learning.targets import TargetNetworks
from kagent.memories import Memory
from kagent.memories.compatibility import keep_sequences
from kagent.objectives import Objective, critic_objective
from kagent.optimizers import Target
from kagent.policies import Role, critics, deterministic, stochastic, value
from kagent.policies import role as roles
from kagent.policies.actor import PolicyActor
from kagent.policies.unrolled import carried_sizes
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Schedule
from kagent.spaces import Structure
from kagent.update import Update

T = TypeVar("T")
Scheduled: TypeAlias = "float | Schedule | keras.optimizers.schedules.LearningRateSchedule | dict[str, Any]"
"""A number, or a schedule of it."""
Network: TypeAlias = "Part | keras.Layer | str | dict[str, Any] | list[Any]"
"""From observation to features."""
Optimizer: TypeAlias = "keras.optimizers.Optimizer | Scheduled | str"
"""Of one role; a number is Adam's learning rate."""
_CRITIC = ("critic", "critic_optimizer", "critic_objective", "target")
_REGULARIZATION = ("variable_noise", "l2_regularization", "entropy_regularization")


class Held(property, Generic[T]):
    """An attribute of an agent that its parts hold.

    Args:
        name: The attribute of `AgentParts`.
    """

    def __init__(self, name: str):
        super().__init__(attrgetter(f"parts.{name}"), self._assign, doc=f"`{name}` of the agent's `parts`.")
        self.name = name

    def _assign(self, agent: Any, value: T) -> None:
        setattr(agent.parts, self.name, value)

    if TYPE_CHECKING:

        def __get__(self, agent: Any, owner: type | None = None) -> T: ...  # type: ignore[override]
        def __set__(self, agent: Any, value: T) -> None: ...


class Shown(property, Generic[T]):
    """An attribute of an agent that another of its objects holds; read-only.

    Args:
        path: Where it is: the agent's attribute, and that attribute's.
        doc: What it is.
    """

    def __init__(self, path: str, doc: str):
        super().__init__(attrgetter(path), self._refuse, doc=doc)
        self.path = path

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def _refuse(self, agent: Any, value: T) -> None:
        raise AttributeError(f"{type(agent).__name__}.{self.name} is not to be set. Received: {value!r}")

    if TYPE_CHECKING:

        def __get__(self, agent: Any, owner: type | None = None) -> T: ...  # type: ignore[override]
        def __set__(self, agent: Any, value: T) -> None: ...


@dataclasses.dataclass(eq=False)
class AgentParts:
    """What an agent is made of. Policy, critic and temperature are attributes of the agent too: Keras looks there.

    Attributes:
        optimizers: By role, as given: "policy", "critic", "temperature".
        explorer: What chooses actions in training: the exploration, with noise on the policy where there is `variable_noise`
            or the policy has noisy layers.
    """

    objective: Objective
    policy: Role
    update_rule: Update
    reward_estimation: RewardEstimation
    memory: Memory
    exploration: Exploration
    target: Target
    critic: Role | None
    critic_objective: Objective | str | None
    temperature: Role | None
    optimizers: dict[str, Any]
    variable_noise: float | Schedule = 0.0
    l2_regularization: float | Schedule = 0.0
    entropy_regularization: float | Schedule = 0.0

    def __post_init__(self) -> None:
        noisy = self.variable_noise != 0.0
        self.explorer: Any = (
            exploration.WithVariableNoise(self.exploration, self.variable_noise) if noisy else self.exploration
        )
        if callable(getattr(self.policy, "temperature", None)):
            self.explorer = exploration.WithTemperature(self.explorer)

    @classmethod
    def make(
        cls, given: Mapping[str, Any], limits: tuple[int | None, int | None], n_envs: int, observation: Structure
    ) -> AgentParts:
        """The parts of an agent's arguments.

        Args:
            given: The arguments by name: None, names, dicts, numbers or objects.
            observation: What networks see.
            limits: Timesteps at which the agent, and at which its environment cuts episodes off; None: never.
            n_envs: Environments side by side.

        Raises:
            ValueError, TypeError: What is no part, or has arguments outside their range.
        """
        objective = objectives.get(given["objective"])
        estimation = reward_estimation.get(given["reward_estimation"])
        found = critic_objective.complete(
            objective, given["optimizer"], estimation, {name: given[name] for name in _CRITIC}
        )
        objective, estimation = objectives.get(found["objective"]), found["reward_estimation"]
        policy = roles.get(given["policy"], objective.policies, "policy")
        rule = update.get(given["update"])
        horizon = estimation.horizon
        if isinstance(horizon, int) and limits[0] and horizon > limits[0]:
            raise ValueError(
                f"`reward_estimation.horizon` must be at most max_episode_timesteps={limits[0]}. Received: {horizon}"
            )
        memory = "recent" if given["memory"] is None and objective.memory == "Rollout" else given["memory"]
        memory = memories.resolve(memory, rule, estimation, *limits, n_envs)
        sampled, epsilon = isinstance(policy, stochastic.StochasticPolicy), isinstance(policy, value.ValuePolicy)
        needed = objective.critic_for(estimation)
        found["critic"] = critics.chosen(found["critic"], policy, observation)
        made = cls(
            objective=objective,
            policy=policy,
            update_rule=rule,
            reward_estimation=estimation,
            memory=memory,
            exploration=exploration.get(given["exploration"], sample=sampled, epsilon=epsilon),
            target=_target(found["target"]),
            critic=None
            if found["critic"] is None
            else roles.get(found["critic"], (needed,) if needed else (), "critic"),
            critic_objective=critic_objective.get(found["critic_objective"]),
            temperature=_temperature(given["temperature"]),
            optimizers={
                "policy": given["optimizer"],
                "critic": found["critic_optimizer"],
                "temperature": given["temperature_optimizer"],
            },
            **{name: schedules.get(given[name], name, 0.0) for name in _REGULARIZATION},
        )
        if made.entropy_regularization != 0.0 and not sampled:
            raise ValueError(
                "`entropy_regularization` needs a policy with an entropy, a StochasticPolicy. "
                f"Received: {given['entropy_regularization']!r} and {type(policy).__name__}"
            )
        return made

    def check(self, agent: Any, action: Structure) -> None:
        """Looks at all parts together.

        Args:
            agent: The agent that has them.
            action: Its action space.

        Raises:
            ValueError: Parts that do not go together, or not with the spaces.
        """
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
        if self.memory.prioritized and not agent.gives_errors:
            raise ValueError(
                f"`memory` {type(self.memory).__name__} draws by the errors of the samples, and `objective` {kind} gives "
                "none. Allowed: memory='replay', or an objective of action values. A `train_step` of your own gives them by "
                "`self.report_errors(errors)` in a class with `gives_errors = True`"
            )
        objective.check(agent)
        self.memory.check_agent(agent)
        self._check_temperature()
        self._check_target(agent)
        self._check_noise()
        if self.reward_estimation.estimate_horizon == "early" and not objective.estimating:
            raise ValueError(
                f"`reward_estimation.estimate_horizon` must be False, 'late' or None: `objective` {kind} estimates nothing "
                "when experience is stored. Received: 'early'"
            )
        critic_objective.check(self)
        if hasattr(self.exploration, "check"):
            self.exploration.check(action)

    def _check_noise(self) -> None:
        single = isinstance(self.policy, deterministic.DeterministicPolicy)
        if single and type(self.exploration) is exploration.Sampling:
            raise ValueError(
                f"`exploration` Sampling takes actions that the policy samples, and {type(self.policy).__name__} has one for each "
                "observation, so that no other is tried. Allowed: an amount of noise, or 'greedy' to try none. "
                f"Received: {self.exploration}"
            )
        noise = getattr(self.policy, "state_dependent_noise", None)
        if noise is not None and not getattr(self.exploration, "samples", True):
            raise ValueError(
                "`state_dependent_noise` is noise of the policy's own, and `exploration` takes the policy's best actions, without "
                f"it. Received: {noise} and {self.exploration}. Allowed: exploration='sampling', or state_dependent_noise=None"
            )

    def _check_temperature(self) -> None:
        kind, given = type(self.objective).__name__, self.optimizers["temperature"]
        if self.temperature is not None and self.objective.takes_temperature is False:
            raise ValueError(
                f"`temperature` has no place beside `objective` {kind}, which has no weight of entropy of this name. "
                f"Received: {self.temperature.get_part()}. Allowed: None"
            )
        if given is not None and (
            self.temperature is None or getattr(self.objective, "learn_temperature", None) is False
        ):
            why = "there is none" if self.temperature is None else "it is fixed"
            raise ValueError(
                f"`temperature_optimizer` is for a temperature that is learned, and {why}. "
                f"Received: {optimizers.serialize(given)!r}. Allowed: None"
            )

    def _check_target(self, agent: Any) -> None:
        # What a preset says by default of targets that a replaced objective lacks is forgotten.
        if self.objective.targets or self.target == Target():
            return
        written = part_arguments.written(agent)
        goes_in = [name for name, one in part_arguments.declared(type(agent)).items() if one.part == "target"]
        said = [name for name in ("target", *goes_in) if written is None or name in written]
        # Where an argument of the objective decides whether it has them, a `target` is for both.
        chosen = isinstance(getattr(type(self.objective), "targets", None), property)
        if said and not (chosen and said == ["target"]):
            raise ValueError(
                f"`{said[0]}` says how target networks follow, and `objective` {type(self.objective).__name__} has none. "
                f"Received: {self.target}. Leave it out"
            )
        self.target = Target()

    def build(self, observation: Structure, action: Structure, generator: np.random.Generator) -> TargetNetworks:
        """Makes the networks.

        Args:
            observation, action: The spaces.
            generator: Where the seeds of initial weights come from.

        Returns:
            The target networks.
        """
        seeds: Callable[[], int] = lambda: int(generator.integers(2**31 - 1))  # noqa: E731
        mask_leaves = tuple(i for i, leaf in enumerate(observation.leaves) if leaf.path[:1] == ("action_mask",))
        skip = mask_leaves if len(mask_leaves) < len(observation.leaves) else ()
        targets = TargetNetworks(self.target)
        for role, online in (("policy", self.policy), ("critic", self.critic)):
            if online is None:
                continue
            if isinstance(online, critics.StateValue):
                online.follow(self.policy)
            online.setup(observation, action, seeds, skip)
            if role == "policy" and any(networks.holds_noise(model) for model in online.inner_models()):
                self.explorer = exploration.WithNoisyLayers(self.explorer)
            if role in self.objective.targets:
                targets.add(role, online, observation, action, seeds, skip)
        return targets

    def make_actor(self, observation: Structure, action: Structure, preprocessed: bool) -> PolicyActor:
        """Makes the actor, and has the memory keep the states of it that losses need. After `build`.

        Args:
            observation, action: The spaces.
            preprocessed: Whether there is `preprocessing`.

        Raises:
            ValueError: A recurrent network with parts that learn from single timesteps; or `sequence_length` without one.
        """
        actor = PolicyActor(self.policy, observation, action, preprocessed, self.critic)
        self._keep_states(actor)
        return actor

    def _keep_states(self, actor: PolicyActor) -> None:
        self.memory.keep_state(actor.kept_state())
        if self.objective.needs_log_prob and hasattr(self.memory, "keep_log_prob"):
            self.memory.keep_log_prob()
        if self.objective.needs_sequences:
            keep_sequences(self.memory)
        elif not carried_sizes(self.policy, self.critic):
            if (length := getattr(self.memory, "sequence_length", None)) is not None:
                raise ValueError(
                    f"`sequence_length` is for recurrent networks, and there is none. Received: {length}. Allowed: None"
                )
        elif not self.objective.takes_sequences:
            raise ValueError(
                f"`objective` {type(self.objective).__name__} learns from single timesteps, and a recurrent network from sequences "
                "of them. Allowed: the objectives of PPO, IMPALA, A2C, AC, VPG and DQN, or networks without recurrent layers"
            )
        else:
            keep_sequences(self.memory)

    def check_room(self, observation: Structure, action: Structure, num_envs: int, executions: int = 0) -> None:
        """Checks that the memory, and the batches of one call of the learner, fit into this machine's free memory.

        Args:
            observation, action: The spaces.
            num_envs: Environments side by side.
            executions: Updates in one call of the learner.

        Raises:
            ValueError: They do not; with the capacity that would.
        """
        drawn = self.update_rule.batch_size * (self.update_rule.steps or 0) * executions
        self.memory.check_room(observation, action, num_envs, drawn)

    def image_readings(self, way: int | None = None) -> dict[str, dict[str, str]]:
        """How policy and critic take the images of an observation: words by role and by the image's name.

        Args:
            way: How they would with `kagent.networks.Legacy(network, images=way)`; None: as they do.
        """
        found = {role: getattr(getattr(self, role), "model", None) for role in ("policy", "critic")}
        found["critic"] = found["critic"] or next(iter(getattr(self.critic, "models", ())), None)
        readings = {role: networks.images_of(model, way) for role, model in found.items() if model is not None}
        return {role: images for role, images in readings.items() if images}

    def serialize(self) -> dict[str, Any]:
        """The arguments that make these parts, JSON-ready."""
        return {
            "policy": roles.ROLES.serialize(self.policy),
            "objective": objectives.OBJECTIVES.serialize(self.objective),
            "memory": memories.MEMORIES.serialize(self.memory),
            "update": update.UPDATES.serialize(self.update_rule),
            "reward_estimation": reward_estimation.REWARD_ESTIMATIONS.serialize(self.reward_estimation),
            "exploration": exploration.EXPLORATIONS.serialize(self.exploration),
            "critic": None if self.critic is None else roles.ROLES.serialize(self.critic),
            "critic_objective": critic_objective.serialize(self.critic_objective),
            "temperature": None if self.temperature is None else roles.ROLES.serialize(self.temperature),
            "target": optimizers.TARGETS.serialize(self.target),
            "optimizer": optimizers.serialize(self.optimizers["policy"]),
            "critic_optimizer": optimizers.serialize(self.optimizers["critic"]),
            "temperature_optimizer": optimizers.serialize(self.optimizers["temperature"]),
            **{name: plain(getattr(self, name)) for name in _REGULARIZATION},
        }


def _target(given: Any) -> Target:
    given = {"type": "Target", **given} if isinstance(given, dict) else given
    return Target() if given is None else optimizers.TARGETS.get(given, "target")


def _temperature(given: Any) -> Role | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        given = {"type": "Temperature", "initial": given}
    return None if given is None else roles.ROLES.get(given, "temperature", name="temperature")
