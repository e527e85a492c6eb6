"""Files: everything an agent is comes back, bit by bit, and goes on as it would have."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
import warnings
import zipfile

import gymnasium
import h5py
import keras
import numpy as np
import pytest
from agent_states import differences, open_lengths, state_of
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_envs import Counter, Identity
from variants import with_few

import kagent
from kagent.memories import storage
from kagent.saving import entries as saved_entries

pytestmark = pytest.mark.eager(seldom=True)

KINDS = ("dqn", "ppo", "sac")
ENVS = {"dqn": "CartPole-v1", "ppo": "CartPole-v1", "sac": "Pendulum-v1"}
GRAPH = {"run_eagerly": False}


@pytest.fixture(autouse=True)
def no_warnings():
    """P19: where an optimizer's state does not fit, Keras warns and goes on. Here it may not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def load(path):
    agent = kagent.load(path)
    agent.jit_compile = False  # as `small` compiles; not kept in files, and bits may differ
    return agent


@pytest.fixture
def trained(small):
    """An agent after some steps, in the middle of an episode and, with PPO, of a rollout."""

    def make(kind, steps=24, **changes):
        agent = small(kind, **changes)
        agent.fit(ENVS[kind], steps=steps, verbose=0)
        assert agent.updates and all(0 < n for n in open_lengths(agent))
        return agent

    return make


def entries(path):
    """What a `.keras` or `.weights.h5` file says, without dates."""
    found = {}
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            found = {"config": config, "names": sorted(archive.namelist())}
            path = archive.extract("model.weights.h5", path.with_suffix(".out"))
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
    return found


# Whole agents ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "compiled"),
    [
        *((kind, None) for kind in KINDS),
        ("dqn", GRAPH),
        *(pytest.param(kind, GRAPH, marks=pytest.mark.thorough) for kind in ("ppo", "sac")),
    ],
)
def test_everything_comes_back_from_both_files_and_goes_on_bit_by_bit(kind, compiled, small, trained, tmp_path):
    agent = trained(kind, compiled=compiled)
    agent.save(tmp_path / "whole.keras", include_memory=True)
    agent.save_weights(tmp_path / "whole.weights.h5")
    before = state_of(agent)
    loaded, resumed = load(tmp_path / "whole.keras"), small(kind, seed=99, compiled=compiled)
    assert differences(state_of(resumed), before)
    resumed.load_weights(tmp_path / "whole.weights.h5")
    for other in (loaded, resumed):
        assert differences(state_of(other), before) == []
        assert other.optimizer.iterations == agent.optimizer.iterations
    assert json.dumps(loaded.get_config()) == json.dumps(agent.get_config())
    for each in (agent, loaded, resumed):
        each.fit(ENVS[kind], steps=16, verbose=0)
    after = state_of(agent)
    assert len(differences(before, after)) > 10 and agent.timesteps == 40
    assert differences(state_of(loaded), after) == differences(state_of(resumed), after) == []


@pytest.mark.parametrize("kind", with_few(KINDS, ("dqn", "ppo")))
def test_two_saves_of_one_state_are_equal(kind, trained, tmp_path):
    agent = trained(kind)
    for name in ("a.keras", "b.keras", "a.weights.h5", "b.weights.h5"):
        agent.save(tmp_path / name, include_memory=True) if "keras" in name else agent.save_weights(tmp_path / name)
    load(tmp_path / "a.keras").save(tmp_path / "c.keras", include_memory=True)
    assert entries(tmp_path / "a.keras") == entries(tmp_path / "b.keras") == entries(tmp_path / "c.keras")
    assert entries(tmp_path / "a.weights.h5") == entries(tmp_path / "b.weights.h5")


def test_an_agent_that_was_never_trained_comes_back(small, tmp_path):
    agent = small("sac")
    agent.save(tmp_path / "new.keras")
    assert differences(state_of(load(tmp_path / "new.keras")), state_of(agent)) == []


def test_acting_goes_on_too(trained, tmp_path):
    # Exploration knows how far the run was: 5 of 100 actions are random, not all.
    agent = trained("dqn", exploration={"type": "EpsilonGreedy", "final": 0.0, "fraction": 0.5})
    agent.save(tmp_path / "a.keras")
    loaded = load(tmp_path / "a.keras")
    random = np.random.default_rng(0)
    observations = random.uniform(-0.05, 0.05, (60, 4)).astype(np.float32)
    for observation in observations:
        explored = [
            one.explorer.decide(one.actor, *one.actor.read(observation), one.clock, one._random["act"])[0].item()
            for one in (agent, loaded)
        ]
        assert explored == [agent.act(observation, deterministic=True)] * 2
    assert (agent.predict(observations, verbose=0) == loaded.predict(observations, verbose=0)).all()


def test_a_loop_of_ones_own_goes_on_too(small, tmp_path):
    env = Counter(lengths=(7,))
    agent = small("dqn", env=env, start=8)
    agent.begin(steps=60)

    def run(agents, steps):
        observation = np.zeros(3, np.float32)
        for step in range(steps):
            actions = [each.act(observation) for each in agents]
            assert len(set(actions)) == 1
            observation = np.array([0, step, step % 3], np.float32)
            for each in agents:
                each.observe(step % 5, step % 7 == 0, False, observation)

    run([agent], 20)
    agent.save_weights(tmp_path / "a.weights.h5")
    agent.save(tmp_path / "a.keras", include_memory=True)
    loaded = load(tmp_path / "a.keras")
    run([agent, loaded], 20)
    assert differences(state_of(agent), state_of(loaded)) == []
    agent.load_weights(tmp_path / "a.weights.h5")  # in the middle: what it learns from now is what the file held
    again = load(tmp_path / "a.keras")
    run([agent, again], 20)
    assert differences(state_of(agent), state_of(again)) == []


def test_a_loop_of_ones_own_draws_by_the_seed_of_the_file(small, tmp_path):
    env, observation = Counter(), np.zeros(3, np.float32)
    agents = [small("dqn", env=env, start=8, exploration=1.0, seed=seed) for seed in (0, 1)]

    def run(agents):
        for step in range(20):
            for agent in agents:
                agent.act(observation)
                agent.observe(step, False, False, np.full(3, step, np.float32))

    run(agents)
    agents[1].save(tmp_path / "a.keras")
    agents[0].load_weights(tmp_path / "a.keras")
    same = [agents[0], load(tmp_path / "a.keras")]
    run(same)
    assert differences(state_of(same[0]), state_of(same[1])) == []


def test_a_file_may_be_saved_and_loaded_in_the_middle_of_training(small, tmp_path):
    class Save(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.updates == 2:
                self.model.save(tmp_path / "a.keras", include_memory=True)
                self.saved = state_of(self.model)

    agent, save = small("sac", frequency=8), Save()
    agent.fit("Pendulum-v1", steps=40, callbacks=[save], verbose=0)
    loaded = load(tmp_path / "a.keras")
    assert differences(state_of(loaded), save.saved) == []
    loaded.fit("Pendulum-v1", max_steps=40, verbose=0)
    assert differences(state_of(loaded), state_of(agent)) == []


# Memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dqn", "ppo"])
def test_the_memory_goes_along_where_it_should(kind, small, trained, tmp_path):
    agent = trained(kind)
    rows = len(agent.memory)
    assert rows and (kind == "dqn" or rows == agent.timesteps % 20)
    agent.save(tmp_path / "without.keras")
    agent.save(tmp_path / "with.keras", include_memory=True)
    agent.save_weights(tmp_path / "a.weights.h5")
    assert len(load(tmp_path / "without.keras").memory if load(tmp_path / "without.keras").memory.built else ()) == 0
    assert len(load(tmp_path / "with.keras").memory) == rows
    other = small(kind)
    other.load_weights(tmp_path / "a.weights.h5")
    assert len(other.memory) == rows
    assert len(agent.memory) == rows  # saving takes nothing away
    other.load_weights(tmp_path / "without.keras")  # Keras takes the weights of a `.keras` file, too
    assert len(other.memory) == 0


def test_a_memory_may_opt_out(small, tmp_path):
    agent = small("dqn", memory={"type": "Replay", "capacity": 100, "saved": False})
    agent.fit("CartPole-v1", steps=40, verbose=0)
    agent.save_weights(tmp_path / "a.weights.h5")
    other = small("dqn", memory={"type": "Replay", "capacity": 100, "saved": False})
    other.load_weights(tmp_path / "a.weights.h5")
    assert not other.memory.built and other.timesteps == 40


def test_only_the_filled_part_is_written_in_slices(small, monkeypatch, tmp_path):
    agent = small("dqn", memory=1_000_000)
    agent.fit("CartPole-v1", steps=60, verbose=0)
    agent.save_weights(tmp_path / "a.weights.h5")
    assert os.path.getsize(tmp_path / "a.weights.h5") < 500_000
    monkeypatch.setattr(saved_entries, "_SLICE", 300)
    agent.save_weights(tmp_path / "b.weights.h5")
    with h5py.File(tmp_path / "b.weights.h5") as file:
        parts = [item for name, item in file["vars"].items() if name.startswith("memory.block")]
        assert len(parts) > 5 and all(item.nbytes <= 300 for item in parts)
    other = small("dqn", memory=1_000_000)
    other.load_weights(tmp_path / "b.weights.h5")
    assert differences(state_of(other), state_of(agent)) == []


def test_weights_are_neither_memory_nor_counters(trained, small):
    agent, untouched = trained("dqn"), small("dqn")
    assert [w.shape for w in agent.get_weights()] == [w.shape for w in untouched.get_weights()]
    before = agent.timesteps, agent.updates, len(agent.memory)
    agent.set_weights(untouched.get_weights())
    assert (agent.timesteps, agent.updates, len(agent.memory)) == before
    observation = np.array([0.3, -0.1, 0.2, 0.4], np.float32)
    assert agent.act(observation, deterministic=True) == untouched.act(observation, deterministic=True)
    np.testing.assert_array_equal(agent.actor.program.weights, untouched.actor.program.weights)


# Structure -------------------------------------------------------------------------------------------------

units = st.lists(st.integers(1, 5), min_size=1, max_size=2)
networks = st.one_of(
    st.just("auto"),
    st.builds(
        lambda u, a, i: {"type": "mlp", "units": u, "activation": a, "initialization": i},
        units, st.sampled_from(["relu", "tanh", "swish"]), st.sampled_from(["orthogonal", "fan_in", "he_normal"]),
    ),
)  # fmt: skip
fractions = st.floats(0, 1, allow_nan=False).flatmap(lambda x: st.sampled_from([x, np.float32(x), np.float64(x)]))
rates = st.one_of(
    st.floats(1e-6, 1, allow_nan=False),
    st.builds(np.float32, st.floats(1e-3, 1)),
    st.builds(kagent.schedules.Linear, st.floats(0, 1), st.floats(0, 1)),
    st.builds(
        lambda a: {"type": "exponential", "initial": a, "final": 1e-3, "steps": 9, "unit": "updates"}, st.just(0.1)
    ),
)
seeds = st.sampled_from([0, 1, np.int64(5), 2**62])
COMMON = {
    "network": networks,
    "learning_rate": rates,
    "discount": fractions,
    "seed": seeds,
    "n_envs": st.integers(1, 3),
}
OFF = {
    "memory": st.one_of(
        st.integers(50, 90), st.just(60.0), st.just({"type": "replay", "capacity": 70, "saved": False})
    ),
    "batch_size": st.integers(1, 50), "start": st.integers(0, 90), "frequency": st.integers(1, 9),
    "gradient_steps": st.integers(1, 9), "tau": st.sampled_from([1.0, 0.5, np.float32(0.25)]),
}  # fmt: skip
ARGUMENTS = {
    "dqn": {
        **COMMON, **OFF, "double": st.booleans(), "huber": st.sampled_from([None, 1.0, np.float32(0.5)]),
        "target_update_period": st.integers(1, 99), "max_grad_norm": st.sampled_from([None, 10.0, 1]),
        "exploration": st.one_of(
            st.none(), fractions, st.builds(kagent.EpsilonGreedy, fractions, fractions, fractions),
            st.just({"type": "epsilon_greedy", "steps": 50}),
        ),
    },
    "ppo": {
        **COMMON, "n_steps": st.integers(8, 30), "batch_size": st.integers(1, 8), "epochs": st.integers(1, 9),
        "gae_lambda": fractions, "clip_range": rates, "entropy_coefficient": rates, "value_coefficient": fractions,
        "normalize_advantage": st.booleans(), "max_grad_norm": st.sampled_from([None, 0.5]),
        "log_std": st.sampled_from([0, -0.5, np.float32(-1)]),
    },
    "sac": {
        **COMMON, **OFF, "temperature": st.sampled_from(["auto", "auto_0.1", 0.2, np.float32(0.3), 1]),
        "target_entropy": st.sampled_from(["auto", -0.5, -2]), "members": st.integers(1, 3),
    },
}  # fmt: skip
BOX = spaces.Box(-1, 1, (2,), np.float32)
SPACES = {
    "dqn": (
        spaces.Dict(image=spaces.Box(0, 255, (3, 3, 1), np.uint8), which=spaces.Discrete(3, start=4)),
        spaces.Tuple((spaces.Discrete(3, start=-1), spaces.MultiBinary(2))),
    ),
    "ppo": (spaces.Tuple((BOX, spaces.MultiDiscrete([2, 3]))), spaces.Dict(go=BOX, pick=spaces.Discrete(2))),
    "sac": (spaces.Box(-np.inf, np.inf, (3,), np.float64), spaces.Dict(a=BOX, b=spaces.Box(0, 5, (1,), np.float32))),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_configs_are_json_and_make_the_same_agent(kind, data):
    arguments = data.draw(st.fixed_dictionaries({}, optional=ARGUMENTS[kind]))
    if not isinstance(arguments.get("temperature", "auto"), str):  # a fixed one holds the policy at no entropy
        arguments.pop("target_entropy", None)
    observation_space, action_space = SPACES[kind]
    cls = {"dqn": kagent.DQN, "ppo": kagent.PPO, "sac": kagent.SAC}[kind]
    memory = arguments.get("memory", 60)
    if kind != "ppo":
        arguments = {"batch_size": 8, **arguments, "memory": memory}
    agent = cls(observation_space=observation_space, action_space=action_space, **arguments)
    config = agent.get_config()
    text = json.dumps(config, allow_nan=False)
    same = cls.from_config(json.loads(text))
    assert json.dumps(same.get_config(), allow_nan=False) == text and agent.get_config() == config
    assert differences(state_of(same), state_of(agent)) == []  # the seed initializes them alike
    assert type(same.memory) is type(agent.memory) and same.memory.get_part() == agent.memory.get_part()
    for part in ("objective", "update_rule", "reward_estimation", "exploration", "target"):
        assert getattr(same, part) == getattr(agent, part), part


def test_a_preset_with_every_part_replaced_comes_back(tmp_path):
    linear = kagent.schedules.Linear
    agent = kagent.DQN(
        "CartPole-v1",
        policy={"type": "ValuePolicy", "network": {"type": "mlp", "units": [3], "activation": "tanh"}},
        objective={"type": "dqn", "huber": None, "double": True},
        memory={"type": "Replay", "capacity": 33, "saved": False},
        update={"unit": "timesteps", "batch_size": 5, "frequency": 7, "start": 11, "steps": 2},
        reward_estimation={"discount": 0.5},
        exploration={"type": "Sampling", "random_steps": 3},
        target={"tau": 0.25, "period": 3, "unit": "updates"},
        optimizer={"type": "SGD", "learning_rate": linear(0.5, 0.25), "momentum": 0.5, "name": "mine"},
        n_envs=3,
        seed=17,
        name="different",
    )
    agent.save(tmp_path / "a.keras")
    loaded = kagent.load(tmp_path / "a.keras")
    assert type(loaded) is kagent.DQN and loaded.name == "different" and loaded.seed == 17 and loaded.n_envs == 3
    assert loaded.policy.network.units == (3,) and loaded.policy.network.activation == "tanh"
    assert loaded.objective.huber is None and loaded.objective.double
    assert (loaded.memory.capacity, loaded.memory.saved) == (33, False)
    update = loaded.update_rule
    assert (update.batch_size, update.frequency, update.start, update.steps) == (5, 7, 11, 2)
    assert loaded.reward_estimation.discount == 0.5 and loaded.exploration.random_steps == 3
    assert (loaded.target.tau, loaded.target.period, loaded.target.unit) == (0.25, 3, "updates")
    assert type(loaded.optimizer) is keras.optimizers.SGD and loaded.optimizer.momentum == 0.5
    assert loaded.minimizer.rates[0][1] == linear(0.5, 0.25)


def test_an_agent_of_parts_comes_back(tmp_path):
    agent = kagent.Agent(
        "Pendulum-v1",
        policy={
            "type": "StochasticPolicy",
            "network": {"type": "mlp", "units": [4]},
            "distribution": "squashed_gaussian",
        },
        critic={"type": "ActionValue", "network": {"type": "mlp", "units": [4]}, "members": 3},
        temperature=0.25,
        objective={"type": "sac", "target_entropy": -2.0},
        memory=100,
        update={"unit": "timesteps", "batch_size": 8, "frequency": 1, "steps": 1},
        reward_estimation={"discount": 0.9},
        exploration="sampling",
        target={"tau": 0.01},
        optimizer=1e-3,
        critic_optimizer=keras.optimizers.RMSprop(2e-3, name="critic"),
        temperature_optimizer={"type": "Adam", "learning_rate": 5e-3},
    )
    agent.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    assert type(loaded) is kagent.Agent and loaded.get_config() == agent.get_config()
    assert differences(state_of(loaded), state_of(agent)) == []
    assert len(loaded.critic.models) == 3 and loaded.target.tau == 0.01
    of = loaded.optimizer.role_map.of
    assert isinstance(of("critic"), keras.optimizers.RMSprop) and isinstance(of("policy"), keras.optimizers.Adam)
    rates = [float(of(role).learning_rate.numpy()) for role in ("policy", "critic", "temperature")]
    np.testing.assert_allclose(rates, [1e-3, 2e-3, 5e-3])


@keras.saving.register_keras_serializable("test_saving")
class Doubled(keras.layers.Layer):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.inner = keras.layers.Dense(width)

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, inputs):
        return 2 * self.inner(inputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.width)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def functional():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, "relu")(inputs)
    return keras.Model(inputs, keras.layers.Concatenate()([hidden, keras.layers.LayerNormalization()(inputs)]))


USER_NETWORKS = {
    "layer": lambda: keras.layers.Dense(6, "relu", kernel_regularizer="l2"),
    "sequential": lambda: keras.Sequential([keras.layers.Dense(6, "relu"), keras.layers.Dense(5)]),
    "functional": functional,
    "registered": lambda: Doubled(4),
}


@pytest.mark.parametrize(
    "kind, name",
    with_few(
        [("dqn", "layer"), ("dqn", "registered"), ("ppo", "sequential"), ("ppo", "functional")],
        [("dqn", "registered"), ("ppo", "functional")],
    ),
)
def test_a_network_of_the_users_own_comes_back(kind, name, small, tmp_path):
    agent = small(kind, network=USER_NETWORKS[name]())
    agent.fit("CartPole-v1", steps=24, verbose=0)
    agent.save(tmp_path / "a.keras", include_memory=True)
    loaded = load(tmp_path / "a.keras")
    assert differences(state_of(loaded), state_of(agent)) == []
    assert type(loaded.policy.network) is type(agent.policy.network)
    if name == "layer":
        assert loaded.policy.network.kernel_regularizer is not None
    for each in (agent, loaded):
        each.fit("CartPole-v1", steps=16, verbose=0)
    assert differences(state_of(loaded), state_of(agent)) == []


def test_images_and_nested_spaces_come_back(small, tmp_path):
    action = spaces.Tuple((spaces.Discrete(3, start=2), spaces.MultiBinary(2)))
    agent = small("dqn", env=Identity(action), memory=50)
    agent.fit(Identity(action), steps=30, verbose=0)
    agent.save(tmp_path / "a.keras", include_memory=True)
    assert differences(state_of(load(tmp_path / "a.keras")), state_of(agent)) == []
    image = spaces.Box(0, 255, (12, 12, 3), np.uint8)
    network = {"type": "cnn", "filters": [2], "kernels": [3], "strides": [2], "units": [4]}
    agent = kagent.DQN(
        observation_space=image, action_space=spaces.Discrete(2), network=network, memory=9, batch_size=2
    )
    agent.memory.build(image, agent.action_space)
    for number in range(9):
        frame = np.full(image.shape, 20 * number, np.uint8)
        agent.memory.append(frame, number % 2, 0.0, False, False, frame + 5)
    agent.save(tmp_path / "b.keras", include_memory=True)
    loaded = load(tmp_path / "b.keras")
    for name in ("observation.0", "next_observation.0"):
        one, other = (made.memory.storage.views[name][np.arange(9)] for made in (loaded, agent))
        np.testing.assert_array_equal(one, other)
    x = np.random.default_rng(0).integers(0, 256, (7, 12, 12, 3), np.uint8)
    np.testing.assert_array_equal(loaded(x), agent(x))


def test_masks_in_the_memory_come_back(small, tmp_path):
    env = Identity(spaces.Discrete(4), masks="info")
    agent = small("dqn", env=env)
    agent.fit(env, steps=30, verbose=0)
    agent.save(tmp_path / "a.keras", include_memory=True)
    loaded = load(tmp_path / "a.keras")
    assert loaded.memory.masked and differences(state_of(loaded), state_of(agent)) == []


# Compile settings ------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("test_saving")
class OwnLoss(kagent.DQN):
    """Has a train_step of its own, so that a loss has a use."""

    def train_step(self, batch):
        return super().train_step(batch)


def test_what_compile_was_told_comes_back(small, tmp_path):
    sgd = keras.optimizers.SGD(0.125, momentum=0.5, nesterov=True, name="mine")
    compiled = {"optimizer": sgd, "steps_per_execution": 3, "loss": keras.losses.LogCosh(reduction="sum")}
    agent = small(OwnLoss, compiled=compiled, frequency=4)
    agent.fit("CartPole-v1", steps=60, verbose=0)
    agent.save(tmp_path / "a.keras", include_memory=True)
    loaded = load(tmp_path / "a.keras")
    assert loaded.steps_per_execution == 3 and type(loaded.optimizer) is keras.optimizers.SGD
    assert (
        loaded.optimizer.get_config() == agent.optimizer.get_config()
        and loaded.loss.get_config() == agent.loss.get_config()
    )
    assert any(np.abs(v.numpy()).sum() > 0 for v in loaded.optimizer.variables[2:])  # momenta
    assert differences(state_of(loaded), state_of(agent)) == []
    for each in (agent, loaded):
        each.fit("CartPole-v1", steps=30, verbose=0)
    assert differences(state_of(loaded), state_of(agent)) == []


@pytest.mark.thorough
def test_an_optimizer_for_each_role_comes_back(small, tmp_path):
    optimizer = kagent.optimizers.RoleOptimizer(
        policy=keras.optimizers.Adam(1e-3, name="policy"),
        critic=keras.optimizers.SGD(2e-3, momentum=0.5, name="critic"),
    )
    agent = small("sac", frequency=10, compiled={"optimizer": optimizer, "run_eagerly": True})
    agent.fit("Pendulum-v1", steps=30, verbose=0)
    agent.save(tmp_path / "a.keras", include_memory=True)
    loaded = load(tmp_path / "a.keras")
    of = loaded.optimizer.role_map.of
    assert type(of("critic")) is keras.optimizers.SGD and of("temperature") is of("policy")
    assert differences(state_of(loaded), state_of(agent)) == []
    for each in (agent, loaded):
        each.fit("Pendulum-v1", steps=10, verbose=0)
    assert differences(state_of(loaded), state_of(agent)) == []


@pytest.mark.xla
def test_run_eagerly_comes_back_and_xla_does_not(small, tmp_path):
    agent = small("dqn", compiled={"run_eagerly": True})
    agent.save(tmp_path / "a.keras")
    assert kagent.load(tmp_path / "a.keras").run_eagerly
    small("dqn", compiled=GRAPH).save(tmp_path / "b.keras")
    with zipfile.ZipFile(tmp_path / "b.keras") as archive:
        assert "jit_compile" not in json.loads(archive.read("config.json"))["compile_config"]
    assert kagent.load(tmp_path / "b.keras").jit_compile  # whether XLA suits is this machine's affair


# Loading ---------------------------------------------------------------------------------------------------


@pytest.mark.thorough  # `test_keras_registration` shows in no time which imports register
def test_keras_alone_loads_it_once_kagent_is_imported(trained, tmp_path):
    # Of kagent, the callbacks come first, which import Keras, with which come the agents, which need the callbacks.
    agent = trained("ppo")
    agent.save(tmp_path / "a.keras")
    observation = [0.1, 0.2, -0.1, 0.05]
    program = f"""
import sys, warnings
warnings.simplefilter("error", UserWarning)
from kagent.callbacks import Callback
import keras, numpy as np
agent = keras.saving.load_model(sys.argv[1])
print(type(agent).__name__, agent.timesteps, agent.act(np.array({observation}, np.float32), deterministic=True))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "a.keras")]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=os.path.dirname(kagent.__path__[0])
    )
    assert result.returncode == 0, result.stderr[-2000:]
    expected = agent.act(np.array(observation, np.float32), deterministic=True)
    assert result.stdout.split() == ["PPO", "24", str(expected)]


def test_an_env_with_other_spaces_is_refused_side_by_side(small, tmp_path):
    small("dqn").save(tmp_path / "a.keras")
    assert kagent.load(tmp_path / "a.keras", env="CartPole-v1").name == "dqn"
    with pytest.raises(
        ValueError, match=r"(?s)observation_space:.*agent: Box\(shape=\(4,\).*env: Box\(shape=\(3,\).*action_space"
    ):
        kagent.load(tmp_path / "a.keras", env="Pendulum-v1")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="holds a Sequential, not a kagent agent"):
        kagent.load(tmp_path / "other.keras")


def test_weights_of_another_agent_are_refused_and_change_nothing(small, trained, tmp_path):
    other = small("dqn", env="Acrobot-v1")
    other.save_weights(tmp_path / "spaces.weights.h5")
    small("ppo").save_weights(tmp_path / "parts.weights.h5")
    wide = small("dqn", network={"type": "mlp", "units": [8, 9]})
    wide.save_weights(tmp_path / "network.weights.h5")
    small("dqn", compiled={"optimizer": "sgd"}).save_weights(tmp_path / "optimizer.weights.h5")
    big = small("dqn", memory=600, start=600)
    big.fit("CartPole-v1", steps=520, verbose=0)
    big.save_weights(tmp_path / "memory.weights.h5")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(tmp_path / "model.weights.h5")
    agent = trained("dqn")
    elements = iter(agent.memory.dataset(8, seed=1))
    before = state_of(agent)
    for name, message in {
        "spaces": r"(?s)observation_space.*agent: Box\(shape=\(4,\).*env: Box\(shape=\(6,\)",
        "parts": "could not be loaded",
        "network": "could not be loaded",
        "optimizer": "Skipping variable loading for optimizer",
        "memory": "holds 520 transitions; this one holds 500",
        "model": "holds no kagent agent",
    }.items():
        with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
            warnings.filterwarnings("ignore", "Skipping nested container")  # Keras, on its way to the error
            agent.load_weights(tmp_path / f"{name}.weights.h5")
        assert differences(state_of(agent), before) == [], name
    assert len(next(elements)["reward"]) == 8
    agent.fit("CartPole-v1", steps=10, verbose=0)


def test_an_agent_that_was_never_trained_is_as_it_was_when_weights_are_refused(small, tmp_path):
    agent, other = small("dqn"), small("dqn", compiled={"optimizer": "sgd"})
    other.fit("CartPole-v1", steps=20, verbose=0)
    other.save_weights(tmp_path / "sgd.weights.h5")  # with a memory that fits
    before, memory = state_of(agent), dict(vars(agent.memory))
    with pytest.raises(ValueError, match="Skipping variable loading for optimizer"):
        agent.load_weights(tmp_path / "sgd.weights.h5")
    assert differences(state_of(agent), before) == [] and vars(agent.memory) == memory
    agent.fit("CartPole-v1", steps=20, verbose=0)
    assert len(agent.memory) == 20


def test_a_larger_memory_takes_the_files_rows(small, tmp_path):
    agent = small("dqn", memory=50)
    agent.fit("CartPole-v1", steps=70, verbose=0)
    agent.save_weights(tmp_path / "a.weights.h5")
    larger = small("dqn", memory=80)
    larger.load_weights(tmp_path / "a.weights.h5")
    assert len(larger.memory) == 50
    larger.fit("CartPole-v1", steps=10, verbose=0)
    assert len(larger.memory) == 60 and larger.memory.cursor == 60
    newest = agent.memory.storage.views["observation.0"][agent.memory.cursor - 1]
    np.testing.assert_array_equal(larger.memory.storage.views["observation.0"][49], newest)


# Whole or not at all ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_save_that_fails_leaves_the_old_file(suffix, trained, small, monkeypatch, tmp_path):
    agent, path = small("dqn"), tmp_path / f"a{suffix}"
    save = agent.save if suffix == ".keras" else agent.save_weights
    save(path)
    content = path.read_bytes()
    agent.fit("CartPole-v1", steps=20, verbose=0)

    class Full(Exception):
        pass

    def fail(*args, **kwargs):
        raise Full

    monkeypatch.setattr(agent.optimizer, "save_own_variables", fail)  # in the middle of the file
    with pytest.raises(Full):
        save(path)
    assert path.read_bytes() == content and os.listdir(tmp_path) == [path.name]
    with pytest.raises(Full):
        save(tmp_path / f"new{suffix}")
    assert os.listdir(tmp_path) == [path.name] and not agent._files.with_memory
    monkeypatch.undo()
    monkeypatch.setattr(os, "replace", fail)  # at the very end
    with pytest.raises(Full):
        save(path)
    assert path.read_bytes() == content and os.listdir(tmp_path) == [path.name]
    monkeypatch.undo()
    save(path)
    assert path.read_bytes() != content and os.listdir(tmp_path) == [path.name]
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


def test_a_full_disk_leaves_the_old_file(small, tmp_path):
    agent, path = small("dqn"), tmp_path / "a.keras"
    agent.save(path)
    content = path.read_bytes()
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, hard))  # no file may be larger
    try:
        with pytest.raises(OSError, match="File too large"):
            agent.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == content and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("include_memory", [False, True])
def test_a_memory_too_large_for_this_machine_can_be_loaded_to_act(small, tmp_path, monkeypatch, include_memory):
    agent, path = small("dqn", memory=1000), tmp_path / "a.keras"
    agent.fit("CartPole-v1", steps=30, verbose=0)
    agent.save(path, include_memory=include_memory)
    monkeypatch.setattr(storage, "free_memory", lambda: 20_000)  # bytes; a transition has 4 + 4 + 4 floats
    with pytest.warns(UserWarning, match=r"a\.keras'.*`memory` would need.*capacity of at most \d+\..*can act") as told:
        loaded = kagent.load(path)
    assert len(told) == 1 and told[0].filename == __file__
    capacity = int(re.search(r"at most (\d+)", str(told[0].message))[1])
    assert 100 < capacity < 1000 and loaded.memory.capacity == 1000 and not loaded.memory.built
    observation = np.full(4, 0.1, np.float32)
    assert loaded.act(observation, deterministic=True) == agent.act(observation, deterministic=True)
    assert loaded.evaluate("CartPole-v1", episodes=1) == agent.evaluate("CartPole-v1", episodes=1)
    env = gymnasium.make("CartPole-v1")
    for train in (
        lambda: loaded.fit(env, steps=10, verbose=0),
        lambda: (loaded.act(observation), loaded.observe(1.0, False, False, observation)),
        lambda: small("dqn", memory=1000),
        lambda: loaded.compile(),
        lambda: kagent.Agent.create(loaded.get_config()),
    ):
        with pytest.raises(ValueError, match=rf"`memory` would need.*capacity of at most {capacity}"):
            train()
    assert env.unwrapped.state is None  # not even reset
    fitting = kagent.Agent.create({**loaded.get_config(), "memory": {"type": "Replay", "capacity": capacity}})
    fitting.set_weights(loaded.get_weights())  # what is left to do to train on
    fitting.fit("CartPole-v1", steps=10, verbose=0)
    loaded.save(tmp_path / "again.keras")
    monkeypatch.undo()
    kagent.load(path).fit("CartPole-v1", steps=10, verbose=0)


@pytest.mark.thorough
def test_a_kill_in_the_middle_of_saving_leaves_a_whole_file(tmp_path):
    program = """
import sys, kagent
agent = kagent.DQN("CartPole-v1", memory=20_000, horizon=0)
agent.compile(jit_compile=False)
agent.fit("CartPole-v1", steps=200, verbose=0)
while True:
    agent.counters.episodes += 1
    agent.save_weights(sys.argv[1])
    print("saved", flush=True)
"""
    path = tmp_path / "a.weights.h5"
    random, other = np.random.default_rng(0), kagent.DQN("CartPole-v1", memory=20_000, horizon=0)
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, env=environment()
        ) as process:
            process.stdout.readline()
            time.sleep(random.uniform(0, 0.3))
            process.kill()
        other.load_weights(path)
        assert len(other.memory) == other.timesteps == 200


def environment():
    return {**os.environ, "PYTHONPATH": os.path.dirname(kagent.__path__[0])}


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_paths_of_every_kind(small, monkeypatch, tmp_path):
    agent, folder = small("dqn"), tmp_path / "with space ü"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for path in ("relative.keras", str(folder / "absolute.keras"), folder / ("long" * 50 + ".keras")):
        agent.save(path)
        assert differences(state_of(load(path)), state_of(agent)) == []
    agent.save_weights("w.weights.h5")
    agent.load_weights("w.weights.h5")
    agent.save(folder / "unzipped", zipped=False)
    assert differences(state_of(load(folder / "unzipped")), state_of(agent)) == []
    for name, right in {
        "a.txt": "'a.txt.keras'", "agent.h5": "'agent.keras'", "agent.hdf5": "'agent.keras'", "agent": "'agent.keras'",
        "a.weights.h5": r"'a.keras' \(save_weights writes '.weights.h5'\)",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=rf"`filepath` of save must end in '.keras', as {right}"):
            agent.save(name)
        assert not os.path.exists(name)
    for name in ("folder.h5", "folder.keras"):
        with pytest.raises(ValueError, match="must not end as a file's"):
            agent.save(name, zipped=False)
    for name in ("a.h5", "a.keras", "a.weights.json"):
        with pytest.raises(ValueError, match=r"save_weights must end in '.weights.h5'. Received"):
            agent.save_weights(name)
    with pytest.raises(ValueError, match=r"without `max_shard_size`. Received: 1"):
        agent.save_weights("w.weights.h5", max_shard_size=1)
    with pytest.raises(OSError, match="missing"):
        agent.save(tmp_path / "missing" / "a.keras")


def test_a_folder_takes_the_place_of_the_one_before(small, tmp_path):
    agent = small("dqn")
    agent.save(tmp_path / "a", zipped=False)
    agent.fit("CartPole-v1", steps=20, verbose=0)
    agent.save(tmp_path / "a", zipped=False, include_memory=True)
    assert os.listdir(tmp_path) == ["a"] and differences(state_of(load(tmp_path / "a")), state_of(agent)) == []


def test_a_folder_with_something_else_is_not_replaced(small, tmp_path):
    agent, folder = small("dqn"), tmp_path / "results"
    folder.mkdir()
    agent.save(folder, zipped=False)  # empty ones are
    (folder / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for write in (lambda: agent.save(folder, zipped=False), lambda: agent.export(folder)):
        with pytest.raises(ValueError, match=r"results' holds .*which would be lost with the folder"):
            write()
    with pytest.raises(ValueError, match=r"notes.txt' is a file"):
        agent.export(folder / "notes.txt")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert os.listdir(tmp_path) == ["results"]


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_file_is_not_replaced_without_an_answer(answer, small, monkeypatch, tmp_path):
    agent, asked = small("dqn"), []
    monkeypatch.setattr("builtins.input", lambda question: (asked.append(question), answer)[1])
    for name, save in {"a.keras": agent.save, "a.weights.h5": agent.save_weights}.items():
        save(tmp_path / name, overwrite=False)
        assert asked == []
        (tmp_path / name).write_text("old")
        save(tmp_path / name, overwrite=False)
        assert len(asked) == 1 and asked.pop().startswith(f"'{tmp_path / name}' already exists")
        assert ((tmp_path / name).read_bytes() == b"old") == (answer == "n")


def test_what_could_not_be_loaded_is_not_written(small, tmp_path):
    agent = small("ppo", network=keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh")]))
    observation = np.zeros(4, np.float32)
    before = agent.act(observation, deterministic=True)
    with pytest.raises(ValueError, match=r"cannot be quantized.*Received: quantize\('int8'\)"):
        agent.quantize("int8")
    agent.save(tmp_path / "a.keras")
    assert load(tmp_path / "a.keras").act(observation, deterministic=True) == before
    agent.policy.network.layers[-1].quantize("int8")  # past the agent
    for save, name in ((agent.save, "b.keras"), (agent.save_weights, "b.weights.h5")):
        with pytest.raises(ValueError, match=r"layers of this agent were changed since it was made.*kernel"):
            save(tmp_path / name)
    assert os.listdir(tmp_path) == ["a.keras"]


@pytest.mark.parametrize("change", ["quantize", "enable_lora"])
@pytest.mark.parametrize("name", ["value_0", "dense_0"])  # kagent's own head, and a layer of kagent's own network
def test_no_file_has_layers_that_were_changed(change, name, small, tmp_path):
    agent = small("dqn", network={"type": "mlp", "units": [4]})
    layer = next(found for found in agent.policy._flatten_layers() if found.name == name)
    layer.quantize("int8") if change == "quantize" else layer.enable_lora(2)
    for save, path in ((agent.save, "a.keras"), (agent.save_weights, "a.weights.h5")):
        with pytest.raises(ValueError, match=rf"layers of this agent were changed since it was made.*{name}"):
            save(tmp_path / path)
    assert os.listdir(tmp_path) == []


def test_weights_that_are_not_finite_are_refused_by_name(small, tmp_path):
    agent = small("dqn")
    kernel = agent.policy.trainable_variables[0]
    moment = next(v for v in agent.optimizer.variables if np.prod(v.shape) > 1 and v.dtype == "float32")
    for variable, value in ((kernel, np.nan), (kernel, -np.inf), (moment, np.nan)):
        before = variable.numpy()
        damaged = before.copy()
        damaged.flat[1] = value
        variable.assign(damaged)
        agent.save(tmp_path / "a.keras")
        agent.save_weights(tmp_path / "a.weights.h5")
        variable.assign(before)
        state = state_of(agent)
        message = (
            rf"{re.escape(repr(variable.path))} .* holds {int(np.isnan(value))} nan and {int(np.isinf(value))} infinite"
        )
        with pytest.raises(ValueError, match=message):
            agent.load_weights(tmp_path / "a.weights.h5")
        assert differences(state_of(agent), state) == []
        with pytest.raises(ValueError, match="not finite"):
            kagent.load(tmp_path / "a.keras")


def test_weights_of_another_algorithm_are_refused_by_name(tmp_path):
    network = {"type": "mlp", "units": [4]}
    kinds = (kagent.PPO, kagent.A2C, kagent.AC, kagent.DQN, kagent.DoubleDQN)
    agents = {cls.__name__: cls("CartPole-v1", network=network, seed=0) for cls in kinds}
    for name, agent in agents.items():
        agent.save_weights(tmp_path / f"{name}.weights.h5")
    for other, name, part in (
        ("PPO", "A2C", "preset 'PPO', the agent's is 'A2C'"), ("AC", "A2C", "preset 'AC'"), ("A2C", "PPO", "preset 'A2C'"),
        ("DQN", "DoubleDQN", "preset 'DQN'"),
    ):  # fmt: skip
        state = state_of(agents[name])
        with warnings.catch_warnings(), pytest.raises(ValueError, match=rf"another algorithm: {part}"):
            warnings.filterwarnings("ignore", "Skipping nested container")
            agents[name].load_weights(tmp_path / f"{other}.weights.h5")
        assert differences(state_of(agents[name]), state) == []

    class Mine(kagent.PPO):
        """A user's own kind of PPO takes PPO's weights."""

    Mine("CartPole-v1", network=network, seed=1).load_weights(tmp_path / "PPO.weights.h5")
    agents["PPO"].load_weights(tmp_path / "PPO.weights.h5")


def test_two_agents_do_not_disturb_each_others_streams(small):
    alone, one, other = small("dqn", seed=3), small("dqn", seed=3), small("dqn", seed=4)
    for _ in range(2):
        alone.fit("CartPole-v1", steps=20, verbose=0)
        other.fit("CartPole-v1", steps=7, verbose=0)
        np.random.seed(0)
        keras.utils.set_random_seed(1)
        one.fit("CartPole-v1", steps=20, verbose=0)
    assert differences(state_of(alone), state_of(one)) == []
    assert differences(state_of(alone), state_of(other))


@pytest.mark.parametrize("seed", [0, np.int64(7), 2**63 - 1, None])
def test_seeds_that_are_accepted(seed, small):
    agent = small("dqn", seed=seed)
    assert agent.get_config()["seed"] == agent.seed and type(agent.seed) is int
    if seed is None:
        assert small("dqn", seed=None).seed != agent.seed


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", True])
def test_seeds_that_are_refused(seed, small):
    with pytest.raises(ValueError, match=r"`seed`.*Received: "):
        small("dqn", seed=seed)


def test_the_environments_are_not_touched_by_a_file(small, tmp_path):
    # A file holds no environment: only the open episodes' seeds and actions.
    agent, env = small("dqn"), gymnasium.make("CartPole-v1")
    agent.fit(env, steps=25, verbose=0)
    agent.save(tmp_path / "a.keras")
    assert load(tmp_path / "a.keras")._run.open_episodes["environments"]["episodes"][0]["seed"] >= 0


def test_counters_are_exact_beyond_every_float(small, tmp_path):
    agent = small("dqn", frequency=4)
    start = 2**53 - 5
    agent.counters.timesteps, agent.counters.due_updates_done = start, start // 4 - 3
    agent.counters.episodes = agent.counters.gradient_steps = 2**31 - 3
    agent.fit("CartPole-v1", steps=40, verbose=0)
    assert agent.timesteps == start + 40 and 2**31 - 3 < agent.updates < 2**31 + 20
    assert type(agent.timesteps) is int
    agent.save(tmp_path / "a.keras")
    assert differences(state_of(load(tmp_path / "a.keras"), memory=False), state_of(agent, memory=False)) == []


# Open episodes ---------------------------------------------------------------------------------------------


def test_a_long_open_episode_is_a_small_file_and_goes_on(small, tmp_path):
    box = spaces.Box(-1, 1, (64,), np.float32)
    env = Identity(box, length=10**6)
    agent = small("sac", env=env, start=10**6, memory=10)
    agent.fit(env, steps=1000, verbose=0)
    path = tmp_path / "a.weights.h5"
    agent.save_weights(path)
    with h5py.File(path) as file:
        assert file["vars/state"].size < 20_000 and file["vars/state.0"].shape == (1000 * 64 * 4,)
    other = small("sac", env=env, start=10**6, memory=10, seed=9)
    other.load_weights(path)
    for each in (agent, other):
        each.fit(Identity(box, length=10**6), steps=5, verbose=0)
    assert differences(state_of(other), state_of(agent)) == [] and open_lengths(other) == [1005]


def test_beyond_its_limit_an_open_episode_is_not_saved(small, tmp_path):
    def trained(**changes):
        agent = small("dqn", env=Counter((10**6,)), start=10**6, memory=10)
        agent.fit(Counter((10**6,)), steps=30, verbose=0, **changes)
        agent.save_weights(tmp_path / "a.weights.h5")
        other = small("dqn", env=Counter((10**6,)), start=10**6, memory=10)
        other.load_weights(tmp_path / "a.weights.h5")
        return other

    with pytest.warns(UserWarning, match=r"longer than 20 timesteps.*`replay_limit`"):
        agent = trained(replay_limit=20)
    with pytest.warns(UserWarning, match=r"could not be brought back.*longer than `replay_limit`"):
        agent.fit(Counter((10**6,)), steps=5, verbose=0)
    assert open_lengths(agent) == [5] and agent.timesteps == 35
    for limit in (30, None):
        agent = trained(replay_limit=limit)
        agent.fit(Counter((10**6,)), steps=5, verbose=0, replay_limit=limit and 35)
        assert open_lengths(agent) == [35]
    for wrong in (0, -1, 2.5, True, "all"):
        with pytest.raises(ValueError, match="`replay_limit` must be"):
            agent.fit(Counter((10**6,)), steps=1, replay_limit=wrong)
