"""Noise that is linear in features, and stays for some timesteps, in NumPy."""

import itertools
import json
import math

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import spaces
from kagent.acting import Actor, EpisodeStates, Program, distributions, load
from kagent.spaces import Structure

BOX = gymnasium.spaces.Box(-3.0, 5.0, (1,))
KINDS = ("state_dependent_gaussian", "state_dependent_squashed_gaussian")
LEARNED = np.log(np.float32([[0.5, 0.25]]))  # deviations of two features


def generator(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def make(kind=KINDS[0], space=BOX, features=2, **options):
    return distributions.make(kind, Structure(space).leaves[0], features=features, **options)


def heads(mean, features, learned=LEARNED):
    rows = len(features)
    return [np.float32(mean).reshape(rows, -1), np.float32(features), np.repeat(learned, rows, 0)]


def actor_of(observation, action, chosen, seed=0, **arguments):
    """Its features are the observation; means are twice the first feature; deviations are 1."""
    size, nodes, outputs, weights, arrays = observation.shape[0], [], [], [], []
    for decision in chosen:
        mean, learned = np.zeros((size, decision.widths[0])), np.zeros(decision.widths[2])
        mean[0] = 2.0
        nodes += [{"op": "dense", "inputs": [0], "weights": [len(weights)]}]
        nodes += [{"op": "broadcast", "inputs": [0], "weights": [len(weights) + 1]}]
        outputs += [len(nodes) - 1, 0, len(nodes)]
        weights, arrays = [*weights, list(mean.shape), list(learned.shape)], [*arrays, mean, learned]
    inputs = [{"shape": [size], "dtype": "float32"}]
    program = Program({"inputs": inputs, "weights": weights, "nodes": nodes, "outputs": outputs}, arrays)
    described = spaces.to_config(observation), spaces.to_config(action)
    return Actor(None, described[0], chosen, generator(seed), program, described[1], **arguments)


def test_numbers_by_hand():
    """1 * 0.5 * 1 + 2 * 0.25 * -2 = -0.5 beside the mean 0.25; 3 * 0.5 * 2 - 1 * 0.25 * 4 = 2 beside 1."""
    state = np.float32([[[1.0], [-2.0]], [[2.0], [4.0]]]), np.int32([3, 1])
    given_heads = heads([0.25, 1.0], [[1.0, 2.0], [3.0, -1.0]])
    action, (matrices, left) = make().choose_from(given_heads, state, generator(), False)
    np.testing.assert_array_equal(action, [[-0.25], [3.0]])
    assert matrices is state[0] and left.tolist() == [2, 0]
    action, _ = make(KINDS[1]).choose_from(given_heads, state, generator(), False)
    np.testing.assert_allclose(action, np.tanh([[-0.25], [3.0]]), rtol=1e-6)


def test_one_column_and_expln_by_hand():
    """Deviations 1 + log 2 and exp(-1), of both numbers of an action."""
    decision = make(space=gymnasium.spaces.Box(-9.0, 9.0, (2,)), full_std=False, expln=True)
    assert decision.widths == (2, 2, 2)
    state = np.float32([[[1.0, 0.0], [0.0, 1.0]]]), np.int32([1])
    action, _ = decision.choose_from(heads([0.0, 0.0], [[1.0, 2.0]], np.float32([[1.0, -1.0]])), state, None, False)
    np.testing.assert_allclose(action, [[1.0 + math.log(2), 2.0 / math.e]], rtol=1e-6)


@pytest.mark.parametrize("period, steps", [(1, [0, 1, 2, 3, 4, 5]), (3, [0, 0, 0, 1, 1, 1]), (None, [0] * 6)])
def test_a_matrix_stays_for_its_period(period, steps):
    decision, rng = make(period=period), generator(3)
    state, drawn = decision.initial_state(2), []
    for _ in steps:
        _, state = decision.choose_from(heads([0, 0], [[1, 1], [1, 1]]), state, rng, False)
        drawn.append(state[0])
    again = generator(3)
    expected = [again.standard_normal((2, 2, 1), np.float32) for _ in range(steps[-1] + 1)]
    for matrices, number in zip(drawn, steps):
        np.testing.assert_array_equal(matrices, expected[number])


def test_deterministic_actions_are_means_and_draw_nothing_while_time_passes():
    decision, rng = make(period=2), generator()
    before = rng.bit_generator.state["state"]["counter"].copy()
    state = decision.initial_state(1)
    for expected in (0, 0):  # a matrix that is due stays due
        action, state = decision.choose_from(heads([0.75], [[1.0, 2.0]]), state, rng, True)
        assert action.tolist() == [[0.75]] and state[1].tolist() == [expected]
    assert (rng.bit_generator.state["state"]["counter"] == before).all()
    _, state = decision.choose_from(heads([0.75], [[1.0, 2.0]]), state, rng, False)
    assert state[1].tolist() == [1]
    _, state = decision.choose_from(heads([0.75], [[1.0, 2.0]]), state, rng, True)
    assert state[1].tolist() == [0]


def test_every_row_has_a_matrix_and_an_episode_of_its_own():
    action = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    observation = gymnasium.spaces.Box(-9.0, 9.0, (2,))
    states = EpisodeStates(actor_of(observation, action, [make(space=action, period=3)]), 2)
    seen, ends = [], {1: [0], 5: [1]}
    for step in range(7):
        chosen = states.decide([np.ones((2, 2), np.float32)], None, False, generator(step))
        seen.append(chosen[0][:, 0].tolist())
        states.advance(ends.get(step, ()))
    first, second = (list(column) for column in zip(*seen))
    # The same observation at every timestep: another action where a matrix was drawn.
    assert [a != b for a, b in itertools.pairwise(first)] == [False, True, False, False, True, False]
    assert [a != b for a, b in itertools.pairwise(second)] == [False, False, True, False, False, True]
    assert len({*first, *second}) == 3 + 3


@pytest.mark.sensitive
@pytest.mark.parametrize("with_state", [False, True])
def test_samples_have_the_distribution_that_losses_are_of(with_state):
    """Variance 9 / 4 + 16 / 16 = 3.25."""
    decision, count = make(), 40_000
    given_heads, rng = heads([1.0] * count, [[3.0, 4.0]] * count), generator(5)
    if with_state:
        action, _ = decision.choose_from(given_heads, decision.initial_state(count), rng, False)
    else:
        action = decision.choose(given_heads, rng, False)
    assert abs(action.mean() - 1.0) < 6 * math.sqrt(3.25 / count)
    assert abs(action.var() / 3.25 - 1.0) < 6 * math.sqrt(2 / count)


@pytest.mark.parametrize("kind", KINDS)
def test_temperature_scales_noise(kind):
    observation, found = gymnasium.spaces.Box(-9.0, 9.0, (2,)), {}
    for temperature in (0.0, 0.5, 1.0):
        actor = actor_of(observation, BOX, [make(kind)], temperature=temperature)
        states = EpisodeStates(actor, 1)
        leaves = [np.float32([[0.25, 1.0]])]
        carried = states.decide(leaves, None, False, generator(2))[0].item()
        alone = actor.decide(leaves, None, False, generator(2))[0].item()
        found[temperature] = [math.atanh(x) if kind == KINDS[1] else x for x in (carried, alone)]
    np.testing.assert_allclose(found[0.0], 0.5, rtol=1e-6)
    np.testing.assert_allclose(np.subtract(found[0.5], 0.5) * 2, np.subtract(found[1.0], 0.5), rtol=1e-4)
    assert found[1.0] != found[0.0]


def test_a_saved_actor_has_the_same_noise(tmp_path):
    observation = gymnasium.spaces.Box(-9.0, 9.0, (3,))
    action = gymnasium.spaces.Tuple((BOX, gymnasium.spaces.Box(0.0, 1.0, (2, 2))))
    chosen = [make(KINDS[i], space, 3, period=i + 1, expln=bool(i)) for i, space in enumerate(action.spaces)]
    actor = actor_of(observation, action, chosen)
    actor.save(tmp_path)
    loaded = load(tmp_path)
    assert [decision.to_config() for decision in loaded.decisions] == [decision.to_config() for decision in chosen]
    ours, theirs, rngs = EpisodeStates(actor, 2), EpisodeStates(loaded, 2), (generator(1), generator(1))
    for step in range(4):
        leaves = [np.full((2, 3), step, np.float32)]
        for one, other in zip(*(s.decide(leaves, None, False, rng) for s, rng in zip((ours, theirs), rngs))):
            np.testing.assert_array_equal(one, other)
        ours.advance()
        theirs.advance()
    assert action.contains(loaded.act(np.zeros(3, np.float32), deterministic=False))
    best = loaded.act(np.float32([0.25, 9.0, 9.0]))
    np.testing.assert_array_equal(best[0], [0.5])


@pytest.mark.parametrize(
    "change",
    [
        {"features": 0}, {"features": 1 << 40}, {"features": 2.0}, {"period": 0}, {"period": "episode"}, {"expln": 1},
        {"full_std": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_damaged_description_is_refused(change):
    config = json.loads(json.dumps(make(period=3).to_config()))
    assert distributions.from_config(config).period == 3
    with pytest.raises(ValueError, match=next(iter(change))):
        distributions.from_config({**config, **change})
    del config["features"]
    with pytest.raises(ValueError, match="features"):
        distributions.from_config(config)


def test_what_it_is_not_for_is_refused():
    with pytest.raises(ValueError, match="needs a Box"):
        make(space=gymnasium.spaces.Discrete(2))
    with pytest.raises(ValueError, match="finite bounds"):
        make(KINDS[1], gymnasium.spaces.Box(-np.inf, 1.0, (1,)))
    for choose in (make().choose, lambda *a: make().choose_from(a[0], make().initial_state(1), *a[1:])):
        with pytest.raises(ValueError, match="mask"):
            choose(heads([0.0], [[0.0, 0.0]]), generator(), False, np.ones((1, 2), bool))


SHAPES = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(SHAPES, min_size=1, max_size=3),
    features=st.integers(1, 4),
    count=st.integers(1, 3),
    period=st.one_of(st.none(), st.integers(1, 3)),
    kind=st.sampled_from(KINDS),
    full=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64, np.int64]),
)
def test_actions_of_any_boxes_are_in_their_spaces(shapes, features, count, period, kind, full, dtype):
    action = gymnasium.spaces.Tuple([gymnasium.spaces.Box(-2, 3, shape, dtype) for shape in shapes])
    chosen = [make(kind, space, features, period=period, full_std=full) for space in action.spaces]
    actor = actor_of(gymnasium.spaces.Box(-9.0, 9.0, (features,)), action, chosen)
    states = EpisodeStates(actor, count)
    assert [part.shape for part in states.state[::2]] == [(count, features, math.prod(s)) for s in shapes]
    for step in range(4):
        leaves = [generator(step).normal(size=(count, features)).astype(np.float32)]
        taken = actor.to_env(states.decide(leaves, None, False, generator(step)))
        for row in range(count):
            assert action.contains(tuple(np.asarray(array[row]) for array in taken))
        states.advance([0] if step == 1 else ())
    assert all(np.isfinite(part).all() for part in states.state)
