"""The doctor at work: real short runs with one illness each, healthy ones, and what it leaves alone."""

import warnings

import gymnasium
import keras
import numpy as np
import pytest
from gymnasium import spaces
from variants import thorough

import kagent
from kagent.callbacks import Checkpoint, Doctor, vital_signs

pytestmark = pytest.mark.eager


class Lane(gymnasium.Env):
    """Pays 1 for going right; each episode has ten steps. Faults by arguments.

    Args:
        mask: What is allowed, or None.
        scale: Of the second entry of the observation.
        pay: Reward for going right.
        beyond: Added to the first entry, which is declared from 0 to 1.
    """

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0.0, np.array([1.0, np.inf]), (2,), np.float32)

    def __init__(self, mask=None, scale=1.0, pay=1.0, beyond=0.0):
        self.mask, self.scale, self.pay, self.beyond = mask, scale, pay, beyond

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), self._info()

    def step(self, action):
        self.time += 1
        return self._observe(), self.pay * float(np.sum(action)), self.time == 10, False, self._info()

    def _observe(self):
        return np.array([self.time / 10 + self.beyond, self.scale * (1 + self.np_random.random())], np.float32)

    def _info(self):
        return {} if self.mask is None else {"action_mask": np.array(self.mask)}


def watched(agent, env, doctor=None, **bounds):
    doctor = doctor or Doctor(baseline=None, every=1, verbose=0)
    agent.fit(env, callbacks=[doctor], verbose=0, **(bounds or {"steps": 300}))
    return doctor


def names(doctor):
    return [finding.name for finding in doctor.findings]


def dqn(small, env, **changes):
    return small("dqn", env=env, frequency=50, **changes)


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"mask": (0, 1)}, "masks_leave_one_action"),
        ({"beyond": 0.5}, "observations_out_of_bounds"),
        ({"scale": 1e6}, "observations_unscaled"),
        ({"pay": 0.0}, "rewards_absent"),
        ({"pay": 50.0}, "rewards_hidden"),
    ],
)
def test_an_environment_with_a_fault_is_found_out(small, fault, name):
    build = lambda: Lane(**fault)  # noqa: E731
    assert name in names(watched(dqn(small, build), build))


def test_a_healthy_environment_is_left_in_peace(small):
    assert names(watched(dqn(small, Lane), Lane)) == []


def test_an_agent_that_never_learns_is_found_out(small):
    doctor = watched(dqn(small, "CartPole-v1", start=10_000, memory=20_000), "CartPole-v1")
    assert names(doctor) == ["no_updates"]
    assert doctor.record.settings["start"] == 10_000


def test_a_learning_rate_that_throws_weights_about_is_found_out(small):
    doctor = watched(dqn(small, Lane, learning_rate=300.0), Lane)
    assert "updates_exploding" in names(doctor)
    assert doctor.record.growth["policy"] > 100


def test_no_better_than_random_and_epsilon_zero(small):
    """Lane pays 5 to random play on average. With a learning rate of next to nothing the greedy action stays what it is."""
    agent = dqn(small, Lane, exploration=0.0, learning_rate=1e-12)
    agent.policy.set_weights([np.zeros_like(weight) for weight in agent.policy.get_weights()])  # the first action: left
    doctor = watched(agent, Lane, Doctor(baseline=Lane, every=1, verbose=0))
    assert {"no_better_than_random", "exploration_dead"} <= set(names(doctor))
    assert doctor.record.learned is False and len(doctor.record.baseline) == 10
    assert 3.0 < np.mean(doctor.record.baseline) < 7.0
    found = {finding.name: finding for finding in doctor.findings}
    assert found["no_better_than_random"].numbers["mean_return"] == 0.0


@pytest.mark.parametrize(("steps", "judged"), [(400, True), (2_000, False)])
def test_a_run_stopped_in_its_first_half_is_not_at_its_end(small, steps, judged):
    """Both stop after 300 timesteps. Of 2,000, these are too few to say that nothing is learned, and that epsilon stays high."""
    agent = dqn(small, Lane, exploration={"type": "EpsilonGreedy", "initial": 1.0, "final": 0.9, "fraction": 1.0})
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(agent, "stop_training", epoch == 2))
    doctor = Doctor(baseline=None, every=1, verbose=0)
    agent.fit(Lane, steps=steps, steps_per_epoch=100, callbacks=[stop, doctor], verbose=0)
    assert agent.timesteps == 300
    assert ("exploration_endless" in names(doctor)) is judged


def test_gradients_of_which_clipping_leaves_the_direction(small):
    """Rewards of 1,000 make squared errors of a million; gradients are clipped at 0.5."""
    build = lambda: Lane(pay=1e3)  # noqa: E731
    agent = small("ppo", env=build, n_steps=60, batch_size=60, epochs=1)
    doctor = watched(agent, build, Doctor(baseline=[1e5] * 5, every=1, verbose=0), steps=300, steps_per_epoch=60)
    found = {finding.name: finding for finding in doctor.findings}
    assert found["gradients_cut_short"].numbers["max_grad_norm"] == 0.5
    assert min(doctor.record.history["gradient_norm"]) > 50 and doctor.record.gradient_norms("policy")


class Wide(Lane):
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)


def test_saturated_actions(small):
    """The policy's mean is far beyond its lower bound: every episode of ten steps returns -10."""
    agent = small("ppo", env=Wide, n_steps=150, batch_size=150, epochs=1)
    weights = agent.policy.get_weights()
    head = next(i for i, v in enumerate(agent.policy.weights) if v.path.endswith("bias") and v.shape == (1,))
    weights[head] = np.full(1, -50.0, np.float32)
    agent.policy.set_weights(weights)
    doctor = watched(agent, Wide, Doctor(baseline=[0.0] * 5, every=1, verbose=0))
    assert "actions_saturated" in names(doctor)
    assert doctor.record.actions[0].at_low == (1.0,)


def test_the_noise_of_a_deterministic_policy(small):
    noises = kagent.exploration
    for exploration, noise in (
        (noises.ActionNoise(0.0), 0.0),
        (noises.ActionNoise(0.2), 0.2),
        (noises.ActionNoise(0.0, random_steps=50), None),
        (noises.OrnsteinUhlenbeckNoise(sigma=0.3), 0.3),
    ):
        agent = kagent.TD3(
            Wide, exploration=exploration, network={"type": "mlp", "units": [4]}, memory=100, batch_size=8
        )
        assert vital_signs.settings_of(agent).get("noise") == noise
    assert "noise" not in vital_signs.settings_of(small("sac", env=Wide))


SHORT = {"dqn": {"frequency": 20}, "ppo": {"epochs": 1}, "sac": {"start": 38}}


@pytest.mark.parametrize(
    ("kind", "env"), [thorough(("dqn", "CartPole-v1")), ("ppo", "CartPole-v1"), ("sac", "Pendulum-v1")]
)
def test_it_changes_nothing(small, kind, env):
    plain, seen = small(kind, **SHORT[kind]), small(kind, **SHORT[kind])
    plain.fit(env, steps=40, verbose=0)
    doctor = watched(seen, env, steps=40)
    assert plain.gradient_steps > 0
    for one, other in zip(plain.variables, seen.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert doctor.record.timesteps == 40 and doctor.record.observations[0].samples == 40


def test_random_play_is_of_another_environment(small):
    env = gymnasium.make("CartPole-v1")
    doctor = watched(dqn(small, env), env, Doctor(verbose=0))
    assert len(doctor.record.baseline) == 10 and np.mean(doctor.record.baseline) < 60
    doctor = watched(dqn(small, Lane), Lane, Doctor(verbose=0))
    assert doctor.record.baseline == () and "No baseline: the environments" in " ".join(doctor.report().split())
    doctor = watched(dqn(small, Lane), Lane, Doctor(baseline=[1.0, 2.0, 3.0], verbose=0))
    assert doctor.record.baseline == (1.0, 2.0, 3.0)


def test_truncations_are_told_from_ends(small):
    doctor = watched(small("sac", start=401), "Pendulum-v1", steps=401)
    assert (doctor.record.episodes.count, doctor.record.episodes.truncated) == (2, 2)
    doctor = watched(dqn(small, Lane), Lane)
    assert (doctor.record.episodes.count, doctor.record.episodes.truncated) == (30, 0)
    doctor = watched(dqn(small, Lane), Lane, steps=60, steps_per_epoch="episode")
    assert (doctor.record.episodes.count, doctor.record.episodes.longest) == (6, 10)


def test_what_the_agent_sees_is_told_from_what_the_environments_give(small):
    """Of two environments, whose observations and rewards are normalized. A row that only resets is no sample."""
    vector = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    agent = small("ppo", env=vector, n_steps=16, batch_size=32, epochs=1, normalize=True)
    record = watched(agent, vector, steps=32).record
    assert record.observations[0].samples == record.inputs[0].samples == record.timesteps >= 32
    assert record.observations[0].high != record.inputs[0].high
    assert set(record.rewards.raw) == {1.0} != set(record.rewards.seen)
    assert len(record.rewards.raw) == len(record.rewards.seen) == record.timesteps


def test_severe_findings_are_warnings_once(small, monkeypatch):
    monkeypatch.setattr(kagent.callbacks.doctor, "_PERIOD", 100)
    build = lambda: Lane(mask=(0, 1))  # noqa: E731
    agent = small("dqn", env=build, start=500, memory=600)
    with pytest.warns(UserWarning, match="Doctor: masks_leave_one_action: Masks leave one action in 100 %") as caught:
        agent.fit(build, steps=300, steps_per_epoch=100, callbacks=[Doctor(baseline=None)], verbose=0)
    assert sum("masks_leave_one_action" in str(one.message) for one in caught) == 1


def test_the_report_has_eighty_columns(small, capsys):
    build = lambda: Lane(mask=(0, 1), beyond=0.5, scale=1e6)  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watched(dqn(small, build), build, Doctor(every=1))
    said = capsys.readouterr().out
    assert said.startswith("Doctor: 4 findings. 300 timesteps, 30 episodes,")
    assert max(map(len, said.splitlines())) <= 80
    watched(dqn(small, Lane), Lane, Doctor(baseline=None, verbose=0))
    assert capsys.readouterr().out == ""


def test_it_goes_on_with_its_agent_and_begins_anew_with_another(small):
    agent, doctor = dqn(small, Lane), Doctor(baseline=None, every=1, verbose=0)
    watched(agent, Lane, doctor, steps=50)
    watched(agent, Lane, doctor, steps=50)
    assert (doctor.record.timesteps, doctor.record.episodes.count) == (100, 10)
    watched(dqn(small, Lane), Lane, doctor, steps=50)
    assert (doctor.record.timesteps, doctor.record.episodes.count) == (50, 5)


def test_a_resumed_run_is_watched_from_its_beginning(small, tmp_path):
    def trained(max_steps):
        saver = Checkpoint(tmp_path, "agent", frequency=None, max_checkpoints=2)
        doctor = Doctor(baseline=None, checkpoint=saver, every=1, verbose=0)
        agent = dqn(small, Lane, exploration=0.5)
        agent.fit(Lane, max_steps=max_steps, steps_per_epoch=20, callbacks=[saver, doctor], verbose=0)
        return doctor.record

    assert not Doctor().overrides("on_update_end") and Doctor().overrides("on_timestep_end")
    first = trained(40)
    assert (first.timesteps, first.episodes.count) == (40, 4)
    (tmp_path / "agent-1-40.doctor.json").write_text("of another series")
    record = trained(80)
    whole = watched(dqn(small, Lane, exploration=0.5), Lane, steps=80, steps_per_epoch=20).record
    for name in ("timesteps", "gradient_steps", "episodes", "rewards", "observations", "actions", "settings"):
        assert getattr(record, name) == getattr(whole, name), name
    assert record.observations[0].samples == 80 and record.episodes.count == 8
    assert record.history["timesteps"] == whole.history["timesteps"] == [20.0, 40.0, 60.0, 80.0]
    assert record.history["episode_return"] == whole.history["episode_return"]
    kept = sorted(path.name for path in tmp_path.glob("*.json"))
    assert kept == ["agent-1-40.doctor.json", "agent-60.doctor.json", "agent-80.doctor.json"]
    (tmp_path / "agent-80.doctor.json").write_text("{")
    with pytest.warns(UserWarning, match=r"watches from here on: 'agent-80.doctor.json' is damaged"):
        assert trained(100).episodes.count == 2


def test_after_an_error_there_is_what_was_seen(small):
    class Failing(Lane):
        steps = 0

        def step(self, action):
            Failing.steps += 1
            if Failing.steps > 150:
                raise RuntimeError("broken")
            return super().step(action)

    doctor = Doctor(baseline=None, every=1, verbose=0)
    with pytest.raises(RuntimeError, match="broken"):
        dqn(small, Failing).fit(
            lambda: Failing(mask=(0, 1)), steps=300, steps_per_epoch=50, callbacks=[doctor], verbose=0
        )
    assert "masks_leave_one_action" in names(doctor)
    assert not doctor.record.finished


def test_agents_without_learning_and_without_entropy_are_watched(small):
    agent = kagent.Random("CartPole-v1", seed=0)
    assert names(watched(agent, "CartPole-v1")) == []
    agent = kagent.Random(
        observation_space=Lane.observation_space, action_space=spaces.Box(-np.inf, np.inf, (2,)), seed=0
    )
    assert agent.timesteps == 0 and "most_entropy" not in Doctor().record.settings


def test_bad_arguments(small):
    with pytest.raises(TypeError, match=r"`checkpoint` must be a kagent.callbacks.Checkpoint or None. Received: 'a'"):
        Doctor(checkpoint="a")
    for baseline in (3, object()):
        with pytest.raises(TypeError, match='`baseline` must be "auto"'):
            Doctor(baseline=baseline)
    for baseline in ([], [float("nan")], ["a"]):
        with pytest.raises(ValueError, match="`baseline` must be finite returns"):
            Doctor(baseline=baseline)
    with pytest.raises(ValueError, match="`every` must be an integer >= 1"):
        Doctor(every=0)
    with pytest.raises(ValueError, match="`verbose` must be 0 or 1"):
        Doctor(verbose=2)
    with pytest.raises(ValueError, match="Unknown environment id"):
        watched(dqn(small, Lane), Lane, Doctor(baseline="Lane-v7", verbose=0))
