"""The temperature of sampling: how far a stochastic policy's actions spread, and what it leaves alone."""

import math

import gymnasium
import numpy as np
import pytest
import scipy.stats

import kagent
from kagent.acting import Actor, Program, distributions
from kagent.spaces import Structure, to_config

SPACES = gymnasium.spaces
BOX = SPACES.Box(-4.0, 4.0, (1,))
OBSERVATION = SPACES.Box(-1.0, 1.0, (2,))
KINDS = {
    "categorical": SPACES.Discrete(3),
    "many": SPACES.MultiDiscrete([2, 3]),
    "bernoulli": SPACES.MultiBinary(2),
    "gaussian": BOX,
    "squashed_gaussian": BOX,
    "beta": BOX,
}


def generator(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def actor(name, bias, temperature, seed=0, **arguments):
    """An actor whose heads are `bias`, side by side, whatever it sees."""
    space = KINDS[name]
    decision = distributions.make("categorical" if name == "many" else name, Structure(space).leaves[0])
    nodes = [{"op": "dense", "inputs": [0], "weights": [2 * i, 2 * i + 1]} for i in range(decision.heads)]
    shapes = [shape for width in decision.widths for shape in ([2, width], [width])]
    parts = np.split(np.asarray(bias, np.float32), np.cumsum(decision.widths)[:-1])
    weights = [array for width, part in zip(decision.widths, parts) for array in (np.zeros((2, width)), part)]
    config = {
        "inputs": [{"shape": [2], "dtype": "float32"}], "weights": shapes, "nodes": nodes,
        "outputs": list(range(1, decision.heads + 1)),
    }  # fmt: skip
    program = Program(config, weights)
    return Actor(
        None, to_config(OBSERVATION), [decision], generator(seed), program, to_config(space), temperature, **arguments
    )


def sampled(made, count=20_000):
    return made.decide([np.zeros((count, 2), np.float32)])[0]


BIASES = {
    "categorical": [0.5, 1.5, -0.5],
    "many": [0.3, 0.0, 1.0, 0.0, 0.5],
    "bernoulli": [0.7, -0.4],
    "gaussian": [0.5, -0.5],
    "squashed_gaussian": [0.5, -0.5],
    "beta": [1.0, 2.5],
}


@pytest.mark.parametrize("temperature", [0.0, 1e-7])
@pytest.mark.parametrize("name", sorted(KINDS))
def test_temperature_zero_is_acting_deterministically(name, temperature):
    made = actor(name, BIASES[name], temperature)
    before = str(made.rng.bit_generator.state)
    leaves = [np.zeros((5, 2), np.float32)]
    np.testing.assert_array_equal(made.decide(leaves)[0], made.decide(leaves, deterministic=True)[0])
    observation = np.zeros(2, np.float32)
    for _ in range(5):
        np.testing.assert_array_equal(made.act(observation, False), made.act(observation, True))
    assert str(made.rng.bit_generator.state) == before


def softmax(values):
    powers = np.exp(np.asarray(values) - np.max(values))
    return powers / powers.sum()


@pytest.mark.sensitive
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_logits_are_divided(temperature):
    made = actor("categorical", BIASES["categorical"], temperature)
    expected = softmax(np.array(BIASES["categorical"]) / temperature)
    one_by_one = [made.act(np.zeros(2, np.float32), False) for _ in range(5000)]  # another way through the code
    for draws in (sampled(made), np.array(one_by_one)):
        assert scipy.stats.chisquare(np.bincount(draws, minlength=3), expected * len(draws)).pvalue > 1e-5


@pytest.mark.sensitive
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_logits_of_bits_are_divided(temperature):
    draws = sampled(actor("bernoulli", BIASES["bernoulli"], temperature))
    expected = 1.0 / (1.0 + np.exp(-np.array(BIASES["bernoulli"]) / temperature))
    np.testing.assert_allclose(draws.mean(0), expected, atol=6 * 0.5 / math.sqrt(len(draws)))


@pytest.mark.sensitive
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_deviations_are_multiplied(temperature):
    draws = sampled(actor("gaussian", BIASES["gaussian"], temperature)).ravel()
    assert scipy.stats.kstest(draws, scipy.stats.norm(0.5, math.exp(-0.5) * temperature).cdf).pvalue > 1e-5
    squashed = sampled(actor("squashed_gaussian", BIASES["squashed_gaussian"], temperature)).ravel()
    np.testing.assert_allclose(squashed, np.tanh(draws), atol=1e-6)


@pytest.mark.sensitive
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_densities_between_bounds_are_taken_to_a_power(temperature):
    excess = np.log1p(np.exp(BIASES["beta"])) + 1e-6
    draws = sampled(actor("beta", BIASES["beta"], temperature)).ravel().astype(float)
    alpha, beta = 1.0 + excess / temperature
    assert scipy.stats.kstest((draws + 1.0) / 2.0, scipy.stats.beta(alpha, beta).cdf).pvalue > 1e-5


@pytest.mark.sensitive
def test_high_temperatures_tend_to_uniform():
    assert scipy.stats.chisquare(np.bincount(sampled(actor("categorical", BIASES["categorical"], 1e6)))).pvalue > 1e-5
    draws = sampled(actor("beta", BIASES["beta"], 1e9)).ravel()
    assert scipy.stats.kstest((draws + 1.0) / 2.0, "uniform").pvalue > 1e-5


def test_masks_hold_at_every_temperature():
    mask = np.tile([True, False, True], (1000, 1))
    for temperature in (0.0, 1e-3, 1.0, 1e6):
        made = actor("categorical", [0.0, 50.0, 1.0], temperature)
        assert 1 not in made.decide([np.zeros((1000, 2), np.float32)], [mask])[0]
    assert (made.decide([np.zeros((1000, 2), np.float32)], [mask], deterministic=True)[0] == 2).all()


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan, "1", True, None])
def test_an_actor_refuses_temperatures(bad):
    with pytest.raises(ValueError, match="`temperature` must be a finite number >= 0"):
        actor("gaussian", BIASES["gaussian"], bad)


def test_an_archive_keeps_it(tmp_path):
    made = actor("gaussian", BIASES["gaussian"], 0.25)
    made.save(tmp_path / "actor")
    assert kagent.acting.load(tmp_path / "actor").temperature == 0.25
    made.temperature = 1.0
    made.save(tmp_path / "actor")
    assert kagent.acting.load(tmp_path / "actor").temperature == 1.0
    assert "temperature" not in (tmp_path / "actor" / "actor.json").read_text()


# Agents ----------------------------------------------------------------------------------------------------


def agent(temperature, **arguments):
    policy = {"type": "StochasticPolicy", "temperature": temperature}
    made = kagent.PPO("CartPole-v1", policy=policy, n_steps=16, batch_size=16, epochs=1, seed=0, **arguments)
    made.compile(jit_compile=False)
    return made


def test_a_greedy_agent():
    made = agent(0.0)
    observations = np.random.default_rng(0).uniform(-1, 1, (50, 4)).astype(np.float32)
    assert [made.act(x, independent=True) for x in observations] == [
        made.act(x, deterministic=True) for x in observations
    ]


@pytest.mark.thorough
def test_a_schedule_is_followed():
    made = agent({"type": "linear", "initial": 2.0, "final": 0.0, "steps": 40, "unit": "timesteps"})
    assert made.actor.temperature == 2.0
    made.fit("CartPole-v1", steps=20, verbose=0)
    assert made.actor.temperature == pytest.approx(2.0 - 19 / 20)  # of the last act, after 19 timesteps
    made.evaluate("CartPole-v1", episodes=1, deterministic=False)
    assert made.actor.temperature == 1.0
    made.fit("CartPole-v1", steps=30, verbose=0)
    assert made.actor.temperature == 0.0
    assert made.get_config()["policy"]["temperature"]["type"] == "Linear"


@pytest.mark.thorough
def test_a_saved_agent_samples_at_the_temperature_of_its_time(tmp_path):
    made = agent({"type": "linear", "initial": 2.0, "final": 0.0, "steps": 40, "unit": "timesteps"})
    made.fit("CartPole-v1", steps=20, verbose=0)
    made.save(tmp_path / "agent.keras")
    assert kagent.acting.load(tmp_path / "agent.keras").temperature == 1.0
    again = kagent.load(tmp_path / "agent.keras")
    assert again.policy.temperature == made.policy.temperature
    observation = np.zeros(4, np.float32)
    drawn = [[one.act(observation, independent=True) for _ in range(50)] for one in (again, made)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 2
    assert again.actor.temperature == 1.0


def test_learning_does_not_see_it():
    warm, plain = agent(3.0), agent(1.0)
    observation = np.random.default_rng(0).uniform(-1, 1, (8, 4)).astype(np.float32)
    action = np.arange(8) % 2
    for one, other in zip(warm.policy.parameters_of(observation), plain.policy.parameters_of(observation)):
        np.testing.assert_array_equal(one, other)
    of_warm, of_plain = (a.policy.log_prob(a.policy.parameters_of(observation), action) for a in (warm, plain))
    np.testing.assert_array_equal(of_warm, of_plain)


@pytest.mark.parametrize("bad", [-0.1, math.inf, math.nan, {"type": "linear", "initial": 1.0, "final": -1.0}])
def test_a_policy_refuses_temperatures(bad):
    with pytest.raises(ValueError, match=r"`policy.temperature` must be in \[0.0, inf\)|must be finite|finite"):
        agent(bad)
