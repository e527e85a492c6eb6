"""Q-learning of recurrent networks from sequences: targets, burn-in, windows of several timesteps."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from variants import thorough

import kagent
from kagent.memories import ReplaySequences
from kagent.objectives import ActionValueObjective, LearningContext
from kagent.policies.unrolled import Unrolled

STEPS, COLUMNS, BURN_IN = 5, 2, 2
DISCOUNT = 0.5


def made(horizon, double, rescaling=None):
    network = {"units": [4], "rnn": 3, "activation": "tanh"}
    agent = kagent.DQN(
        observation_space=gymnasium.spaces.Box(-1.0, 1.0, (3,)), action_space=gymnasium.spaces.Discrete(2),
        network=network, memory=ReplaySequences(50, sequence_length=STEPS - BURN_IN, burn_in=BURN_IN),
        batch_size=6, horizon=horizon, discount=DISCOUNT, seed=0,
        objective=ActionValueObjective(huber=None, double=double, rescaling=rescaling),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for policy in (agent.policy, agent.target_policy):
        for weight in policy.weights:
            weight.assign(rng.standard_normal(weight.shape))
    return agent


def experience():
    """Two columns of five timesteps; in the second an episode ends at the third."""
    rng = np.random.default_rng(1)
    numbers = {name: rng.standard_normal((STEPS, COLUMNS, 3)).astype(np.float32) for name in ("observation", "final")}
    successor = np.concatenate([numbers["observation"][1:], numbers["final"][:1]])
    successor[2, 1] = numbers["final"][1, 1]
    terminated = np.zeros((STEPS, COLUMNS), bool)
    terminated[2, 1] = True
    states = [rng.standard_normal((STEPS, COLUMNS, 3)).astype(np.float32) for _ in range(2)]
    for part in states:
        part[3, 1] = 0.0
    found = {
        "observation": numbers["observation"], "next_observation": successor, "terminated": terminated,
        "truncated": np.zeros_like(terminated), "valid": np.ones_like(terminated), "actor_state": tuple(states),
        "reward": rng.standard_normal((STEPS, COLUMNS)).astype(np.float32),
        "action": rng.integers(2, size=(STEPS, COLUMNS)).astype(np.int32),
    }  # fmt: skip
    return tf.nest.map_structure(tf.constant, found)


def walked(policy, given, column):
    """Values and the states after each timestep of a column, timestep by timestep: a list of `(values, states)`."""
    found, states = [], None
    for t in range(STEPS):
        begins = t == 0 or bool(given["terminated"][t - 1, column])
        states = [part[t, column][None] for part in given["actor_state"]] if begins else states
        heads, states = policy.unroll(Unrolled.of_single([given["observation"][t, column][None]], states))
        found.append((heads[0][0].numpy(), states))
    return found


def rescaled(x, epsilon):
    return x if epsilon is None else np.sign(x) * (np.sqrt(abs(x) + 1.0) - 1.0) + epsilon * x


def restored(y, epsilon):
    """The x of `rescaled(x) = y`, by bisection."""
    low, high = -1e4, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if rescaled(middle, epsilon) < y else (low, middle)
    return middle


@pytest.mark.parametrize("horizon, double, rescaling", [(0, False, None), (0, True, 0.01), (1, True, None)])
def test_targets_and_the_loss_are_those_of_columns_walked_alone(horizon, double, rescaling):
    agent, given = made(horizon, double, rescaling), experience()
    context = dataclasses.replace(LearningContext.of(agent), sequence_length=None)
    prepared = agent.objective.prepare(context, given)
    batch = agent.reward_estimation.completed(
        {
            k: tf.nest.map_structure(lambda x: tf.reshape(x, (STEPS, COLUMNS, *x.shape[1:])), v)
            for k, v in prepared.items()
        },
        agent.clock,
    )
    (term,) = agent.objective.terms(context, batch)
    loss, _ = term.evaluate(term.batch, {})
    errors = []
    for column in range(COLUMNS):
        online, target = (walked(policy, given, column) for policy in (agent.policy, agent.target_policy))
        for t in range(BURN_IN, STEPS):
            reward, last, factor = float(given["reward"][t, column]), t, DISCOUNT
            if horizon and t + 1 < STEPS and not given["terminated"][t, column]:
                reward, last, factor = reward + DISCOUNT * float(given["reward"][t + 1, column]), t + 1, DISCOUNT**2
            led = [given["next_observation"][last, column][None]]
            next_target, next_online = (
                policy.unroll(Unrolled.of_single(led, walk[last][1]))[0][0][0].numpy()
                for policy, walk in ((agent.target_policy, target), (agent.policy, online))
            )
            best = next_target[next_online.argmax()] if double else next_target.max()
            estimate = 0.0 if given["terminated"][last, column] else factor * restored(best, rescaling)
            errors.append(rescaled(reward + estimate, rescaling) - online[t][0][int(given["action"][t, column])])
    np.testing.assert_allclose(loss, 0.5 * np.mean(np.square(errors)), rtol=1e-4)
    by_timestep = np.reshape(errors, (COLUMNS, STEPS - BURN_IN)).T.ravel()
    np.testing.assert_allclose(term.errors(term.batch), np.abs(by_timestep), atol=1e-4)


def test_no_gradient_flows_into_the_burn_in():
    """The observations of the burn-in change the loss, and get no gradient of it."""
    agent, given = made(0, False), experience()
    context = LearningContext.of(agent)
    with tf.GradientTape() as tape:
        observation = given["observation"]
        tape.watch(observation)
        prepared = agent.objective.prepare(context, {**given, "observation": observation})
        rows = {
            k: tf.nest.map_structure(lambda x: tf.reshape(x, (STEPS, COLUMNS, *x.shape[1:])), v)
            for k, v in prepared.items()
        }
        (term,) = agent.objective.terms(context, agent.reward_estimation.completed(rows, agent.clock))
        values = agent.policy.values(term.batch["observation"])
        loss = tf.reduce_sum(values)
    slope = tape.gradient(loss, observation).numpy()
    assert not slope[:BURN_IN].any() and slope[BURN_IN:].any(axis=-1).all()


@pytest.mark.eager
@pytest.mark.parametrize(
    "prioritized", [thorough(False), {"eta": 0.5, "beta": {"type": "Linear", "initial": 0.4, "final": 1.0}}]
)
def test_a_recurrent_dqn_trains_and_comes_back(tmp_path, prioritized):
    def agent():
        made = kagent.DQN(
            "CartPole-v1", network={"units": [4], "rnn": 3}, batch_size=6, start=16, frequency=16, seed=0,
            memory=ReplaySequences(60, sequence_length=3, burn_in=1, prioritized=prioritized),
        )  # fmt: skip
        made.compile(run_eagerly=True)
        return made

    whole, first, second = agent(), agent(), agent()
    whole.fit("CartPole-v1", steps=48, verbose=0)
    first.fit("CartPole-v1", max_steps=30, verbose=0)
    first.save_weights(tmp_path / "half.weights.h5")
    second.load_weights(tmp_path / "half.weights.h5")
    second.fit("CartPole-v1", max_steps=48, verbose=0)
    assert whole.gradient_steps == second.gradient_steps > 1
    assert np.array_equal(whole.policy.get_theta(), second.policy.get_theta())
    if prioritized:
        powers = [agent.memory.state()["priorities"] for agent in (whole, second)]
        assert np.array_equal(*powers) and len(set(powers[0])) > 3  # 0, that of new starts, those of errors
