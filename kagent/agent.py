"""The agent: a Keras model made of parts."""

from __future__ import annotations

from kagent.config import backend  # isort: skip  # noqa: F401  (first: Keras itself may fail to be imported)

import copy
import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
import keras
import numpy as np
import tensorflow as tf

from kagent import environments, optimizers, spaces
from kagent.compat.tensorforce import arguments
from kagent.config import allowed, budget, creation, guidance, limits, part_arguments, run_length
from kagent.config.checks import MOST_ENVS, check_count, check_flag
from kagent.config.registry import check_saves
from kagent.config.signatures import answering
from kagent.exploration import Exploration
from kagent.learning import compilation
from kagent.learning.device import check_device
from kagent.learning.early_estimates import EarlyEstimates
from kagent.learning.learner import Learner
from kagent.learning.minimizer import Minimizer
from kagent.learning.step_metrics import StepMetrics
from kagent.learning.trainability import Trainability
from kagent.memories import Memory
from kagent.memories.storage import free_memory
from kagent.objectives import LearningContext, Objective
from kagent.objectives.term import ROLES
from kagent.parts import AgentParts, Held, Network, Optimizer, Scheduled
from kagent.policies import Role
from kagent.policies import role as roles
from kagent.policies.actor import PolicyActor
from kagent.preprocessing import Layer
from kagent.preprocessing.adapter import Adapter
from kagent.preprocessing.player import Player
from kagent.preprocessing.preprocessing import Preprocessing
from kagent.reward_estimation import RewardEstimation
from kagent.saving import agent_files, compile_config, exporting, older_configs
from kagent.schedules import Clock, Schedule
from kagent.spaces import Structure
from kagent.training import (
    counters,
    evaluator,
    experience,
    fitting,
    interaction,
    own_callbacks,
    pretraining,
    trainer,
    update_cycle,
)
from kagent.training.counters import Counters, TrainingClock
from kagent.training.interaction import InteractionLoop
from kagent.training.occupation import Occupation
from kagent.training.own_callbacks import Counts, OwnCallbacks
from kagent.training.random_streams import RandomStreams, seed_from
from kagent.training.trainer import Trainer
from kagent.training.update_scheduler import UpdateScheduler
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
        max_episode_timesteps: Timesteps at which episodes are truncated, in `fit` and `evaluate`; what `observe` is told
            must keep it too.
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
        optimizer: Optimizer of the policy, and of all roles without their own: a Keras optimizer, a learning rate, or
            a dict `{"type": "Adam", "learning_rate": ..., "global_clipnorm": ...}`; rates may be schedules. A dict
            may also modify its steps (`multi_step`, `subsampling_fraction`, `clipping_threshold`,
            `linesearch_iterations` ...), see `kagent.optimizers.modifiers_of`; such a step is one update.
        critic_optimizer, temperature_optimizer: Optimizers of those roles; None: they share the policy's, and their
            losses are minimized together.
        preprocessing: What is done to observations and rewards between the environment and the agent: layers by name or
            type of the state and for `"reward"`, see `kagent.preprocessing`.
        device: Where variables and the learner live, such as "CPU:0"; None: TensorFlow's choice.
        n_envs: Environments that `fit` makes of an id or a callable. None: 1, or `parallel_interactions`.
        seed: Seed of every random stream of the agent, an integer >= 0; None takes one from Keras's global
            generator, so that `keras.utils.set_random_seed` makes runs equal (it is then found in `agent.seed`).
        name: The model's name.
        **words: Arguments of Tensorforce's agent by their names there (`states`, `actions`, `baseline_policy`,
            `baseline_optimizer`, `baseline_objective`, `variable_noise`, `l2_regularization`, `entropy_regularization`,
            `parallel_interactions`, `buffer_observe`, `execution`, `config`, `saver`, `summarizer`, `recorder`): see
            `kagent.compat.tensorforce.arguments.Words`.

    Attributes:
        timesteps: Environment steps taken in training, over all environments.
        episodes: Episodes finished in training.
        gradient_steps: Gradient steps taken; `updates` is its former name.
        actor: What computes actions, a `kagent.acting.Actor`.
        explorer: What chooses them in training: the exploration, with noise on the policy where that is asked for.
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
        for name, value in kwargs.items():  # before anything walks them that would not end
            limits.check(value, name)
        guidance.check_positions(cls, args, kwargs)
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
        needed = {"objective": objective, "update": update, "reward_estimation": reward_estimation}
        guidance.check_missing(type(self), needed)
        given, options = arguments.translate(
            further,
            {
                "env": env, "observation_space": observation_space, "action_space": action_space, "policy": policy,
                "objective": objective, "memory": memory, "update": update, "reward_estimation": reward_estimation,
                "exploration": exploration, "critic": critic, "critic_objective": critic_objective,
                "temperature": temperature, "target": target, "optimizer": optimizer,
                "critic_optimizer": critic_optimizer, "temperature_optimizer": temperature_optimizer,
                "device": device, "n_envs": n_envs, "seed": seed, "name": name,
            },
        )  # fmt: skip
        super().__init__(name=given["name"] or type(self).__name__.lower())
        self.seed = seed_from(given["seed"])
        self._random, self.counters = RandomStreams(self.seed), Counters()
        self._clock = TrainingClock(self.counters)
        self.parallel_interactions = given["parallel_interactions"]
        self.n_envs = check_count(given["n_envs"], "n_envs", most=MOST_ENVS)
        self.max_episode_timesteps = _limit(max_episode_timesteps)
        self.device = check_device(given["device"])
        self.execution = options
        self._action = Structure(given["action_space"], "action_space")
        raw = Structure(given["observation_space"], "observation_space")
        self._adapter = Adapter(preprocessing, raw, self.parallel_interactions, self._clock.host)
        self._raw_observation, self._observation = self._adapter.raw, self._adapter.observation
        self.parts = AgentParts.make(given, (self.max_episode_timesteps, given["time_limit"]), self.n_envs)
        self.policy, self.critic, self.temperature = self.parts.policy, self.parts.critic, self.parts.temperature
        self.parts.check(self, self._action)
        self.memory.configure(self.update_rule, self.reward_estimation, self._clock.training)
        self.memory.check_room(self._observation, self._action, self.n_envs)  # before networks are made
        check_saves(self.get_config)
        self._scheduler = UpdateScheduler(self.parts, self.counters, self._clock)
        self._interaction = InteractionLoop(self.parallel_interactions, self._raw_observation, self._action)
        self._own_callbacks = OwnCallbacks(further.saver, further.summarizer, further.recorder)
        with tf.device(self.device):
            self.target_networks = self.parts.build(self._observation, self._action, self._random["initialize"])
            for role, (_, network) in self.target_networks.pairs.items():
                setattr(self, f"target_{role}", network)  # by which Keras finds it in files
            self.actor = PolicyActor(self.policy, self._observation, self._action, self.preprocessing is not None)
            self._begin_training_state()
            self.built = True
            self.compile(**options)
        self._files = agent_files.AgentFiles(self)
        self._own_callbacks.restore(self)

    def _begin_training_state(self) -> None:
        self.occupation = Occupation()
        self._open: dict[str, Any] | None = None  # open episodes of the last fit, or of a file
        self._known: dict[str, Any] | None = None  # returns and losses that the last epoch ended with
        self._trainer: Trainer | None = None  # of the running fit
        self.refuses_divergence = True
        self.fit_origin = Counts()
        self._early_estimates = EarlyEstimates()
        self._iterating: tuple[Any, Any] | None = None

    def get_config(self) -> dict[str, Any]:
        """Spaces and parts, JSON-ready; `from_config` is the inverse.

        Where files go (`saver`, `summarizer`, `recorder`) is not in it: that belongs to the machine, not to the agent.
        """
        return {
            "agent": creation.name_of(type(self)),
            "images": older_configs.IMAGES,
            "observation_space": spaces.to_config(self.observation_space),
            "action_space": spaces.to_config(self.action_space),
            **self.parts.serialize(),
            "preprocessing": None if self.preprocessing is None else self.preprocessing.get_config(),
            "max_episode_timesteps": self.max_episode_timesteps,
            "parallel_interactions": self.parallel_interactions,
            "device": self.device,
            "execution": dict(self.execution),
            "n_envs": self.n_envs,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None, **places: Any) -> Agent:
        found = [name for name in creation.PLACES if config.get(name) is not None]
        if found:
            raise ValueError(f"A config says nothing of places on this machine. Received: {found}")
        if "env" in config:  # gymnasium imports the module that an id names; a file may not choose one
            raise ValueError(f"A config holds spaces, never an `env`. Received: env={config['env']!r}")
        allowed.check_settings(config)  # before any of it is made, or copied
        config = older_configs.modernized(copy.deepcopy(config))
        config.pop("agent", None)
        for key in ("observation_space", "action_space"):
            if isinstance(config.get(key), dict):
                config[key] = spaces.from_config(config[key])
        try:
            with budget.of_variables(free_memory(), "no more memory is free"):
                return cls(**config, **places)
        except TypeError as error:
            raise ValueError(str(error)) from error
        except (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, tf.errors.OpError) as error:
            raise ValueError(f"The config makes no agent: {type(error).__name__}: {error}") from error

    @classmethod
    def create(cls, agent: Any = None, environment: Any = None, **overrides: Any) -> Agent:
        """Makes an agent from data.

        Args:
            agent: A name ("ppo", "dqn", "sac" ...), a dict `{"agent": name, **arguments}` (without a name: of this class),
                or the path of a `.json`, `.yaml` or `.yml` file that holds such a dict. Parts in it are names or dicts
                too. What `get_config` gives is such a dict.
            environment: What `env` is to the constructor; None where the data holds the spaces.
            **overrides: Arguments of the constructor; they take the place of those in the data.

        Raises:
            ValueError, TypeError: Unknown names or arguments, with the known ones; an unreadable file; an environment
                in the data.

        Example:

        >>> agent = kagent.Agent.create({"agent": "dqn", "learning_rate": 1e-3}, "CartPole-v1", seed=0)
        """
        return creation.create(cls, agent, environment, overrides)

    @property
    def observation_space(self) -> gymnasium.Space:
        """Space of one environment's observations."""
        return self._raw_observation.space

    @property
    def action_space(self) -> gymnasium.Space:
        """Space of one environment's actions."""
        return self._action.space

    @property
    def processed_space(self) -> gymnasium.Space:
        """Space of one environment's observations after `preprocessing`: what networks and memories get."""
        return self._observation.space

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What is done to observations and rewards between the environment and the agent."""
        return self._adapter.preprocessing

    @property
    def num_action_components(self) -> int:
        """Scalars in one action, over all leaves."""
        return sum(leaf.size for leaf in self._action.leaves)

    # Counters, time, randomness --------------------------------------------------------------------------------

    begin = counters.begin

    @property
    def timesteps(self) -> int:
        """Environment steps taken in training, over all environments."""
        return self.counters.timesteps

    @property
    def episodes(self) -> int:
        """Episodes finished in training."""
        return self.counters.episodes

    @property
    def gradient_steps(self) -> int:
        """Gradient steps taken. Those that an optimizer refused, where nothing else was learned, are none."""
        return self.counters.gradient_steps

    @property
    def updates(self) -> int:
        """`gradient_steps`, by its former name."""
        return self.counters.gradient_steps

    @property
    def clock(self) -> Clock:
        """The time now: tensors inside the learner's program, numbers elsewhere."""
        return self._clock.now()

    @property
    def host_clock(self) -> Clock:
        """The time now, as numbers."""
        return self._clock.host()

    @property
    def program_clock(self) -> Clock | None:
        """The time as tensors, while the learner's program is traced or runs eagerly; None outside."""
        return self._clock.program

    @program_clock.setter
    def program_clock(self, value: Clock | None) -> None:
        self._clock.program = value

    @property
    def progress_target(self) -> run_length.Bounds:
        """Bounds of the running (or last) run in absolute timesteps, episodes and updates; infinite where there is none."""
        return self._clock.bounds

    def next_seed(self) -> int:
        """Seed of the next episode, from the agent's own stream."""
        return self._random.next_seed()

    @property
    def act_generator(self) -> np.random.Generator:
        """The stream that actions are drawn from in training."""
        return self._random["act"]

    def step_seed(self) -> tf.Tensor:
        """Seed `(2,)` for `tf.random.stateless_*` in this gradient step: the same step always draws the same."""
        return self._random.step_seed(self.clock.updates)

    # Training --------------------------------------------------------------------------------------------------

    fit = fitting.fit
    evaluate = evaluator.evaluate
    pretrain = pretraining.pretrain
    train_on_batch = fitting.train_on_batch
    test_on_batch = fitting.test_on_batch
    leave_episodes = trainer.leave_episodes
    _fits_memory = trainer.fits_memory

    # Loops of the user's own ------------------------------------------------------------------------------------

    act = interaction.act
    observe = interaction.observe
    update = interaction.update
    experience = experience.experience

    def player(self) -> Player:
        """Acts through whole episodes one observation at a time, where nothing is to be learned.

        With `preprocessing` that remembers an episode, it takes the place of deterministic acts: `player.reset()` says that
        one begins.
        """
        return Player(self)

    close = own_callbacks.close

    # Learning --------------------------------------------------------------------------------------------------

    _errors: Any = None  # of the samples of the gradient step that runs
    report_errors = update_cycle.report_errors
    take_errors = update_cycle.take_errors
    reschedule = update_cycle.reschedule
    elements = update_cycle.elements
    iterator = update_cycle.iterator
    fresh_iterator = update_cycle.fresh_iterator
    estimate_early = update_cycle.estimate_early
    follow = update_cycle.follow
    learned = update_cycle.learned

    @answering("auto_scale_loss")
    def compile(
        self,
        optimizer: Any = "auto",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        *,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        run_eagerly: bool = False,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`. The constructor has called it already; call it again to change something.

        Args:
            optimizer: A Keras optimizer for all roles, a `kagent.optimizers.RoleOptimizer`, or "auto": those of the agent's
                parts. One that is given is part of the agent from here on: of `get_config`, and of what "auto" means.
            loss, loss_weights, weighted_metrics: Kept for `compute_loss` and `compute_metrics` in a `train_step` of your
                own. kagent's objectives have their own losses: without such a `train_step` they are refused.
            metrics: `keras.metrics.Metric` objects that take a single value, such as `Mean`: each gets, at every gradient
                step, the log of its own name. Or a dict from the names of logs to one or several of them. Results are
                logged under the metrics' names, and speak for the epoch so far. With a `train_step` of your own they are
                for its `compute_metrics`, as in Keras.
            steps_per_execution: Due updates run in one compiled call; the environment steps between them are taken
                first. More is faster, with a policy that is older by so many updates.
            jit_compile: True compiles with XLA, also on CPUs; False runs the same graph unfused. "auto": True, but False on
                CPUs where a gradient step is so large that its matrix products are what it costs: where `batch_size` times
                the number of trained parameters is 2**25 or more (SAC's defaults are). TensorFlow computes products that
                do not depend on each other side by side, one per core; XLA one after the other, each on all cores.
            run_eagerly: Run line by line, for debugging.
            **kwargs: Passed on to Keras (`auto_scale_loss`).

        `get_config` tells the optimizer, `steps_per_execution` and `run_eagerly` of the last call; whether XLA compiles is
        the machine's affair.

        What is `trainable` may be changed at any time, in whole roles or single layers. What is frozen does not move from
        the next `fit` or update on; what is set free again needs `compile`, as its optimizer has no state for it.

        Raises:
            ValueError: `steps_per_execution` is not an integer >= 1; a `keras.optimizers.MultiOptimizer`, whose variables
                are assigned by paths; losses that would not be used; metrics that compare targets with predictions.
            RuntimeError: The agent is in the middle of `fit` or another method.

        Example:

        >>> agent.compile(metrics={"loss": keras.metrics.Mean(name="mean_loss")})
        """
        self.occupation.refuse("compile")
        steps_per_execution = check_count(steps_per_execution, "steps_per_execution", most=compilation.MOST_EXECUTIONS)
        check_flag(run_eagerly, "run_eagerly")
        own = {"loss": loss, "loss_weights": loss_weights, "weighted_metrics": weighted_metrics}
        jit = compilation.suits_xla(jit_compile, self.trainable_variables, self.update_rule) and not run_eagerly
        compilation.check_own(
            own, {"optimizer": optimizer, "metrics": metrics, **own, **kwargs}, self.has_own_train_step
        )
        self.check_room(steps_per_execution)
        step_metrics = StepMetrics(metrics, updated=self.has_own_train_step)
        auto = isinstance(optimizer, str) and optimizer == "auto"
        parts = {role: part for role in ROLES if (part := getattr(self, role)) is not None}
        made = compilation.of_parts(self.parts.optimizers, list(parts)) if auto else compilation.given(optimizer)
        check_saves(lambda: optimizers.serialize(made.optimizer))
        compilation.check_natural_gradients(made.optimizer, list(parts), self.policy)
        if isinstance(made.optimizer, optimizers.RoleOptimizer) or optimizers.takes_own_steps(made.optimizer):
            kwargs["auto_scale_loss"] = False  # Keras can scale dynamically only around a single optimizer
        # The optimizer of an agent whose saver has just restored it begins with the restored state.
        restored = None if self._own_callbacks.counted_from is None else self.optimizer
        super().compile(
            optimizer=made.optimizer,
            metrics=metrics if self.has_own_train_step else None,
            **own,
            steps_per_execution=steps_per_execution,
            jit_compile=jit,
            run_eagerly=run_eagerly,
            **kwargs,
        )
        if not auto:
            self.parts.optimizers = {"policy": made.optimizer, "critic": None, "temperature": None}
        self._auto_optimizer, self.step_metrics, self.jit_compile = auto, step_metrics, jit
        told = {"steps_per_execution": steps_per_execution, "run_eagerly": run_eagerly}
        self.execution = compilation.execution(self.execution, **told)
        if isinstance(self.optimizer, optimizers.RoleOptimizer):
            self.optimizer.bind({role: part.trainable_variables for role, part in parts.items()})
            if self.dtype_policy.name == "mixed_float16":
                self.optimizer.loss_scale_factor = 128.0
        self.optimizer.build(self.trainable_variables)
        if restored is not None:
            own_callbacks.keep_state(restored, self.optimizer)
        # With the optimizer as Keras has it, which may be one around that which was made.
        self.minimizer = Minimizer(parts, self.optimizer, made.rates, made.modifiers, self.l2_regularization)
        self._trainability = Trainability(self)
        self.memory.reserve(steps_per_execution)

    def check_room(self, steps_per_execution: int) -> None:
        """Checks that the memory, and the batches of so many updates, fit into this machine's free memory."""
        drawn = self.update_rule.batch_size * (self.update_rule.steps or 0) * steps_per_execution
        self.memory.check_room(self._observation, self._action, self.n_envs, drawn)

    @property
    def metrics(self) -> list[Any]:
        """As of `keras.Model`, with those of `compile`."""
        return [*super().metrics, *self.step_metrics.all]

    @property
    def learning_context(self) -> LearningContext:
        """What the objective sees of the agent, now."""
        return LearningContext(
            policy=self.policy,
            critic=self.critic,
            temperature=self.temperature,
            target_policy=getattr(self, "target_policy", None),
            target_critic=getattr(self, "target_critic", None),
            reward_estimation=self.reward_estimation,
            critic_objective=self.critic_objective,
            entropy_regularization=self.entropy_regularization,
            num_action_components=self.num_action_components,
            clock=self.clock,
            step_seed=self.step_seed,
            shares_optimizer=self.minimizer.shares_optimizer,
        )

    def minimize(
        self, role: str | tuple[str, ...], loss: Callable[..., tuple[tf.Tensor, dict]], batch: Any = None
    ) -> tuple[Any, dict]:
        """One optimizer step of a role, or of several together, on their own variables only.

        Optimizers may evaluate the loss several times, with other values of the variables and on parts of the batch;
        `kagent.optimizers.modifiers_of` says which do.

        Args:
            role: `"policy"`, `"critic"`, `"temperature"`, or a tuple of them.
            loss: Returns the loss and a dict of other values, from `batch` or, without one, from nothing.
            batch: What it is called with: nested tensors `(B, ...)`, rows of which belong together.

        Returns:
            The loss, regularization included, and the dict, of the whole batch before the step. What is not `trainable`
            stays as it is. Where there is regularization, the dict holds it as `"regularization_loss"`, a critic's as
            `"critic_regularization_loss"`.
        """
        return self.minimizer.minimize(role, loss, batch, self.clock, self.step_seed)

    def make_train_function(self, force: bool = False) -> Any:
        """Keras's seam: `train_function(iterator)` is the compiled learner."""
        if self._trainability.has_changed() or self.train_function is None or force:
            self.train_function: Any = Learner(self, jit=bool(self.jit_compile), eager=bool(self.run_eagerly))
        return self.train_function

    def prepare(self, experience: dict[str, Any]) -> dict[str, Any]:
        """Once per update, before it is cut into minibatches: returns, advantages, old log-probabilities."""
        return self.objective.prepare(self.learning_context, experience)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One gradient step on one minibatch. Override it to learn in your own way.

        Args:
            batch: Transitions `(B, ...)`, of every memory and schedule: `observation`, `action`, `next_observation`,
                `terminated`, `truncated`; `reward`, the discounted sum over the horizon; `discount`, the weight of an estimate
                of `next_observation`, 0 where none is added, as behind a terminal state; `weight`, that of the row in means, 0
                of padding. So a target is `batch["reward"] + batch["discount"] * value`. Of policy gradients there are also
                `return`, `advantage` and `old_log_prob`. A batch that is given by hand may lack `discount` and `weight`.

        Returns:
            Scalars to log.
        """
        return self.objective.update(self, self.completed(batch) if "terminated" in batch else batch)

    def completed(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Transitions `(B, ...)` with `discount` and `weight`, now; see `RewardEstimation.completed`."""
        return self.reward_estimation.completed(batch, self.clock)

    @property
    def gives_errors(self) -> bool:
        """Whether a gradient step gives the errors of its samples, which a prioritized memory draws by.

        It is the objective's word; a class with a `train_step` of its own that calls `report_errors` sets it to True.
        """
        return self.objective.gives_errors

    @property
    def has_own_train_step(self) -> bool:
        """Whether a class derived from kagent's overrides `train_step`."""
        return type(self).train_step is not Agent.train_step

    @property
    def trainable(self) -> bool:
        """Whether it may learn, as of `keras.Model`. If not, nothing in it moves; target networks never learn, and follow
        only an agent that does."""
        return keras.Model.trainable.fget(self)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Model.trainable.fset(self, value)
        for role in self.objective.targets:
            getattr(self, f"target_{role}").trainable = False

    def learn(
        self, batch: Any = None, step: Callable[[dict[str, Any]], dict] | None = None, **others: Any
    ) -> dict[str, Any]:
        """`train_step` (or `step`), then what follows every gradient step. Runs in the learner.

        Raises:
            TypeError: No batch: a call for another library's `learn`.
        """
        guidance.check_learn(batch, others)
        logs = self.step_metrics.take(self.train_step(batch)) if step is None else step(batch)
        if isinstance(self.optimizer, optimizers.RoleOptimizer):
            self.optimizer.iterations.assign_add(1)
        if self.trainable:
            self.target_networks.after_step(self.clock)
        return logs

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.summary`: a line per role; `expand_nested=True` shows the layers inside them too.

        Below it there is a line for every image of the observation: how the networks take it.
        """
        token = roles.EXPANDED.set(True)
        try:
            super().summary(*args, **kwargs)
        finally:
            roles.EXPANDED.reset(token)
        show = kwargs.get("print_fn") or (args[2] if len(args) > 2 else None) or print
        for role, found in self.parts.image_readings().items():
            for name, text in found.items():
                show(f"Image {name!r} of {role}: {text}" if name else f"Image of {role}: {text}")

    # Files -----------------------------------------------------------------------------------------------------

    save = agent_files.save
    save_weights = agent_files.save_weights
    load_weights = agent_files.load_weights
    quantize = agent_files.quantize
    save_own_variables = agent_files.save_own_variables
    load_own_variables = agent_files.load_own_variables
    save_assets = agent_files.save_assets
    load_assets = agent_files.load_assets
    get_compile_config = compile_config.get_compile_config
    compile_from_config = compile_config.compile_from_config

    def set_weights(self, weights: Any) -> None:
        super().set_weights(weights)
        self.actor.expire()

    # Acting ----------------------------------------------------------------------------------------------------

    def call(self, observation: Any) -> Any:
        """Greedy actions for a batch of observations, as the environment takes them.

        Args:
            observation: `(N, ...)`, nested as the observation space; `preprocessing` takes each for an episode's first.

        Returns:
            `(N, ...)`, nested as the action space.
        """
        return self.actions_of(self._adapter.first(self.stored(observation)))

    def stored(self, observation: Any) -> list[tf.Tensor]:
        """A batch of observations as the environment gives them, `(N, ...)`, as leaves in the form that kagent keeps."""
        leaves = []
        for leaf, x in zip(self._raw_observation.leaves, self._raw_observation.flatten(observation)):
            x = tf.convert_to_tensor(x)
            if leaf.start is not None and leaf.start.any():
                x = x - tf.cast(leaf.start, x.dtype)
            leaves.append(tf.cast(x, leaf.stored_dtype))
        return leaves

    def actions_of(self, leaves: list[tf.Tensor]) -> Any:
        """Greedy actions, as the environment takes them, for leaves that preprocessing has gone over."""
        actions = self.policy.joint.to_env(self.policy.greedy(leaves))
        return self._action.unflatten([_as_declared(leaf, a) for leaf, a in zip(self._action.leaves, actions)])

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`: greedy actions for a batch of observations `(N, ...)`. For one: `act`.

        Raises:
            TypeError, ValueError: One observation without a batch's axis, or arguments of another library's `predict`.
        """
        guidance.check_predict(x, kwargs, super().predict, self._raw_observation)
        return super().predict(x, *args, **kwargs)

    def make_predict_function(self, force: bool = False) -> Any:
        """As in Keras; not compiled by XLA where there is preprocessing, which is NumPy."""
        jit = self.jit_compile
        if self.preprocessing is not None:
            self.jit_compile = False
        try:
            return super().make_predict_function(force)
        finally:
            self.jit_compile = jit

    @property
    def raw_structure(self) -> Structure:
        """The observation space's leaves, before preprocessing."""
        return self._raw_observation

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: Any = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Writes the greedy policy, preprocessing included, for programs without kagent: observation in, action out.

        What is written takes a batch of observations `(N, ...)` as the environment gives them, nested as the observation
        space, and gives greedy actions `(N, ...)` as the environment takes them. Masks are respected where the observation
        holds them under "action_mask". Statistics of preprocessing are frozen.

        Args:
            filepath: Where to: a directory for a SavedModel, a name that ends in ".onnx" or ".tflite" for the others.
            format: "tf_saved_model", "onnx" (`pip install 'kagent[onnx]'`) or "litert".
            verbose: As in Keras.
            input_signature: As in Keras; None: observations of any batch size.
            **kwargs: Passed on to Keras: `opset_version` of "onnx", settings of the converter of "litert".

        Raises:
            ValueError: An unknown format, another suffix, a policy without a best action, preprocessing that remembers the
                episode.
            ImportError: A package is missing.
            OSError: The disk cannot take it: full, or read-only. The error names the path and what is free; what was there
                before is as it was.

        Example:

        >>> agent.export("served")
        >>> served = tf.saved_model.load("served")
        >>> actions = served.serve(observations)
        """
        exporting.export(self, filepath, format, verbose, input_signature, kwargs)


# Help shows the arguments of the constructor, in whose place Python would take those of `__new__`.
setattr(Agent.__new__, "__signature__", inspect.signature(Agent.__init__))  # noqa: B010  (mypy knows no such attribute)


def _as_declared(leaf: Any, action: tf.Tensor) -> tf.Tensor:
    # What `Decision.to_env` does in NumPy: a start that is not 0, integers of a Box.
    if leaf.start is not None and leaf.start.any():
        return action + tf.cast(leaf.start, action.dtype)
    return tf.cast(tf.round(action), leaf.dtype) if leaf.kind == "box" and np.dtype(leaf.dtype).kind != "f" else action


def _limit(value: Any) -> int | None:
    return None if value is None else check_count(value, "max_episode_timesteps")
