"""Agents that learn from whole episodes, in the program of a compiled environment."""

import operator

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_compiled_fit import Cycle, Noting, rollout_of, weights_of

import kagent
from kagent.environments import compiled
from kagent.memories import Transition
from kagent.training.compiled.rollout import EpisodeCollector


def vpg(env, **changes):
    settings = {"batch_size": 5, "network": {"units": [4]}, "seed": 3, "optimizer": keras.optimizers.SGD(0.01)}
    agent = kagent.VPG(env, **{**settings, **changes})
    agent.compile(run_eagerly=True)
    return agent


def test_each_environment_plays_one_episode():
    env = Cycle(num_envs=5)
    found, indices, (lengths, returns) = rollout_of(vpg(env), env, EpisodeCollector)
    valid = found["valid"]
    assert valid.shape == (4, 5) and sorted(indices.ravel()) == list(range(20)) and indices.shape == (1, 20)
    assert len(set(valid.sum(axis=0).tolist())) > 1  # of several lengths
    ended = found["terminated"] | found["truncated"]
    for column in range(5):
        length = int(valid[:, column].sum())
        assert valid[:length, column].all() and ended[length - 1, column] and not ended[: length - 1, column].any()
        place = found["observation"]["place"][:length, column, 0]
        assert place[0] == 0 and (np.diff(place) == found["action"][: length - 1, column]).all()
        assert lengths[length - 1, column] == length
        assert returns[length - 1, column] == found["reward"][:length, column].sum()
    assert found["action_mask"][0][~valid].all()
    assert (lengths > 0).sum() == 5


def test_an_update_is_that_of_the_same_episodes_elsewhere():
    env = Cycle(num_envs=5)
    inside, outside, noting = vpg(env), vpg(env), Noting()
    before = weights_of(inside)
    inside.fit(env, episodes=5, callbacks=noting, verbose=0)
    seed = outside._random.sample_seed
    found, _, (lengths, _) = rollout_of(outside, env, EpisodeCollector, [seed, 0])
    memory = outside.memory
    memory.build(outside._observation, outside._action, masked=True, num_envs=1)
    for column in range(5):
        rows = np.flatnonzero(found["valid"][:, column])
        fields = tf.nest.map_structure(operator.itemgetter((rows, column)), found)
        leaves = [outside._observation.flatten(fields[name]) for name in ("observation", "next_observation")]
        memory.append_sequence(
            Transition(
                leaves[0], [fields["action"]], fields["reward"], fields["terminated"], fields["truncated"], leaves[1],
                fields["action_mask"], fields["next_action_mask"],
            )
        )  # fmt: skip
    outside.update()
    np.testing.assert_allclose(weights_of(inside), weights_of(outside), rtol=1e-5, atol=1e-7)
    assert np.abs(weights_of(inside) - before).max() > 1e-4
    assert (inside.gradient_steps, inside.episodes, inside.timesteps) == (1, 5, lengths.sum())
    assert [length for _, _, length, _ in noting.ends] == lengths[lengths > 0].tolist()


@pytest.mark.thorough
def test_a_resumed_run_is_the_run(tmp_path):
    env = compiled.CartPole(num_envs=5)
    settings = {"max_episode_timesteps": 12, "baseline": "auto", "normalize": True, "optimizer": "adam"}
    whole, half = vpg(env, **settings), vpg(env, **settings)
    whole.fit(env, max_episodes=15, verbose=0)
    half.fit(env, max_episodes=5, verbose=0)
    half.save(tmp_path / "half.keras")
    rest = kagent.load(tmp_path / "half.keras")
    rest.fit(compiled.CartPole(num_envs=5), max_episodes=15, verbose=0)
    np.testing.assert_array_equal(weights_of(rest), weights_of(whole))
    assert (rest.timesteps, rest.episodes, rest.gradient_steps) == (whole.timesteps, 15, 3)
    # Statistics take in no environment that waits: first observations, timesteps, and what new episodes begin with.
    assert whole.preprocessing.statistics()[0][0]["weight"] == 5 + whole.timesteps + 15


@pytest.mark.thorough
def test_a_compiled_program_is_that_of_nothing_compiled():
    env = Cycle(num_envs=5)
    one, two = vpg(env), vpg(env)
    two.compile(jit_compile=True)
    for agent in (one, two):
        agent.fit(env, episodes=10, verbose=0)
    assert (two.timesteps, two.episodes, two._run.program.learner.traces) == (one.timesteps, 10, 1)
    np.testing.assert_allclose(weights_of(two), weights_of(one), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"batch_size": 4},
            "`update.batch_size` cannot be part .* Received: 4. Allowed: 5, an episode of each environment",
        ),
        ({"frequency": 1}, "`update.frequency` cannot be part .* Received: 1. Allowed: 5"),
        ({"start": 100}, "`update.start` cannot be part"),
    ],
)
def test_what_a_program_cannot_contain_is_refused(changes, message):
    env = Cycle(num_envs=5)
    agent = vpg(env, **changes)
    with pytest.raises(ValueError, match=message):
        agent.fit(env, episodes=5, verbose=0)
    assert agent.timesteps == 0
