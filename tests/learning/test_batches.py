"""What a `train_step` gets: `discount` and `weight` in every batch, with targets by hand."""

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import wrappers
from toy_envs import Counter

import kagent

pytestmark = pytest.mark.eager
LENGTH = 6


def ones(end):
    """Episodes of six timesteps of reward 1; the observation's last entry is the timestep."""
    return wrappers.TransformReward(Counter(lengths=(LENGTH,), ends=(end,)), lambda reward: 1.0)


def seeing(cls):
    class Seeing(cls):
        gives_errors = True

        def train_step(self, batch):
            target = batch["reward"] + batch["discount"] * 10.0  # of a value of 10 everywhere
            self.seen.append(
                {"target": target.numpy(), **{n: x.numpy() for n, x in batch.items() if hasattr(x, "numpy")}}
            )
            self.report_errors(target)
            return {"loss": tf.reduce_sum(batch["weight"])}

    return Seeing


def run(cls, end, steps=60, **parts):
    agent = seeing(cls)(ones(end), seed=0, **parts)
    agent.compile(run_eagerly=True)
    agent.seen = []
    agent.fit(ones(end), steps=steps, verbose=0)
    assert agent.seen
    return agent, agent.seen


def by_hand(time, end, discount, further, last=LENGTH):
    """1 + d + d**2 ... over the window, and d**length of it times 10 where the episode was not over."""
    count = min(further + 1, last - time)
    bootstrap = 0.0 if end == "terminated" and time + count >= LENGTH else 10.0 * discount**count
    return sum(discount**k for k in range(count)) + bootstrap


DQN = {"network": {"type": "mlp", "units": []}, "batch_size": 8, "frequency": 4, "start": 12}


@pytest.mark.parametrize("end", ["terminated", "truncated"])
@pytest.mark.parametrize("memory", [40, {"type": "prioritized", "capacity": 40}, {"type": "recent", "capacity": 40}])
@pytest.mark.parametrize("further", [0, 3])
def test_targets_of_transitions(end, memory, further):
    recent = isinstance(memory, dict) and memory["type"] == "recent"
    rule = {"unit": "timesteps", "batch_size": 8, "frequency": 4, "start": 12}
    parts = {k: v for k, v in DQN.items() if k == "network"} if recent else DQN
    if recent:
        parts = {**parts, "update": rule}
    agent, seen = run(kagent.DQN, end, memory=memory, reward_estimation={"horizon": further, "discount": 0.5}, **parts)
    assert len(seen) >= 10
    for batch in seen:
        assert batch["discount"].dtype == batch["weight"].dtype == np.float32
        times = batch["observation"][:, 2].astype(int)
        # The newest timestep of a recent memory is cut there.
        cut = times[-1] + 1 if recent else LENGTH
        newest = np.arange(8) >= 8 - cut if recent else np.zeros(8, bool)
        expected = [by_hand(t, end, 0.5, further, cut if new else LENGTH) for t, new in zip(times, newest, strict=True)]
        np.testing.assert_allclose(batch["target"], expected, rtol=1e-6)
    if not getattr(agent.memory, "prioritized", False):
        assert all((batch["weight"] == 1).all() for batch in seen)
    else:  # equal priorities at first, then those of the targets that were reported
        assert (seen[0]["weight"] == 1).all() and any(batch["weight"].min() < 1 for batch in seen)


def test_the_discount_of_one_timestep_is_that_of_the_update():
    """It falls from 1 to 0 over the run of 60 timesteps."""
    falling = {"type": "Linear", "initial": 1.0, "final": 0.0}
    _, seen = run(kagent.DQN, "truncated", memory=40, reward_estimation={"discount": falling}, **DQN)
    # Updates at 12, 16, 20 ... 60.
    for number, batch in enumerate(seen):
        np.testing.assert_allclose(batch["discount"], 1 - (12 + 4 * number) / 60, atol=1e-6)


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_without_an_estimate_nothing_follows(end):
    estimation = {"horizon": 1, "discount": 0.5, "estimate_horizon": False}
    _, seen = run(kagent.DQN, end, memory=40, reward_estimation=estimation, **DQN)
    for batch in seen:
        assert (batch["discount"] == 0).all()
        np.testing.assert_allclose(batch["target"], np.where(batch["observation"][:, 2] < LENGTH - 1, 1.5, 1.0))


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_rollouts_and_episodes_have_the_same_columns(end):
    """A rollout of nine timesteps is cut after the third of its second episode; padding of episodes weighs nothing."""
    estimation = {"horizon": 3, "discount": 0.5, "estimate_horizon": "late"}
    common = {"network": {"type": "mlp", "units": []}}
    _, seen = run(kagent.A2C, end, batch_size=9, n_envs=1, reward_estimation=estimation, **common)
    batch = seen[0]
    assert (batch["weight"] == 1).all() and len(batch["target"]) == 9
    for target, time in zip(batch["target"], batch["observation"][:, 2], strict=True):
        lasts = [last for last in (LENGTH, 3) if time < last]  # of the whole episode, or of the one that is cut
        assert target in [pytest.approx(by_hand(int(time), end, 0.5, 3, last)) for last in lasts]
    rule = {"unit": "episodes", "batch_size": 1, "frequency": 1}
    agent = seeing(kagent.Agent)(
        ones(end), policy={"type": "value", **common}, objective="action_value", update=rule, memory=40,
        reward_estimation=estimation, target={"tau": 1.0}, seed=0,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    agent.seen = []
    agent.fit(ones(end), episodes=4, verbose=0)
    for batch in agent.seen:
        real = batch["weight"] == 1
        assert real.sum() == LENGTH and (batch["weight"][~real] == 0).all() and not real.all()
        expected = [by_hand(int(t), end, 0.5, 3) for t in batch["observation"][real, 2]]
        np.testing.assert_allclose(batch["target"][real], expected, rtol=1e-6)


def test_what_is_complete_stays_so_and_a_batch_by_hand_is_completed():
    agent = kagent.DQN(ones("truncated"), memory=40, discount=0.5, seed=0, **DQN)
    raw = {"reward": tf.ones(2), "terminated": tf.constant([True, False]), "truncated": tf.constant([False, True])}
    once = agent.reward_estimation.completed(raw, agent.clock)
    assert once["discount"].numpy().tolist() == [0.0, 0.5] and once["weight"].numpy().tolist() == [1.0, 1.0]
    twice = agent.reward_estimation.completed({**once, "weight": tf.constant([0.25, 1.0])}, agent.clock)
    assert twice["discount"].numpy().tolist() == [0.0, 0.5] and twice["weight"].numpy().tolist() == [0.25, 1.0]


@pytest.mark.parametrize("mode", [{"jit_compile": False}, {"jit_compile": True}])
def test_a_train_step_of_one_line_learns_as_dqn_does(mode):
    """Compiled, from a prioritized memory of windows: the same weights as kagent's own objective."""

    class Own(kagent.DQN):
        def train_step(self, batch):
            best = tf.reduce_max(self.target_policy.values(batch["next_observation"]), axis=-1)
            target = batch["reward"] + batch["discount"] * best

            def loss(batch):
                values = self.policy.values(batch["observation"], training=True)
                taken = tf.gather(values, batch["action"], batch_dims=1)
                error = batch["target"] - taken
                return kagent.ops.weighted_mean(0.5 * tf.square(error), batch["weight"]), {"errors": error}

            value, logs = self.minimize("policy", loss, {**batch, "target": target})
            self.report_errors(logs.pop("errors"))
            return {"loss": value}

    weights = []
    for cls in (kagent.DQN, Own):
        agent = cls(
            ones("terminated"), memory={"type": "prioritized", "capacity": 40}, huber=None, seed=0, learning_rate=1e-2,
            reward_estimation={"horizon": 2, "discount": 0.5}, target_update_period=12, **DQN,
        )  # fmt: skip
        agent.compile(**mode)
        agent.fit(ones("terminated"), steps=60, verbose=0)
        weights.append(agent.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
