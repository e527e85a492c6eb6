"""Preparation of a rollout and one gradient step of PPO against NumPy."""

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, randomize, tensors
from gymnasium import spaces

import kagent

GENERATOR = np.random.default_rng(5)
OBSERVATION = GENERATOR.normal(size=(6, 2))
ACTIONS = {
    "discrete": (spaces.Discrete(3), GENERATOR.integers(0, 3, 6).astype(np.int32)),
    "box": (spaces.Box(-1, 1, (2,)), GENERATOR.normal(size=(6, 2))),
}


def agent_of(space, **objective):
    agent = kagent.PPO(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=space, network=LINEAR, discount=0.9,
        gae_lambda=0.8, n_steps=3, batch_size=6, seed=0, optimizer=SGD, **objective,
    )  # fmt: skip
    randomize(agent.policy, 1, 0.7)
    randomize(agent.critic, 2)
    agent.compile(jit_compile=False)
    return agent


def order(agent):
    """Names of the policy's variables, so that the sums below know which is which."""
    return [variable.path.split("/")[-2].rstrip("_0123456789") for variable in agent.policy.variables]


def log_prob_and_entropy(weights, names, action):
    parts = {}
    for name, value in zip(names, weights):
        parts.setdefault(name, []).append(value)
    if "logits" in parts:
        kernel, bias = parts["logits"]
        logits = OBSERVATION @ kernel + bias
        log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return log_probs[np.arange(6), action], -(np.exp(log_probs) * log_probs).sum(1)
    kernel, bias = parts["mean"]
    (log_std,) = parts["log_std"]
    mean = OBSERVATION @ kernel + bias
    density = -0.5 * ((action - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    entropy = np.full(6, (log_std + 0.5 * np.log(2 * np.pi * np.e)).sum())
    return density.sum(1), entropy


def losses(weights, names, critic, batch, action, weight, normalize):
    log_prob, entropy = log_prob_and_entropy(weights, names, action)
    advantage = batch["advantage"]
    if normalize:
        count = weight.sum()
        mean = (weight * advantage).sum() / count
        deviation = np.sqrt((weight * (advantage - mean) ** 2).sum() / (count - 1))
        advantage = (advantage - mean) / (deviation + 1e-8)
    ratio = np.exp(log_prob - batch["old_log_prob"])
    surrogate = -np.minimum(ratio * advantage, np.clip(ratio, 0.7, 1.3) * advantage)
    value = (OBSERVATION @ critic[0] + critic[1])[:, 0]
    parts = {
        "policy_loss": surrogate,
        "critic_loss": (batch["return"] - value) ** 2,
        "entropy": entropy,
        "approx_kl": ratio - 1 - np.log(ratio),
        "clip_fraction": (np.abs(ratio - 1) > 0.3).astype(float),
    }
    means = {name: np.average(part, weights=weight) for name, part in parts.items()}
    variance = lambda x: np.average((x - np.average(x, weights=weight)) ** 2, weights=weight)  # noqa: E731
    means["explained_variance"] = 1.0 - variance(batch["return"] - value) / variance(batch["return"])
    return means["policy_loss"] + 0.4 * means["critic_loss"] - 0.05 * means["entropy"], means


@pytest.mark.parametrize("weight", [np.ones(6), np.array([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])], ids=["whole", "padded"])
@pytest.mark.parametrize("normalize", [True, False], ids=["normalized", "raw"])
@pytest.mark.parametrize("kind", ACTIONS)
def test_one_gradient_step(kind, normalize, weight):
    space, action = ACTIONS[kind]
    agent = agent_of(
        space, clip_range=0.3, entropy_coefficient=0.05, value_coefficient=0.4, normalize_advantage=normalize
    )
    names, policy, critic = order(agent), heads(agent.policy), heads(agent.critic)
    now, _ = log_prob_and_entropy(policy, names, action)
    batch = {
        "advantage": np.array([1.0, -0.5, 30.0, 0.3, -2.0, -30.0]),
        # Ratios inside the range and beyond it on both sides, for advantages of both signs.
        "old_log_prob": now + np.array([0.1, 0.9, -0.5, -0.9, -0.9, 0.2]),
        "return": np.array([1.0, 2.0, -1.0, 0.0, 3.0, 0.5]),
    }
    logs = agent.train_step(tensors({**batch, "observation": OBSERVATION, "action": action, "weight": weight}))

    total, means = losses(policy, names, critic, batch, action, weight, normalize)
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-4)
    for name, value in means.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-4, atol=1e-6, err_msg=name)

    def loss(weights):
        split = len(policy)
        return losses(weights[:split], names, weights[split:], batch, action, weight, normalize)[0]

    gradient = numeric_gradient(loss, [*policy, *critic])
    variables = [*agent.policy.variables, *agent.critic.variables]
    for variable, start, slope in zip(variables, [*policy, *critic], gradient, strict=True):
        np.testing.assert_allclose(variable, start - RATE * slope, rtol=1e-3, atol=1e-5)


def test_advantages_and_returns_of_a_rollout():
    # Two environments, three steps; one terminates, one is truncated, and one row is no transition.
    agent = agent_of(ACTIONS["discrete"][0])
    critic, policy = heads(agent.critic), heads(agent.policy)
    observation, successor = OBSERVATION.reshape(3, 2, 2), OBSERVATION[::-1].reshape(3, 2, 2)
    action = ACTIONS["discrete"][1].reshape(3, 2)
    reward = np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0]])
    terminated = np.array([[False, False], [True, False], [False, False]])
    truncated = np.array([[False, True], [False, False], [False, False]])
    valid = np.array([[True, True], [True, False], [True, True]])
    prepared = agent.prepare(
        tensors(
            {
                "observation": observation,
                "next_observation": successor,
                "action": action,
                "reward": reward,
                "terminated": terminated,
                "truncated": truncated,
                "valid": valid,
            }
        )
    )

    value = (observation @ critic[0] + critic[1])[..., 0]
    ahead = (successor @ critic[0] + critic[1])[..., 0]
    delta = reward + 0.9 * ~terminated * ahead - value
    advantage = np.zeros((3, 2))
    following = np.zeros(2)
    for t in (2, 1, 0):
        following = delta[t] + 0.9 * 0.8 * ~(terminated[t] | truncated[t]) * following
        advantage[t] = following
    np.testing.assert_allclose(prepared["advantage"], advantage.ravel(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(prepared["return"], (advantage + value).ravel(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(prepared["weight"], valid.ravel().astype(np.float32))
    unexplained, variance = np.var(advantage[valid]), np.var((advantage + value)[valid])
    np.testing.assert_allclose(prepared["explained_variance"], [1.0 - unexplained / variance] * 6, rtol=1e-4)
    expected, _ = log_prob_and_entropy(policy, order(agent), action.ravel())
    np.testing.assert_allclose(prepared["old_log_prob"], expected, rtol=1e-4, atol=1e-5)


def test_a_clipped_value_loss_is_what_the_critic_learns_by():
    """Of values moved by 0.25, 0.25, 2, -2, 0 and -0.5 since the update began, by more than 0.5 the third and fourth."""
    agent = agent_of(ACTIONS["discrete"][0], value_clip_range=0.5, value_coefficient=0.4)
    critic = heads(agent.critic)
    value = (OBSERVATION @ critic[0] + critic[1])[:, 0]
    old = value - np.array([0.25, 0.25, 2.0, -2.0, 0.0, -0.5])
    returns = value + np.array([1.0, -1.0, 1.0, 1.0, 2.0, 0.0])
    batch = {"advantage": np.zeros(6), "old_log_prob": np.zeros(6), "return": returns, "old_value": old}
    logs = agent.train_step(
        tensors({**batch, "observation": OBSERVATION, "action": ACTIONS["discrete"][1], "weight": np.ones(6)})
    )
    # Third: 1 against (2 - 0.5 + 1)^2. Fourth, its value 2 below: 1 against (-2 + 0.5 + 1)^2.
    expected = np.mean([1.0, 1.0, 6.25, 1.0, 4.0, 0.0])
    np.testing.assert_allclose(logs["critic_loss"], expected, rtol=1e-4)


def test_values_of_before_the_update_are_those_of_its_critic():
    agent = agent_of(ACTIONS["discrete"][0], value_clip_range={"type": "linear", "initial": 0.5, "final": 0.1})
    critic, shape = heads(agent.critic), (3, 2)
    prepared = agent.prepare(
        tensors(
            {
                "observation": OBSERVATION.reshape(3, 2, 2), "next_observation": OBSERVATION.reshape(3, 2, 2),
                "action": ACTIONS["discrete"][1].reshape(shape), "reward": np.ones(shape),
                "terminated": np.zeros(shape, bool), "truncated": np.zeros(shape, bool), "valid": np.ones(shape, bool),
            }
        )
    )  # fmt: skip
    np.testing.assert_allclose(prepared["old_value"], (OBSERVATION @ critic[0] + critic[1])[:, 0], rtol=1e-5)


def trained(mode, target_kl, steps=32):
    agent = kagent.PPO(
        "CartPole-v1", network={"type": "mlp", "units": [4]}, n_steps=16, batch_size=4, epochs=3, learning_rate=0.05,
        seed=1, target_kl=target_kl,
    )  # fmt: skip
    agent.compile(**mode)
    logs = []
    agent.fit("CartPole-v1", steps=steps, verbose=0, callbacks=[Logs(logs)])
    return agent, logs


class Logs(kagent.callbacks.Callback):
    def __init__(self, logs):
        super().__init__()
        self.logs = logs

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append(dict(logs))


EAGER, GRAPH = {"run_eagerly": True}, {"jit_compile": False}


def test_an_update_ends_where_the_policy_has_moved_too_far():
    """The first step is one from the old policy itself; so at least two are taken, of twelve."""
    (eager, logs), (graph, of_graph) = (trained(mode, 1e-5) for mode in (EAGER, GRAPH))
    assert eager.gradient_steps == graph.gradient_steps == 4 and eager.timesteps == 32
    for one, other in zip(eager.get_weights(), graph.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    for one, other in zip(logs, of_graph, strict=True):
        np.testing.assert_allclose(one["approx_kl"], other["approx_kl"], rtol=1e-3)
        assert one["approx_kl"] > 1.5e-5 / 2  # the mean over 0 and what was too far


def test_an_update_goes_on_where_it_has_not():
    free, _ = trained(EAGER, None, steps=16)
    wide, _ = trained(EAGER, 1e3, steps=16)
    assert free.gradient_steps == wide.gradient_steps == 12
    for one, other in zip(free.get_weights(), wide.get_weights()):
        np.testing.assert_array_equal(one, other)


class WithoutLogs(kagent.PPO):
    def train_step(self, data):
        return {"loss": super().train_step(data)["loss"]}


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: kagent.PPO("CartPole-v1", target_kl=0.0), r"`objective\.target_kl` must be a number > 0"),
        (lambda: kagent.PPO("CartPole-v1", value_clip_range=0.0), r"`objective\.value_clip_range` must be a number > 0"),
        (
            lambda: kagent.PPO(
                "CartPole-v1", value_clip_range=0.1, critic_objective={"type": "StateValueObjective"},
                critic_optimizer="adam",
            ),
            r"`objective\.value_clip_range` needs a critic of state values",
        ),
        (
            lambda: kagent.PPO(
                "CartPole-v1",
                objective={"type": "plus", "objective1": {"type": "ppo", "target_kl": 0.1}, "objective2": "state_value"},
            ),
            "cannot be added: it ends updates early",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_step_of_ones_own_without_the_divergence_is_refused():
    agent = WithoutLogs("CartPole-v1", network={"type": "mlp", "units": [4]}, n_steps=8, batch_size=4, target_kl=0.1)
    agent.compile(run_eagerly=True)
    with pytest.raises(ValueError, match=r"target_kl` needs `approx_kl` among the logs.*Received: loss"):
        agent.fit("CartPole-v1", steps=8, verbose=0)
