"""Values that are known: rewards themselves at discount 0, and ends that bootstrap or do not."""

import numpy as np
import pytest
from learning import make
from toy_envs import KnownQ, TruncationBandit
from variants import thorough

STATES = np.eye(2, dtype=np.float32)  # of the bandit: the truncating, the terminating


@pytest.mark.sensitive
def test_dqn_at_discount_0_learns_the_reward_table():
    env = KnownQ()
    agent = make("dqn", env, exploration=1.0, start=100)
    agent.fit(env, steps=1500, verbose=0)
    np.testing.assert_allclose(agent.policy.values([np.arange(4, dtype=np.int32)]), env.q, atol=0.05)
    assert [agent.act(s, deterministic=True) for s in range(4)] == env.q.argmax(1).tolist()


@pytest.mark.thorough
@pytest.mark.sensitive
def test_ppo_at_discount_0_prefers_what_pays_most():
    env = KnownQ()
    agent = make("ppo", env)
    agent.fit(env, steps=2000, verbose=0)
    assert [agent.act(s, deterministic=True) for s in range(4)] == env.q.argmax(1).tolist()
    expected = agent.policy.parameters_of([np.arange(4, dtype=np.int32)])[0].numpy()
    probability = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
    value = agent.critic.values([np.arange(4, dtype=np.int32)])
    # The critic follows the policy of the last rollouts, which has still moved a little.
    np.testing.assert_allclose(value, (probability * env.q).sum(1), atol=0.15)


@pytest.mark.sensitive
@pytest.mark.parametrize("double", [True, thorough(False)])
def test_dqn_bootstraps_from_truncation_alone(double):
    env = TruncationBandit()
    agent = make("dqn", env, discount=0.8, double=double, exploration=1.0, huber=None, target_update_period=8)
    agent.fit(env, steps=2500, verbose=0)
    truncating, terminating = TruncationBandit.values(0.8)  # 5 and 1
    np.testing.assert_allclose(agent.policy.values([STATES]), [[truncating] * 2, [terminating] * 2], atol=0.3)


@pytest.mark.sensitive
def test_ppo_bootstraps_from_truncation_alone():
    env = TruncationBandit()
    agent = make("ppo", env, discount=0.8, max_grad_norm=None)
    agent.fit(env, steps=3500, verbose=0)
    np.testing.assert_allclose(agent.critic.values([STATES]), TruncationBandit.values(0.8), atol=0.3)


def test_a_step_with_both_flags_is_terminal():
    # The learner sees them as the memory stores them; both set must count as an end.
    agent = make("dqn", TruncationBandit(), discount=0.5, huber=None, learning_rate=0.0)
    batch = {
        "observation": STATES[:1],
        "next_observation": STATES[:1],
        "action": np.zeros(1, np.int32),
        "reward": np.ones(1, np.float32),
    }
    q = agent.policy.values([STATES[:1]]).numpy()
    for terminated, truncated, ahead in ((1, 1, 0.0), (1, 0, 0.0), (0, 1, 0.5), (0, 0, 0.5)):
        flags = {"terminated": np.array([bool(terminated)]), "truncated": np.array([bool(truncated)])}
        loss = float(agent.train_step({**batch, **flags})["loss"])
        assert loss == pytest.approx(0.5 * (1 + ahead * q.max() - q[0, 0]) ** 2, rel=1e-4)
