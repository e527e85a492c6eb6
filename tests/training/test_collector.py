"""The collector: transitions as gymnasium gives them, without an agent and without TensorFlow; actors with a state."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from kagent import acting, environments, exploration, schedules, spaces
from kagent.acting.episode_states import EpisodeStates
from kagent.files import json_arrays
from kagent.training.collector import Collector
from kagent.training.evaluator import Evaluator

ROOT = Path(__file__).parents[2]
ALONE = """
import sys
import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from kagent import acting, environments, exploration, schedules
from kagent.training.collector import Collector

actor = acting.load(sys.argv[1])
greedy = exploration.EpsilonGreedy(0.3, 0.3)


def numbers(first):
    return iter(range(first, first + 100_000)).__next__


def transitions(source):
    # Of 150 steps: rows (observation, action, reward, terminated, truncated, next observation) and episodes.
    collector, rng = Collector(actor, greedy, environments.make(source)), np.random.default_rng(3)
    assert collector.start(numbers(100)) == []
    rows, episodes = [], []
    for timesteps in range(150):
        step = collector.step(schedules.Clock(timesteps), rng)
        out = step.outcome
        for i in np.flatnonzero(out.valid):
            rows.append((int(i), step.observation[0][i].copy(), int(step.taken[0][i]), float(out.reward[i]),
                         bool(out.terminated[i]), bool(out.truncated[i]), out.next_observation[0][i].copy()))
        episodes += [(index, *episode) for index, episode in collector.settle()]
    return rows, episodes


def by_hand(rows, seeds, count):
    # The same actions in environments of gymnasium alone.
    envs = [gymnasium.make("CartPole-v1", max_episode_steps=20) for _ in range(count)]
    now = [env.reset(seed=seeds())[0] for env in envs]
    returns, lengths, episodes = [0.0] * count, [0] * count, []
    for i, observation, action, reward, terminated, truncated, following in rows:
        assert np.array_equal(observation, now[i])
        next_observation, r, ended, cut, _ = envs[i].step(action)
        assert (r, ended, cut) == (reward, terminated, truncated) and np.array_equal(next_observation, following)
        returns[i], lengths[i], now[i] = returns[i] + r, lengths[i] + 1, next_observation
        if ended or cut:
            episodes.append((i, returns[i], lengths[i], None))
            returns[i], lengths[i], now[i] = 0.0, 0, envs[i].reset(seed=seeds())[0]
    return episodes


one = lambda: gymnasium.make("CartPole-v1", max_episode_steps=20)
rows, episodes = transitions(one())
assert len(rows) == 150 and by_hand(rows, numbers(100), 1) == episodes and len(episodes) > 5
vector = SyncVectorEnv([one] * 3, autoreset_mode=AutoresetMode.DISABLED)
rows, episodes = transitions(vector)
assert len(rows) == 450 and by_hand(rows, numbers(100), 3) == episodes and len(episodes) > 15
assert {row[0] for row in rows} == {0, 1, 2} and {row[2] for row in rows} == {0, 1}
print(sorted({"keras", "tensorflow", "h5py"} & set(sys.modules)))
"""


def actor_of(env, kind=acting.Actor):
    dense = {"op": "dense", "inputs": [0], "weights": [0, 1]}
    size = env.observation_space.shape[0]
    inputs = [{"shape": [size], "dtype": "float32"}]
    config = {"inputs": inputs, "weights": [[size, 2], [2]], "nodes": [dense], "outputs": [1]}
    program = acting.Program(config, [np.arange(2.0 * size).reshape(size, 2) % 3 - 1.0, [0.0, 0.1]])
    described = spaces.to_config(env.observation_space), spaces.to_config(env.action_space)
    chosen = [acting.Categorical(spaces.Structure(env.action_space).leaves[0])]
    return kind(None, described[0], chosen, program=program, action=described[1])


def test_it_runs_without_tensorflow_and_gives_what_gymnasium_gives(tmp_path):
    actor_of(gymnasium.make("CartPole-v1")).save(tmp_path)
    command = [sys.executable, "-c", ALONE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr


# States of actors ------------------------------------------------------------------------------------------


class Fixed(gymnasium.Env):
    """Episodes of a given length, which begin with their seed as the observation."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length):
        self.length = length

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.full(1, self.t, np.float32), 1.0, self.t >= self.length, False, {}


class Counting(acting.Actor):
    """Its state is the number of observations of the episode before; its action is whether that is odd."""

    def initial_state(self, count):
        return (np.zeros((count, 1), np.int64),)

    def decide_from(self, leaves, state, masks=None, deterministic=False, rng=None):
        assert np.array_equal(state[0], leaves[0]), (state, leaves)  # the environment counts as well
        return [(state[0][:, 0] % 2).astype(np.int32)], (state[0] + 1,)


def seeds():
    return iter(range(100_000)).__next__


def walked(collector, steps):
    """States acted from and actions, `(steps, N)`, and lengths of the episodes that ended."""
    states, actions, ended, rng = [], [], [], np.random.default_rng(0)
    for _ in range(steps):
        step = collector.step(schedules.Clock(), rng)
        states.append(np.where(step.outcome.valid, step.actor_state[0][:, 0], -1).tolist())
        actions.append(step.taken[0].tolist())
        ended += [(index, episode.length) for index, episode in collector.settle()]
    return np.array(states), np.array(actions), ended


GREEDY, RANDOM = exploration.EpsilonGreedy(0.0, 0.0), exploration.EpsilonGreedy(1.0, 1.0)


@pytest.mark.parametrize("explored", [GREEDY, RANDOM], ids=["greedy", "random"])
def test_a_state_is_carried_and_begins_anew_with_each_rows_episode(explored):
    sources = [Fixed(3), Fixed(5)]
    collector = Collector(actor_of(sources[0], Counting), explored, environments.make(_each(sources), 2))
    collector.start(seeds())
    states, actions, ended = walked(collector, 10)
    assert states[:, 0].tolist() == [0, 1, 2] * 3 + [0] and states[:, 1].tolist() == [0, 1, 2, 3, 4] * 2
    assert ended == [(0, 3), (1, 5), (0, 3), (0, 3), (1, 5)]
    if explored is GREEDY:
        assert (actions == states % 2).all()


def _each(sources):
    left = iter(sources)
    return lambda: next(left)


def test_environments_that_reset_in_a_step_of_their_own_begin_after_it():
    vector = SyncVectorEnv([lambda: Fixed(2), lambda: Fixed(3)], autoreset_mode=AutoresetMode.NEXT_STEP)

    class Trusting(Counting):  # the ended episode's last observation comes once more, and no action follows it
        def decide_from(self, leaves, state, masks=None, deterministic=False, rng=None):
            return [(state[0][:, 0] % 2).astype(np.int32)], (state[0] + 1,)

    collector = Collector(actor_of(Fixed(1), Trusting), GREEDY, environments.make(vector))
    collector.start(seeds())
    states, _, _ = walked(collector, 8)
    assert states[:, 0].tolist() == [0, 1, -1, 0, 1, -1, 0, 1] and states[:, 1].tolist() == [0, 1, 2, -1, 0, 1, 2, -1]


def test_a_state_goes_on_in_another_process_and_one_that_does_not_fit_begins_anew():
    def made():
        env = Fixed(5)
        collector = Collector(actor_of(env, Counting), GREEDY, environments.make(env))
        return collector

    one, other, third = made(), made(), made()
    one.start(seeds())
    walked(one, 8)
    state = json_arrays.load(json_arrays.dump(one.state()))
    assert other.start(seeds(), state) == [] and other.lengths.tolist() == [3]
    assert walked(other, 4)[0][:, 0].tolist() == [3, 4, 0, 1]
    assert third.start(seeds(), {**state, "actor": [np.zeros((2, 1), np.int64)]}) == [0]
    assert walked(third, 2)[0][:, 0].tolist() == [0, 1]


def test_a_step_that_was_not_settled_is_given_up():
    env = Fixed(5)
    collector = Collector(actor_of(env), GREEDY, environments.make(env))
    collector.start(seeds())
    for settled in (True, True, False):
        collector.step(schedules.Clock(), np.random.default_rng(0))
        if settled:
            collector.settle()
    assert collector.lengths.tolist() == [2] and collector.state()["environments"]["episodes"] == []


def test_evaluation_carries_states():
    env = Fixed(4)
    evaluator = Evaluator(actor_of(env, Counting), environments.make(env), True, seeds(), np.random.default_rng(0))
    numbers = []
    played = evaluator.play(3, lambda number, episode: numbers.append((number, episode.length)))
    assert numbers == [(0, 4), (1, 4), (2, 4)] and [episode.episode_return for episode in played] == [4.0] * 3


def test_a_step_aside_leaves_the_episode_where_it_is():
    states = EpisodeStates(actor_of(Fixed(3), Counting), 1)
    zero, one = [np.zeros((1, 1), np.float32)], [np.ones((1, 1), np.float32)]
    states.decide(zero)
    assert states.fork().decide(zero)[0].tolist() == [0]
    states.advance()
    assert states.state[0].tolist() == [[1]] and states.decide(one)[0].tolist() == [1]
    states.advance([0])
    assert states.state[0].tolist() == [[0]]


def test_an_actor_without_a_state_is_asked_by_itself():
    env = Fixed(3)
    actor = actor_of(env)
    asked = []

    class Exploring(exploration.Exploration):
        def decide(self, given, leaves, mask, clock, rng):
            asked.append(given)
            return given.decide(leaves, mask, True, rng)

    collector = Collector(actor, Exploring(), environments.make(env))
    collector.start(seeds())
    assert collector.step(schedules.Clock(), np.random.default_rng(0)).actor_state == () and asked == [actor]
    assert actor.initial_state(4) == () and "actor" not in collector.state()


@pytest.mark.eager
def test_act_and_observe_carry_a_state(small):
    agent = small("dqn", env=Fixed(3), frequency="never", exploration=0.0, parallel_interactions=2, name="counted")
    agent.actor.__class__ = type("Counted", (type(agent.actor),), dict(vars(Counting)))
    agent.actor.best_is_stateless = False  # as of one that was made of this class
    lengths = [0, 0]
    for index in (0, 0, 1, 0, 0, 1, 1, 1, 0):
        observation = np.full(1, lengths[index], np.float32)
        assert agent.act(observation, independent=True, parallel=index) == lengths[index] % 2
        assert agent.act(observation, parallel=index) == lengths[index] % 2
        assert agent.act(observation, deterministic=True, parallel=index) == lengths[index] % 2
        lengths[index] += 1
        ended = lengths[index] == 3
        agent.observe(1.0, ended, False, np.full(1, lengths[index], np.float32), parallel=index)
        lengths[index] %= 3
    assert agent.timesteps == 9 and agent.episodes == 2
    agent.fit(Fixed(3), steps=7, verbose=0)
    assert agent.evaluate(Fixed(3), episodes=2)["episode_length"] == 3.0
    player = agent.player()
    for deterministic in (True, False):
        player.reset()
        assert [player.act(np.full(1, t, np.float32), deterministic) for t in range(4)] == [0, 1, 0, 1]


def test_an_actor_with_a_state_does_not_act_without_it():
    actor = actor_of(Fixed(3), Counting)
    for deterministic in (True, False):
        with pytest.raises(ValueError, match=r"Counting has a state of its episode.*EpisodeStates\(actor, 1\)"):
            actor.act(np.zeros(1, np.float32), deterministic)
    assert actor_of(Fixed(3)).act(np.ones(1, np.float32)) in (0, 1)
