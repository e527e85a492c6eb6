"""Terms: what they refuse, in which gradient steps they step, and what later terms see; by hand."""

import dataclasses
import itertools
import re

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import LINEAR, RATE, heads, tensors
from variants import thorough

import kagent
from kagent.objectives import DeterministicPolicyGradientObjective, LearningContext, Objective, Term
from kagent.objectives.objective import OBJECTIVES

SGD = {"type": "SGD", "learning_rate": RATE}
CRITIC = {"type": "ActionValue", "network": LINEAR, "members": 1}
BATCH = {
    "observation": np.eye(3)[[0, 1, 2, 0]], "next_observation": np.eye(3)[[1, 2, 0, 0]],
    "action": np.zeros((4, 1)), "reward": np.arange(4.0), "terminated": np.zeros(4, bool), "truncated": np.zeros(4, bool),
}  # fmt: skip


def first(batch):
    return tf.reduce_mean(batch["reward"]), {}


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"role": "actor"}, ValueError, r"`role` of a term must be one of .*Received: 'actor'"),
        ({"loss": 1.0}, TypeError, r"`loss` of a term must be a function. Received: 1.0"),
        ({"every": 0}, ValueError, r"`every`.*Received: 0"),
        ({"every": first}, TypeError, r"`errors` is given by its name: Term\(role, loss, batch, errors=...\)"),
        ({"errors": 2.0}, TypeError, r"`errors` of a term must be a function. Received: 2.0"),
    ],
)
def test_what_is_no_term_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        Term(**{"role": "policy", "loss": first, "batch": {}, **given})


def test_a_loss_may_leave_out_what_was_found_before():
    batch = {"reward": tf.constant([1.0, 3.0])}
    assert float(Term("critic", first, batch).evaluate(batch, {})[0]) == 2.0
    two = Term("policy", lambda batch, found: (found["critic"]["x"] + batch["reward"][0], {}), batch)
    assert float(two.evaluate(batch, {"critic": {"x": tf.constant(4.0)}})[0]) == 5.0


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class Delayed(Objective):
    """The critic's value of an action falls by RATE in each of its steps, the policy's weights in each of its own."""

    every: int = 2
    policies = ("DeterministicPolicy",)
    critic = "ActionValue"
    in_turn = True

    def terms(self, context, batch):
        assert isinstance(context, LearningContext)

        def critic_loss(batch):
            return tf.add_n([tf.reduce_sum(v.value) for v in context.critic.trainable_variables]), {"_two": 2.0}

        def policy_loss(batch, found):
            total = tf.add_n([tf.reduce_sum(v.value) for v in context.policy.trainable_variables])
            return found["critic"]["_two"] * total, {"seen": total}

        return [Term("critic", critic_loss, batch), Term("policy", policy_loss, batch, every=self.every)]


def delayed(objective=None, optimizer=SGD, critic=CRITIC, network=LINEAR, **parts):
    space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    return kagent.Agent(
        observation_space=gymnasium.spaces.Box(-1.0, 1.0, (3,)), action_space=space, memory=20,
        objective=Delayed() if objective is None else objective, policy={"type": "deterministic", "network": network},
        critic=critic, optimizer=optimizer, exploration=0.0,
        update={"unit": "timesteps", "batch_size": 4, "frequency": "never", "steps": 5},
        reward_estimation={"discount": 0.5, "estimate_horizon": "late"},
        seed=0, **parts,
    )  # fmt: skip


@pytest.mark.parametrize("mode", [{"run_eagerly": True}, {"jit_compile": False}, thorough({"jit_compile": True})])
@pytest.mark.parametrize("modified", [False, True])
def test_a_delayed_term_steps_in_the_last_step_of_each_period(mode, modified):
    """Of five gradient steps the policy's are the second and the fourth. Each step is the rate times a gradient of 1 or 2."""
    own = {**SGD, "multi_step": 2} if modified else None
    agent = delayed(**({"optimizer": own, "critic_optimizer": SGD} if modified else {}))
    agent.compile(**mode)
    before = heads(agent.policy), heads(agent.critic)
    for _ in range(5):
        row = agent.observation_space.sample()
        agent.memory.built or agent.memory.build(agent.observation_space, agent.action_space)
        agent.memory.append(row, np.zeros(1), 1.0, False, False, row)
    logs = agent.update()
    assert agent.updates == 5
    moved = 2 * RATE * 2 * (2 if modified else 1)
    for now, then in zip(heads(agent.policy), before[0], strict=True):
        np.testing.assert_allclose(now, then - moved, atol=1e-5)
    for now, then in zip(heads(agent.critic), before[1], strict=True):
        np.testing.assert_allclose(now, then - 5 * RATE, atol=1e-5)
    # The loss is that of all five steps, of which two began after the first move and one after the second.
    size, start = sum(v.size for v in before[0]), sum(v.sum() for v in before[0])
    mean = start - size * moved / 2 * (0 + 0 + 1 + 1 + 2) / 5
    assert logs["policy_loss"] == pytest.approx(2 * mean, abs=1e-4) and logs["seen"] == pytest.approx(mean, abs=1e-4)
    assert not any(name.startswith("_") for name in logs)


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class EveryOther(DeterministicPolicyGradientObjective):
    def terms(self, context, batch):
        critic, policy = super().terms(context, batch)
        return [critic, dataclasses.replace(policy, every=2)]


@pytest.mark.eager
def test_between_its_steps_nothing_of_a_delayed_role_moves():
    """Not the moving statistics of its layers either."""
    agent = delayed(EveryOther(), network=keras.Sequential([keras.layers.BatchNormalization()]))
    agent.compile(run_eagerly=True)
    seen = [heads(agent.policy)]
    for number in range(4):
        agent._clock.program = agent.clock._replace(updates=number)
        agent.train_step(tensors(BATCH))
        seen.append(heads(agent.policy))
    agent._clock.program = None
    changed = [any((a != b).any() for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(seen)]
    assert changed == [False, True, False, True]


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class OfBefore(Objective):
    """Written for earlier versions: `terms` gets what it calls agent, and `update` takes steps of its own."""

    policies = ("DeterministicPolicy",)

    def terms(self, agent, batch):
        weight = agent.reward_estimation.bootstrap_discounts(batch, agent.clock)

        def loss(batch):
            return tf.reduce_mean(weight) * tf.reduce_sum(agent.policy.trainable_variables[-1].value), {}

        return [Term("policy", loss, batch)]


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class OwnSteps(OfBefore):
    def update(self, agent, batch):
        (term,) = self.terms(agent, batch)
        value, logs = agent.minimize(term.role, term.loss, term.batch)
        return {"loss": value, "twice": 2 * super().update(agent, batch)["loss"], **logs}


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class Curious(OfBefore):
    def terms(self, agent, batch):
        return [Term("policy", first, {"reward": agent.memory})]


@pytest.mark.eager
@pytest.mark.parametrize("objective, steps", [(OfBefore(), 1), (OwnSteps(), 2)])
def test_objectives_of_before_go_on_working(objective, steps):
    agent = delayed(objective, critic=None)
    agent.compile(run_eagerly=True)
    bias = heads(agent.policy)[-1]
    logs = agent.train_step(tensors(BATCH))
    np.testing.assert_allclose(heads(agent.policy)[-1], bias - steps * RATE * 0.5, rtol=1e-5)
    assert "loss" in logs and ("twice" in logs) == (steps == 2)


def test_a_context_gives_numbers_and_the_present_values_of_schedules(small):
    agent = small("dqn")
    agent.counters.timesteps = 25
    context = agent.learning_context
    linear = kagent.schedules.Linear(2.0, 1.0, steps=100, unit="timesteps")
    assert context.now(0.5) == 0.5 and context.now(None) is None
    assert context.now(linear) == 1.75  # a quarter of the way


@pytest.mark.eager
def test_what_an_objective_does_not_see_is_named():
    agent = delayed(Curious(), critic=None)
    with pytest.raises(
        AttributeError, match=r"LearningContext in place of the agent, which has no 'memory'. It has: policy"
    ):
        agent.train_step(tensors(BATCH))


@pytest.mark.eager
@pytest.mark.parametrize("roles, message", [
    (("policy", "policy"), "at most one term for each role. Received: terms of ['policy', 'policy']"),
    (("temperature",), "terms are of the roles ['policy', 'critic']. Received: a term of 'temperature'"),
])  # fmt: skip
def test_terms_that_the_agent_cannot_take_are_refused(roles, message):
    agent = delayed()
    with pytest.raises(ValueError, match=re.escape(message)):
        agent.minimizer.take([Term(role, first, {"reward": tf.ones(2)}) for role in roles], agent.learning_context)
