"""The rollout memory: steps in order, every row once per epoch."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent import memories
from kagent.memories import Rollout

BOX, DISCRETE = spaces.Box(-np.inf, np.inf, (), np.float32), spaces.Discrete(3)


def built(steps, num_envs=1, rollouts=1, **kwargs):
    memory = Rollout(steps)
    memory.build(BOX, DISCRETE, num_envs=num_envs, **kwargs)
    memory.reserve(rollouts)
    return memory


def append(memory, step, valid=None, terminated=None):
    """Step `step` of every environment: the observation is 100 * environment + step."""
    envs = np.arange(memory.num_envs)
    memory.append_leaves(
        [(100 * envs + step).astype(np.float32)],
        [np.zeros(len(envs), np.int32)],
        (100 * envs + step).astype(np.float64),
        np.zeros(len(envs)) if terminated is None else np.asarray(terminated),
        np.zeros(len(envs)),
        [(100 * envs + step + 1).astype(np.float32)],
        valid,
    )


def full(steps, num_envs=1, rollouts=1):
    memory = built(steps, num_envs, rollouts)
    for step in range(steps * rollouts):
        assert not memory.is_full and not memory.filled()
        append(memory, step)
    assert memory.is_full and memory.filled() and len(memory) == steps * rollouts * num_envs
    return memory


@settings(max_examples=10, deadline=None)
@given(
    steps=st.integers(1, 7), num_envs=st.integers(1, 4), rollouts=st.integers(1, 3), epochs=st.integers(1, 3),
    part=st.floats(0, 1), seed=st.integers(0, 2**62),
)  # fmt: skip
def test_every_epoch_takes_every_row_of_a_rollout_once(steps, num_envs, rollouts, epochs, part, seed):
    memory = full(steps, num_envs, rollouts)
    rows = steps * num_envs
    batch_size = 1 + int(part * (rows - 1))
    element = next(iter(memory.dataset(batch_size, epochs, seed)))
    observation = element["experience"]["observation"].numpy()
    # Time-major, rollouts side by side on the environment axis: never behind one another in time.
    assert observation.shape == (steps, rollouts * num_envs)
    for rollout in range(rollouts):
        for env in range(num_envs):
            expected = 100 * env + rollout * steps + np.arange(steps)
            assert observation[:, rollout * num_envs + env].tolist() == expected.tolist()
    assert element["experience"]["valid"].numpy().all()
    batches = -(-rows // batch_size)
    indices = element["indices"].numpy()
    assert indices.shape == (rollouts * epochs * batches, batch_size)
    flat = observation.ravel()
    for number, epoch in enumerate(indices.reshape(rollouts * epochs, -1)):
        rollout = number // epochs
        expected = [100 * env + rollout * steps + step for env in range(num_envs) for step in range(steps)]
        assert sorted(flat[epoch[epoch >= 0]]) == sorted(expected)
        # Padding comes last, and fills up the last minibatch only.
        assert (epoch[rows:] == -1).all() and (epoch[:rows] >= 0).all()


def test_orders_differ_between_epochs_and_elements_and_follow_the_seed():
    memory = full(30)
    first, second = (e["indices"].numpy() for _, e in zip(range(2), memory.dataset(30, epochs=3, seed=5)))
    orders = {tuple(row) for row in (*first, *second)}
    assert len(orders) == 6
    assert (next(iter(memory.dataset(30, epochs=3, seed=5)))["indices"].numpy() == first).all()
    assert (next(iter(memory.dataset(30, epochs=3, seed=5, start=1)))["indices"].numpy() == second).all()
    assert (next(iter(memory.dataset(30, epochs=3, seed=6)))["indices"].numpy() != first).any()


def test_elements_are_made_when_asked_for_and_stay_as_they_are():
    memory = full(4)
    elements = iter(memory.dataset(4))
    packed = iter(memory.packed_dataset(4, 1, 0))
    kept = []
    for start in range(0, 40, 4):
        memory.clear()
        for step in range(start, start + 4):
            append(memory, step)
        kept.append((next(elements)["experience"]["reward"], next(packed)))
    for number, (reward, blocks) in enumerate(kept):
        expected = [[number * 4 + step] for step in range(4)]
        assert reward.numpy().tolist() == expected
        assert memory.experience(blocks)[0]["reward"].numpy().tolist() == expected


def test_it_must_be_learned_from_before_it_takes_more():
    memory = full(3, num_envs=2)
    with pytest.raises(ValueError, match="full: 3 steps"):
        append(memory, 3)
    memory.clear()
    assert len(memory) == 0 and not memory.is_full
    append(memory, 0)
    with pytest.raises(ValueError, match=r"not complete. Received: 1 of 3"):
        memory.dataset(2)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, 7])
def test_a_batch_is_at_most_a_rollout(wrong):
    with pytest.raises(ValueError, match=r"`batch_size`.*Received: "):
        full(3, num_envs=2).dataset(wrong)


@pytest.mark.parametrize("wrong", [0, -5, 1.5, True])
def test_its_length_is_a_count(wrong):
    with pytest.raises(ValueError, match=r"`memory.steps`.*Received: "):
        Rollout(wrong)


def test_rows_that_are_no_transitions_are_marked():
    memory = built(2, num_envs=3)
    append(memory, 0, valid=np.array([True, False, True]))
    append(memory, 1)
    experience = next(iter(memory.dataset(6)))["experience"]
    assert experience["valid"].numpy().tolist() == [[True, False, True], [True, True, True]]


def test_an_interruption_truncates_the_newest_step_unless_it_terminated():
    memory = built(4, num_envs=3)
    memory.cut_episodes(range(3))  # nothing there yet
    append(memory, 0)
    append(memory, 1, terminated=[0, 1, 0])
    memory.cut_episodes([0, 1])
    append(memory, 2)
    append(memory, 3)
    experience = next(iter(memory.dataset(12)))["experience"]
    truncated = np.zeros((4, 3), bool)
    truncated[1, 0] = True
    np.testing.assert_array_equal(experience["truncated"], truncated)
    assert np.argwhere(experience["terminated"].numpy()).tolist() == [[1, 1]]


def test_holding_more_rollouts_makes_room():
    memory = full(2, num_envs=2)
    memory.reserve(1)
    assert memory.is_full  # nothing changes
    memory.reserve(3)
    assert len(memory) == 0
    for step in range(6):
        append(memory, step)
    assert memory.is_full and memory.minibatches(3) == 2


def test_masks_are_kept():
    memory = built(2, masked=True)
    mask = np.array([[True, False, True]])
    for here, there in ((mask, None), (None, ~mask)):
        memory.append_leaves(
            [np.zeros(1)], [np.zeros(1)], np.zeros(1), np.zeros(1), np.zeros(1), [np.zeros(1)], None,
            None if here is None else [here], None if there is None else [there],
        )  # fmt: skip
    experience = next(iter(memory.dataset(2)))["experience"]
    assert experience["action_mask"][0].numpy().tolist() == [mask.tolist(), [[True] * 3]]
    assert experience["next_action_mask"][0].numpy().tolist() == [[[True] * 3], (~mask).tolist()]


@pytest.mark.parametrize("count", [0, 1, 3, 4])
@pytest.mark.parametrize("rollouts", [1, 2])
def test_a_restored_rollout_goes_on_as_the_saved_one(count, rollouts):
    memory, other = built(4, 2, rollouts), built(4, 2, rollouts)
    for step in range(count):
        append(memory, step)
    append(other, 77)
    other.restore({key: value.copy() for key, value in memory.state().items()})
    assert len(other) == 2 * count
    for step in range(count, 4 * rollouts):
        append(memory, step)
        append(other, step)
    for ours, theirs in zip(*(next(iter(m.dataset(8)))["experience"].values() for m in (memory, other))):
        np.testing.assert_array_equal(ours, theirs)


def test_what_does_not_fit_is_refused():
    state = {key: value.copy() for key, value in full(4, 2).state().items()}
    for other in (built(4, 1), built(3, 2), built(4, 2, 2)):
        with pytest.raises(ValueError, match=r"Saved rollout has 4 steps of 2 environment"):
            other.restore(state)
    for wrong in ({"block.float32": state["block.float32"][:, :-1]}, {"counters": np.array([-1, 2, 1])}):
        with pytest.raises(ValueError, match="Saved"):
            built(4, 2).restore({**state, **wrong})


def test_parts_stand_for_memories():
    memory = memories.get({"type": "rollout", "steps": 5, "saved": False})
    assert isinstance(memory, Rollout) and memory.get_part() == {"type": "Rollout", "steps": 5, "saved": False}
    assert memories.get(memory.get_part()).get_part() == memory.get_part()
