"""Environments whose single observations do not say enough."""

import gymnasium
import numpy as np
import pytest

from kagent.environments import partial

MODULE = "kagent.environments.partial:"


@pytest.mark.parametrize(
    "name, kept", [("CartPole-v1", [0, 2]), ("Pendulum-v1", [0, 1]), ("MountainCarContinuous-v0", [0])]
)
def test_velocities_are_hidden_and_nothing_else_changes(name, kept):
    short, _, version = name.partition("-")
    env, whole = gymnasium.make(f"{MODULE}{short}WithoutVelocities-{version}"), gymnasium.make(name)
    (first, _), (seen, _) = env.reset(seed=3), whole.reset(seed=3)
    assert np.array_equal(first, seen[kept]) and env.observation_space.contains(first)
    action = whole.action_space.sample()
    for found, expected in zip(env.step(action)[1:4], whole.step(action)[1:4]):
        assert found == expected
    assert env.get_wrapper_attr("spec").id.startswith(short)
    assert np.array_equal(env.observation_space.high, whole.observation_space.high[kept])


def test_the_maze_pays_for_the_turn_of_its_sign():
    env, signs = partial.TMaze(corridor=2), set()
    for seed in range(6):
        (sign, junction), _ = env.reset(seed=seed)
        signs.add(float(sign))
        assert junction == 0
        assert env.step(1)[0].tolist() == [0, 0]  # a turn before the junction does nothing
        assert env.step(0)[0].tolist() == [0, 0] and env.step(0)[0].tolist() == [0, 1]
        right = 2 if sign > 0 else 1
        found = env.step(right if seed % 2 else 3 - right)
        assert found[1:4] == (float(seed % 2), True, False)
    assert signs == {-1.0, 1.0}
    env.reset(seed=0)
    assert [env.step(1)[3] for _ in range(8)] == [False] * 7 + [True]


def test_suits_are_to_be_named_three_cards_later():
    env = gymnasium.make(f"{MODULE}RepeatPrevious-v0")
    for right in (True, False):
        seen, rewards, ended = [env.reset(seed=7)[0]], [], False
        while not ended:
            suit = seen[-4] if len(seen) >= 4 else 0
            observation, reward, ended, cut, _ = env.step(suit if right else (suit + 1) % 4)
            assert not cut
            seen.append(observation)
            rewards.append(reward)
        assert len(rewards) == 51 and rewards[:3] == [0, 0, 0] and sorted(seen) == sorted([0, 1, 2, 3] * 13)
        assert set(rewards[3:]) == {(1 if right else -1) / 48} and sum(rewards) == pytest.approx(1 if right else -1)
    assert env.reset(seed=7)[0] == seen[0] and len({partial.RepeatPrevious().reset(seed=n)[0] for n in range(9)}) > 1
    long = partial.RepeatPrevious(back=32, decks=2)
    long.reset(seed=0)
    assert [long.step(0)[1] != 0 for _ in range(103)] == [False] * 31 + [True] * 72


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: partial.WithoutVelocities(gymnasium.make("Acrobot-v1")), "`kept` must be given, except of CartPole"),
        (lambda: partial.WithoutVelocities(gymnasium.make("Acrobot-v1"), [6]), "indices from 0 to 5"),
        (lambda: partial.WithoutVelocities(gymnasium.make("Acrobot-v1"), []), "at least one"),
        (lambda: partial.WithoutVelocities(partial.TMaze().unwrapped, [0, -1]), "indices from 0 to 1"),
        (lambda: partial.TMaze(0), "`corridor` must be an integer >= 1"),
        (lambda: partial.RepeatPrevious(52), "`back` must be an integer from 1 to 51"),
        (lambda: partial.RepeatPrevious(decks=True), "`decks` must be an integer from 1 to 1000"),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
