"""Returns over several timesteps in a replay memory: by hand, against a slow walk, early and late, and restored."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_envs import Counter

import kagent
from kagent import RewardEstimation, Update
from kagent.memories import Replay
from kagent.schedules import Clock, Linear

pytestmark = pytest.mark.eager

BOX, DISCRETE = spaces.Box(-np.inf, np.inf, (), np.float32), spaces.Discrete(3)


def built(capacity, num_envs=1, masked=False, clock=Clock, **estimation):
    memory = Replay(capacity)
    memory.configure(Update(batch_size=1), RewardEstimation(**estimation), clock)
    memory.build(BOX, DISCRETE, num_envs=num_envs, masked=masked)
    return memory


def append(memory, number, rewards, ended, valid=None, terminated=True):
    """A step of every environment; observations are `100 * environment + number`."""
    here = 100 * np.arange(len(rewards)) + number
    ended = np.asarray(ended, bool)
    flags = (ended, np.zeros_like(ended)) if terminated else (np.zeros_like(ended), ended)
    memory.append_leaves(
        [here.astype(np.float32)], [(here % 3).astype(np.int32)], np.asarray(rewards, np.float64), *flags,
        [here.astype(np.float32) + 1], None if valid is None else np.asarray(valid, bool),
    )  # fmt: skip


def by_hand(episode, discount, terminated):
    """Of `(observation, reward)` of consecutive timesteps."""
    total = sum(discount**i * reward for i, (_, reward) in enumerate(episode))
    return (episode[0][0], total, episode[-1][0] + 1, discount ** len(episode), terminated)


def rows(memory, *names):
    views = memory.storage.views
    return [tuple(views[name][row].item() for name in names) for row in range(len(memory))]


def test_a_sum_that_float32_cannot_hold_is_refused_before_it_is_stored():
    memory = built(10, horizon=2, discount=1.0)
    append(memory, 0, [1.5e38], [False])
    append(memory, 1, [1.5e38], [False])
    with pytest.raises(
        ValueError, match=r"sum of rewards over reward_estimation\.horizon is not finite as float32.*4\.5\d*e\+38"
    ):
        append(memory, 2, [1.5e38], [False])
    assert len(memory) == 0
    for reward in (1e39, -1e39, np.nan):
        with pytest.raises(ValueError, match="The reward is not finite"):
            memory.append(
                observation=0.0, action=1, reward=reward, terminated=True, truncated=False, next_observation=1.0
            )
    assert len(memory) == 0


def test_returns_by_hand():
    # The acceptance case: rewards 1, 2, 3, 4, terminated, discount 0.5, of two timesteps each.
    memory = built(10, horizon=1, discount=0.5)
    for number, reward in enumerate((1.0, 2.0, 3.0, 4.0)):
        append(memory, number, [reward], [number == 3])
    found = rows(memory, "observation.0", "reward", "next_observation.0", "discount", "terminated")
    assert found == [(0, 2.0, 2, 0.25, 0), (1, 3.5, 3, 0.25, 0), (2, 5.0, 4, 0.25, 1), (3, 4.0, 4, 0.5, 1)]


@pytest.mark.parametrize("terminated", [True, False])
def test_a_horizon_of_the_whole_episode(terminated):
    memory = built(10, horizon="episode", discount=0.5)
    for number, reward in enumerate((1.0, 2.0, 3.0, 4.0)):
        assert len(memory) == 0
        append(memory, number, [reward], [number == 3], terminated=terminated)
    found = rows(memory, "reward", "next_observation.0", "discount", "terminated", "truncated")
    end = (float(terminated), float(not terminated))
    assert found == [(r, 4, 0.5 ** (4 - i), *end) for i, r in enumerate((3.25, 4.5, 5.0, 4.0))]


steps = st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=2), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None)
@given(capacity=st.integers(1, 30), horizon=st.sampled_from([1, 2, 5, 9, "episode"]), steps=steps)
def test_windows_never_cross_an_end_and_are_never_overwritten_in_part(capacity, horizon, steps):
    memory, generator = built(capacity, 2, horizon=horizon, discount=0.9), np.random.default_rng(0)
    episodes, expected = [[], []], collections.deque(maxlen=capacity)
    for number, step in enumerate(steps):
        rewards, ended = generator.normal(size=2), [end for end, _ in step]
        append(memory, number, rewards, ended, [real for _, real in step])
        for env, (end, real) in enumerate(step):
            if not real:
                continue
            episode = episodes[env]
            episode.append((100 * env + number, rewards[env]))
            closing = len(episode) if end else 0 if horizon == "episode" else max(0, len(episode) - horizon)
            for _ in range(closing):
                expected.append(by_hand(episode, 0.9, end))
                del episode[0]
    found = rows(memory, "observation.0", "reward", "next_observation.0", "discount", "terminated")
    np.testing.assert_allclose(np.roll(found, -memory.cursor if len(found) == capacity else 0, axis=0) if found else [],
                               list(expected), rtol=1e-5, atol=1e-5)  # fmt: skip
    assert len(memory.windows) == sum(map(len, episodes))


def test_a_ring_of_10_after_25_steps_in_episodes_of_4():
    memory = built(10, horizon=2, discount=1.0)
    for number in range(25):
        append(memory, number, [1.0], [number % 4 == 3])
    drawn = [next(iter(memory.dataset(10, steps=50, seed=seed))) for seed in range(3)]
    for element in drawn:
        first, after, length = (element[name].numpy().ravel() for name in ("observation", "next_observation", "reward"))
        assert (first // 4 == (after - 1) // 4).all()  # the same episode
        np.testing.assert_array_equal(after - first, length)
        np.testing.assert_array_equal(length, np.minimum(3, 4 - first % 4))
        assert first.min() == 14 and first.max() == 23  # the ten newest that are complete; 24 waits


def test_an_interruption_closes_windows_as_if_truncated():
    memory = built(10, 2, horizon=3, discount=0.5)
    append(memory, 0, [1.0, 1.0], [False, False])
    append(memory, 1, [2.0, 2.0], [False, False])
    memory.cut_episodes([1])
    assert rows(memory, "observation.0", "reward", "next_observation.0", "discount", "terminated") == [
        (100, 2.0, 102, 0.25, 0), (101, 2.0, 102, 0.5, 0),
    ]  # fmt: skip
    memory.cut_episodes(range(2))
    memory.set_num_envs(1)
    append(memory, 5, [8.0], [True])
    assert rows(memory, "observation.0", "reward")[2:] == [(0, 2.0), (1, 2.0), (5, 8.0)]


def test_masks_are_those_of_both_ends():
    memory = built(10, masked=True, horizon=1)
    masks = [np.array([[True, False, True]]), np.array([[False, True, True]]), np.array([[True, True, False]])]
    for number in range(2):
        memory.append_leaves(
            [np.zeros(1)], [np.zeros(1)], np.zeros(1), np.zeros(1, bool), np.zeros(1, bool), [np.zeros(1)], None,
            [masks[number]], [masks[number + 1]],
        )  # fmt: skip
    views = memory.storage.views
    assert views["action_mask.0"][0].tolist() == [1, 0, 1] and views["next_action_mask.0"][0].tolist() == [1, 1, 0]


def test_schedules_are_those_of_the_time():
    time = iter(range(100))
    memory = built(50, horizon=Linear(0.0, 3.0, steps=30, unit="timesteps"), discount=1.0,
                   clock=lambda: Clock(timesteps=next(time)))  # fmt: skip
    for number in range(40):
        append(memory, number, [1.0], [False])
    lengths = [reward for (reward,) in rows(memory, "reward")]
    assert lengths[:8] == [1.0] * 8 and lengths[-5:] == [4.0] * 5 and sorted(lengths) == lengths


@pytest.mark.parametrize("count", [0, 3, 50])
@pytest.mark.parametrize("horizon", [4, "episode"])
def test_a_restored_memory_goes_on_as_the_saved_one(count, horizon):
    estimation = {"horizon": horizon, "discount": 0.9, "estimate_horizon": "early"}
    memory, other = built(20, 2, True, **estimation), built(20, 2, True, **estimation)
    generator = np.random.default_rng(0)
    append(other, 0, [7.0, 7.0], [False, True])

    def go_on(target, number, draws):
        append(target, number, *draws)

    for number in range(count):
        go_on(memory, number, (generator.normal(size=2), generator.random(2) < 0.1, generator.random(2) < 0.9))
    # As files give it: every entry once, in slices.
    other.restore({key: iter([value[:1].copy(), value[1:].copy()]) for key, value in memory.state().items()})
    for number in range(count, count + 40):
        draws = (generator.normal(size=2), generator.random(2) < 0.1, generator.random(2) < 0.9)
        go_on(memory, number, draws)
        go_on(other, number, draws)
        ours, theirs = memory.state(), other.state()
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    assert memory.unestimated == len(memory) > 0


def test_saved_windows_that_do_not_fit_are_refused():
    memory = built(20, 2, horizon=4)
    for number in range(6):
        append(memory, number, [1.0, 2.0], [False, False])
    state = memory.state()
    for wrong in (
        {"windows.first": np.array([5, 2])},
        {"windows.first": np.array([-2, 2])},
        {"windows.reward": state["windows.reward"][:-1]},
        {"windows.discount": state["windows.discount"].astype(np.float32)},
        {"windows.counters": np.array([0])},
    ):
        with pytest.raises(ValueError, match="Saved"):
            built(20, 2, horizon=4).restore({**state, **wrong})


# In an agent -----------------------------------------------------------------------------------------------


def dqn(estimation, env=None, **changes):
    arguments = {"network": {"type": "mlp", "units": []}, "memory": 100, "batch_size": 8, "seed": 0, **changes}
    agent = kagent.DQN(Counter() if env is None else env, reward_estimation=estimation, **arguments)
    agent.compile(run_eagerly=True)
    return agent


def targets(agent):
    """The targets of all rows, as the objective has them now."""
    packed = agent.memory.storage.take(np.arange(len(agent.memory)))
    batch, _ = agent.memory.experience({name: tf.constant(array) for name, array in packed.items()})
    from kagent.objectives.objective import estimated_next_values

    discount = agent.reward_estimation.bootstrap_discounts(batch, agent.clock)
    return (batch["reward"] + discount * estimated_next_values(agent.objective, agent, batch)).numpy()


@pytest.mark.parametrize("horizon", [0, 2, "episode"])
@pytest.mark.parametrize("when", ["early", None, False])
def test_other_weights_change_late_targets_and_leave_early_ones(horizon, when):
    env = Counter(lengths=(5,), ends=("truncated",))
    agent = dqn({"horizon": horizon, "discount": 0.5, "estimate_horizon": when}, env, frequency="never")
    agent.fit(env, steps=40, verbose=0)
    before = targets(agent)
    kernel, bias = (v.numpy() for v in agent.target_policy.variables)
    views = agent.memory.storage.views
    successors = views["next_observation.0"][: len(before)]
    values = (successors @ kernel + bias).max(1) if when is not False else 0.0
    power = views["discount"][: len(before)] if horizon else 0.5
    np.testing.assert_allclose(before, views["reward"][: len(before)] + power * values, rtol=1e-4)
    for variable in agent.target_policy.variables:
        variable.assign(variable + 1.0)
    after = targets(agent)
    if when is None:
        assert (np.abs(after - before) > 0.1).all()
    else:
        np.testing.assert_array_equal(after, before)


def test_early_estimates_are_of_the_networks_before_the_update():
    env = Counter(lengths=(7, 4), ends=("truncated", "terminated"))
    agent = dqn({"horizon": 1, "discount": 0.5, "estimate_horizon": "early"}, env, frequency=8, start=0,
                target_update_period=8, learning_rate=0.5)  # fmt: skip
    seen = []

    class Watch(kagent.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            agent = self.model
            seen.append((len(agent.memory), [v.numpy() for v in agent.target_policy.variables]))

    agent.fit(env, steps=40, callbacks=[Watch()], verbose=0)
    views, begin = agent.memory.storage.views, 0
    assert len(seen) == 5
    for end, (kernel, bias) in seen:
        successors = views["next_observation.0"][begin:end]
        np.testing.assert_allclose(views["next_value"][begin:end], (successors @ kernel + bias).max(1), rtol=1e-4)
        begin = end
    assert not all((a == b).all() for a, b in zip(seen[1][1], seen[-1][1]))


def test_one_gradient_step_of_three_timesteps():
    """Loss by hand: rewards of windows, and the best value where they led."""
    env, seen = Counter(lengths=(6,), ends=("truncated",)), []

    class Watching(kagent.DQN):
        def train_step(self, batch):
            heads = [v.numpy() for v in self.policy.variables]
            logs = super().train_step(batch)
            seen.append((heads, {name: value.numpy() for name, value in batch.items()}, float(logs["loss"])))
            return logs

    agent = Watching(env, network={"type": "mlp", "units": []}, memory=50, batch_size=8, frequency=8, huber=None,
                     reward_estimation={"horizon": 2, "discount": 0.5}, seed=0)  # fmt: skip
    agent.compile(run_eagerly=True)
    agent.fit(env, steps=104, verbose=0)
    (kernel, bias), batch, loss = seen[0]
    best = (batch["next_observation"] @ kernel + bias).max(1)  # the target is still the policy
    taken = (batch["observation"] @ kernel + bias)[np.arange(8), batch["action"]]
    target = batch["reward"] + batch["discount"] * best
    np.testing.assert_allclose(loss, np.mean((target - taken) ** 2) / 2, rtol=1e-4)
    time = batch["observation"][:, 2]
    np.testing.assert_allclose(batch["discount"], 0.5 ** np.minimum(3, 6 - time))


def test_it_is_compiled_once_and_the_spec_is_static():
    env = Counter(lengths=(6, 3), ends=("truncated", "terminated"))
    for horizon in (0, 3):
        agent = dqn({"horizon": horizon, "discount": 0.9}, env, batch_size=8)
        agent.compile(jit_compile=False)
        agent.fit(env, steps=200, verbose=0)
        assert agent.updates > 10 and agent.train_function.traces == 1
        spec = agent.memory.dataset(8).element_spec
        assert all(s.shape.is_fully_defined() and s.shape[0] == 8 for s in tf.nest.flatten(spec))
        assert ("discount" in spec) == (horizon > 0)


def test_updates_before_any_episode_has_ended_are_left_out():
    env = Counter(lengths=(30,))
    agent = dqn({"horizon": "episode", "discount": 0.9}, env, batch_size=8, frequency=10, start=10)
    agent.fit(env, steps=60, verbose=0)
    assert agent.updates == 4  # at 30, 40, 50 and 60


def test_what_memories_of_sequences_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"needs reward_estimation.estimate_horizon=.* with a Recent memory.*'early'"):
        dqn({"estimate_horizon": "early"}, memory={"type": "recent", "capacity": 100})


@pytest.mark.parametrize("kind", ["dqn", "sac"])
def test_estimates_early_and_late_learn_alike_while_nothing_moves(kind, small):
    # One update after the first batch: the networks are those of the time when it was stored.
    finals = []
    for when in ("early", None):
        agent = small(kind, reward_estimation={"horizon": 2, "discount": 0.9, "estimate_horizon": when})
        agent.fit("CartPole-v1" if kind == "dqn" else "Pendulum-v1", steps=16, verbose=0)
        assert agent.updates == 1
        finals.append(np.concatenate([np.ravel(w) for w in agent.get_weights()]))
    if kind == "dqn":
        np.testing.assert_allclose(*finals, atol=1e-6)
    else:  # another next action is sampled
        assert np.isfinite(finals).all() and np.abs(finals[0] - finals[1]).max() < 0.01
