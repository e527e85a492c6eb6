"""The agent: a Keras model made of parts."""

from __future__ import annotations

from kagent.config import backend  # isort: skip  # noqa: F401  (first: Keras itself may fail to be imported)

from typing import Any

import gymnasium
import keras
import tensorflow as tf

from kagent import arguments, environments, optimizers
from kagent.config import creation, guidance, part_arguments
from kagent.config.checks import MOST_ENVS, check_count, check_count_or_none
from kagent.exploration import Exploration
from kagent.learning import compilation, sample_errors, step_metrics, trainability
from kagent.learning.device import check_device, device_scope
from kagent.memories import Memory
from kagent.objectives import LearningContext, Objective
from kagent.parts import AgentParts, Held, Network, Optimizer, Scheduled, Shown
from kagent.policies import Role, prediction
from kagent.policies.greedy_actions import greedy_actions
from kagent.preprocessing import Layer, Preprocessing, player
from kagent.preprocessing.adapter import Adapter
from kagent.reward_estimation import RewardEstimation
from kagent.saving import agent_config, agent_files, compile_config, exporting
from kagent.schedules import Clock, Schedule
from kagent.spaces import Structure
from kagent.training import evaluator, experience, fitting, interaction, own_callbacks, pretraining, run, update_cycle
from kagent.training.counters import Counters, TrainingClock
from kagent.training.interaction_loop import InteractionLoop
from kagent.training.occupation import Occupation
from kagent.training.random_streams import RandomStreams, seed_from
from kagent.update import Update


@creation.register_agent("agent", "tensorforce", "default")
@guidance.with_guidance
class Agent(keras.Model):
    """Acts in an environment's spaces, remembers, and learns by an objective. Presets give it its parts.

    Every part may be a name, a dict `{"type": name, **arguments}`, or the object.

    Args:
        env: Where the spaces come from: an environment id, a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or a
            callable that returns one. Nothing is stepped.
        observation_space, action_space: The spaces themselves, in place of `env`.
        max_episode_timesteps: Timesteps at which episodes are truncated, in `fit` and `evaluate`; calls of `observe`
            must keep to it, too.
        policy: What decides: `ValuePolicy`, `StochasticPolicy`, `DeterministicPolicy`; "default": the one that the
            objective needs. A list of layers or a Keras model is its network.
        objective: What is learned: `ActionValueObjective`, `ClippedPolicyObjective`, `PolicyGradientObjective`,
            `SoftActorCriticObjective`, `DeterministicPolicyGradientObjective`, `StateValueObjective`, `PlusObjective`.
        memory: Where experience goes: `Replay`, `Recent`, `Rollout`, or an int: a replay memory's capacity. None: what the
            objective needs, as large as it must be. See `kagent.memories.resolve`.
        update: When and from how much it learns: `Update`, or an int: the batch size. Kept as `update_rule`.
        reward_estimation: How rewards to come are summed: `RewardEstimation`.
        exploration: How actions are chosen in training: `EpsilonGreedy`, `Sampling`, `ActionNoise`; or a number, a
            schedule, or a dict of these by action: of a value policy epsilon, else the amount of noise.
        critic: Estimate of values beside the policy, or None: `StateValue`, `SharedStateValue`, `ActionValue`.
        critic_objective: What the critic of a policy gradient learns: `StateValueObjective`; None: what the objective
            says; "advantage": it learns through the advantage in the policy's loss.
        temperature: Weight of entropy, or None: `Temperature`, or a number: its initial value.
        target: How target networks follow: `Target`.
        optimizer: Optimizer of the policy, and of all roles without their own: a Keras optimizer, a learning rate, or a dict
            `{"type": "Adam", "learning_rate": ..., "global_clipnorm": ...}`; rates may be schedules. A dict may also modify its
            steps (`multi_step`, `subsampling_fraction`, `clipping_threshold`, `linesearch_iterations` ...), see
            `kagent.optimizers.modifiers_of`; such a step is one update.
        critic_optimizer, temperature_optimizer: Of those roles; None: they share the policy's, and step together with it.
        preprocessing: Layers that change observations and rewards for the agent, see `kagent.preprocessing`.
        device: Where variables and the learner live, such as "CPU:0"; None: TensorFlow's choice.
        n_envs: Environments that `fit` makes of an id or a callable. None: 1, or `parallel_interactions`.
        seed: Seed of every random stream of the agent, an integer >= 0; None takes one from Keras's global
            generator, so that `keras.utils.set_random_seed` makes runs equal (it is then found in `agent.seed`).
        name: The model's name.
        **words: `states`, `actions`, `baseline_policy`, `baseline_optimizer`, `baseline_objective`, `variable_noise`,
            `l2_regularization`, `entropy_regularization`, `parallel_interactions`, `buffer_observe`, `execution`, `config`,
            `saver`, `summarizer`, `recorder`: Tensorforce's, see `kagent.arguments.Words`.

    Attributes:
        actor: What computes actions, a `kagent.acting.Actor`.
        explorer: The exploration, with noise on the policy where there is `variable_noise`.
        target_policy, target_critic: Target networks, where the objective has them.

    Raises:
        ValueError, TypeError: Parts that do not go together, unsupported spaces, both or none of `env` and spaces.
    """

    further_arguments = arguments.DEFAULTS  # what the constructor takes beside its signature, with defaults

    objective = Held[Objective]("objective")
    memory = Held[Memory]("memory")
    update_rule = Held[Update]("update_rule")
    reward_estimation = Held[RewardEstimation]("reward_estimation")
    exploration = Held[Exploration]("exploration")
    explorer = Held[Any]("explorer")
    target = Held[optimizers.Target]("target")
    critic_objective = Held[Objective | str | None]("critic_objective")
    variable_noise = Held[float | Schedule]("variable_noise")
    l2_regularization = Held[float | Schedule]("l2_regularization")
    entropy_regularization = Held[float | Schedule]("entropy_regularization")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        part_arguments.check_constructor(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        guidance.check_arguments(cls, args, kwargs)
        return super().__new__(cls)

    def __init__(
        self,
        env: environments.Source | None = None,
        *,
        update: Update | int | dict[str, Any] | None = None,
        objective: Objective | str | dict[str, Any] | None = None,
        reward_estimation: RewardEstimation | dict[str, Any] | None = None,
        policy: Role | Network = "default",
        memory: Memory | int | str | dict[str, Any] | None = None,
        exploration: Exploration | Scheduled | str = 0.0,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        critic: Role | Network | None = None,
        critic_objective: Objective | str | dict[str, Any] | None = None,
        temperature: Role | float | str | dict[str, Any] | None = None,
        target: optimizers.Target | dict[str, Any] | None = None,
        optimizer: Optimizer = "adam",
        critic_optimizer: Optimizer | None = None,
        temperature_optimizer: Optimizer | None = None,
        preprocessing: Layer | keras.Layer | str | dict[str, Any] | list[Any] | None = None,
        max_episode_timesteps: int | None = None,
        device: str | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **words: Any,
    ):
        further = arguments.read(type(self), words)
        guidance.check_missing(type(self), objective=objective, update=update, reward_estimation=reward_estimation)
        given, options = arguments.translate(
            further,
            {
                "env": env, "observation_space": observation_space, "action_space": action_space, "policy": policy,
                "objective": objective, "memory": memory, "update": update, "reward_estimation": reward_estimation,
                "exploration": exploration, "critic": critic, "critic_objective": critic_objective,
                "temperature": temperature, "target": target, "optimizer": optimizer,
                "critic_optimizer": critic_optimizer, "temperature_optimizer": temperature_optimizer,
                "device": device, "n_envs": n_envs, "seed": seed, "name": name,
            }, self,
        )  # fmt: skip
        super().__init__(name=given["name"] or type(self).__name__.lower())
        self.seed, self.parallel_interactions = seed_from(given["seed"]), given["parallel_interactions"]
        self._random, self.counters = RandomStreams(self.seed), Counters()
        self._clock = TrainingClock(self.counters, self._random)
        self.n_envs = check_count(given["n_envs"], "n_envs", most=MOST_ENVS)
        self.max_episode_timesteps = check_count_or_none(max_episode_timesteps, "max_episode_timesteps")
        self.device, self.execution = check_device(given["device"]), options
        self._action = Structure(given["action_space"], "action_space")
        raw = Structure(given["observation_space"], "observation_space")
        self._adapter = Adapter(preprocessing, raw, self.parallel_interactions, self._clock.host)
        self._raw_observation, self._observation = self._adapter.raw, self._adapter.observation
        limits = self.max_episode_timesteps, given["time_limit"]
        with device_scope(self.device):
            self.parts = AgentParts.make(given, limits, self.n_envs, self._observation)
        self.policy, self.critic, self.temperature = self.parts.policy, self.parts.critic, self.parts.temperature
        self.parts.check(self, self._action)
        self.memory.configure(self.update_rule, self.reward_estimation, self._clock.training)
        self.parts.check_room(self._observation, self._action, self.n_envs)  # before networks are made
        part_arguments.check_saves_now(self)
        self._update_cycle = update_cycle.UpdateCycle(self.parts, self.counters, self._clock)
        self._run, self._occupation = run.Run(), Occupation()
        self._interaction = InteractionLoop(self.parallel_interactions, self._raw_observation, self._action)
        self._own_callbacks = own_callbacks.OwnCallbacks(further.saver, further.summarizer, further.recorder)
        with device_scope(self.device):
            self.target_networks = self.parts.build(self._observation, self._action, self._random["initialize"])
            for role, (_, network) in self.target_networks.pairs.items():
                setattr(self, f"target_{role}", network)  # by which Keras finds it in files
            self.actor = self.parts.make_actor(self._observation, self._action, self.preprocessing is not None)
            self.built = True
            self._files = agent_files.AgentFiles(self)
            self.compile(**options)
        sample_errors.check_terms(self)
        self._own_callbacks.restore(self)

    get_config = agent_config.get_config
    from_config = classmethod(agent_config.from_config)
    create = classmethod(creation.create)

    # Spaces, progress, time ------------------------------------------------------------------------------------

    observation_space = Shown[gymnasium.Space]("_raw_observation.space", "Space of one environment's observations.")
    action_space = Shown[gymnasium.Space]("_action.space", "Space of one environment's actions.")
    processed_space = Shown[gymnasium.Space]("_observation.space", "Space of observations after `preprocessing`.")
    preprocessing = Shown[Preprocessing | None]("_adapter.preprocessing", "Changes observations and rewards, or None.")
    timesteps = Shown[int]("counters.timesteps", "Environment steps taken in training, over all environments.")
    episodes = Shown[int]("counters.episodes", "Episodes finished in training.")
    gradient_steps = Shown[int]("counters.gradient_steps", "Gradient steps taken, without those an optimizer refused.")
    updates = Shown[int]("counters.gradient_steps", "`gradient_steps`, by its former name.")
    begin = run.begin

    @property
    def clock(self) -> Clock:
        """The time now: tensors inside the learner's program, numbers elsewhere."""
        return self._clock.program or self._clock.host()

    def next_seed(self) -> int:
        """Seed of the next episode, from the agent's own stream."""
        return self._random.next_seed()

    def step_seed(self) -> tf.Tensor:
        """Seed `(2,)` for `tf.random.stateless_*` in this gradient step: the same step always draws the same."""
        return self._random.step_seed(self.clock.updates)

    # Training, and loops of the user's own ---------------------------------------------------------------------

    compile = compilation.compile
    fit = fitting.fit
    evaluate = evaluator.evaluate
    pretrain = pretraining.pretrain
    act = interaction.act
    observe = interaction.observe
    update = interaction.update
    experience = experience.experience
    reschedule = update_cycle.reschedule
    close = own_callbacks.close
    train_on_batch = fitting.train_on_batch
    test_on_batch = fitting.test_on_batch
    minimize = optimizers.minimize
    report_errors = update_cycle.report_errors

    @property
    def learning_context(self) -> LearningContext:
        """What the objective sees of the agent, now."""
        return LearningContext.of(self)

    @property
    def gives_errors(self) -> bool:
        """Whether a gradient step can give the errors of its samples, which a prioritized memory draws by.

        False where the objective has none; a class with a `train_step` of its own that calls `report_errors` sets it to True.
        """
        return self.objective.gives_errors is not False

    def prepare(self, experience: dict[str, Any]) -> dict[str, Any]:
        """Once per update, before it is cut into minibatches: returns, advantages, old log-probabilities."""
        return self.objective.prepare(self.learning_context, experience)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One gradient step on one minibatch. Override it to learn in your own way.

        Args:
            batch: Transitions `(B, ...)`: `observation`, `action`, `next_observation`, `terminated`, `truncated`; `reward`,
                the discounted sum over the horizon; `discount`, the weight of an estimate of `next_observation`, 0 where
                none is added, as behind a terminal state; `weight`, that of the row in means, 0 of padding. So a target is
                `batch["reward"] + batch["discount"] * value`. Policy gradients have `return`, `advantage` and
                `old_log_prob`, too. A batch that is given by hand may lack `discount` and `weight`. Of recurrent networks it is
                sequences `(L, B, ...)`, which `kagent.objectives.sequences.flattened` makes rows of.

        Returns:
            Scalars to log.
        """
        if "terminated" in batch:
            batch = self.reward_estimation.completed(batch, self.clock)
        return self.objective.update(self, batch)

    make_train_function = update_cycle.make_train_function
    metrics = step_metrics.metrics
    trainable = trainability.trainable

    # Greedy actions, and files ---------------------------------------------------------------------------------

    def call(self, observation: Any) -> Any:
        """Greedy actions for a batch of observations, as the environment takes them.

        Args:
            observation: `(N, ...)`, nested as the observation space; `preprocessing` takes each for an episode's first.

        Returns:
            `(N, ...)`, nested as the action space.
        """
        return greedy_actions(self.policy, self._adapter.first(self._adapter.stored(observation)), self._action)

    player = player.player
    predict = prediction.predict
    make_predict_function = prediction.make_predict_function
    summary = prediction.summary
    export = exporting.export
    save = agent_files.save
    save_weights = agent_files.save_weights
    load_weights = agent_files.load_weights
    set_weights = agent_files.set_weights
    quantize = agent_files.quantize
    save_own_variables = agent_files.save_own_variables
    load_own_variables = agent_files.load_own_variables
    save_assets = agent_files.save_assets
    load_assets = agent_files.load_assets
    get_compile_config = compile_config.get_compile_config
    compile_from_config = compile_config.compile_from_config
