"""Conservative Q-learning: losses of one gradient step against NumPy, discrete and continuous."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import LINEAR, RATE, SGD, heads, randomize, tensors
from gymnasium import spaces

import kagent
from kagent.objectives import ConservativeActionValueObjective, ConservativeSoftActorCriticObjective

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(7)
BATCH = {
    "observation": GENERATOR.normal(size=(4, 2)), "next_observation": GENERATOR.normal(size=(4, 2)),
    "reward": np.array([1.0, -2.0, 0.5, 4.0]), "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
}  # fmt: skip
SPACE = {
    "observation_space": spaces.Box(-5, 5, (2,)),
    "network": LINEAR,
    "discount": 0.9,
    "memory": 20,
    "batch_size": 4,
}


def logsumexp(x):
    top = x.max(-1, keepdims=True)
    return (top + np.log(np.exp(x - top).sum(-1, keepdims=True)))[..., 0]


@pytest.mark.parametrize("masked", [False, True])
def test_one_gradient_step_of_discrete_actions(masked):
    action = np.array([0, 2, 1, 1])
    mask = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, 1]], bool)
    batch = {**BATCH, "action": action}
    given = tensors(batch)
    given["action"] = tf.constant(action, tf.int32)
    if masked:
        given |= {"action_mask": [tf.constant(mask)], "next_action_mask": [tf.ones((4, 3), tf.bool)]}
    steps = []
    for cls, words in ((kagent.DQN, {}), (kagent.DiscreteCQL, {"alpha": 0.5})):
        agent = cls(action_space=spaces.Discrete(3), optimizer=SGD, double=True, huber=None, seed=4, **SPACE, **words)
        for number, role in enumerate((agent.policy, agent.target_policy)):
            randomize(role, number + 1, 0.5)
        agent.compile(run_eagerly=True)
        before = heads(agent.policy)
        logs = agent.train_step(given)
        steps.append((logs, [new - old for old, new in zip(before, heads(agent.policy))]))
    (plain, first), (found, second) = steps
    x = BATCH["observation"]
    values = x @ before[0] + before[1]
    allowed = np.where(mask | (not masked), values, -1e9)
    gap = logsumexp(allowed) - values[np.arange(4), action]
    assert float(found["gap"]) == pytest.approx(gap.mean(), rel=1e-4)
    assert float(found["loss"]) == pytest.approx(float(plain["loss"]) + 0.5 * gap.mean(), rel=1e-4)
    slope = np.exp(allowed - logsumexp(allowed)[:, None]) - np.eye(3)[action]
    np.testing.assert_allclose(second[0], first[0] - RATE * 0.5 * x.T @ slope / 4, atol=1e-5)


def continuous(**words):
    agent = kagent.CQL(
        action_space=spaces.Box(-1, 1, (2,)), optimizer=SGD, critic_optimizer=SGD, temperature=0.2, alpha=1.5, drawn_actions=3,
        normalize=False, seed=4, **SPACE, **words,
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.critic, agent.target_critic)):
        randomize(role, number + 1, 0.3)
    agent.compile(run_eagerly=True)
    batch = agent.reward_estimation.completed(
        tensors({**BATCH, "action": GENERATOR.uniform(-0.9, 0.9, (4, 2))}), agent.clock
    )
    return agent, batch


def test_the_loss_of_continuous_actions():
    agent, batch = continuous()
    term = agent.objective.terms(agent.learning_context, batch)[0]
    drawn, density = term.batch["drawn"].numpy(), term.batch["log_density"].numpy()
    assert drawn.shape == (4, 9, 2) and density.shape == (4, 9) and (np.abs(drawn) < 1).all()
    np.testing.assert_allclose(density[:, :3], -2 * np.log(2), rtol=1e-6)
    # Densities of the policy's own actions, at this observation and at the next.
    for begin, name in ((3, "observation"), (6, "next_observation")):
        for i in range(begin, begin + 3):
            parameters = agent.policy.parameters_of(batch[name])
            expected = agent.policy.joint.log_prob(parameters, [tf.constant(drawn[:, i])])
            np.testing.assert_allclose(density[:, i], expected, rtol=1e-3, atol=1e-3)
    loss, _ = term.evaluate(term.batch, {})
    critic, x, expected = heads(agent.critic), BATCH["observation"], 0.0
    for i in range(2):

        def q(action, i=i):
            return (np.concatenate([x, action], 1) @ critic[2 * i] + critic[2 * i + 1])[:, 0]

        value = q(batch["action"].numpy())
        table = np.stack([q(drawn[:, k]) - density[:, k] for k in range(9)], 1) - np.log(9)
        error = term.batch["target"].numpy() - value
        expected += (0.5 * error**2 + 1.5 * (logsumexp(table) - value)).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_targets_have_the_entropy_where_that_is_asked_for():
    agent, batch = continuous()
    policy, context = agent.policy, agent.learning_context
    without, entropic = (
        dataclasses.replace(agent.objective, backup_entropy=given).terms(context, batch)[0].batch["target"].numpy()
        for given in (False, True)
    )
    # The same action is drawn in both: the target is r + 0.9 * min Q, less 0.9 * 0.2 * log pi with the entropy.
    seed = tf.random.split(context.step_seed(), 2)[0]
    action, log_prob = policy.sample_with_log_prob(policy.parameters_of(batch["next_observation"]), seed)
    critic, x = heads(agent.target_critic), np.concatenate([BATCH["next_observation"], action.numpy()], 1)
    least = np.min([(x @ critic[2 * i] + critic[2 * i + 1])[:, 0] for i in range(2)], 0)
    goes_on = ~BATCH["terminated"]
    np.testing.assert_allclose(without, BATCH["reward"] + 0.9 * goes_on * least, rtol=1e-4)
    np.testing.assert_allclose(entropic - without, -0.9 * 0.2 * goes_on * log_prob.numpy(), rtol=1e-3, atol=1e-4)


def test_the_policy_imitates_until_its_warmup_is_over():
    agent, batch = continuous(policy_warmup=2)
    context, losses = agent.learning_context, []
    for updates in (0, 1, 2):
        now = dataclasses.replace(context, clock=context.clock._replace(updates=updates))
        losses.append(float(agent.objective.terms(now, batch)[1].evaluate(batch, {})[0]))
    seed = tf.random.split(context.step_seed(), 2)[1]
    parameters = agent.policy.parameters_of(batch["observation"])
    action, log_prob = (x.numpy() for x in agent.policy.sample_with_log_prob(parameters, seed))
    taken = agent.policy.joint.log_prob(parameters, [batch["action"]]).numpy()
    critic, x = heads(agent.critic), np.concatenate([BATCH["observation"], action], 1)
    least = np.min([(x @ critic[2 * i] + critic[2 * i + 1])[:, 0] for i in range(2)], 0)
    imitates, climbs = (0.2 * log_prob - taken).mean(), (0.2 * log_prob - least).mean()
    assert abs(imitates - climbs) > 0.1
    np.testing.assert_allclose(losses, [imitates, imitates, climbs], rtol=1e-4)


def test_files_of_before_keep_the_entropy_in_their_targets():
    config = continuous()[0].get_config()
    assert kagent.CQL.from_config(config).backup_entropy is False
    for name in ("backup_entropy", "policy_warmup"):
        del config["objective"][name]
    agent = kagent.CQL.from_config(config)
    assert (agent.backup_entropy, agent.policy_warmup, agent.alpha) == (True, 0, 1.5)


def test_arguments_are_checked():
    for alpha in (0, -1.0, "1", None, True):
        with pytest.raises((ValueError, TypeError), match=r"objective\.alpha"):
            ConservativeSoftActorCriticObjective(alpha=alpha)
    with pytest.raises((ValueError, TypeError), match=r"objective\.alpha"):
        ConservativeActionValueObjective(alpha=0)
    with pytest.raises(ValueError, match=r"objective\.drawn_actions"):
        ConservativeSoftActorCriticObjective(drawn_actions=0)
    with pytest.raises(TypeError, match=r"objective\.backup_entropy"):
        ConservativeSoftActorCriticObjective(backup_entropy=0)
    with pytest.raises(ValueError, match=r"objective\.policy_warmup"):
        ConservativeSoftActorCriticObjective(policy_warmup=-1)
    box = spaces.Box(-1, 1, (2,))
    with pytest.raises(ValueError, match="`alpha` goes into the `objective`"):
        kagent.CQL(action_space=box, alpha=1.0, objective="soft_actor_critic", **SPACE)
    with pytest.raises(ValueError, match="`stochastic_critics` is dropout"):
        kagent.CQL(action_space=box, stochastic_critics=True, **SPACE)
