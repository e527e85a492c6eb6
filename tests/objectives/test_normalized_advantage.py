"""NAF: one gradient step against NumPy, what acts, and what is refused."""

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, randomize, tensors
from gymnasium import spaces

import kagent

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(7)
BATCH = {
    "observation": GENERATOR.normal(size=(4, 2)),
    "next_observation": GENERATOR.normal(size=(4, 2)),
    "action": GENERATOR.uniform(-0.9, 0.9, (4, 2)),
    "reward": np.array([1.0, -2.0, 0.5, 4.0]),
    "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
}
BOX = spaces.Box(np.float32([-3, 10]), np.float32([3, 50]))
NESTED = spaces.Dict(arm=spaces.Box(-1.0, 1.0, (2,)), leg=spaces.Box(-2.0, 2.0, ()))


def agent_of(action=BOX, **changes):
    given = {"network": LINEAR, "discount": 0.9, "memory": 20, "batch_size": 4, "optimizer": SGD, "seed": 4, **changes}
    agent = kagent.NAF(observation_space=spaces.Box(-5, 5, (2,)), action_space=action, **given)
    for number, role in enumerate((agent.policy, agent.target_policy)):
        randomize(role, number + 1, 0.5)
    agent.compile(run_eagerly=True)
    return agent


def weights(policy):
    """Kernel and bias of mu, V and L, in float64."""
    layers = [policy.estimates.get_layer(name) for name in ("action_0", "state_value", "lower")]
    return [[variable.numpy().astype(np.float64) for variable in layer.variables] for layer in layers]


def by_hand(policy, observation, action):
    (mean, value, entries) = [observation @ kernel + bias for kernel, bias in weights(policy)]
    distance = action - np.tanh(mean)
    lower = np.zeros((len(action), 2, 2))
    lower[:, 0, 0], lower[:, 1, 0], lower[:, 1, 1] = np.exp(entries[:, 0]), entries[:, 1], np.exp(entries[:, 2])
    seen = np.einsum("bij,bi->bj", lower, distance)
    return value[:, 0] - 0.5 * (seen**2).sum(-1)


def test_one_gradient_step():
    agent = agent_of()
    before = weights(agent.policy)
    kernel, bias = weights(agent.target_policy)[1]
    following = (BATCH["next_observation"] @ kernel + bias)[:, 0]
    target = BATCH["reward"] + 0.9 * ~BATCH["terminated"] * following
    values = by_hand(agent.policy, BATCH["observation"], BATCH["action"])
    logs = agent.train_step(tensors(BATCH))
    assert float(logs["loss"]) == pytest.approx(0.5 * np.mean((target - values) ** 2), rel=1e-4)
    assert float(logs["q_mean"]) == pytest.approx(values.mean(), rel=1e-4)
    step = RATE * (BATCH["observation"] * (target - values)[:, None]).mean(0)
    after = weights(agent.policy)
    np.testing.assert_allclose(after[1][0][:, 0], before[1][0][:, 0] + step, atol=1e-5)
    assert all((old != new).all() for old, new in zip(before[0] + before[2], after[0] + after[2]))


def test_the_best_action_is_worth_the_state():
    agent = agent_of(NESTED)
    observation = BATCH["observation"].astype(np.float32)
    best = agent.policy.actions(observation)
    value = agent.policy.state_values(observation).numpy()
    np.testing.assert_allclose(agent.policy.values(observation, best), value, atol=1e-6)
    for other in ({**best, "leg": best["leg"] + 0.1}, {**best, "arm": best["arm"] - 0.1}):
        assert (agent.policy.values(observation, other).numpy() < value).all()


def test_it_acts_by_numpy_with_the_best_action_alone():
    agent = agent_of(NESTED)
    observation = BATCH["observation"].astype(np.float32)
    assert agent.actor.is_numpy and len(agent.policy.model.outputs) == 2
    for host, graph in zip(agent.actor.decide([observation], deterministic=True), agent.policy.greedy(observation)):
        np.testing.assert_allclose(host, graph, atol=1e-6)
    assert len(agent.policy.trainable_variables) == 8  # none twice, none left out


def test_prioritized_replay_draws_by_the_errors():
    agent = agent_of(prioritized=True, start=4, batch_size=4)
    values = by_hand(agent.policy, BATCH["observation"], BATCH["action"])
    (term,) = agent.objective.terms(
        agent.learning_context, agent.reward_estimation.completed(tensors(BATCH), agent.clock)
    )
    np.testing.assert_allclose(term.errors(term.batch), abs(term.batch["target"].numpy() - values), rtol=1e-4)


@pytest.mark.parametrize(
    ("action", "changes", "message"),
    [
        (spaces.Discrete(2), {}, "NormalizedAdvantagePolicy needs an action space of Box with finite bounds"),
        (spaces.Box(-np.inf, np.inf, (2,)), {}, "needs an action space of Box with finite bounds"),
        (spaces.Box(-1, 1, (256,)), {}, "takes at most 255 of them. Received: 256"),
        (BOX, {"huber": -1.0}, "`objective.huber`.*Received: -1.0"),
        (BOX, {"policy": "deterministic"}, "NormalizedAdvantageObjective needs policy=NormalizedAdvantagePolicy"),
    ],
)
def test_what_is_refused(action, changes, message):
    arguments = {"memory": 20, "batch_size": 4, **changes}
    with pytest.raises(ValueError, match=message):
        kagent.NAF(observation_space=spaces.Box(-5, 5, (2,)), action_space=action, **arguments)
