"""The argument `normalize` of presets."""

import json

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from testing import parts

import kagent
from kagent import testing
from kagent.preprocessing import ReturnNormalization, RunningNormalization
from kagent.spaces import Structure

pytestmark = pytest.mark.eager


class Scaled(gymnasium.Wrapper):
    """Observations of thousands and rewards of hundreds."""

    def __init__(self):
        super().__init__(gymnasium.make("CartPole-v1"))

    def reset(self, **arguments):
        observation, info = self.env.reset(**arguments)
        return self.scaled(observation), info

    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        return self.scaled(observation), 100.0 * reward, *rest

    def scaled(self, observation):
        return np.float32([1.0, 1e3, -1.0, 1e-3]) * observation + np.float32([0.0, 500.0, 0.0, 0.0])


@pytest.mark.parametrize("normalize", [True, "observation", "reward", False, None])
def test_what_is_stored_is_standardized_and_what_is_reported_is_raw(small, normalize):
    agent = small("dqn", env=Scaled(), normalize=normalize, start=1000, discount=0.9)
    history = agent.fit(Scaled, steps=400, n_envs=2, verbose=0)
    stored = agent.memory.storage.views
    observation, reward = stored["observation.0"][100:400], stored["reward"][100:400]
    if normalize in (True, "observation"):
        assert (
            np.abs(observation.mean(0)).max() < 1.0
            and (0.3 < observation.std(0)).all()
            and (observation.std(0) < 3.0).all()
        )
        assert np.abs(observation).max() <= 10.0
    else:
        assert np.abs(observation[:, 1]).max() > 500.0
    if normalize in (True, "reward"):
        assert 0.05 < reward.min() <= reward.max() <= 10.0
    else:
        assert (reward == 100.0).all()
    assert np.nanmin(history.history["episode_return"]) >= 100.0
    before = kagent.files.json_arrays.dump({"all": agent._adapter.state()})
    assert agent.evaluate(Scaled, episodes=2)["episode_return"] >= 800.0
    assert kagent.files.json_arrays.dump({"all": agent._adapter.state()}) == before


def test_rewards_are_divided_by_the_returns_of_the_agents_own_discount(small):
    for given in ({"discount": 0.5}, {"reward_estimation": {"discount": 0.5, "gae_lambda": 0.9}}):
        agent = small("ppo", normalize=True, **given)
        assert agent.preprocessing.parts == {"float": [RunningNormalization()], "reward": [ReturnNormalization(0.5)]}
        assert agent.normalize is True and agent.discount == 0.5


def test_other_preprocessing_is_no_normalize(small):
    assert small("dqn", preprocessing="running_normalization").normalize == "observation"
    assert (
        small("dqn", preprocessing={"reward": {"type": "return_normalization", "discount": 0.99}}).normalize == "reward"
    )
    for other in (
        "deltafier",
        {"float": {"type": "running_normalization", "clip": 5.0}},
        {"reward": "return_normalization"},
    ):
        changes = {"discount": 0.5} if isinstance(other, dict) and "reward" in other else {}
        assert small("dqn", preprocessing=other, **changes).normalize is False


@pytest.mark.parametrize("given", [1, 0, "rewards", "both", {"reward": True}, ["reward"], np.True_])
def test_other_words_are_refused(given):
    with pytest.raises(
        ValueError, match=r"`normalize` must be True .observations and rewards., 'observation', 'reward', False"
    ):
        kagent.PPO("CartPole-v1", normalize=given)


def test_conflicts_are_refused_by_name(small):
    with pytest.raises(ValueError, match="`normalize` of PPO is its `preprocessing`: give one of them"):
        kagent.PPO("CartPole-v1", normalize=True, preprocessing={"reward": "deltafier"})
    with pytest.raises(ValueError, match=r"'float', for which there is no state \(`normalize` of observations says it"):
        kagent.DQN("FrozenLake-v1", normalize=True)
    assert kagent.DQN("FrozenLake-v1", normalize="reward", memory=100).normalize == "reward"
    with pytest.raises(ValueError, match=r"`normalize` of BC must be True.*learns from no rewards.*Received: 'reward'"):
        kagent.BC("CartPole-v1", normalize="reward")


@pytest.mark.parametrize("space", ["Box", "Dict"])
def test_numpy_and_exports_serve_with_frozen_statistics(small, tmp_path, space):
    env = testing.Toy(testing.OBSERVATIONS[space], gymnasium.spaces.Discrete(4))
    agent = small("dqn", env=env, normalize=True, start=1000)
    agent.fit(env, steps=30, verbose=0)
    agent.save(tmp_path / "a.keras")
    agent.export(tmp_path / "served", verbose=0)
    actor, served = kagent.acting.load(tmp_path / "a.keras"), tf.saved_model.load(tmp_path / "served")
    actor.save(tmp_path / "again")
    again, loaded = kagent.acting.load(tmp_path / "again"), kagent.load(tmp_path / "a.keras")
    env.observation_space.seed(5)
    observations = [env.observation_space.sample() for _ in range(20)]
    wanted = [agent.act(observation, deterministic=True) for observation in observations]
    assert len(set(wanted)) > 1
    for one in (actor, again):
        assert [one.act(observation) for observation in observations] == wanted
    assert [loaded.act(observation, deterministic=True) for observation in observations] == wanted
    batch = (
        np.stack(observations)
        if space == "Box"
        else {k: np.stack([o[k] for o in observations]) for k in observations[0]}
    )
    assert agent(batch).numpy().tolist() == wanted
    tensors = tf.nest.map_structure(tf.constant, batch)
    assert served.serve(tensors).numpy().tolist() == wanted


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1}, {"version": 3}, {"standardization": None}, {"standardization": []},
        {"standardization": [{"mean": [0.0] * 4, "deviation": [-1.0] * 4, "clip": 10.0}]},
        {"standardization": [{"mean": [0.0] * 3, "deviation": [1.0] * 4, "clip": 10.0}]},
        {"standardization": [{"mean": [0.0] * 4, "deviation": [[1.0] * 4] * 2, "clip": 10.0}]},
        {"standardization": [{"mean": [0.0] * 4, "deviation": [1.0] * 4}]},
        {"standardization": [{"mean": [1e999] * 4, "deviation": [1.0] * 4, "clip": None}]},
        {"standardization": [{"mean": "x", "deviation": [1.0] * 4, "clip": None}]},
    ],
)  # fmt: skip
def test_a_damaged_standardization_is_refused(small, tmp_path, change):
    small("dqn", normalize=True).save(tmp_path / "a.keras")
    kagent.acting.load(tmp_path / "a.keras").save(tmp_path)
    about = json.loads((tmp_path / "actor.json").read_text())
    assert about["version"] == 2
    (tmp_path / "actor.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(ValueError, match=r"is damaged|must be of version 1, 2 with a standardization"):
        kagent.acting.load(tmp_path)


@pytest.mark.parametrize("name", ["DQN", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("PPO", "SAC"))])
def test_an_agent_that_normalizes_keeps_the_contract(name):
    """Files, exact resume, several environments, masks: as `test_contract.py` without it."""
    make, supports = parts.AGENTS[name]
    faster = {"n_steps": 8} if name == "PPO" else {"frequency": 16}

    def normalizing(env, **arguments):
        floats = any(leaf.type == "float" for leaf in Structure(env.observation_space).leaves)
        return make(env, normalize=True if floats else "reward", **faster, **arguments)

    testing.check_agent(normalizing, steps=16, supports=supports, compiled=False)


def test_every_preset_that_learns_takes_it():
    for name, (make, _) in parts.AGENTS.items():
        cls = getattr(make, "func", make)
        assert ("normalize" in kagent.config.signatures.parameters(cls)) == (name not in ("Random", "Constant")), name
