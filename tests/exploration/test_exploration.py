"""Noise on actions: how much, where, and within what is allowed."""

import numpy as np
import pytest
from gymnasium import spaces as S
from toy_envs import Identity

import kagent
from kagent import ActionNoise, EpsilonGreedy, exploration, schedules
from kagent.acting import distributions
from kagent.exploration import EXPLORATIONS
from kagent.schedules import Clock
from kagent.spaces import Structure


def decision(kind, space):
    (leaf,) = Structure(space, "action_space").leaves
    return distributions.make(kind, leaf)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.sensitive
def test_each_component_is_replaced_on_its_own(rng):
    chosen = np.zeros((20_000, 3), np.int32)
    found = decision("categorical", S.MultiDiscrete([2, 3, 4])).perturb(chosen, 0.3, rng)
    # A replaced value is another one with probability 1 - 1/n.
    np.testing.assert_allclose((found != 0).mean(0), [0.3 / 2, 0.3 * 2 / 3, 0.3 * 3 / 4], atol=0.018)  # six deviations
    assert found.dtype == np.int32 and not chosen.any()
    both = ((found[:, 1] != 0) & (found[:, 2] != 0)).mean()
    assert both == pytest.approx(0.2 * 0.225, abs=0.01)  # not both at once


@pytest.mark.sensitive
def test_always_is_uniform_over_what_is_allowed(rng):
    mask = np.tile([True, False, True, True], (9000, 1))
    found = decision("categorical", S.Discrete(4)).perturb(np.zeros(9000, np.int32), 1.0, rng, mask)
    np.testing.assert_allclose(np.bincount(found, minlength=4) / 9000, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.03)
    found = decision("categorical", S.Discrete(4)).perturb(np.zeros(9000, np.int32), 1.0, rng)
    np.testing.assert_allclose(np.bincount(found, minlength=4) / 9000, [0.25] * 4, atol=0.03)


def test_never_changes_nothing(rng):
    chosen = rng.integers(0, 4, 100).astype(np.int32)
    np.testing.assert_array_equal(decision("categorical", S.Discrete(4)).perturb(chosen, 0.0, rng), chosen)


@pytest.mark.sensitive
def test_the_deviation_is_in_the_environments_units(rng):
    unbounded = decision("gaussian", S.Box(-np.inf, np.inf, (2,)))
    noise = unbounded.perturb(np.ones((10_000, 2), np.float32), 0.5, rng) - 1
    assert abs(noise.mean()) < 0.02 and noise.std() == pytest.approx(0.5, rel=0.05)
    squashed = decision("squashed_gaussian", S.Box(-10, 30, (2,)))
    moved = squashed.to_env(squashed.perturb(np.zeros((10_000, 2), np.float32), 0.5, rng))
    assert moved.mean() == pytest.approx(10, abs=0.05) and moved.std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("kind", ["gaussian", "squashed_gaussian"])
def test_actions_stay_within_their_bounds(rng, kind):
    made = decision(kind, S.Box(-1, 2, (3,)))
    taken = made.to_env(made.perturb(np.zeros((1000, 3), np.float32), 5.0, rng))
    assert taken.min() == -1 and taken.max() == 2


@pytest.mark.sensitive
def test_a_dict_touches_the_named_action_alone(small):
    space = S.Dict(a=S.Discrete(5), b=S.Discrete(5))
    env = Identity(space)
    agent = small("ppo", env=env)
    leaves = [np.zeros((2000, *leaf.shape), leaf.stored_dtype) for leaf in agent._observation.leaves]
    noise = ActionNoise({"b": 1.0}, sample=False)
    best = agent.actor.decide(leaves, None, True)
    a, b = noise.decide(agent.actor, leaves, None, Clock(), np.random.default_rng(0))
    np.testing.assert_array_equal(a, best[0])
    np.testing.assert_allclose(np.bincount(b, minlength=5) / 2000, [0.2] * 5, atol=0.055)  # six deviations


@pytest.mark.sensitive
def test_amounts_follow_the_clock(small):
    agent = small("dqn")
    leaves = [np.zeros((1000, 4), np.float32)]
    noise = ActionNoise(
        {"type": "Linear", "initial": 1.0, "final": 0.0, "steps": 10, "unit": "timesteps"}, sample=False
    )
    (greedy,) = agent.actor.decide(leaves, None, True)
    others = [(noise.decide(agent.actor, leaves, None, Clock(timesteps=t), np.random.default_rng(0))[0] != greedy).mean()
              for t in (0, 5, 10, 15)]  # fmt: skip
    np.testing.assert_allclose(others, [0.5, 0.25, 0, 0], atol=0.1)  # six deviations


def test_masks_are_obeyed_in_training(small):
    env = Identity(S.Discrete(4), masks="info", legal=0.5)  # it raises where an action is not allowed
    agent = kagent.Agent.from_config({**small("ppo", env=env).get_config(), "exploration": 0.9})
    agent.compile(jit_compile=False)
    assert agent.exploration == ActionNoise(0.9)
    agent.fit(env, steps=64, verbose=0)
    assert agent.timesteps == 64


def test_what_a_bare_amount_means():
    assert exploration.get(0.2) == EpsilonGreedy(0.2, 0.2)
    assert exploration.get(0.2, sample=True) == ActionNoise(0.2)
    falling = {"type": "Linear", "initial": 1.0, "final": 0.1}
    assert exploration.get(falling) == ActionNoise(schedules.Linear(1.0, 0.1), sample=False)
    assert exploration.get(schedules.Linear(1.0, 0.1), sample=True).amount == schedules.Linear(1.0, 0.1)
    assert exploration.get({"a": 0.1, "b": falling}).amount == {"a": 0.1, "b": schedules.Linear(1.0, 0.1)}
    assert exploration.get("sampling") == exploration.Sampling()


@pytest.mark.parametrize("amount", [0.5, schedules.Linear(1.0, 0.1), {"action": 0.25}])
def test_it_goes_to_a_file_and_back(small, tmp_path, amount):
    made = ActionNoise(amount)
    assert EXPLORATIONS.get(EXPLORATIONS.serialize(made)) == made
    agent = small("dqn", exploration=made)
    agent.save(tmp_path / "a.keras")
    assert kagent.load(tmp_path / "a.keras").exploration == made


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ({"speed": 0.1}, r"`exploration` names no such action. Received: \['speed'\]. Known: \['action'\]"),
        (1.5, r"`exploration` must be in \[0.0, 1.0\]. Received: 1.5"),
        ({"action": 1.5}, r"`exploration\['action'\]` must be in \[0.0, 1.0\]. Received: 1.5"),
    ],
)
def test_amounts_that_do_not_suit_the_actions_are_refused(small, amount, message):
    with pytest.raises(ValueError, match=message):
        small("dqn", exploration=ActionNoise(amount))


@pytest.mark.parametrize("wrong", [-0.1, {"a": -1.0}, {}])
def test_amounts_below_zero_are_refused(wrong):
    with pytest.raises(ValueError, match="`exploration"):
        ActionNoise(wrong)
    with pytest.raises(TypeError, match="`exploration"):
        ActionNoise("much")


@pytest.mark.sensitive
def test_a_relative_deviation_is_in_half_ranges(rng):
    space = S.Box(np.float32([-10, 0, 4]), np.float32([30, 1, 4]))
    agent = kagent.TD3(
        observation_space=S.Box(-1, 1, (2,)), action_space=space, memory=300, network={"units": [4]}, seed=0
    )
    leaves = [np.zeros((10_000, 2), np.float32)]
    noise = ActionNoise(0.1, sample=False, relative=True, random_steps=5)
    found = agent.actor.to_env(noise.decide(agent.actor, leaves, None, Clock(timesteps=5), rng))
    np.testing.assert_allclose(found[0].std(0), [2.0, 0.05, 0.0], rtol=0.05)  # 0.1 of 20, of 0.5, of 0
    started = agent.actor.to_env(noise.decide(agent.actor, leaves, None, Clock(timesteps=4), rng))
    np.testing.assert_allclose(started[0].mean(0), [10, 0.5, 4], atol=0.5)
    np.testing.assert_allclose(started[0].std(0), np.array([40, 1, 0]) / 12**0.5, rtol=0.05)


def test_relative_noise_needs_bounds(small):
    space = S.Dict(free=S.Box(-np.inf, 1.0, (1,)), bound=S.Box(-1, 1, (1,)), choice=S.Discrete(2))
    make = lambda amount: kagent.PPO(  # noqa: E731
        observation_space=S.Discrete(2), action_space=space, exploration=ActionNoise(amount, relative=True)
    )
    with pytest.raises(ValueError, match=r"`exploration.relative` needs float actions.*Received: 'free'"):
        make(0.1)
    assert make({"bound": 0.1, "choice": 0.1}).exploration.relative


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"sample": 1}, TypeError), ({"relative": "yes"}, TypeError), ({"random_steps": -1}, ValueError)],
)
def test_settings_of_the_wrong_kind_are_refused(wrong, error):
    with pytest.raises(error, match=rf"`exploration.{next(iter(wrong))}`.*Received"):
        ActionNoise(0.1, **wrong)
