"""Rewards for new observations."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from layers import make
from variants import thorough

import kagent
from kagent import exploration, preprocessing
from kagent.preprocessing import RandomNetworkDistillation
from kagent.preprocessing import novelty_equations as novelty
from kagent.preprocessing.novelty import Novelty
from kagent.spaces import Structure

EVERY, FIRST, LATER = slice(None), np.ones(1, bool), np.zeros(1, bool)
SMALL = {"type": "rnd", "units": [4], "features": 3}


def rewards(made, reward, seen, past, fresh=LATER, learn=True):
    leaves = [np.asarray(seen, np.float32)[None]]
    return float(made.reward(np.asarray([reward]), past, EVERY, fresh, learn, leaves)[0])


def known(made):
    return made.statistics()[-1][0]


def test_the_first_bonus_by_hand():
    # Of a first observation the standardised one is 0, so that the features are the biases' alone, and these are 0: no error.
    made = make({"reward": SMALL})
    past = made.begin(1)
    assert rewards(made, 2.5, [3.0, -1.0], past, FIRST) == 2.5
    # The second is one deviation above the mean in its first component, and like the first in the other.
    before = known(made)
    found = rewards(made, 1.0, [5.0, -1.0], past)
    inputs = np.array([[1.0 / np.sqrt(1.0 + 1e-8), 0.0]])
    bound = made._reward.bounds[0]
    layers = [bound._layers(before[name]) for name in ("predictor", "target")]
    error = novelty.distillation_error(*(novelty.features(inputs, weights)[-1] for weights in layers))[0]
    # Discounted sums so far: 0 and error; their variance is (error / 2)^2.
    assert found == pytest.approx(1.0 + error / np.sqrt((error / 2) ** 2 + 1e-8))
    after = known(made)
    assert after["weight"] == 2 and after["mean"].tolist() == [4.0, -1.0] and after["variance"].tolist() == [1.0, 0.0]
    assert after["steps"] == 2 and (after["target"] == before["target"]).all()
    assert not (after["predictor"] == before["predictor"]).all()


def test_what_was_seen_often_is_not_new():
    made = make({"reward": {**SMALL, "coefficient": 1.0}})
    rng, past = np.random.default_rng(0), made.begin(1)
    for step in range(600):
        rewards(made, 0.0, rng.choice([-1.0, 1.0], 2), past, FIRST if step % 50 == 0 else LATER)
    usual = [rewards(made, 0.0, corner, made.begin(1), FIRST, learn=False) for corner in ([-1, 1], [1, 1])]
    strange = rewards(made, 0.0, [6.0, -6.0], made.begin(1), FIRST, learn=False)
    assert max(usual) < 0.5 * strange
    assert strange <= 5.0  # the clip


def test_nothing_is_learned_outside_training_or_without_an_observation():
    made = make({"reward": SMALL})
    past = made.begin(1)
    rewards(made, 0.0, [1.0, 2.0], past, FIRST)
    before = known(made)
    rewards(made, 0.0, [9.0, 2.0], past, learn=False)
    assert float(made.reward(np.asarray([4.0]), past, EVERY, LATER, True, None)[0]) == 4.0
    assert all(before[name] is known(made)[name] for name in before)


def test_episodes_of_a_recording_and_of_a_loop_give_the_same():
    spec = {"float": "running_normalization", "reward": SMALL}
    whole, stepwise = make(spec), make(spec)
    rng = np.random.default_rng(1)
    seen, reward = rng.normal(size=(5, 2)).astype(np.float32), rng.normal(size=4)
    ended, known_ = np.array([False, False, False, True]), np.ones(4, bool)
    _, expected, _ = whole.episodes([seen[:4]], reward, [seen[1:]], ended, known_)
    episode = preprocessing.episode.Interacting(stepwise)
    episode.observation([seen[:1]], True)
    found = [episode.advance(reward[t], [seen[t + 1 : t + 2]], bool(ended[t]))[0] for t in range(4)]
    assert found == pytest.approx(expected.tolist())
    assert all((a == b).all() for a, b in zip(known(whole).values(), known(stepwise).values()))
    # The last observation is not known: its reward is the environment's.
    _, rewards_, _ = make(spec).episodes([seen[:4]], reward, [seen[1:]], ended, np.array([True, True, True, False]))
    assert rewards_[3] == reward[3] and rewards_[:3] == pytest.approx(expected[:3])


class Corridor(gymnasium.Env):
    """From the left end of 12 places to the right one, where the only reward is."""

    observation_space, action_space = spaces.Discrete(12), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return 0, {}

    def step(self, action):
        self.place = max(self.place + (1 if action else -1), 0)
        return self.place, float(self.place == 11), self.place == 11, False, {}


def agent_of(env, **arguments):
    return kagent.PPO(
        env, network={"type": "mlp", "units": [8]}, n_steps=16, batch_size=16, epochs=1, seed=0, **arguments
    )


@pytest.mark.parametrize("envs", [thorough(1), 2])
def test_agents_go_on_from_a_file_as_if_it_had_not_been(tmp_path, envs):
    def fresh():
        agent = agent_of(
            lambda: gymnasium.wrappers.TimeLimit(Corridor(), 20), n_envs=envs, preprocessing={"reward": "rnd"}
        )
        agent.compile(run_eagerly=True)
        return agent

    env = lambda: gymnasium.wrappers.TimeLimit(Corridor(), 20)  # noqa: E731
    whole = fresh()
    whole.fit(env, steps=96, verbose=0)
    first = fresh()
    first.fit(env, steps=48, verbose=0)
    first.save_weights(tmp_path / "a.weights.h5")
    second = fresh()
    second.load_weights(tmp_path / "a.weights.h5")
    second.fit(env, steps=48, verbose=0)
    assert all(
        (a == b).all() for a, b in zip(known(whole.preprocessing).values(), known(second.preprocessing).values())
    )
    assert all((a == b).all() for a, b in zip(whole.get_weights(), second.get_weights()))


def test_returns_are_the_environments_own_and_the_config_goes_round(tmp_path):
    env = lambda: gymnasium.wrappers.TimeLimit(Corridor(), 5)  # noqa: E731
    agent = agent_of(env, preprocessing={"reward": {"type": "rnd", "coefficient": 3.0}})
    agent.compile(run_eagerly=True)
    history = agent.fit(env, steps=32, verbose=0)
    assert np.nanmax(history.history["episode_return"]) == 0.0
    agent.save(tmp_path / "a.keras")
    loaded = kagent.load(tmp_path / "a.keras")
    assert loaded.preprocessing.parts["reward"] == [RandomNetworkDistillation(coefficient=3.0)]
    assert loaded.evaluate(env, episodes=1, verbose=0)["episode_return"] == 0.0


def test_discrete_values_have_entries_of_their_own_and_masks_are_left_out():
    space = spaces.Dict(
        action_mask=spaces.MultiBinary(2), place=spaces.MultiDiscrete([2, 3]), speed=spaces.Box(-1, 1, (2,), np.float32)
    )
    bound = Novelty(RandomNetworkDistillation(), Structure(space, "observation_space").leaves)
    leaves = [np.ones((1, 2), np.uint8), np.array([[1, 2]], np.int32), np.array([[0.5, -0.5]], np.float32)]
    assert bound._flat(leaves).tolist() == [[0, 1, 0, 0, 1, 0.5, -0.5]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coefficient": -1.0}, "coefficient"),
        ({"units": [0]}, "units"),
        ({"units": [5000]}, "units"),
        ({"features": 0}, "features"),
        ({"features": 10**9}, "features"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"discount": 1.5}, "discount"),
        ({"clip": 0.0}, "clip"),
        ({"seed": -1}, "seed"),
        ({"unit": 3}, "unit"),
    ],
)
def test_arguments_are_checked(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make({"reward": {"type": "rnd", **given}})


def test_what_it_is_not_for_is_refused():
    with pytest.raises(ValueError, match="belongs to the reward"):
        make("rnd")
    with pytest.raises(ValueError, match=r"at most 16,384 numbers\. Received: 21,168"):
        make({"reward": "rnd"}, spaces.Box(0, 255, (84, 84, 3), np.uint8))
    for name in ("rnd", {"type": "random_network_distillation"}):
        with pytest.raises(ValueError, match=r"preprocessing=\{'reward'"):
            exploration.get(name)


class LongCorridor(Corridor):
    """24 places; a step to the left is two. A random walk reaches the right end in one of 85,000 episodes of 40 timesteps."""

    observation_space = spaces.Discrete(24)

    def step(self, action):
        self.place = max(self.place + (1 if action else -2), 0)
        return self.place, float(self.place >= 23), self.place >= 23, False, {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_reward_at_the_end_of_a_long_corridor_is_found(seed):
    env = lambda: gymnasium.wrappers.TimeLimit(LongCorridor(), 40)  # noqa: E731
    settings = {"network": {"type": "mlp", "units": [32]}, "n_steps": 64, "n_envs": 4, "entropy_coefficient": 0.01}
    agent = kagent.PPO(env, preprocessing={"reward": "rnd"}, seed=seed, **settings)
    history = agent.fit(env, steps=12_000, verbose=0).history["episode_return"]
    # Measured: 1.00 of the last epochs' episodes with each of these seeds; without the bonus 1.00, 0 and 0.
    assert np.mean(history[-2:]) > 0.8


def test_damaged_statistics_are_refused():
    made = make({"reward": SMALL})
    for name, value in (("second_moment", -1.0), ("return_variance", -1.0), ("predictor", np.nan)):
        damaged = made.statistics()
        damaged[-1][0][name] = np.full_like(damaged[-1][0][name], value)
        with pytest.raises(ValueError, match="statistics"):
            make({"reward": SMALL}).set_statistics(damaged)


def test_networks_without_a_seed_take_the_agents(tmp_path):
    def weights(seed, own=None):
        box = spaces.Box(-1, 1, (2,))
        agent = kagent.PPO(
            observation_space=box, action_space=spaces.Discrete(2), network={"type": "mlp", "units": [4]}, n_steps=8,
            batch_size=8, seed=seed, preprocessing={"reward": {**SMALL, "seed": own}},
        )  # fmt: skip
        return agent, agent.preprocessing.statistics()[-1][0]["target"]

    one, first = weights(0)
    assert np.array_equal(first, weights(0)[1]) and not np.array_equal(first, weights(1)[1])
    np.testing.assert_array_equal(weights(0, 7)[1], weights(1, 7)[1])
    one.save_weights(tmp_path / "a.weights.h5")
    other, _ = weights(1)
    other.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(other.preprocessing.statistics()[-1][0]["target"], first)
