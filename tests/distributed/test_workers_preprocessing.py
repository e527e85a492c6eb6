"""Preprocessing with workers: statistics are the agent's, and take in each observation and reward once."""

import functools
import itertools

import gymnasium
import numpy as np
import pytest
from agent_states import differences, state_of
from gymnasium import spaces
from test_workers_equal_local import LAYERS, ROLLOUT, trained
from transports import InProcess

import kagent

pytestmark = pytest.mark.eager
NETWORK = {"type": "mlp", "units": [4]}


class Steps(gymnasium.Env):
    """Environment k observes `4 k + t` and gives the reward `k + t` at timestep t of an episode. It notes both."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, log, length=1000):
        self.number, self.log, self.length = len(log), [], length
        log.append(self.log)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        self.log.append((4.0 * self.number, None))
        return self._observation(), {}

    def step(self, action):
        self.time += 1
        self.log.append((4.0 * self.number + self.time, float(self.number + self.time)))
        return self._observation(), float(self.number + self.time), self.time == self.length, False, {}

    def _observation(self):
        return np.array([4.0 * self.number + self.time], np.float32)


def made(kind=kagent.PPO, **given):
    agent = kind(Steps([]), network=NETWORK, normalize=True, seed=0, **given)
    agent.compile(run_eagerly=True)
    return agent


def noted(agent):
    """What the agent's memory gets, by timestep: observations, rewards, next observations and which are valid."""
    found, append = [], agent.memory.append_leaves

    def take(*fields):
        found.append(
            [np.array(x) for x in (fields[0][0], fields[2], fields[5][0], True if fields[6] is None else fields[6])]
        )
        append(*fields)

    agent.memory.append_leaves = take
    return found


def returns(log, discount):
    """The discounted sums of rewards at every timestep of an environment."""
    total, found = 0.0, []
    for _, reward in log:
        total = 0.0 if reward is None else discount * total + reward
        found += [] if reward is None else [total]
    return found


def learned(agent):
    """Weight, mean and variance of observations, and weight and variance of sums of rewards."""
    (observation,), (reward,) = agent.preprocessing.statistics()
    names = [
        ("weight", observation),
        ("mean", observation),
        ("variance", observation),
        ("weight", reward),
        ("variance", reward),
    ]
    return [part[name].item() for name, part in names]


def test_statistics_are_of_all_observations_and_rewards():
    log = []
    agent = made(n_steps=8, batch_size=32, epochs=1, discount=0.5)
    agent.fit(
        lambda: Steps(log, 5), steps=64, steps_per_epoch=64, verbose=0, workers=InProcess(2, 2, latest_first=True)
    )
    seen = [value for one in log for value, _ in one]
    sums = [total for one in log for total in returns(one, 0.5)]
    assert len(seen) == 4 + 64 + 4 * 3 and len(sums) == 64  # first ones, those of steps, first ones behind ends
    assert learned(agent) == pytest.approx([len(seen), np.mean(seen), np.var(seen), 64, np.var(sums)], rel=1e-12)


def test_a_worker_acts_by_the_statistics_that_it_was_sent_and_its_own_since():
    """Environments 0 and 1 with one worker each. First observations: 0 and 4, of mean 2 and variance 4. What follows in worker 0
    is 1, standardized by {0, 4, 1}, and 2 by {0, 4, 1, 2}; in worker 1 it is 5 by {0, 4, 5}, and 6.
    """
    agent = made(n_steps=2, batch_size=4, epochs=1, discount=0.5)
    found = noted(agent)
    agent.fit(functools.partial(Steps, []), steps=8, steps_per_epoch=8, verbose=0, workers=InProcess(2))

    def last(values):
        return (values[-1] - np.mean(values)) / np.std(values)

    assert [x.item() for x in found[0][2]] == pytest.approx([last([0, 4, 1]), last([0, 4, 5])], abs=1e-6)
    assert [x.item() for x in found[1][2]] == pytest.approx([last([0, 4, 1, 2]), last([0, 4, 5, 6])], abs=1e-6)
    # The second rollout begins with the statistics of both workers.
    assert [x.item() for x in found[2][2]] == pytest.approx(
        [last([0, 4, 1, 5, 2, 6, 3]), last([0, 4, 1, 5, 2, 6, 7])], abs=1e-6
    )
    for (*_, following, _), (observation, *_) in itertools.pairwise(found):
        assert (following == observation).all()  # an observation is processed once
    # Rewards are processed here, in the order of time: 1 and 2 first, of variance 0.25; then sums 2.5 and 4.
    assert found[0][1] == pytest.approx([1 / 0.5, 2 / 0.5], rel=1e-6)
    assert found[1][1] == pytest.approx(np.array([2, 3]) / np.std([1, 2, 2.5, 4]), rel=1e-6)


@pytest.mark.thorough
def test_without_statistics_of_observations_training_is_the_local_one_and_goes_on():
    make = functools.partial(kagent.PPO, **ROLLOUT, preprocessing=LAYERS)
    whole = trained(make, "CartPole-v1", {"n_envs": 6}, steps=192)
    for first, second in (({"n_envs": 6}, {"workers": InProcess(2, 3)}), ({"workers": InProcess(2, 3)}, {"n_envs": 6})):
        agent = trained(make, "CartPole-v1", first, steps=96)
        agent.fit("CartPole-v1", steps=96, steps_per_epoch=96, verbose=0, **second)
        assert differences(state_of(whole), state_of(agent)) == []


@pytest.mark.parametrize("kind", [kagent.DQN, kagent.IMPALA])
def test_statistics_of_workers_that_go_on(kind):
    """They take in whole blocks: of 32 timesteps of each environment for a replay memory."""
    replayed = {"memory": 400, "start": 16, "frequency": 64} if kind is kagent.DQN else {"n_steps": 32, "epochs": 1}
    agent = made(kind, **replayed, batch_size=32, discount=0.5)
    found, log = noted(agent), []
    agent.fit(
        lambda: Steps(log, 16), steps=192, steps_per_epoch=192, verbose=0, workers=InProcess(2, 2, latest_first=True)
    )
    weight, mean, variance, steps, _ = learned(agent)
    assert 192 <= steps < 192 + 2 * 64 and steps % 64 == 0
    assert weight == 4 + steps + steps / 16 and variance > 0 and 7 < mean < 15
    rewards = np.concatenate([reward[valid] for _, reward, _, valid in found])
    assert 0 < rewards.min() < rewards.max() <= 10  # of 1 to 19, in standard deviations


def test_a_worker_that_ends_begins_other_episodes_whose_observations_count():
    agent = made(n_steps=8, batch_size=32, epochs=1, discount=0.5)
    source = InProcess(
        2, 2, fate=lambda number, worker, method: number == 7
    )  # open, start and collect of both, and one more
    with pytest.warns(UserWarning, match="Worker . .*has ended"):
        agent.fit(functools.partial(Steps, []), steps=64, steps_per_epoch=64, verbose=0, workers=source)
    weight, *_, steps, _ = learned(agent)
    assert (weight, steps) == (4 + 64 + 2, 64)


def test_a_worker_that_ends_where_open_episodes_are_brought_back_begins_others():
    agent = made(n_steps=8, batch_size=32, epochs=1, discount=0.5)
    given = {"steps": 32, "steps_per_epoch": 32, "verbose": 0}
    agent.fit(functools.partial(Steps, []), workers=InProcess(2, 2), **given)
    assert learned(agent)[0] == 4 + 32
    source = InProcess(2, 2, fate=lambda number, worker, method: number == 4)  # the start of worker 1
    with pytest.warns(UserWarning, match="Worker 1 .*has ended"):
        agent.fit(functools.partial(Steps, []), workers=source, **given)
    assert learned(agent)[0] == 4 + 32 + 32 + 2


class Pixels(gymnasium.Env):
    """A bright square, at the left or at the right. Which of them is the action that is rewarded."""

    observation_space = spaces.Box(0, 255, (12, 12, 1), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._draw(), {}

    def step(self, action):
        reward, self.time = float(action == self.side), self.time + 1
        return self._draw(), reward, False, self.time == 8, {}

    def _draw(self):
        self.side = int(self.np_random.integers(2))
        image = np.zeros((12, 12, 1), np.uint8)
        image[3:9, 6 * self.side : 6 * self.side + 6] = 255
        return image


CONVOLUTIONS = {"type": "cnn", "filters": [2], "kernels": [4], "strides": [2], "units": [4]}


@pytest.mark.parametrize(
    "kind, given",
    [(kagent.PPO, {"n_steps": 8, "epochs": 1}), (kagent.DQN, {"memory": 64, "start": 8, "frequency": 16})],
)
def test_workers_act_by_convolutions_in_numpy(kind, given):
    agent = kind(
        Pixels(),
        network=CONVOLUTIONS,
        batch_size=16,
        seed=0,
        preprocessing={"type": "frame_stack", "length": 2},
        **given,
    )
    agent.compile(run_eagerly=True)
    assert not agent.actor.is_numpy
    source = InProcess(2, 1)
    agent.fit(Pixels, steps=64, steps_per_epoch=64, verbose=0, workers=source)
    assert agent.timesteps == 64 and agent.updates >= 3 and len(source.shared) >= 2
    weights, _ = agent.actor.served_weights()
    assert not np.array_equal(source.shared[0], weights) and source.shared[0].shape == weights.shape


def test_a_keras_layer_is_refused():
    import keras

    agent = kagent.PPO("CartPole-v1", network=NETWORK, preprocessing={"float": keras.layers.Activation("tanh")})
    with pytest.raises(
        ValueError, match=r"`preprocessing` does not go with `workers`. Received: a Keras layer for 'float'"
    ):
        agent.fit("CartPole-v1", steps=10, verbose=0, workers=InProcess(1))


def test_a_schedule_by_episodes_is_refused():
    limit = {"type": "Linear", "initial": 1.0, "final": 2.0, "steps": 10, "unit": "episodes"}
    agent = kagent.PPO("CartPole-v1", network=NETWORK, preprocessing={"float": {"type": "clipping", "upper": limit}})
    source = InProcess(1)
    with pytest.raises(ValueError, match=r"`preprocessing` of observations does not .*number of finished episodes"):
        agent.fit("CartPole-v1", steps=10, verbose=0, workers=source)
    assert source.started == []
