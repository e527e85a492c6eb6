"""One update by Tensorforce's specifications equals a NumPy calculation by its formulas.

The calculation has no part of kagent: returns are sums in a loop, losses are functions of the weights, and their gradients are
differences of the loss at weights that are a little larger and smaller.
"""

import numpy as np
import pytest

from kagent.compat import tensorforce

STATES = {"type": "float", "shape": (3,)}
ACTIONS = {"type": "int", "num_values": 2}
S = np.array([[0.5, -1.0, 0.2], [1.0, 0.3, -0.4], [-0.7, 0.8, 1.1], [0.1, 0.2, -1.3], [0.9, -0.6, 0.4]])
LAST = np.array([[0.3, 0.3, -0.2], [-0.5, 1.2, 0.7]])  # where the two episodes ended
A = np.array([0, 1, 1, 0, 1])
R = np.array([1.0, -0.5, 2.0, 0.3, -1.0])
ENDS = {"terminal": [0, 0, 1, 0, 1], "truncated": [0, 0, 1, 0, 2]}
POLICY = [np.array([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.2]]), np.array([0.1, -0.1])]
VALUE = [np.array([[0.6], [-0.3], [0.2]]), np.array([0.05])]
RATE = 0.1
SGD = {"type": "sgd", "learning_rate": RATE}
BARE = [{"type": "flatten"}]
BASE = {
    "agent": "tensorforce", "policy": BARE, "update": 5, "optimizer": SGD, "objective": "policy_gradient",
    "config": {"eager_mode": True, "seed": 0}, "max_episode_timesteps": 10,
}  # fmt: skip
CRITIC = {"baseline": BARE, "baseline_objective": "state_value"}
OWN = {**CRITIC, "baseline_optimizer": {"type": "sgd", "learning_rate": 0.05}}


def estimation(**words):
    return {"reward_estimation": {"horizon": "episode", "discount": 0.9, **words}}


def returns(rewards, ends, horizon, discount, value=None):
    """Discounted sums of at most `horizon` rewards, and the value of the state behind, where it is one to be estimated."""
    ends, found = np.asarray(ends), []
    episodes = np.split(np.arange(5), np.flatnonzero(ends)[:-1] + 1)
    for rows, last in zip(episodes, LAST):
        following = np.vstack([S[rows][1:], last])
        for t in range(len(rows)):
            m = min(horizon, len(rows) - t)
            total = sum(discount**k * rewards[rows[t + k]] for k in range(m))
            behind = t + m < len(rows) or ends[rows[-1]] == 2
            if value is not None and behind:
                total += discount**m * value(following[t + m - 1 : t + m])[0]
            found.append(total)
    return np.array(found)


def mixed(rewards, ends, decay, value):
    """Returns of all horizons: of one weighs 1 - decay, and each further one `decay` times the one before."""
    found, following = np.zeros(5), 0.0
    successors = np.vstack([S[1:3], LAST[:1], S[4:], LAST[1:]])
    for t in reversed(range(5)):
        v = value(successors[t : t + 1])[0]
        behind = 0.0 if ends[t] == 1 else v if ends[t] == 2 else (1 - decay) * v + decay * following
        found[t] = following = rewards[t] + 0.9 * behind
    return found


def summed(differences, ends, decay):
    """Sums of what is left of an episode, of which each further one has `0.9 * decay` times the weight of the one before."""
    found, following = np.zeros(5), 0.0
    for t in reversed(range(5)):
        found[t] = following = differences[t] + (0.0 if ends[t] else 0.9 * decay * following)
    return found


def log_prob(weights):
    logits = S @ weights[0] + weights[1]
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_p, log_p[np.arange(5), A]


def values(weights, states=S):
    return (states @ weights[0] + weights[1])[:, 0]


def descended(loss, weights, rate, steps=1, most=None):
    """Weights after steps against the gradient, which is measured."""
    weights = [w.copy() for w in weights]
    for _ in range(steps):
        gradient = [np.zeros_like(w) for w in weights]
        for w, g in zip(weights, gradient):
            for place in np.ndindex(*w.shape):
                kept, found = w[place], []
                for shift in (1e-6, -1e-6):
                    w[place] = kept + shift
                    found.append(loss(weights))
                w[place], g[place] = kept, (found[0] - found[1]) / 2e-6
        norm = np.sqrt(sum((g**2).sum() for g in gradient))
        scale = 1.0 if most is None else min(1.0, most / norm)
        for w, g in zip(weights, gradient):
            w -= rate * scale * g
    return weights


def surrogate(signal, old, sampling=False, clip=None, entropy=0.0, l2=0.0):
    def loss(weights):
        log_p, chosen = log_prob(weights)
        x = np.exp(chosen - old) if sampling else chosen
        low, high = (1 / (1 + clip), 1 + clip) if clip else (-np.inf, np.inf)
        held = np.clip(x, low, high) if sampling else old + np.clip(x - old, np.log(low) if clip else low, np.log(high))
        policy = -np.minimum(x * signal, held * signal).mean()
        entropies = -(np.exp(log_p) * log_p).sum(axis=1)
        return policy - entropy * entropies.mean() + l2 * sum((w**2).sum() for w in weights)

    return loss


def squared(targets, weight=1.0, huber=None, l2=0.0):
    def loss(weights):
        error = np.abs(targets - values(weights))
        each = (
            0.5 * error**2 if huber is None else np.where(error <= huber, 0.5 * error**2, huber * (error - huber / 2))
        )
        return weight * each.mean() + l2 * sum((w**2).sum() for w in weights)

    return loss


# Specification, and what of the formulas is other than in the plain case: the learning signal is the return.
CASES = {
    "episode": (estimation(), {}),
    "one reward": (estimation(horizon=1), {"horizon": 1}),
    "two rewards": (estimation(horizon=2), {"horizon": 2}),
    "beyond the episode": (estimation(horizon=20), {}),
    "fewer episodes than a batch": ({**estimation(), "update": {"unit": "episodes", "batch_size": 4, "frequency": 1}}, {}),
    "no discount": ({"reward_estimation": {"horizon": 3}}, {"horizon": 3, "discount": 1.0}),
    "words of 0.5": ({"reward_estimation": {"horizon": 1, "discount": 0.9, "estimate_horizon": False}}, {"horizon": 2, "most": 1.0}),
    "horizon 0 of 0.5": ({"reward_estimation": {"horizon": 0, "discount": 0.9}}, {"horizon": 1, "most": 1.0}),
    "rewards clipped": (
        estimation(reward_processing={"type": "clipping", "lower": -0.4, "upper": 1.5}), {"reward": (-0.4, 1.5)},
    ),
    "returns clipped": (estimation(return_processing={"type": "clipping", "upper": 1.0}), {"clip_return": (None, 1.0)}),
    "returns normalized": (estimation(return_processing="batch_normalization"), {"normalize": True}),
    "importance sampling": (
        {**estimation(), "objective": {"type": "policy_gradient", "importance_sampling": True}}, {"sampling": True},
    ),
    "ratio_based": ({**estimation(), "objective": {"type": "policy_gradient", "ratio_based": True}}, {"sampling": True}),
    "clipped, in three steps": (
        {
            **estimation(),
            "objective": {"type": "policy_gradient", "importance_sampling": True, "clipping_value": 0.1},
            "optimizer": {"optimizer": "sgd", "learning_rate": 1.0, "multi_step": 3},
        },
        {"sampling": True, "clip": 0.1, "steps": 3, "rate": 1.0},
    ),
    "log-probability clipped": (
        {
            **estimation(),
            "objective": {"type": "policy_gradient", "clipping_value": 0.1},
            "optimizer": {"type": "multi_step", "num_steps": 2, "optimizer": {"type": "sgd", "learning_rate": 1.0}},
        },
        {"clip": 0.1, "steps": 2, "rate": 1.0},
    ),
    "gradient clipped": (
        {**estimation(), "optimizer": {**SGD, "gradient_norm_clipping": 0.05}}, {"most": 0.05},
    ),
    "step clipped": (
        {**estimation(), "optimizer": {"optimizer": "sgd", "learning_rate": RATE, "clipping_threshold": 0.002}},
        {"most": 0.02},
    ),
    "two optimizers": (
        {
            **estimation(),
            "optimizer": {"type": "plus", "optimizer1": SGD, "optimizer2": {"type": "sgd", "learning_rate": 0.2}},
        },
        {"rate": 0.3},
    ),
    "entropy": ({**estimation(), "entropy_regularization": 0.3}, {"entropy": 0.3}),
    "l2": ({**estimation(), "l2_regularization": 0.05}, {"l2": 0.05}),
    "rate by a schedule": (
        {
            **estimation(),
            "optimizer": {
                "type": "sgd",
                "learning_rate": {"type": "linear", "unit": "updates", "num_steps": 10, "initial_value": 0.4, "final_value": 0.0},
            },
        },
        {"rate": 0.4},
    ),
    "baseline of its own": (
        {**OWN, **estimation(estimate_advantage=True, predict_horizon_values="early")}, {"critic": 0.05},
    ),
    "truncated": (
        {**OWN, **estimation(estimate_advantage=True, predict_horizon_values="late")},
        {"critic": 0.05, "ends": "truncated", "bootstrap": True},
    ),
    "bootstrap after one": (
        {**OWN, **estimation(horizon=1, predict_horizon_values="late")},
        {"critic": 0.05, "horizon": 1, "bootstrap": True, "advantage": False},
    ),
    "bootstrap after two": (
        {**OWN, **estimation(horizon=2, predict_horizon_values="late", estimate_advantage=True)},
        {"critic": 0.05, "horizon": 2, "bootstrap": True},
    ),
    "advantages normalized": (
        {**OWN, **estimation(estimate_advantage=True, advantage_processing="batch_normalization")},
        {"critic": 0.05, "normalize_advantage": True, "bootstrap": True},
    ),
    "advantages clipped": (
        {**OWN, **estimation(estimate_advantage=True, advantage_processing={"type": "clipping", "lower": -0.2, "upper": 0.2})},
        {"critic": 0.05, "clip_advantage": (-0.2, 0.2), "bootstrap": True},
    ),
    "one optimizer": (
        {**CRITIC, **estimation(horizon=1, predict_horizon_values="late")},
        {"critic": RATE, "horizon": 1, "bootstrap": True, "advantage": False},
    ),
    "a weight": (
        {**CRITIC, "baseline_optimizer": 0.25, **estimation(horizon=1, predict_horizon_values="late")},
        {"critic": RATE, "weight": 0.25, "horizon": 1, "bootstrap": True, "advantage": False},
    ),
    "returns normalized before advantages": (
        {**OWN, **estimation(estimate_advantage=True, return_processing="batch_normalization")},
        {"critic": 0.05, "normalize": True, "bootstrap": True},
    ),
    "returns normalized, one optimizer": (
        {**CRITIC, **estimation(estimate_advantage=True, return_processing="batch_normalization")},
        {"critic": RATE, "normalize": True, "bootstrap": True, "before": True},
    ),
    "lambda returns": (
        {**OWN, **estimation(predict_horizon_values="early", trace_decay=0.6)},
        {"critic": 0.05, "trace": 0.6, "bootstrap": True, "advantage": False},
    ),
    "lambda returns, truncated, of any horizon": (
        {**OWN, **estimation(horizon=2, predict_horizon_values="early", trace_decay=0.6)},
        {"critic": 0.05, "trace": 0.6, "ends": "truncated", "bootstrap": True, "advantage": False},
    ),
    "generalized advantages": (
        {**OWN, **estimation(horizon=1, predict_horizon_values="early", estimate_advantage=True, gae_decay=0.7)},
        {"critic": 0.05, "horizon": 1, "gae": 0.7, "bootstrap": True, "before": True},
    ),
    "generalized advantages, truncated and normalized": (
        {
            **OWN, **estimation(
                horizon=1, predict_horizon_values="late", estimate_advantage=True, gae_decay=0.7,
                return_processing="batch_normalization", advantage_processing={"type": "clipping", "lower": -0.3, "upper": 0.8},
            ),
        },
        {
            "critic": 0.05, "horizon": 1, "gae": 0.7, "ends": "truncated", "bootstrap": True, "before": True, "normalize": True,
            "clip_advantage": (-0.3, 0.8),
        },
    ),
    "decays without effect": (
        {**OWN, **estimation(horizon=2, predict_horizon_values="late", estimate_advantage=True, gae_decay=0.0, trace_decay=1.0)},
        {"critic": 0.05, "horizon": 2, "bootstrap": True},
    ),
    "huber": (
        {
            **OWN, "baseline_objective": {"type": "value", "value": "state", "huber_loss": 0.3},
            **estimation(predict_horizon_values="late"),
        },
        {"critic": 0.05, "huber": 0.3, "bootstrap": True, "advantage": False},
    ),
    "baseline of 0.5": (
        {
            "baseline_policy": {"network": BARE}, "baseline_objective": {"type": "value", "value": "state"},
            "baseline_optimizer": {"type": "sgd", "learning_rate": 0.05, "gradient_norm_clipping": 100.0},
            "optimizer": {**SGD, "gradient_norm_clipping": 100.0},
            "reward_estimation": {"horizon": 0, "discount": 0.9, "estimate_horizon": "late", "estimate_advantage": True},
        },
        {"critic": 0.05, "horizon": 1, "bootstrap": True},
    ),
}  # fmt: skip


def give(role, weights):
    for variable, value in zip(role.trainable_variables, weights):
        variable.assign(value)


def updated(spec, ends="terminal"):
    agent = tensorforce.Agent.create({**BASE, **spec}, states=STATES, actions=ACTIONS)
    give(agent.model.policy, POLICY)
    if agent.model.critic is not None:
        give(agent.model.critic, VALUE)
    last = LAST if ends == "truncated" else None
    agent.experience(S, A, ENDS[ends], R, final_states=last)
    assert agent.update() >= 1
    return agent.model


def held(array, bounds):
    return np.clip(array, *[inf if bound is None else bound for bound, inf in zip(bounds, (-np.inf, np.inf))])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:These words of Tensorforce")
def test_one_update(case):
    spec, formula = CASES[case]
    model = updated(spec, formula.get("ends", "terminal"))
    ends, rewards = ENDS[formula.get("ends", "terminal")], np.clip(R, *formula.get("reward", (-9.0, 9.0)))
    value = (lambda states: values(VALUE, states)) if formula.get("bootstrap") else None
    target = returns(rewards, ends, formula.get("horizon", 9), formula.get("discount", 0.9), value)
    target = mixed(rewards, ends, formula["trace"], value) if "trace" in formula else target
    target = held(target, formula.get("clip_return", (None, None)))
    target = (target - target.mean()) / target.std() if formula.get("normalize") else target
    signal = target
    if "critic" in formula:
        critic = squared(target, formula.get("weight", 1.0), formula.get("huber"), formula.get("l2", 0.0))
        learned = descended(critic, VALUE, formula["critic"])
        for variable, expected in zip(model.critic.trainable_variables, learned):
            np.testing.assert_allclose(variable.numpy(), expected, atol=2e-5)
        if formula.get("advantage", True):
            signal = target - values(VALUE if formula.get("before") else learned)
    signal = held(signal, formula.get("clip_advantage", (None, None)))
    signal = (signal - signal.mean()) / signal.std() if formula.get("normalize_advantage") else signal
    signal = summed(signal, ends, formula["gae"]) if "gae" in formula else signal
    names = ("sampling", "clip", "entropy", "l2")
    loss = surrogate(signal, log_prob(POLICY)[1], **{name: formula[name] for name in names if name in formula})
    expected = descended(loss, POLICY, formula.get("rate", RATE), formula.get("steps", 1), formula.get("most"))
    for variable, weights, before in zip(model.policy.trainable_variables, expected, POLICY):
        np.testing.assert_allclose(variable.numpy(), weights, atol=2e-5)
        assert np.abs(weights - before).max() > 1e-4


TARGET = [np.array([[0.2, 0.5], [-0.4, 0.1], [0.3, -0.3]]), np.array([-0.2, 0.3])]


@pytest.mark.parametrize(
    ("words", "horizon", "double", "huber"),
    [({}, 1, False, None), ({"horizon": 3}, 3, False, None), ({"predict_action_values": True}, 1, True, None),
     ({"huber_loss": 0.5}, 1, False, 0.5)],
)  # fmt: skip
def test_one_update_of_action_values(words, horizon, double, huber):
    words = dict(words)
    spec = {
        "memory": {"type": "recent"}, "baseline_optimizer": {"type": "synchronization", "sync_frequency": 10},
        "objective": {"type": "action_value", "huber_loss": words.pop("huber_loss", None)},
        "policy": {"type": "parametrized_value_policy", "network": BARE, "state_value_mode": "implicit"},
        **estimation(horizon=1, predict_horizon_values="late"),
    }  # fmt: skip
    spec["reward_estimation"] |= words
    agent = tensorforce.Agent.create({**BASE, **spec}, states=STATES, actions=ACTIONS)
    give(agent.model.policy, POLICY)
    for variable, value in zip(agent.model.target_policy.variables, TARGET):
        variable.assign(value)
    agent.experience(S, A, ENDS["terminal"], R)
    agent.update()

    def best(states):
        q = states @ TARGET[0] + TARGET[1]
        chosen = (states @ POLICY[0] + POLICY[1]) if double else q
        return q[np.arange(len(q)), chosen.argmax(axis=1)]

    target = returns(R, ENDS["terminal"], horizon, 0.9, best)

    def loss(weights):
        error = np.abs(target - (S @ weights[0] + weights[1])[np.arange(5), A])
        return (
            0.5 * error**2 if huber is None else np.where(error <= huber, 0.5 * error**2, huber * (error - huber / 2))
        ).mean()

    for variable, expected in zip(agent.model.policy.trainable_variables, descended(loss, POLICY, RATE)):
        np.testing.assert_allclose(variable.numpy(), expected, atol=2e-5)
