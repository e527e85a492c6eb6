"""Norms of gradients before they are clipped, among what a gradient step logs."""

import pytest
import tensorflow as tf

import kagent
from kagent.callbacks.vital_signs import Movement

pytestmark = pytest.mark.eager


def slopes(*parts):
    """A loss whose gradients are these, of the last bias of each part."""

    def loss():
        total = tf.zeros(())
        for part, slope in parts:
            *others, last = part.trainable_variables
            total += tf.reduce_sum(last.value * slope) + tf.add_n([0.0 * tf.reduce_sum(v.value) for v in others])
        return total, {"mine": total}

    return loss


@pytest.mark.parametrize("kind", ["adam", "Adam", "RMSprop"], ids=["FlatAdam", "Adam", "RMSprop"])
@pytest.mark.parametrize("limit", [0.5, 10.0])
def test_they_are_logged_where_they_are_clipped(small, kind, limit):
    own = {"amsgrad": True} if kind == "Adam" else {}
    agent = small("dqn", optimizer={"type": kind, "learning_rate": 0.1, "global_clipnorm": limit, **own})
    _, logs = agent.minimize("policy", slopes((agent.policy, [3.0, 4.0])))
    assert sorted(logs) == ["gradient_norm", "mine"] and float(logs["gradient_norm"]) == pytest.approx(5.0)


def test_each_optimizer_has_its_own(small):
    critics = {"critic_optimizer": {"type": "adam", "global_clipnorm": 1.0}}
    agent = small("ppo", **critics)
    loss = slopes((agent.policy, [3.0, 4.0]), (agent.critic, [2.0]))
    _, logs = agent.minimize(("policy", "critic"), loss)
    assert float(logs["gradient_norm"]) == pytest.approx(5.0) and float(logs["critic_gradient_norm"]) == 2.0
    agent = small("ppo", max_grad_norm=None, **critics)
    _, logs = agent.minimize("policy", slopes((agent.policy, [3.0, 4.0])))
    assert sorted(logs) == ["mine"]
    agent = small("ppo")  # one optimizer: sqrt(9 + 16 + 4)
    _, logs = agent.minimize(("policy", "critic"), slopes((agent.policy, [3.0, 4.0]), (agent.critic, [2.0])))
    assert float(logs["gradient_norm"]) == pytest.approx(29.0**0.5) and "critic_gradient_norm" not in logs


def test_a_role_that_waits_logs_none():
    """Both branches of its condition log the same."""
    agent = kagent.TD3(
        "Pendulum-v1", network={"type": "mlp", "units": [4]}, memory=64, batch_size=4, start=8, seed=0,
        optimizer={"type": "adam", "global_clipnorm": 1.0}, critic_optimizer={"type": "adam", "global_clipnorm": 1.0},
    )  # fmt: skip
    agent.compile(jit_compile=False)
    history = agent.fit("Pendulum-v1", steps=12, verbose=0).history
    assert "critic_gradient_norm" in history and "gradient_norm" not in history


def test_without_clipping_the_doctor_reads_them_of_the_optimizer(small):
    agent = small("dqn", max_grad_norm=None)
    movement = Movement(agent)
    movement.begin()
    agent.minimize("policy", slopes((agent.policy, [3.0, 4.0])))
    agent.counters.gradient_steps += 1
    movement.measure()
    assert movement.gradients() == {"policy": [pytest.approx(5.0, rel=1e-4)]}
    agent = small("dqn", optimizer={"type": "SGD", "learning_rate": 0.1})
    movement = Movement(agent)
    movement.begin()
    agent.minimize("policy", slopes((agent.policy, [3.0, 4.0])))
    agent.counters.gradient_steps += 1
    movement.measure()
    assert movement.gradients() == {} and movement.steps()["policy"][0] > 0
