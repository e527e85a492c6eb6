"""mu(s): canonical actions with a gradient, and the same on the host."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

import kagent
from kagent.acting import distributions
from kagent.distributions import Deterministic, Direct
from kagent.objectives.objective import OBJECTIVES, Objective
from kagent.policies.deterministic import DeterministicPolicy
from kagent.spaces import Structure

SPACES = gymnasium.spaces
OBSERVATION = SPACES.Box(-1.0, 1.0, (3,))
ACTION = SPACES.Dict(arm=SPACES.Box(np.float32([-2.0, 0.0]), np.float32([2.0, 10.0])), leg=SPACES.Box(-1.0, 1.0, ()))
NUMBERS = np.random.default_rng(0).uniform(-1, 1, (6, 3)).astype(np.float32)


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class TowardsTheTop(Objective):
    """The larger all actions, the better."""

    policies = ("DeterministicPolicy",)

    def update(self, agent, batch):
        def loss(batch):
            actions = agent.policy.actions(batch["observation"])
            return -tf.add_n([tf.reduce_mean(part) for part in tf.nest.flatten(actions)]), {}

        return {"loss": agent.minimize("policy", loss, batch)[0]}


def agent(action=ACTION, exploration=0.0, seed=0, **policy):
    return kagent.Agent(
        observation_space=OBSERVATION, action_space=action, policy={"type": "deterministic", **policy},
        objective=TowardsTheTop(), memory=100, update={"unit": "timesteps", "batch_size": 4, "frequency": "never"},
        reward_estimation={"type": "RewardEstimation"}, exploration=exploration, optimizer=0.1, seed=seed,
    )  # fmt: skip


def test_actions_are_canonical_and_nested():
    made = agent(head_gain=3.0)
    actions = made.policy.actions(NUMBERS)
    assert set(actions) == {"arm", "leg"} and actions["arm"].shape == (6, 2) and actions["leg"].shape == (6,)
    assert all(np.abs(part).max() <= 1.0 and np.ptp(part) > 0.1 for part in actions.values())
    assert agent(SPACES.Box(-2.0, 2.0, (2,))).policy.actions(NUMBERS).shape == (6, 2)
    np.testing.assert_allclose(agent().policy.actions(NUMBERS)["arm"], 0.0, atol=0.05)  # in the middle at first


def test_gradients_flow_to_every_weight():
    policy = agent().policy
    with tf.GradientTape() as tape:
        total = tf.add_n([tf.reduce_sum(part) for part in tf.nest.flatten(policy.actions(NUMBERS))])
    gradients = tape.gradient(total, policy.trainable_variables)
    assert all(gradient is not None and np.abs(gradient).max() > 0.0 for gradient in gradients)


def test_the_host_acts_alike():
    made = agent(head_gain=3.0)
    assert made.actor.is_numpy and [decision.kind for decision in made.actor.decisions] == ["deterministic"] * 2
    graph = made(NUMBERS)
    for i, observation in enumerate(NUMBERS):
        for deterministic in (True, False):
            action = made.act(observation, deterministic=deterministic, independent=True)
            assert ACTION.contains(action)
            for key in ACTION:
                np.testing.assert_allclose(action[key], graph[key][i], atol=1e-4)


@pytest.mark.sensitive
def test_noise_is_in_the_units_of_the_environment():
    made = agent(exploration={"arm": 0.1})
    assert type(made.exploration).__name__ == "ActionNoise" and not made.exploration.sample
    actions = []
    for _ in range(3000):
        actions.append(made.act(NUMBERS[0]))
        made.observe(0.0, terminal=True)
    arms, legs = (np.stack([action[key] for action in actions]) for key in ("arm", "leg"))
    np.testing.assert_allclose(arms.std(0), 0.1, rtol=0.08)  # six deviations
    assert np.ptp(legs) == 0.0
    np.testing.assert_allclose(arms.mean(0), made.act(NUMBERS[0], deterministic=True)["arm"], atol=0.01)


def test_a_number_is_noise_and_not_epsilon():
    assert type(agent(exploration=0.3).exploration).__name__ == "ActionNoise"
    assert type(kagent.DQN("CartPole-v1", exploration=0.3, seed=0).exploration).__name__ == "EpsilonGreedy"


@pytest.mark.sensitive
def test_it_learns(tmp_path):
    made = agent(exploration=0.5)
    for _ in range(8):
        made.act(NUMBERS[0])
        made.observe(0.0, False, False, NUMBERS[1])
    for _ in range(60):
        made.update()
    best = made.act(NUMBERS[0], deterministic=True)
    np.testing.assert_allclose(best["arm"], [2.0, 10.0], rtol=0.05)
    made.save(tmp_path / "agent.keras")
    for other in (kagent.load(tmp_path / "agent.keras"), kagent.acting.load(tmp_path / "agent.keras")):
        again = other.act(NUMBERS[0], deterministic=True)
        np.testing.assert_allclose(again["arm"], best["arm"], rtol=1e-5)


@pytest.mark.parametrize(
    "space",
    [
        SPACES.Discrete(3),
        SPACES.Box(-1.0, np.inf, (2,)),
        SPACES.Dict(a=SPACES.Box(-1, 1, (1,)), b=SPACES.MultiBinary(2)),
    ],
    ids=["discrete", "half_open", "mixed"],
)
def test_other_actions_are_refused(space):
    with pytest.raises(ValueError, match="DeterministicPolicy needs an action space of Box with finite bounds"):
        agent(space)


def test_arguments():
    for bad in (True, "x", np.nan):
        with pytest.raises(ValueError, match=r"`policy.head_gain` must be a finite number"):
            DeterministicPolicy(head_gain=bad)
    part = DeterministicPolicy(network={"type": "mlp", "units": [4]}, head_gain=0.5).get_part()
    assert part["type"] == "DeterministicPolicy" and part["head_gain"] == 0.5


def test_a_point_has_no_density():
    for distribution in (Deterministic((2,), -1.0, 1.0), Direct((2,))):
        params = [tf.constant([[0.5, -3.0]])]
        np.testing.assert_array_equal(distribution.mode(params), [[0.5, -3.0]])
        for method, arguments in (
            ("log_prob", (params, params[0])), ("entropy", (params,)), ("kl", (params, params)),
            ("sample_with_log_prob", (params, None)),
        ):  # fmt: skip
            with pytest.raises(NotImplementedError, match=f"has no `{method}`: there is no density"):
                getattr(distribution, method)(*arguments)


def test_decisions():
    box = SPACES.Box(np.float32([-2.0, 0.0]), np.float32([2.0, 10.0]))
    scaled, direct = (distributions.make(kind, Structure(box).leaves[0]) for kind in ("deterministic", "direct"))
    heads, rng = [np.float32([[0.5, -1.0], [3.0, 0.0]])], np.random.Generator(np.random.Philox(0))
    for deterministic in (True, False):
        np.testing.assert_array_equal(scaled.choose(heads, rng, deterministic), [[0.5, -1.0], [1.0, 0.0]])
        np.testing.assert_array_equal(direct.choose(heads, rng, deterministic), heads[0])
        assert not np.shares_memory(direct.choose(heads, rng, deterministic), heads[0])
    np.testing.assert_array_equal(scaled.to_env(scaled.choose(heads, rng, True)), [[1.0, 0.0], [2.0, 5.0]])
    np.testing.assert_array_equal(direct.to_env(heads[0]), [[0.5, 0.0], [2.0, 0.0]])
    for decision in (scaled, direct):
        with pytest.raises(ValueError, match="`mask` must be None"):
            decision.choose(heads, rng, True, np.ones((2, 2), bool))
        again = distributions.from_config(decision.to_config())
        assert type(again) is type(decision) and again.widths == decision.widths == (2,)
    with pytest.raises(ValueError, match="A deterministic decision needs finite bounds"):
        distributions.make("deterministic", Structure(SPACES.Box(0.0, np.inf, (1,))).leaves[0])
