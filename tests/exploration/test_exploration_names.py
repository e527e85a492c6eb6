"""Explorations by name: exact numbers, chances, and that they are schedules."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import kagent
from kagent import exploration, schedules
from kagent.estimators import explorations as by_other_door
from kagent.exploration import OrnsteinUhlenbeckNoise
from kagent.exploration import names as explorations
from kagent.schedules import Clock
from kagent.spaces import Structure

SPACES = gymnasium.spaces


def at(rate, *timesteps):
    # Of the three times only that of the environment counts.
    return [rate(Clock(timesteps=t, updates=7, episodes=3, progress=0.5)) for t in timesteps]


def test_start_stop_and_minimum():
    late = explorations.decay(start_decay_at=1000)
    assert at(late, 0, 1000, 51_000) == pytest.approx([0.15, 0.15, 0.07505], abs=1e-12)
    assert at(late, 1001)[0] < 0.15
    floored = explorations.decay(min_exploration_rate=0.1)
    assert at(floored, 0, 50_000, 10**7) == [0.15, 0.1, 0.1]
    stopped = explorations.decay(stop_decay_at=50_000)
    assert at(stopped, 50_000, 100_000, 10**9) == pytest.approx([0.07505] * 3, abs=1e-12)
    both = explorations.decay(start_decay_at=1000, stop_decay_at=51_000)  # the decay of min(t, stop) - start
    assert at(both, 10**6) == pytest.approx([0.07505], abs=1e-12)


def test_a_line_in_between():
    rate = explorations.decay(0.15, decay_steps=100)
    assert at(rate, 50) == pytest.approx([0.07505], abs=1e-12)
    assert at(explorations.decay(0.2, decay_steps=50, min_exploration_rate=0.05), 25, 50) == pytest.approx(
        [0.10005, 0.05]
    )


def test_constants():
    assert (explorations.constant(), explorations.random()) == (0.5, 1.0)
    assert explorations.greedy() == kagent.EpsilonGreedy(0.0, 0.0)
    assert explorations.constant(1) == 1.0


def test_names_and_dicts():
    """What a name stands for; a rate becomes the noise, or the epsilon, of the policy that it is for."""
    get = exploration.get
    assert get("greedy") == kagent.EpsilonGreedy(0.0, 0.0) and get("random") == kagent.EpsilonGreedy(1.0, 1.0)
    assert get("constant") == kagent.EpsilonGreedy(0.5, 0.5)
    assert get("random", sample=True) == kagent.ActionNoise(1.0, True)
    assert get("decay") == kagent.ActionNoise(explorations.decay(), False)
    found = get({"type": "decay", "decay_steps": 5}, epsilon=False)
    assert found == kagent.ActionNoise(explorations.decay(decay_steps=5), False)
    assert get("ornsteinuhlenbeck_process") == get("ornstein_uhlenbeck") == OrnsteinUhlenbeckNoise()
    assert get({"type": "constant", "value": 0.25}) == kagent.EpsilonGreedy(initial=0.25, final=0.25)
    assert kagent.DQN("CartPole-v1", exploration="greedy").exploration == kagent.EpsilonGreedy(0.0, 0.0)
    with pytest.raises(ValueError, match=r"Unknown `exploration`. Received: 'greedi'.*Did you mean 'greedy'"):
        get("greedi")
    with pytest.raises(ValueError, match=r"`exploration` decay has no argument \['rate'\]"):
        get({"type": "decay", "rate": 1})


def test_names_that_schedules_have_too_are_those_of_explorations():
    shared = [name for name in exploration.EXPLORATIONS._classes if schedules.SCHEDULES.knows(name)]
    assert {"constant", "random", "ornsteinuhlenbeck"} <= set(shared)
    for name in shared:
        assert exploration.get({"type": name}) == exploration.get(name)
    assert exploration.get({"type": "Ornstein-Uhlenbeck", "sigma": 0.5}) == OrnsteinUhlenbeckNoise(sigma=0.5)
    schedule = {"type": "ornstein_uhlenbeck", "sigma": 0.5, "absolute": True}
    found = exploration.get({"type": "ActionNoise", "amount": schedule})
    assert found.amount == schedules.OrnsteinUhlenbeck(sigma=0.5, absolute=True)
    assert exploration.get(exploration.EXPLORATIONS.serialize(found)) == found
    with pytest.raises(
        ValueError, match=r"has no argument \['absolute'\].*exploration=\{'type': 'ActionNoise', 'amount'"
    ):
        exploration.get(schedule)
    with pytest.raises(ValueError, match=r"must be in \[0.0, 1.0\]. Received: 2.0.*'ActionNoise', 'amount'"):
        exploration.get({"type": "constant", "value": 2.0})


def test_at_the_estimators_door():
    """There a name is what its function returns, and nothing at all is greedy."""
    get = by_other_door.get
    assert get(None) == 0.0 and get("greedy") == kagent.EpsilonGreedy(0.0, 0.0)
    assert get("random") == 1.0 and get("constant") == 0.5
    assert get({"type": "constant", "value": 0.25}) == 0.25
    assert get("decay") == explorations.decay() == by_other_door.decay()
    assert get({"type": "decay", "decay_steps": 5}) == explorations.decay(decay_steps=5)
    assert get("ornsteinuhlenbeck_process") == explorations.ornstein_uhlenbeck() == OrnsteinUhlenbeckNoise()
    assert get({"type": "ornstein_uhlenbeck", "sigma": 0.1}) == OrnsteinUhlenbeckNoise(sigma=0.1)
    assert get({"type": "random_decay", "num_actions": 2}) == explorations.random_decay(2)
    for other in (0.3, explorations.decay(), kagent.EpsilonGreedy(), {"type": "Linear", "initial": 1.0}):
        assert get(other) is other
    with pytest.raises(ValueError, match=r"Unknown `exploration`. Received: 'greedi'.*Did you mean 'greedy'"):
        get("greedi")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: explorations.constant(1.5), "exploration.value"),
        (lambda: explorations.decay(2.0), "exploration.exploration_rate"),
        (lambda: explorations.decay(min_exploration_rate=-0.1), "exploration.min_exploration_rate"),
        (lambda: explorations.decay(decay_type="linear"), "exploration.decay_type"),
        (lambda: explorations.decay(decay_type="piecewise_constant"), "exploration.decay_type"),
        (lambda: explorations.decay(decay_type=3), "exploration.decay_type"),
        # The original's default rate of 0 would end an exponential decay at once.
        (lambda: explorations.decay(decay_type="exponential"), "decay_rate"),
        (lambda: explorations.decay(decay_type="natural_exp", decay_rate=0.0), "decay_rate"),
        (lambda: explorations.decay(decay_rate=0.5), "decay_rate.*polynomial"),
        (lambda: explorations.decay(staircase=True), "staircase.*polynomial"),
        (lambda: explorations.decay(decay_steps=0), "steps"),
        (lambda: explorations.decay(start_decay_at=-1), "start"),
        (lambda: explorations.decay(start_decay_at=5, stop_decay_at=5), "stop"),
        (lambda: explorations.random_decay(num_actions=0), "exploration.num_actions"),
        (lambda: explorations.random_decay(exploration_rate=-1.0), "exploration.exploration_rate"),
        (lambda: explorations.ornstein_uhlenbeck(num_actions=1.5), "exploration.num_actions"),
        (lambda: explorations.ornstein_uhlenbeck(theta=2.0), "theta"),
        (lambda: explorations.ornstein_uhlenbeck(sigma=-1.0), "sigma"),
        (lambda: explorations.ornstein_uhlenbeck(seed=-1), "seed"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def dqn(exploration_):
    return kagent.DQN("CartPole-v1", exploration=exploration_, seed=0)


@pytest.mark.sensitive
def test_a_rate_is_a_chance():
    leaves = [np.zeros((1, 4), np.float32)]

    def random_ones(rate, timesteps=0):
        agent, rng, clock = dqn(rate), np.random.default_rng(0), Clock(timesteps=timesteps)
        best = int(agent.actor.decide(leaves, None, True, rng)[0][0])
        return sum(int(agent.explorer.decide(agent.actor, leaves, None, clock, rng)[0][0]) != best for _ in range(1000))

    assert random_ones(explorations.greedy()) == 0
    assert 400 < random_ones(explorations.random()) < 600  # of two actions a random one is the best half of the time
    assert 30 < random_ones(explorations.decay()) < 130
    assert random_ones(explorations.decay(), 200_000) <= 3


@pytest.mark.sensitive
def test_the_noise_of_random_decay_falls():
    agent = kagent.DPG(
        "Pendulum-v1", exploration=explorations.random_decay(1, exploration_rate=0.5, decay_steps=100), seed=0
    )
    leaves, rng = [np.zeros((1, 3), np.float32)], np.random.default_rng(0)
    best = agent.actor.to_env(agent.actor.decide(leaves, None, True, rng))

    def spread(timesteps):
        clock = Clock(timesteps=timesteps)
        found = [
            np.ravel(agent.actor.to_env(agent.explorer.decide(agent.actor, leaves, None, clock, rng)))[0]
            for _ in range(400)
        ]
        return np.std(np.asarray(found) - np.ravel(best)[0])

    assert spread(0) == pytest.approx(0.5, rel=0.22) and spread(50) == pytest.approx(0.25005, rel=0.22)
    assert spread(100) < 1e-3


@pytest.mark.sensitive
def test_the_wandering_noise(seed_shift):
    noise = OrnsteinUhlenbeckNoise(theta=0.2, sigma=0.1, mu=0.5, seed=3 + seed_shift)
    values = np.stack([noise.noise(t, 1, 2)[0] for t in range(3000)])
    np.testing.assert_allclose(values[0], [0.5, 0.5])
    drawn = (np.diff(values, axis=0) - 0.2 * (0.5 - values[:-1])) / 0.1  # x + theta * (mu - x) + sigma * noise
    # Of 3,000 draws; six deviations and more.
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=0.11)
    np.testing.assert_allclose(drawn.std(axis=0), 1.0, atol=0.08)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.11  # each component's own
    assert abs(np.corrcoef(drawn[1:, 0], drawn[:-1, 0])[0, 1]) < 0.11
    np.testing.assert_allclose(values.std(axis=0), 0.1 / np.sqrt(1 - 0.8**2), rtol=0.15)
    again = OrnsteinUhlenbeckNoise(theta=0.2, sigma=0.1, mu=0.5, seed=3 + seed_shift)
    np.testing.assert_array_equal(again.noise(1234, 1, 2)[0], values[1234])
    assert (OrnsteinUhlenbeckNoise(0.2, 0.1, 0.5, seed=4 + seed_shift).noise(1234, 1, 2)[0] != values[1234]).all()


def test_it_is_added_to_the_best_action_in_the_environments_units():
    noise = explorations.ornstein_uhlenbeck(1, sigma=0.05, mu=0.3, seed=1)
    agent = kagent.DPG("Pendulum-v1", exploration=noise, seed=0)
    leaves, rng = [np.zeros((1, 3), np.float32)], np.random.default_rng(0)
    best = np.ravel(agent.actor.to_env(agent.actor.decide(leaves, None, True, rng)))[0]
    for timesteps in (0, 1, 500):
        state = rng.bit_generator.state
        clock = Clock(timesteps=timesteps)
        tried = np.ravel(agent.actor.to_env(agent.explorer.decide(agent.actor, leaves, None, clock, rng)))[0]
        assert tried - best == pytest.approx(noise.noise(timesteps, 1, 1)[0, 0], abs=1e-5)
        assert rng.bit_generator.state == state
    assert exploration.EXPLORATIONS.get(exploration.EXPLORATIONS.serialize(noise)) == noise


def noise_of(agent, timesteps=500, envs=1):
    """What the agent's exploration adds in `envs` environments, `(envs, 1)`."""
    leaves, rng = [np.zeros((envs, 3), np.float32)], np.random.default_rng(0)
    best = agent.actor.to_env(agent.actor.decide(leaves, None, True, rng))
    tried = agent.explorer.decide(agent.actor, leaves, None, agent._clock.at(timesteps * envs), rng)
    return np.asarray(agent.actor.to_env(tried)) - np.asarray(best)


SMALL = {"network": {"type": "mlp", "units": [4]}, "memory": 50, "batch_size": 4}


def test_noise_without_a_seed_takes_the_agents(tmp_path):
    def agent(seed, noise_seed=None):
        quiet = {"type": "ornstein_uhlenbeck", "sigma": 0.05, "seed": noise_seed}
        return kagent.DPG("Pendulum-v1", exploration=quiet, seed=seed, **SMALL)

    one, same, other = agent(0), agent(0), agent(1)
    np.testing.assert_array_equal(noise_of(one), noise_of(same))
    assert (noise_of(one) != noise_of(other)).all()
    np.testing.assert_allclose(noise_of(agent(0, 7)), noise_of(agent(1, 7)), atol=1e-6)
    first, second = np.ravel(noise_of(one, envs=2))  # each environment has its own
    assert first != second
    # A file brings the noise of the agent that it is from, whoever loads it; the configuration says no seed.
    before = noise_of(one) + 0.0
    assert one.get_config()["exploration"]["seed"] is None
    one.save_weights(tmp_path / "a.weights.h5")
    other.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(noise_of(other), before)
    one.save(tmp_path / "a.keras")
    np.testing.assert_array_equal(noise_of(kagent.load(tmp_path / "a.keras")), before)


@pytest.mark.parametrize("action", [SPACES.Discrete(3), SPACES.Box(-1, 1, (2,))])
@pytest.mark.parametrize("given", ["greedy", {"type": "greedy"}])
def test_greedy_is_greedy_also_of_a_policy_that_samples(action, given):
    box = SPACES.Box(-1, 1, (2,))
    network = {"type": "mlp", "units": [4]}
    agent = kagent.PPO(
        observation_space=box, action_space=action, network=network, n_steps=8, batch_size=8, exploration=given, seed=0
    )
    leaves, rng = [np.full((1, 2), 0.5, np.float32)], np.random.default_rng(0)
    best = agent.actor.decide(leaves, None, True, rng)[0]
    for _ in range(20):
        tried = agent.explorer.decide(agent.actor, leaves, None, Clock(), rng)[0]
        np.testing.assert_array_equal(tried, best)
    rate = kagent.PPO(observation_space=box, action_space=action, network=network, exploration=0.0, seed=0)
    drawn = [rate.explorer.decide(rate.actor, leaves, None, Clock(), rng)[0].tolist() for _ in range(20)]
    assert any(each != drawn[0] for each in drawn)  # a rate is of the noise beside the samples


def test_it_is_for_continuous_actions():
    with pytest.raises(ValueError, match="OrnsteinUhlenbeckNoise needs float actions"):
        dqn(explorations.ornstein_uhlenbeck())
    with pytest.raises(ValueError, match=r"`exploration.num_actions` must be 1.*Received: 2"):
        kagent.DPG("Pendulum-v1", exploration=explorations.ornstein_uhlenbeck(2), seed=0)
    box = Structure(SPACES.Dict(a=SPACES.Box(-1, 1, (2,)), b=SPACES.Box(-1, 1, (3,))), "action_space")
    explorations.ornstein_uhlenbeck(5).check(box)


def test_they_are_kagents_schedules():
    rate = explorations.decay()
    assert isinstance(rate, schedules.Interval) and isinstance(rate.schedule, schedules.Polynomial)
    assert rate.unit == "timesteps" and rate.bounds == (1e-4, 0.15)
    assert schedules.get(schedules.SCHEDULES.serialize(rate)) == rate
