"""Noise on the policy's variables, and penalties on weights and certainty."""

import keras
import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Identity
from variants import with_few

import kagent
from kagent import schedules
from kagent.schedules import Clock

OBSERVATION = np.array([0.1, -0.2, 0.3, 0.05], np.float32)


@keras.saving.register_keras_serializable("tests")
class Unknown(keras.layers.Dense):
    """A layer that the NumPy actor does not know."""


def weights(agent):
    return [variable.numpy() for variable in agent.policy.variables]


def network(kind):
    return "auto" if kind == "numpy" else keras.Sequential([Unknown(8, activation="tanh")])


@pytest.mark.sensitive
@pytest.mark.parametrize("kind", ["numpy", "graph"])
def test_noise_moves_the_choice_and_not_the_variables(small, kind):
    agent = small("dqn", network=network(kind), exploration=0.0, variable_noise=5.0)
    assert agent.actor.is_numpy == (kind == "numpy")
    before, greedy = weights(agent), agent.act(OBSERVATION, deterministic=True)
    chosen = {agent.act(OBSERVATION, independent=True) for _ in range(40)}
    assert chosen == {0, 1}
    assert all(agent.act(OBSERVATION, deterministic=True) == greedy for _ in range(10))
    for first, second in zip(before, weights(agent), strict=True):
        np.testing.assert_array_equal(first, second)
    quiet = small("dqn", network=network(kind), exploration=0.0)
    assert len({quiet.act(OBSERVATION, independent=True) for _ in range(40)}) == 1


@pytest.mark.sensitive
def test_its_deviation_is_what_was_asked_for(small):
    agent, rng, noise = small("dqn"), np.random.default_rng(0), []
    agent.actor.refresh()
    held = agent.actor.program.weights.copy()
    for _ in range(100):
        with agent.actor.perturbed(0.25, rng):
            noise.append(agent.actor.program.weights - held)
    # 58 weights, a hundred times; six deviations.
    assert np.std(noise) == pytest.approx(0.25, rel=0.06) and abs(np.mean(noise)) < 0.02
    np.testing.assert_array_equal(agent.actor.program.weights, held)


def test_an_error_within_leaves_the_weights_as_they_were(small):
    agent = small("dqn", network=network("graph"))
    before = weights(agent)
    with pytest.raises(RuntimeError), agent.actor.perturbed(1.0, np.random.default_rng(0)):
        raise RuntimeError
    for first, second in zip(before, weights(agent), strict=True):
        np.testing.assert_array_equal(first, second)


def test_training_with_noise_that_fades(small):
    fading = {"type": "Linear", "initial": 1.0, "final": 0.0, "steps": 20, "unit": "timesteps"}
    agent = small("dqn", variable_noise=fading)
    agent.fit("CartPole-v1", steps=40, verbose=0)
    assert agent.timesteps == 40 and agent.explorer.amount(Clock(timesteps=20)) == 0.0


@pytest.mark.eager
@pytest.mark.parametrize("kind", with_few(["dqn", "ppo", "sac"], ["sac"]))
def test_squares_of_weights_enter_the_loss(small, kind):
    plain, penalized = (small(kind, l2_regularization=l2, learning_rate=0.0) for l2 in (0.0, 0.5))
    logs = []
    for agent in (plain, penalized):
        agent.fit("Pendulum-v1" if kind == "sac" else "CartPole-v1", steps=16, steps_per_epoch=16, verbose=0)
        logs.append({key: values[-1] for key, values in agent.history.history.items()})
    networks = [plain.policy] if plain.critic is None else [plain.policy, plain.critic]
    squares = sum(float(np.square(v.numpy()).sum()) for role in networks for v in role.trainable_variables)
    assert logs[1]["loss"] - logs[0]["loss"] == pytest.approx(0.5 * squares, rel=1e-3)


@pytest.mark.eager
def test_a_penalty_alone_shrinks_every_weight(small):
    agent = small("dqn", l2_regularization=1e6, learning_rate=1e-3)
    before = weights(agent)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    for first, second in zip(before, weights(agent), strict=True):
        large = np.abs(first) > 2e-3  # the bias starts random too
        assert (np.abs(second) < np.abs(first))[large].all()


@pytest.mark.thorough
@pytest.mark.sensitive
@pytest.mark.parametrize(("weight", "least", "most"), [(0.0, 0.0, 0.3), (10.0, 0.6, 0.7)])
def test_entropy_keeps_a_bandit_undecided(small, weight, least, most):
    # Two actions, one pays: without the entropy's weight the better one is soon taken nearly always.
    env = Identity(spaces.Discrete(2), length=1)
    agent = small(
        "ppo", env=env, entropy_regularization=weight, learning_rate=0.02, discount=0.0, n_steps=64, batch_size=64,
        epochs=4,
    )  # fmt: skip
    history = agent.fit(env, steps=2560, verbose=0).history
    assert least <= history["entropy"][-1] <= most  # at most log 2 = 0.693


@pytest.mark.thorough
def test_they_may_be_schedules_and_go_to_a_file(small, tmp_path):
    falling = schedules.Linear(0.1, 0.0, steps=100, unit="updates")
    agent = small("ppo", l2_regularization=falling, entropy_regularization=falling, variable_noise=0.5)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    agent.save(tmp_path / "a.keras")
    loaded = kagent.load(tmp_path / "a.keras")
    assert loaded.l2_regularization == loaded.entropy_regularization == falling and loaded.variable_noise == 0.5


@pytest.mark.parametrize("name", ["variable_noise", "l2_regularization", "entropy_regularization"])
def test_amounts_out_of_range_are_refused(small, name):
    with pytest.raises(ValueError, match=f"`{name}` must be in"):
        small("ppo", **{name: -0.1})
    with pytest.raises(TypeError, match=f"`{name}` must be a number or a schedule"):
        small("ppo", **{name: "some"})


def test_a_value_policy_has_no_entropy(small):
    with pytest.raises(ValueError, match="`entropy_regularization` needs a policy with an entropy"):
        small("dqn", entropy_regularization=0.1)
