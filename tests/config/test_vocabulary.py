"""Names of other libraries: one table for constructors, parts, `fit`, `Agent.create` and the command line."""

import inspect

import keras
import numpy as np
import pytest
from gymnasium.spaces import Discrete

import kagent
from kagent import exploration, memories, networks, objectives, schedules
from kagent.agents import AGENTS
from kagent.cli import algorithms, main, settings
from kagent.cli.errors import CommandError
from kagent.config import module_names, signatures, vocabulary

POLICY = {"network": {"type": "mlp", "units": [4]}, "seed": 0}
# (preset, environment, what other libraries call it, what is said)
ARGUMENTS = [
    ("PPO", "CartPole-v1", "lr", "'learning_rate'"),
    ("PPO", "CartPole-v1", "gamma", "'discount'"),
    ("PPO", "CartPole-v1", "ent_coef", "'entropy_coefficient'"),
    ("PPO", "CartPole-v1", "entropy_coeff", "'entropy_coefficient'"),
    ("PPO", "CartPole-v1", "vf_coef", "'value_coefficient'"),
    ("PPO", "CartPole-v1", "clip_coef", "'clip_range'"),
    ("PPO", "CartPole-v1", "lambda_", "'gae_lambda'"),
    ("PPO", "CartPole-v1", "num_sgd_iter", "'epochs'"),
    ("PPO", "CartPole-v1", "num_envs", "'n_envs'"),
    ("PPO", "CartPole-v1", "num_steps", "'n_steps'"),
    ("DQN", "CartPole-v1", "buffer_size", "'memory'"),
    ("DQN", "CartPole-v1", "learning_starts", "'start'"),
    ("DQN", "CartPole-v1", "train_freq", "'frequency'"),
    ("DQN", "CartPole-v1", "target_update_interval", "'target_update_period'"),
    ("DQN", "CartPole-v1", "exploration_fraction", "'exploration'"),
    ("DQN", "CartPole-v1", "epsilon_greedy", "'exploration'"),
    ("DQN", "CartPole-v1", "estimation_step", "'horizon'"),
    ("DQN", "CartPole-v1", "polyak", "'tau'"),
    ("DQN", "CartPole-v1", "policy_kwargs", "'network'"),
    ("PPO", "CartPole-v1", "norm_reward", "'normalize'"),
    ("DQN", "CartPole-v1", "normalize_obs", "'normalize'"),
    ("PPO", "CartPole-v1", "frame_stack", "'preprocessing'"),
    ("DQN", "CartPole-v1", "memory_capacity", "'memory'"),
    ("DQN", "CartPole-v1", "enable_double_dqn", "'double'"),
    ("PPO", "CartPole-v1", "num_rollout_workers", "n_envs'"),
    ("PPO", "CartPole-v1", "framework", "runs on TensorFlow"),
    ("DQN", "CartPole-v1", "optimize_memory_usage", "each observation of 512 bytes"),
    ("SAC", "Pendulum-v1", "ent_coef", "'temperature'"),
    ("SAC", "Pendulum-v1", "n_critics", "'members'"),
    ("SAC", "Pendulum-v1", "alpha_lr", "'temperature_learning_rate'"),
    ("SAC", "Pendulum-v1", "num_min_qs", "'subset'"),
    ("CrossQ", "Pendulum-v1", "policy_freq", "'policy_delay'"),
    ("TD3", "Pendulum-v1", "target_policy_noise", "'target_noise'"),
    ("TQC", "Pendulum-v1", "n_quantiles", "'quantiles'"),
    ("DPG", "Pendulum-v1", "action_noise", "'exploration'"),
    ("TRPO", "CartPole-v1", "target_kl", "'max_kl'"),
    ("A2C", "CartPole-v1", "vf_coef", "'critic_weight'"),
    ("PPO", "CartPole-v1", "learning_starts", "`start`"),
    ("PPO", "CartPole-v1", "total_timesteps", r"agent\.fit\(env, steps="),
    ("PPO", "CartPole-v1", "verbose", r"agent\.fit\(env, verbose="),
    ("PPO", "CartPole-v1", "env_kwargs", r"lambda: gymnasium\.make"),
    ("PPO", "CartPole-v1", "netwrok", "'network'"),
    ("PPO", "CartPole-v1", "activation_fn", "'network'"),
    ("PPO", "CartPole-v1", "gae", "'gae_lambda'"),
    ("PPO", "CartPole-v1", "tensorboard_log", "'summarizer'"),
    ("PPO", "CartPole-v1", "steps", r"agent\.fit\(env, steps="),
    ("PPO", "CartPole-v1", "step_timeout", r"agent\.fit\(env, step_timeout="),
    ("PPO", "CartPole-v1", "jit_compile", r"(agent\.compile\(jit_compile=|'compile\.jit_compile')"),
    ("PPO", "CartPole-v1", "metrics", r"agent\.compile\(metrics="),
    ("PPO", "CartPole-v1", "greedy", r"agent\.act\(observation, deterministic="),
    ("PPO", "CartPole-v1", "loss", "`objective` takes another one"),
    ("PPO", "CartPole-v1", "reward_scale", '"type": "rescaling"'),
    ("RecurrentPPO", "CartPole-v1", "lstm_hidden_size", r'network=\{"rnn": 64\}'),
    ("RecurrentPPO", "CartPole-v1", "n_lstm_layers", r'network=\{"rnn": 64\}'),
    ("RecurrentPPO", "CartPole-v1", "shared_lstm", 'critic="shared"'),
    ("RecurrentPPO", "CartPole-v1", "max_seq_len", "'sequence_length'"),
    ("IQL", "Pendulum-v1", "beta", "'inverse_temperature'"),
    ("IQL", "Pendulum-v1", "iql_tau", "'expectile'"),
    ("IQL", "Pendulum-v1", "max_advantage", "'max_weight'"),
    ("CQL", "Pendulum-v1", "cql_alpha", "'alpha'"),
    ("CQL", "Pendulum-v1", "min_q_weight", "'alpha'"),
    ("CQL", "Pendulum-v1", "n_action_samples", "'drawn_actions'"),
    ("CQL", "Pendulum-v1", "bc_steps", "'policy_warmup'"),
    ("CQL", "Pendulum-v1", "deterministic_backup", "`backup_entropy`"),
    ("CQL", "Pendulum-v1", "with_lagrange", "kagent.CQL's penalty is fixed"),
    ("BC", "CartPole-v1", "demonstrations", r'agent\.fit\("folder"'),
    ("IQN", "CartPole-v1", "num_quantiles", "'samples'"),
    ("IQN", "CartPole-v1", "quantile_embedding_dim", "'cosines'"),
]


@pytest.mark.parametrize("preset, env, name, said", ARGUMENTS)
def test_constructors_and_settings_say_what_is_meant(preset, env, name, said):
    with pytest.raises(TypeError, match=rf"^{preset} got an unexpected keyword argument '{name}'\..*{said}"):
        getattr(kagent, preset)(env, **{name: 1})
    with pytest.raises(ValueError, match=rf"^{preset} has no argument \['{name}'\]\..*{said}"):
        kagent.Agent.create(preset.lower(), env, **{name: 1})
    if "fit" not in said and "lambda" not in said and name != "num_envs":
        with pytest.raises(CommandError, match=rf"unknown setting. Received: '{name}'.*{said}"):
            settings.resolve(getattr(kagent, preset), {name: 1})


def test_settings_of_fit_and_of_the_number_of_environments():
    for name, own in {
        "total_timesteps": "fit.steps",
        "num_envs": "fit.n_envs",
        "fit.num_episodes": "fit.episodes",
    }.items():
        with pytest.raises(CommandError, match=f"Did you mean '{own}'"):
            settings.resolve(kagent.PPO, settings.parse([f"{name}=3"]))


def test_several_at_once_and_parts_of_dicts():
    with pytest.raises(
        TypeError,
        match=r"DQN got an unexpected keyword argument 'gamma', 'lr'. Did you mean 'discount' for 'gamma', 'lea",
    ):
        kagent.DQN("CartPole-v1", lr=1e-3, gamma=0.9)
    with pytest.raises(
        ValueError, match=r"`memory` Replay has no argument \['buffer_size'\].*Did you mean 'capacity'\?"
    ):
        kagent.DQN("CartPole-v1", memory={"type": "Replay", "buffer_size": 100})
    with pytest.raises(
        ValueError, match=r"EpsilonGreedy has no argument \['exploration_final_eps'\].*Did you mean 'final'"
    ):
        kagent.DQN("CartPole-v1", exploration={"type": "EpsilonGreedy", "exploration_final_eps": 0.1})


def test_classes_of_the_users_own_are_named_and_keep_their_arguments():
    class Mine(kagent.DQN):
        def __init__(self, env=None, *args, **kwargs):
            self.bonus = kwargs.pop("bonus", 1)
            super().__init__(env, **kwargs)

    assert Mine("CartPole-v1", bonus=2, memory=100, **POLICY).bonus == 2
    with pytest.raises(TypeError, match=r"^Mine got an unexpected keyword argument 'gamma'. Did you mean 'discount'"):
        Mine("CartPole-v1", bonus=2, gamma=0.9)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: kagent.PPO("MlpPolicy", "CartPole-v1"), r"PPO\(env, \.\.\.\) takes the environment first.*'MlpPolicy'.*`network`"),
        (lambda: kagent.DQN("CnnPolicy", env="CartPole-v1"), r"DQN\(env.*'CnnPolicy'"),
        (lambda: kagent.DQN(policy="MultiInputPolicy", env="CartPole-v1"), "'MultiInputPolicy'.*`network`"),
        (lambda: kagent.SAC("Pendulum-v1", 3e-4), r"SAC takes `env` by position and all else by name.*0\.0003"),
        (lambda: kagent.Agent("CartPole-v1"), r"Agent needs `objective`, `update`, `reward_estimation`.*kagent\.PPO\("),
        (lambda: kagent.Agent("CartPole-v1", objective="action_value", update=8), "Agent needs `reward_estimation`"),
    ],
)  # fmt: skip
def test_constructors_called_as_those_of_other_libraries(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_methods_of_other_libraries(tmp_path):
    agent = kagent.PPO("CartPole-v1", n_steps=16, batch_size=8, **POLICY)
    for call in (lambda: agent.learn(total_timesteps=10), lambda: agent.learn(10_000), lambda: agent.learn()):
        with pytest.raises(TypeError, match=r"agent\.fit\(env, steps="):
            call()
    for name, instead in {
        "train": "agent.fit",
        "set_env": "agent.fit",
        "get_action": "agent.act",
        "load": "kagent.load",
    }.items():
        assert not hasattr(agent, name)
        with pytest.raises(AttributeError, match=f"PPO has no '{name}': {instead}"):
            getattr(kagent.PPO, name)
    for given, message in {
        "env_kwargs": r"lambda: gymnasium\.make",
        "total_timesteps": "Did you mean 'steps'",
        "callback": "Did you mean 'callbacks'",
        "eval_env": "Did you mean 'validation_env'",
    }.items():
        with pytest.raises(TypeError, match=rf"fit\(env\) does not know \['{given}'\].*{message}"):
            agent.fit("CartPole-v1", **{given: 1})
    for given, own in {"n_eval_episodes": "episodes", "callback": "callbacks", "num_envs": "n_envs"}.items():
        with pytest.raises(
            TypeError, match=rf"evaluate got an unexpected keyword argument '{given}'. Did you mean '{own}'"
        ):
            agent.evaluate("CartPole-v1", **{given: 1})
    assert agent.timesteps == 0
    agent.save(tmp_path / "agent.keras")  # Keras reads every attribute
    assert type(kagent.load(tmp_path / "agent.keras")) is kagent.PPO


def test_arguments_of_methods(tmp_path):
    agent = kagent.DQN("CartPole-v1", memory=100, **POLICY)
    x = np.zeros(4, np.float32)
    calls = {
        ("act", "greedy", "deterministic"): lambda: agent.act(x, greedy=True),
        ("act", "explore", "deterministic"): lambda: agent.act(x, explore=False),
        ("act", "obs", "observation"): lambda: agent.act(obs=x),
        ("act", "action_masks", "mask"): lambda: agent.act(x, action_masks=None),
        ("act", "determinstic", "deterministic"): lambda: agent.act(x, determinstic=True),
        ("observe", "done", "terminated"): lambda: agent.observe(1.0, done=True),
        ("observe", "next_obs", "next_observation"): lambda: agent.observe(reward=1.0, next_obs=x),
        ("begin", "total_timesteps", "steps"): lambda: agent.begin(total_timesteps=10),
        ("compile", "lr", "optimizer"): lambda: agent.compile(lr=1e-3),
        ("compile", "learning_rate", "optimizer"): lambda: agent.compile(learning_rate=1e-3),
        ("compile", "eager", "run_eagerly"): lambda: agent.compile(eager=True),
        ("evaluate", "n_eval_episodes", "episodes"): lambda: agent.evaluate("CartPole-v1", n_eval_episodes=1),
        ("save", "save_buffer", "include_memory"): lambda: agent.save(tmp_path / "a.keras", save_buffer=True),
        ("save", "path", "filepath"): lambda: agent.save(path=tmp_path / "a.keras"),
        ("save_weights", "over_write", "overwrite"): lambda: agent.save_weights(tmp_path / "a.weights.h5", over_write=True),
        ("load_weights", "file", "filepath"): lambda: agent.load_weights(file="a.weights.h5"),
        ("load", "environment", "env"): lambda: kagent.load(tmp_path / "a.keras", environment="CartPole-v1"),
        ("experience", "rewards", "reward"): lambda: agent.experience([x], [0], [1], rewards=[1.0]),
        ("pretrain", "folder", "directory"): lambda: agent.pretrain(folder=tmp_path, num_iterations=1),
    }  # fmt: skip
    for (method, given, own), call in calls.items():
        opposite = ", its opposite" if given == "explore" else ""
        said = (
            rf"^{method} got an unexpected keyword argument '{given}'. Did you mean '{own}'{opposite}\? Known: .*{own}"
        )
        with pytest.raises(TypeError, match=said):
            call()
    advised = {
        "weights_only": r"agent\.save_weights\(",
        "include_optimizer": "every file",
        "zip": "Did you mean 'zipped'",
    }
    for given, said in advised.items():
        with pytest.raises(TypeError, match=rf"^save got an unexpected keyword argument '{given}'\..*{said}"):
            agent.save(tmp_path / "a.keras", **{given: True})
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'observation'"):
        agent.act()  # Python's own words, where no name is wrong
    assert list(tmp_path.iterdir()) == [] and agent.timesteps == 0 and agent.act(x, deterministic=True) in (0, 1)
    assert list(inspect.signature(agent.act).parameters)[:2] == ["observation", "deterministic"]


def test_arguments_of_methods_that_are_overridden():
    class Mine(kagent.DQN):
        def act(self, observation, noise=0.0, **kwargs):
            return super().act(observation, **kwargs)

    agent = Mine("CartPole-v1", memory=100, **POLICY)
    assert agent.act(np.zeros(4, np.float32), noise=1.0, deterministic=True) in (0, 1)
    with pytest.raises(TypeError, match=r"^act got an unexpected keyword argument 'greedy'"):
        agent.act(np.zeros(4, np.float32), greedy=True)


def test_predict_takes_batches():
    agent = kagent.DQN("CartPole-v1", memory=100, **POLICY)
    observations = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    expected = [agent.act(x, deterministic=True) for x in observations]
    assert agent.predict(observations, verbose=0).tolist() == expected
    with pytest.raises(ValueError, match=r"predict takes a batch.*agent\.act\(observation, deterministic=True\)"):
        agent.predict(observations[0])
    with pytest.raises(TypeError, match=r"predict has no argument \['deterministic'\]: agent\.act"):
        agent.predict(observations[0], deterministic=True)
    discrete = kagent.DQN(observation_space=Discrete(5), action_space=Discrete(2), memory=100, **POLICY)
    assert discrete.predict(np.arange(5), verbose=0).shape == (5,)
    with pytest.raises(ValueError, match="predict takes a batch"):
        discrete.predict(3)


def test_parts_and_algorithms_of_other_libraries():
    for call, message in (
        (lambda: kagent.SAC("Pendulum-v1", memory="HerReplayBuffer"), "Did you mean 'Hindsight'"),
        (lambda: kagent.DQN("CartPole-v1", memory="PrioritizedReplayBuffer"), "Did you mean 'Prioritized'"),
        (lambda: kagent.PPO("CartPole-v1", network="lstm"), r'Received: \'lstm\'.*network=\{"rnn": 64\}'),
        (lambda: kagent.Agent.create("R2D2", "CartPole-v1"), r"It is kagent\.DQN\(.*ReplaySequences"),
        (lambda: kagent.Agent.create("redq", "Pendulum-v1"), r"It is kagent\.SAC\(env, members=10"),
        (lambda: algorithms.find("td3-bc-plus"), "unknown algorithm"),
        (lambda: algorithms.find("her"), r"In Python it is kagent\.memories\.Hindsight"),
    ):
        with pytest.raises((ValueError, CommandError), match=message):
            call()
    with pytest.raises(TypeError, match=r"'goal_selection_strategy'\. Did you mean 'strategy'"):
        memories.Hindsight(goal_selection_strategy="future")
    with pytest.raises(AttributeError, match=r"'HerReplayBuffer': it is kagent\.memories\.Hindsight"):
        memories.HerReplayBuffer  # noqa: B018
    shadowed = [name for name in module_names.PLACES if name in kagent.__all__]
    assert shadowed == [], "kagent has these itself"


@pytest.mark.parametrize(
    "part, wrong, own",
    [
        (kagent.RewardEstimation, "gamma", "discount"),
        (kagent.Update, "batch", "batch_size"),
        (kagent.Update, "freq", "frequency"),
        (kagent.EpsilonGreedy, "start", "initial"),
        (kagent.EpsilonGreedy, "end", "final"),
        (kagent.EpsilonGreedy, "epsilon", "final"),
        (exploration.ActionNoise, "std", "amount"),
        (memories.Replay, "size", "capacity"),
        (memories.Prioritized, "buffer_size", "capacity"),
        (networks.MLP, "hidden_sizes", "units"),
        (schedules.Linear, "start", "initial"),
        (objectives.ClippedPolicyObjective, "vf_coef", "value_coefficient"),
    ],
)
def test_parts_say_what_is_meant_as_objects_too(part, wrong, own):
    with pytest.raises(
        TypeError,
        match=rf"{part.__name__} got an unexpected keyword argument '{wrong}'. Did you mean '{own}'\? Known: ",
    ):
        part(**{wrong: 1})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"optimizer": {"type": "adam", "lr": 1e-3}}, r"it has no \['lr'\].*Did you mean 'learning_rate'"),
        ({"optimizer": {"type": "adam", "betas": (0.9, 0.99)}}, "Did you mean 'beta_1'"),
        ({"update": {"batch": 32}}, r"`update` has no argument \['batch'\].*Did you mean 'batch_size'"),
        ({"memory": {"type": "replay", "size": 100}}, "Did you mean 'capacity'"),
        ({"memory": "replay_buffer"}, "Did you mean 'Replay'"),
        ({"memory": {"type": "per"}}, "Did you mean 'Prioritized'"),
        ({"exploration": "boltzmann"}, "Did you mean 'Sampling'"),
        ({"exploration": "ou_noise"}, "Did you mean 'OrnsteinUhlenbeckNoise'"),
        ({"exploration": "epsilon_gredy"}, "Did you mean 'EpsilonGreedy'"),
        ({"network": {"type": "mlp", "hidden_sizes": [4]}}, "Did you mean 'units'"),
        ({"network": [{"type": "dense", "units": 4}]}, "Did you mean 'size'"),
        (
            {"exploration": kagent.EpsilonGreedy},
            r"`exploration` must be .*A class is no object of it: write EpsilonGreedy\(\.\.\.\)",
        ),
        ({"memory": memories.Replay}, r"A class is no object of it: write Replay\(\.\.\.\)"),
        ({"network": [64, 64]}, r'network=\{"type": "mlp", "units": \[64, 64\]\}'),
    ],
)
def test_parts_as_dicts_and_names_say_what_is_meant(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        kagent.DQN(observation_space=Discrete(3), action_space=Discrete(2), **arguments)


def test_names_of_other_libraries_in_modules():
    for module, names in {
        kagent: {
            "DDQN": "kagent.DoubleDQN",
            "load_model": "kagent.load",
            "make": "gymnasium.make",
            "REDQ": "kagent.SAC",
        },
        memories: {"ReplayBuffer": "kagent.memories.Replay"},
        exploration: {"OUNoise": "kagent.exploration.OrnsteinUhlenbeckNoise"},
        networks: {"NatureCNN": "kagent.networks.CNN"},
        schedules: {"LinearSchedule": "kagent.schedules.Linear"},
        kagent.preprocessing: {"VecNormalize": "normalize of the agent"},
        kagent.callbacks: {"EvalCallback": "validation_env of fit"},
    }.items():
        for name, place in names.items():
            with pytest.raises(AttributeError, match=f"no attribute '{name}': it is {place}"):
                getattr(module, name)
    with pytest.raises(
        AttributeError, match=r"'EarlyStopping': Keras's own callbacks.* keras\.callbacks\.EarlyStopping"
    ):
        kagent.callbacks.EarlyStopping  # noqa: B018
    for module in (kagent.callbacks, memories, objectives):
        with pytest.raises(AttributeError, match=r"no attribute 'Unheard'$"):
            module.Unheard  # noqa: B018


def test_environments_that_are_numbers_and_optimizers_that_are_arguments():
    agent = kagent.DQN("CartPole-v1", memory=100, **POLICY)
    for method in (agent.fit, agent.evaluate):
        with pytest.raises(TypeError, match=rf"agent\.{method.__name__}\(env, \.\.\.\). Received: 100"):
            method(100)
    with pytest.raises(ValueError, match=r"`verbose` must be 'auto', 0, 1 or 2\. Received: 'yes'"):
        agent.evaluate("CartPole-v1", verbose="yes")
    for optimizer in (0.1, {"type": "adam", "learning_rate": 0.1}):
        with pytest.raises(TypeError, match=r"argument of the constructor: PPO\(env, optimizer="):
            agent.compile(optimizer=optimizer)


def test_every_own_name_of_the_table_is_an_argument_somewhere():
    known = {name for preset in AGENTS.values() for name in signatures.parameters(preset)} | {"env"}
    for part in (exploration.EpsilonGreedy, memories.Replay):
        known |= {p.name for p in signatures.constructor_parameters(part)}
    for method in ("fit", "compile", "act", "observe", "save", "pretrain"):
        known |= {f"{method}.{name}" for name in inspect.signature(getattr(kagent.Agent, method)).parameters}
    parts = (
        exploration.EpsilonGreedy, exploration.ActionNoise, memories.Replay, networks.MLP, kagent.Update,
        schedules.OrnsteinUhlenbeck, keras.optimizers.Adam, networks.layer_list.LAYERS["dense"],
        kagent.policies.StateDependentNoise, memories.Hindsight,
    )  # fmt: skip
    known |= {f"part.{p.name}" for part in parts for p in signatures.constructor_parameters(part)}
    assert {own for meant in vocabulary._MEANT.values() for own in meant} - known == set()
    # A name that kagent has itself is no other library's, but that of an argument of a part.
    assert not {
        name
        for name in vocabulary._MEANT
        if name in known - {"critic", "critic_network", "baseline_policy", "start", "alpha"}
    }
    for own in vocabulary._PARTS:
        assert any(hasattr(module, own) for module in (exploration, memories, networks))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--lr", "0.1"], "--lr: settings are given as --set learning_rate=VALUE"),
        (["--learning-rate=0.1"], "--learning-rate: settings are given as --set learning_rate=VALUE"),
        (["--total-timesteps", "5"], "--total-timesteps: did you mean --steps"),
        (["--num_envs", "5"], "--num_envs: did you mean --n-envs"),
        (["--stpes", "5"], "--stpes: did you mean --steps? settings are given as --set stpes=VALUE"),
        (["--horizon", "5"], "--horizon: settings are given as --set horizon=VALUE"),
    ],
)
def test_options_of_other_command_lines(arguments, message, capsys):
    assert main(["train", "ppo", "CartPole-v1", *arguments]) == 2
    error = capsys.readouterr().err
    assert (
        error.count("\n") == 1
        and error.startswith("kagent train: error: unrecognized arguments: ")
        and message in error
    )


def test_algorithms_have_the_names_that_agents_have():
    own = {name for name, cls in AGENTS.items() if cls.__module__.startswith("kagent.")}  # other tests register theirs
    trained = own - {"agent", "tensorforce", "default", "constant", "random"}
    assert {name: algorithms.find(name).preset for name in trained} == {name: AGENTS[name].__name__ for name in trained}
    with pytest.raises(
        CommandError, match=r"unknown algorithm. Received: 'dqm'. Known: dqn, ppo.*Did you mean 'dqn'\?"
    ):
        algorithms.find("dqm")
