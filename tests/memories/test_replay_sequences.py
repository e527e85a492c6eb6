"""Sequences drawn from a ring of timesteps."""

import gymnasium
import numpy as np
import pytest

import kagent
from kagent.memories import ReplaySequences
from kagent.memories.transition import Transition
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Clock
from kagent.update import Update

BOX, TWO = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32), gymnasium.spaces.Discrete(2)
RULE = Update(batch_size=6, frequency=1, steps=2)


def filled(steps, capacity=20, valid=None, prioritized=False):
    """Two environments; timestep t of the first is t, of the second 1000 + t; the state beside it is its negative."""
    memory = ReplaySequences(capacity, sequence_length=3, burn_in=2, prioritized=prioritized)
    memory.keep_state([((1,), np.dtype(np.float32))])
    memory.configure(RULE, RewardEstimation(), Clock)
    memory.keep_sequences()
    memory.build(BOX, TWO, num_envs=2)
    for t in range(steps):
        numbers, flags = np.array([t, 1000 + t], np.float32), np.zeros(2, bool)
        place = [numbers[:, None]]
        memory.append_step(
            Transition(
                place,
                [np.zeros(2, np.int32)],
                numbers,
                flags,
                flags,
                place,
                valid=valid,
                actor_state=[-numbers[:, None]],
            )
        )
    return memory


def drawn(memory, number=0):
    element = next(memory.elements(RULE, 1, seed=0, start=number))
    experience, indices = memory.experience(element)
    return {name: np.asarray(experience[name]) for name in ("reward", "valid")}, np.asarray(indices), experience


def test_minibatches_are_whole_sequences_from_anywhere_in_the_ring():
    memory, begins = filled(25), set()
    for number in range(100):
        columns, indices, experience = drawn(memory, number)
        assert indices.shape == (2, 5, 2) and columns["valid"].all()
        rewards = columns["reward"].reshape(-1)[indices]  # (K, L, B)
        assert (np.diff(rewards, axis=1) == 1).all()
        begins |= set(rewards[:, 0].ravel().astype(int))
        assert np.array_equal(np.asarray(experience["actor_state"][0])[..., 0], -columns["reward"])
    # The ring of ten timesteps each holds 15 to 24; the last sequence of five begins with 20.
    assert begins == {*range(15, 21), *range(1015, 1021)}


def test_it_waits_for_a_whole_sequence():
    assert not filled(4).has_any and filled(5).has_any
    one = filled(9, valid=np.array([True, False]))  # the second environment makes no timestep
    assert one.has_any and drawn(one)[0]["reward"].max() < 1000


def test_what_is_restored_draws_alike():
    one, other = filled(25), filled(0)
    other.restore({name: np.array(part) for name, part in one.state().items()})
    assert all(np.array_equal(drawn(one, n)[0]["reward"], drawn(other, n)[0]["reward"]) for n in range(5))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: ReplaySequences(4, sequence_length=3, burn_in=2), "at least one sequence"),
        (lambda: ReplaySequences(8, sequence_length=3, burn_in=2).build(BOX, TWO, num_envs=2), "for each of 2"),
        (lambda: ReplaySequences(20, sequence_length=0), "sequence_length"),
        (
            lambda: kagent.DQN(
                "CartPole-v1",
                network={"rnn": 4},
                batch_size=8,
                memory=ReplaySequences(20, sequence_length=3, burn_in=2),
            ),
            "batch_size=8 and sequence_length=3",
        ),
        (lambda: kagent.DQN("CartPole-v1", batch_size=40, memory=ReplaySequences(100)), "is for recurrent networks"),
        (lambda: kagent.DQN("CartPole-v1", network={"rnn": 4}), "hands out single timesteps"),
        (
            lambda: kagent.DQN(
                "CartPole-v1", network={"rnn": 4}, noisy=True, batch_size=40, memory=ReplaySequences(100)
            ),
            "without recurrent layers",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
