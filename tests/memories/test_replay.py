"""The replay memory: a ring like a slow one, and datasets that draw from it as it is."""

from __future__ import annotations

import collections
import itertools

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import memories
from kagent.memories import Replay, storage

BOX, DISCRETE = spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Discrete(5)


def built(capacity, observation=BOX, action=DISCRETE, **kwargs):
    memory = Replay(capacity)
    memory.build(observation, action, **kwargs)
    return memory


def append(memory, number, count=1, valid=None):
    """`count` transitions that all say their number."""
    numbers = np.arange(number, number + count)
    memory.append_leaves(
        [np.stack([numbers, -numbers], 1).astype(np.float32)],
        [(numbers % 5).astype(np.int32)],
        numbers.astype(np.float64),
        numbers % 3 == 0,
        numbers % 2 == 0,
        [np.stack([numbers, -numbers], 1).astype(np.float32) + 0.5],
        valid,
    )


def rows(memory):
    """What it holds, in the order of its rows."""
    return memory.storage.views["reward"][: len(memory)].tolist()


@settings(max_examples=30, deadline=None)
@given(
    capacity=st.integers(1, 12),
    steps=st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=20),
)
def test_it_keeps_what_a_slow_ring_keeps(capacity, steps):
    memory, model, number = built(capacity), collections.deque(maxlen=capacity), 0
    for valid in steps:
        append(memory, number, len(valid), np.array(valid))
        model.extend(number + i for i, real in enumerate(valid) if real)
        number += len(valid)
        assert len(memory) == len(model) and sorted(rows(memory)) == sorted(model)
        if len(memory) == capacity:
            assert np.roll(rows(memory), -memory.cursor).tolist() == list(model)
    views = memory.storage.views
    for row, kept in enumerate(rows(memory)):
        assert views["observation.0"][row].tolist() == [kept, -kept]
        assert views["next_observation.0"][row].tolist() == [kept + 0.5, -kept + 0.5]
        assert views["action.0"][row] == kept % 5
        assert (views["terminated"][row], views["truncated"][row]) == (kept % 3 == 0, kept % 2 == 0)


def test_a_dataset_gives_the_transitions_nested_as_their_spaces():
    observation = spaces.Dict(
        image=spaces.Box(0, 255, (4, 4, 3), np.uint8),
        pair=spaces.Tuple((spaces.Discrete(3, start=5), spaces.Box(-(2**40), 2**40, (2,), np.int64))),
    )
    action = spaces.Dict(go=spaces.Box(-1, 1, (3,), np.float64), pick=spaces.MultiDiscrete([3, 4], start=[1, 2]))
    memory = built(20, observation, action)
    observation.seed(0), action.seed(0)
    kept = [(observation.sample(), action.sample(), observation.sample()) for _ in range(20)]
    for number, (before, taken, after) in enumerate(kept):
        memory.append(before, taken, number, number % 2 == 0, number % 3 == 0, after)
    batch = next(iter(memory.dataset(batch_size=16)))
    assert set(batch) == {"observation", "action", "reward", "terminated", "truncated", "next_observation"}
    assert batch["reward"].dtype == tf.float32 and batch["terminated"].dtype == batch["truncated"].dtype == tf.bool
    for row, number in enumerate(batch["reward"].numpy().astype(int)):
        before, taken, after = kept[number]
        for got, expected in ((batch["observation"], before), (batch["next_observation"], after)):
            image, (place, big) = got["image"][row].numpy(), got["pair"]
            assert image.dtype == np.uint8 and (image == expected["image"]).all()
            assert place[row].numpy() == expected["pair"][0] - 5  # indices from 0
            assert (big[row].numpy() == expected["pair"][1]).all() and big.dtype == tf.int64
        np.testing.assert_array_equal(batch["action"]["go"][row], taken["go"].astype(np.float32))
        np.testing.assert_array_equal(batch["action"]["pick"][row], taken["pick"] - [1, 2])
        assert (bool(batch["terminated"][row]), bool(batch["truncated"][row])) == (number % 2 == 0, number % 3 == 0)
    stacked = next(iter(memory.dataset(batch_size=16, steps=3)))
    assert stacked["observation"]["image"].shape == (3, 16, 4, 4, 3) and stacked["reward"].shape == (3, 16)


def draws(memory, count, batch_size=8, **kwargs):
    elements = itertools.islice(memory.dataset(batch_size, **kwargs), count)
    return [element["reward"].numpy().tolist() for element in elements]


@pytest.mark.sensitive
def test_draws_are_uniform_over_what_is_there_and_with_replacement(seed_shift):
    memory = built(100)
    for number in range(40):
        append(memory, number)
    drawn = np.ravel(draws(memory, 40, batch_size=100, steps=10, seed=seed_shift)).astype(int)  # 40,000 of 40 rows
    counts = np.bincount(drawn, minlength=100)
    assert not counts[40:].any()
    # Chi-squared with 39 degrees of freedom: beyond 105 with probability 5e-8.
    assert ((counts[:40] - 1000) ** 2 / 1000).sum() < 105
    assert any(len(set(batch)) < 8 for batch in draws(memory, 20))


def test_equal_seeds_draw_equal_rows_and_start_continues_a_sequence():
    memory = built(50)
    append(memory, 0, 50)
    sequence = draws(memory, 10, seed=3)
    assert draws(memory, 10, seed=3) == sequence
    assert draws(memory, 10, seed=4) != sequence
    assert draws(memory, 6, seed=3, start=4) == sequence[4:]
    assert len({tuple(batch) for batch in sequence}) == 10
    stacked = draws(memory, 2, seed=3, steps=5)
    assert np.shape(stacked) == (2, 5, 8) and len({tuple(batch) for batch in stacked[0]}) == 5


def test_nothing_is_read_ahead():
    memory = built(1)
    append(memory, 0)
    plain, stacked = iter(memory.dataset(1)), iter(memory.dataset(1, steps=2))
    packed = iter(memory.packed_dataset(1, 3, 0))
    place = memory.storage.places["reward"][1]
    for number in range(1, 30):
        append(memory, number)
        assert next(plain)["reward"].numpy().tolist() == [number]
        assert next(stacked)["reward"].numpy().tolist() == [[number], [number]]
        assert next(packed)["float32"].numpy()[:, 0, 0, place].tolist() == [number] * 3


def test_rows_appended_or_cleared_between_draws_count_at_once():
    memory = built(64)
    append(memory, 0)
    elements = iter(memory.dataset(64, seed=1))
    assert set(next(elements)["reward"].numpy()) == {0}
    for size in range(2, 40):
        append(memory, size - 1)
        assert next(elements)["reward"].numpy().max() >= size - 8
    memory.clear()
    append(memory, 99)
    assert set(next(elements)["reward"].numpy()) == {99}


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "8", None, 9])
def test_a_batch_is_from_1_to_the_capacity(wrong):
    memory = built(8)
    append(memory, 0)
    with pytest.raises(ValueError, match=r"`batch_size`.*Received: "):
        memory.dataset(wrong)
    assert len(next(iter(memory.dataset(8)))["reward"]) == 8


def test_an_empty_memory_has_nothing_to_draw():
    with pytest.raises(ValueError, match="memory is empty"):
        built(8).dataset(2)


@pytest.mark.parametrize("wrong", [0, -5, 1.5, True, "many"])
def test_the_capacity_is_a_count(wrong):
    with pytest.raises(ValueError, match=r"`memory.capacity`.*Received: "):
        Replay(wrong)


def test_a_memory_that_does_not_fit_says_which_would(monkeypatch):
    monkeypatch.setattr(storage, "free_memory", lambda: 2**30)
    memory = Replay(1_000_000)
    with pytest.raises(ValueError, match=r"31\.3 GiB for 1000000.*1\.0 GiB are free.*capacity of at most 25553\."):
        memory.build(spaces.Box(0, 255, (210, 160), np.uint8), DISCRETE)
    assert not memory.built


def test_masks_are_kept_per_discrete_leaf():
    action = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, ()), spaces.MultiBinary(2)))
    memory = built(4, BOX, action, masked=True)
    first, second = np.array([True, False, True]), np.array([True, True, False, True])
    memory.append(np.zeros(2), (0, 0.5, [1, 0]), 1.0, False, False, np.ones(2), [first, None, second], None)
    memory.append(np.zeros(2), (0, 0.5, [1, 0]), 2.0, False, False, np.ones(2), None, [~first, None, None])
    batch = next(iter(memory.dataset(4, steps=8)))
    assert batch["action_mask"][1].shape == batch["next_action_mask"][1].shape == (8, 4, 0)  # a box has none
    for reward, a, b, c, d in zip(
        batch["reward"].numpy().ravel(),
        batch["action_mask"][0].numpy().reshape(-1, 3),
        batch["action_mask"][2].numpy().reshape(-1, 4),
        batch["next_action_mask"][0].numpy().reshape(-1, 3),
        batch["next_action_mask"][2].numpy().reshape(-1, 4),
    ):
        assert (a == (first if reward == 1 else True)).all() and (b == (second if reward == 1 else True)).all()
        assert (c == (True if reward == 1 else ~first)).all() and d.all()
    assert "action_mask" not in next(iter(filled(4).dataset(2)))


def filled(capacity, count=None, number=0):
    memory = built(capacity)
    for i in range(capacity if count is None else count):
        append(memory, number + i)
    return memory


def copied(state):
    return {key: value.copy() for key, value in state.items()}


@pytest.mark.parametrize("count", [0, 3, 8, 21])
@pytest.mark.parametrize("sliced", [False, True])
def test_a_restored_memory_goes_on_as_the_saved_one(count, sliced):
    memory = filled(8, count)
    state = copied(memory.state())
    assert len(state["block.float32"]) == min(count, 8)
    if sliced:
        state = {key: iter([value[:2], value[2:5], value[5:]]) for key, value in state.items()}
    other = filled(8, 5, 900)
    other.restore(state)
    for number in range(100, 120):
        assert rows(other) == rows(memory) and other.cursor == memory.cursor
        append(memory, number)
        append(other, number)
    assert draws(other, 3) == draws(memory, 3)


@pytest.mark.parametrize("count", [5, 8, 11])
def test_a_larger_memory_takes_a_smaller_ones_rows_in_order(count):
    memory, other = filled(8, count), built(12)
    other.restore(memory.state())
    expected = collections.deque(range(max(0, count - 8), count), maxlen=12)
    for number in range(100, 110):
        assert sorted(rows(other)) == sorted(expected)  # no row that was never written
        append(other, number)
        expected.append(number)


def test_what_does_not_fit_is_refused():
    memory = filled(8)
    with pytest.raises(ValueError, match="holds 8 transitions; this one holds 7"):
        built(7).restore(memory.state())
    for observation, action in ((spaces.Box(0, 1, (3,)), DISCRETE), (spaces.Box(0, 255, (20,), np.uint8), DISCRETE)):
        with pytest.raises((KeyError, ValueError)):
            built(8, observation, action).restore(memory.state())
    state = copied(memory.state())
    for wrong in (
        {"block.float32": state["block.float32"].astype(np.float64)},
        {"block.float32": state["block.float32"][:-1]},
        {"block.float32": state["block.float32"][:, :-1]},
        {"block.float32": iter([state["block.float32"]] * 2)},
        {"counters": np.array([8, 9])},
        {"counters": np.array([-1, 0])},
        {"counters": np.array([8, -1])},
        {"counters": np.array([8])},
        {"counters": np.array([8.0, 0.0])},
    ):
        with pytest.raises(ValueError, match="Saved memory"):
            built(8).restore({**state, **wrong})


def test_parts_stand_for_memories():
    for given_, capacity in ((100, 100), (1e6, 1_000_000), ({"type": "replay", "capacity": 7}, 7)):
        memory = memories.get(given_)
        assert isinstance(memory, Replay) and memory.capacity == capacity
        again = memories.get(memory.get_part())
        assert again.get_part() == memory.get_part()
    assert memories.get(memory) is memory
    assert memories.get({"type": "Replay", "capacity": 3, "saved": False}).saved is False
    for wrong, error in (("reply", ValueError), (True, TypeError), (1.5, TypeError), (None, TypeError)):
        with pytest.raises(error, match=r"Received"):
            memories.get(wrong)


def test_it_serves_a_stock_keras_model():
    import keras

    memory = filled(50)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = memory.dataset(10).map(lambda batch: (batch["observation"] / 50, batch["reward"] / 50))
    history = model.fit(data, epochs=3, steps_per_epoch=30, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_environments_may_reuse_their_arrays():
    memory, shared = built(4), np.zeros((1, 2), np.float32)
    for number in range(3):
        shared[:] = number
        memory.append_leaves([shared], [np.zeros(1)], np.zeros(1), np.zeros(1), np.zeros(1), [shared])
    assert memory.storage.views["observation.0"][:3, 0].tolist() == [0, 1, 2]


def test_the_example_of_the_docstring_runs():
    memory = Replay(capacity=1000)
    memory.build(gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(2))
    memory.append(
        observation=np.zeros(3), action=1, reward=0.5, terminated=False, truncated=False, next_observation=np.ones(3)
    )
    batch = next(iter(memory.dataset(batch_size=4)))
    assert batch["observation"].shape == (4, 3) and batch["action"].shape == (4,)
