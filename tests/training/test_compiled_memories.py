"""Prioritized memories and windows of several timesteps in the program of a compiled environment."""

import types

import numpy as np
import pytest
import tensorflow as tf
from test_compiled_replay import SMALL, Line, dqn, weights_of

import kagent
from kagent import schedules
from kagent.environments import compiled
from kagent.memories import Prioritized
from kagent.memories.sum_tree import SumTree
from kagent.ops import priority_draws
from kagent.training.compiled.priorities import CompiledPriorities, Priorities

BOTH = {"horizon": 2, "frequency": 8, "memory": {"type": "Prioritized", "capacity": 24, "beta": 0.5}}


@pytest.mark.thorough
def test_windows_are_those_of_the_accumulator():
    """Actions are drawn, and nothing but time decides on them: two agents see the same. What one has stored as single timesteps is
    given to an ordinary memory with a horizon."""
    env = Line(num_envs=2)
    single, windowed, ordinary = (
        dqn(env, exploration=1.0, start=40, horizon=horizon, discount=0.9) for horizon in (0, 2, 2)
    )
    for agent in (single, windowed):
        agent.fit(env, steps=20, verbose=0)
    rows, memory, expected = single.memory.storage.views, windowed.memory, ordinary.memory
    expected.build(ordinary._observation, ordinary._action, masked=True, num_envs=2)
    for begin in range(0, 20, 2):
        at = {name: view[begin : begin + 2] for name, view in rows.items()}
        groups = ([at[f"{name}.{i}"] for i in range(2)] for name in ("observation", "next_observation"))
        seen, then = groups
        expected.append_leaves(
            seen, [at["action.0"]], at["reward"], at["terminated"] != 0, at["truncated"] != 0, then,
            mask=[at["action_mask.0"] != 0], next_mask=[at["next_action_mask.0"] != 0],
        )  # fmt: skip
    assert (memory.size, memory.cursor, memory.total) == (expected.size, expected.cursor, expected.total)
    assert 0 < len(memory.windows) == len(expected.windows) == 20 - memory.size
    for name, view in expected.storage.views.items():
        np.testing.assert_array_equal(memory.storage.views[name][: memory.size], view[: memory.size], err_msg=name)
    powers = memory.storage.views["discount"][: memory.size]
    assert set(powers.tolist()) == set(np.float32([0.9, 0.9**2, 0.9**3]).tolist())
    # An ordinary fit goes on with both.
    for agent in (windowed, ordinary):
        agent.memory.cut_episodes(range(2))
    np.testing.assert_array_equal(memory.storage.views["reward"][:20], expected.storage.views["reward"][:20])


@pytest.mark.thorough
def test_a_ring_goes_round_with_windows():
    env = Line(num_envs=2)
    agent = dqn(env, exploration=1.0, horizon=2, memory=12, frequency=12)
    agent.fit(env, steps=34, verbose=0)
    memory = agent.memory
    assert (memory.size, memory.cursor) == (12, (34 - len(memory.windows)) % 12)
    # The rewards of a window are the places on its way: its sum is known where all are as they should be.
    place, action = memory.storage.views["observation.1"][:, 0], memory.storage.views["action.0"]
    one = memory.storage.views["discount"] == np.float32(0.99)  # windows of one timestep
    np.testing.assert_array_equal(memory.storage.views["reward"][one], (place + action)[one])
    assert one.any() and not one.all()


def test_draws_are_those_of_the_sum_tree():
    rng = np.random.default_rng(0)
    weights = rng.random(60) * (rng.random(60) < 0.7)
    tree, shaped = SumTree(60), tf.constant(weights.reshape(3, 4, 5))
    tree.set(np.arange(60), weights)
    parts = np.concatenate([rng.random(500), [0.0]])
    found, total = priority_draws.find(shaped, tf.constant(parts))
    np.testing.assert_array_equal(found, tree.find(parts * tree.total))
    assert (weights[found] > 0).all() and total.numpy() == pytest.approx(tree.total)
    last = np.flatnonzero(weights)[-1]  # rounding may lead behind the end
    np.testing.assert_array_equal(priority_draws.find(shaped, tf.constant([1.1], tf.float64))[0], [last])


def test_priorities_by_hand():
    """Capacity 3, alpha 0.5. Priorities are 9 and 1; the third row is new. Of row 0 the later error, 16, counts."""
    memory = types.SimpleNamespace(capacity=3, size=3, alpha=0.5, epsilon=0.0, beta=schedules.get(1.0, "beta", 0.0))
    made = CompiledPriorities(memory)
    before = Priorities(tf.constant([3.0, 1.0, *[0.0] * 6], tf.float64), tf.constant(9.0, tf.float64))
    before = before._replace(shares=tf.reshape(before.shares, (2, 2, 2)))
    added = made.append(before, tf.constant([2, 0], tf.int64), tf.constant([True, False]))
    np.testing.assert_array_equal(np.ravel(added.shares), [3.0, 1.0, 3.0, *[0.0] * 5])
    rows, weights = made.draw(added, tf.constant(3, tf.int64), (2, 7), tf.constant([0, 0], tf.int64), schedules.Clock())
    assert rows.shape == (14,) and weights.dtype == tf.float32
    drawn = rows.numpy().reshape(2, 7)  # each from one of seven parts, of which three, one and three are rows
    np.testing.assert_array_equal(drawn, [[0, 0, 0, 1, 2, 2, 2]] * 2)
    # (3 * 3/7)**-1 and (3 * 1/7)**-1, divided by the larger one.
    np.testing.assert_allclose(weights, [[1 / 3] * 3 + [1.0] + [1 / 3] * 3] * 2, rtol=1e-6)
    errors = tf.constant([[4.0, np.nan, 16.0], [0.25, np.inf, 1.0]])
    after = made.learned(added, tf.constant([0, 1, 0, 2, 2, 1], tf.int64), errors)
    np.testing.assert_array_equal(np.ravel(after.shares), [4.0, 1.0, 0.5, *[0.0] * 5])
    assert after.largest.numpy() == 16.0


@pytest.mark.thorough
def test_priorities_are_those_of_the_memory():
    """After an update of all rows, shares are the powers of what the learner found, in the ordinary memory too."""
    env = Line(num_envs=2)
    agent = dqn(env, horizon=1, memory={"type": "Prioritized", "capacity": 40, "alpha": 0.7}, frequency=8)
    agent.fit(env, steps=40, verbose=0)
    memory = agent.memory
    assert isinstance(memory, Prioritized) and memory.size + len(memory.windows) == 40
    shares = memory.priorities
    assert len(np.unique(shares)) > 5 and (shares > 0).all()
    newest = np.isclose(shares, memory.largest**0.7, rtol=1e-12)  # of which nothing was learned
    assert newest.any() and not newest.all() and shares.max() <= memory.largest**0.7 * (1 + 1e-12)
    agent.fit(compiled.as_gymnasium(env), steps=8, verbose=0)
    assert agent.memory.total > 40


@pytest.mark.thorough
def test_a_resumed_run_is_the_run(tmp_path):
    env = Line(num_envs=2)
    whole, half = dqn(env, **BOTH), dqn(env, **BOTH)
    whole.fit(env, max_steps=34, verbose=0)
    half.fit(env, max_steps=26, verbose=0)
    assert len(half.memory.windows)
    half.save_weights(tmp_path / "half.weights.h5")
    rest = dqn(env, **BOTH)
    rest.load_weights(tmp_path / "half.weights.h5")
    rest.fit(Line(num_envs=2), max_steps=34, verbose=0)
    np.testing.assert_array_equal(weights_of(rest), weights_of(whole))
    expected, found = whole.memory.state(), rest.memory.state()
    for name in set(expected) - {"windows.first", "windows.following"}:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.thorough
def test_several_updates_in_one_call_are_those_of_several_calls():
    one, three = (dqn(Line(num_envs=2), executions, **BOTH) for executions in (1, 3))
    for agent in (one, three):
        agent.fit(Line(num_envs=2), steps=37, verbose=0)
    np.testing.assert_array_equal(weights_of(three), weights_of(one))
    np.testing.assert_array_equal(three.memory.priorities, one.memory.priorities)


def test_rainbow_acts_with_noise():
    """All that Rainbow has: noisy layers draw at each timestep, and where they go on is in files."""
    env = Line(num_envs=2)

    def rainbow():
        agent = kagent.Rainbow(env, **SMALL, frequency=8, low=0.0, high=20.0, atoms=5)
        agent.compile(run_eagerly=True)
        return agent

    agent = rainbow()
    before = [state.numpy().copy() for state in agent.policy.random_states()]
    agent.fit(env, steps=2, verbose=0)
    assert agent.gradient_steps == 0  # nothing but acting has drawn
    assert all((state.numpy() != old).any() for state, old in zip(agent.policy.random_states(), before))


@pytest.mark.thorough
def test_a_compiled_program_is_traced_once():
    env = compiled.CartPole(num_envs=2)
    agent = kagent.Rainbow(env, **{**SMALL, "memory": 100}, frequency=4, low=0.0, high=50.0)
    agent.compile(steps_per_execution=3, jit_compile=True)
    agent.fit(env, steps=80, verbose=0)
    agent.fit(env, steps=61, verbose=0)
    assert agent._run.program.learner.traces == 1 and agent.gradient_steps > 25
    assert np.isfinite(weights_of(agent)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"horizon": "episode"},
            "`reward_estimation.horizon` cannot be part .* Received: episode. Allowed: an integer",
        ),
        (
            {"horizon": 20},
            "`memory.capacity` cannot be part .* Received: 40. Allowed: at least the 2 environments, in 21 windows",
        ),
    ],
)
def test_what_a_program_cannot_contain_is_refused(arguments, message):
    env = Line(num_envs=2)
    agent = dqn(env, **arguments)
    with pytest.raises(ValueError, match=message):
        agent.fit(env, steps=12, verbose=0)
    assert agent.timesteps == 0
