"""The doctor and recorded episodes: short runs with one illness each, and healthy ones."""

import gymnasium
import keras
import numpy as np
import pytest
from gymnasium import spaces

import kagent
from kagent import datasets
from kagent.callbacks import Checkpoint, Doctor

pytestmark = pytest.mark.eager
OBSERVATION = spaces.Box(-np.inf, np.inf, (2,), np.float32)
BOX, CHOICE = spaces.Box(-2.0, 2.0, (1,), np.float32), spaces.Discrete(2)


def trace(number, action, pay=1.0, scale=1.0, constant=False):
    """Ten timesteps that pay what is done; actions from a function of a generator."""
    rng = np.random.default_rng(number)
    seen = rng.normal(size=(11, 2)).astype(np.float32) * np.array([1.0, 0.0 if constant else scale], np.float32)
    taken = action(rng)
    return {
        "observation": seen[:-1], "final_observation": seen[-1:], "action": taken, "reward": pay * taken.reshape(10, -1)[:, 0],
        "terminated": np.arange(10) == 9, "truncated": np.zeros(10, bool), "episode_length": np.array([10]),
    }  # fmt: skip


def data(action, **faults):
    return datasets.Episodes([trace(number, action, **faults) for number in range(30)])


def middle(rng):
    return rng.uniform(-1.0, 1.0, (10, 1)).astype(np.float32)


def mostly_one(rng):
    return (rng.random(10) < 0.9).astype(np.int64)


def agent_of(preset, action=BOX, **changes):
    agent = preset(
        observation_space=OBSERVATION, action_space=action, seed=0,
        **{"network": {"type": "mlp", "units": [4]}, "memory": 300, "batch_size": 8, **changes},
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    return agent


def shifted(part, number):
    """Moves the last layers of a part's networks: their outputs are all about the same."""
    for variable in part.trainable_variables:
        if variable.path.endswith("bias") and variable.shape == (1,):
            variable.assign([number])


def watched(agent, episodes, updates=3, **options):
    doctor = Doctor(verbose=0)
    agent.fit(episodes, updates=updates, steps_per_epoch=1, callbacks=[doctor], verbose=0, **options)
    return doctor


def names(doctor):
    return [finding.name for finding in doctor.findings]


def test_healthy_data_and_what_is_known_of_them():
    """The largest discounted return is looked for by another way: powers of the discount."""
    episodes = data(middle)
    doctor = watched(agent_of(kagent.TD3BC, discount=0.9), episodes)
    assert names(doctor) == []
    record = doctor.record
    recorded = record.recorded
    assert (record.timesteps, record.gradient_steps) == (0, 3)
    assert (recorded.timesteps, recorded.longest, len(recorded.returns)) == (300, 10, 30)
    assert recorded.returns[0] == pytest.approx(episodes[0]["reward"].sum(), rel=1e-5)
    values = [
        np.sum(one["reward"][t:] * 0.9 ** np.arange(10 - t))
        for one in (episodes[i] for i in range(30))
        for t in range(10)
    ]
    np.testing.assert_allclose(recorded.values, [min(values), max(values)], rtol=1e-5)
    assert recorded.actions[0].at_low == (0.0,) and recorded.choices[0].samples == 300
    assert record.observations[0].samples == 300 and record.observations[0].high != record.inputs[0].high  # normalized
    assert record.actions[0].samples == 30 and set(record.movement) == {"policy", "critic"}
    said = " ".join(doctor.report().split())
    assert said.startswith("Doctor: nothing found. 3 gradient steps; looked at 300 recorded timesteps.")
    assert kagent.diagnosis.from_json(kagent.diagnosis.to_json(record)).recorded == recorded


@pytest.mark.parametrize(
    ("name", "changes", "faults"),
    [
        ("observations_constant", {}, {"constant": True}),
        ("observations_unscaled", {"normalize": None}, {"scale": 1e7}),
        ("rewards_absent", {}, {"pay": 0.0}),
        ("rewards_hidden", {"huber": 1.0}, {"pay": 1e3}),
        ("updates_exploding", {"learning_rate": 300.0}, {}),
    ],
)
def test_an_illness_is_found(name, changes, faults):
    assert name in names(watched(agent_of(kagent.TD3BC, **changes), data(middle, **faults)))


def test_values_above_all_that_was_recorded():
    agent = agent_of(kagent.TD3BC, discount=0.9)
    shifted(agent.critic, 40.0)  # rewards of at most 1 for ten timesteps allow 6.5
    assert names(watched(agent, data(middle))) == ["values_overestimated"]


def test_a_policy_at_bounds_where_the_data_are_not():
    agent = agent_of(kagent.TD3BC)
    shifted(agent.policy, -50.0)
    doctor = watched(agent, data(middle))
    assert names(doctor) == ["policy_leaves_data"] and doctor.record.actions[0].at_low == (1.0,)
    agent = agent_of(kagent.TD3BC)
    shifted(agent.policy, -50.0)
    low = watched(agent, data(lambda rng: np.where(rng.random((10, 1)) < 0.9, -2.0, 1.0).astype(np.float32)))
    assert names(low) == []


def test_data_without_another_action():
    for action, space in ((lambda rng: np.ones(10, np.int64), CHOICE), (lambda rng: np.ones((10, 1), np.float32), BOX)):
        doctor = watched(agent_of(kagent.BC, space), data(action))
        assert [(f.name, f.severity) for f in doctor.findings] == [("recorded_actions_constant", "severe")]
    # What behaviour cloning does not look at is no fault of it.
    assert names(watched(agent_of(kagent.BC, CHOICE), data(mostly_one, pay=0.0))) == []


class Paying(gymnasium.Env):
    """Ten timesteps, each of which pays the action."""

    observation_space, action_space = OBSERVATION, CHOICE

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.np_random.normal(size=2).astype(np.float32), {}

    def step(self, action):
        self.time += 1
        return self.np_random.normal(size=2).astype(np.float32), float(action), self.time == 10, False, {}


@pytest.mark.parametrize(("preferred", "found"), [(0, ["worse_than_recorded"]), (1, [])])
def test_an_agent_worse_than_its_data(preferred, found):
    """The data return 9 of 10; an agent that prefers the first action returns 0, one that prefers the second 10."""
    agent = agent_of(kagent.BC, CHOICE)
    head = next(v for v in agent.policy.trainable_variables if v.path.endswith("bias") and v.shape == (2,))
    head.assign([50.0 * (preferred == 0), 50.0 * (preferred == 1)])
    doctor = watched(agent, data(mostly_one), validation_env=Paying, validation_episodes=1)
    assert names(doctor) == found
    assert doctor.record.logged("val_episode_return") == [10.0 * preferred] * 3


def test_a_run_that_goes_on_and_a_dataset(tmp_path):
    """The record is kept with the checkpoint; of a `tf.data.Dataset` the losses and weights are judged."""

    def trained(updates):
        saver = Checkpoint(tmp_path, "agent", frequency=None)
        doctor = Doctor(checkpoint=saver, verbose=0)
        agent = agent_of(kagent.BC, CHOICE)
        agent.fit(data(mostly_one), max_updates=updates, steps_per_epoch=1, callbacks=[saver, doctor], verbose=0)
        return agent, doctor.record

    assert trained(2)[1].history["updates"] == [1.0, 2.0]
    agent, record = trained(4)
    assert record.history["updates"] == [1.0, 2.0, 3.0, 4.0] and record.recorded.timesteps == 300
    agent.compile(optimizer=keras.optimizers.SGD(1e9), run_eagerly=True)
    doctor = Doctor(verbose=0)
    agent.fit(agent.memory.dataset(8).take(3), callbacks=[doctor], verbose=0)
    assert names(doctor) == ["updates_exploding"] and doctor.record.recorded is None


def test_of_many_episodes_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(kagent.training.offline, "_LOOKED_AT", 100)
    doctor = watched(agent_of(kagent.BC, CHOICE), data(mostly_one), updates=1)
    assert doctor.record.recorded.timesteps == 100  # every third


def test_it_goes_on_in_an_environment():
    agent = agent_of(kagent.BC, CHOICE)
    doctor = watched(agent, data(mostly_one), updates=1)
    assert doctor.record.recorded is not None
    agent.memory.clear()
    agent.fit(Paying, steps=20, callbacks=[doctor], verbose=0)
    assert doctor.record.recorded is None and (doctor.record.timesteps, doctor.record.episodes.count) == (20, 2)
