"""PGAgent and TRPOAgent: when they learn, from what, by how much, and what they refuse."""

from __future__ import annotations

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from variants import thorough

from kagent.estimators import BatchMemory, EstimatorSpec, PGAgent, RunConfig, TRPOAgent, models

SPACES = gymnasium.spaces
CONFIG = RunConfig(seed=0, jit_compile=False, log_episodes=None)


class Count(gymnasium.Env):
    """Reward 1 for every one of n timesteps."""

    observation_space = SPACES.Box(-10.0, 10.0, (1,))

    def __init__(self, n, action_space=None):
        self.action_space = action_space or SPACES.Discrete(2)
        self.n, self.resets, self.steps = n, 0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.resets = 0, self.resets + 1
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t, self.steps = self.t + 1, self.steps + 1
        return np.full(1, self.t / self.n, np.float32), 1.0, self.t == self.n, False, {}


class Arm(Count):
    """One timestep an episode; action 1 is worth 1, action 0 nothing."""

    def __init__(self):
        super().__init__(1)

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, float(action == 1), *rest


def small(kind=models.VPG, size=2, **arguments):
    return kind(size, models.mlp([8]), **arguments)


def weights(agent):
    return [variable.numpy() for variable in agent.model.policy.trainable_variables]


def test_it_learns_from_the_newest_timesteps_and_their_returns():
    def model_fn(features, labels, mode):
        spec = small()(features, labels, mode)
        assert sorted(labels) == ["action", "discount_reward", "done", "log_prob", "reward", "terminated"]
        metrics = {f"return_{i}": labels["discount_reward"][i] for i in range(25)}
        return EstimatorSpec(mode, spec.predictions, spec.loss, spec.train_op, {**metrics, "rows": keras.ops.sum(
            keras.ops.ones_like(labels["reward"]))})  # fmt: skip

    agent = PGAgent(model_fn, BatchMemory(25), {"discount": 0.5}, config=CONFIG)
    found = {}

    class Keep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.update(logs)

    agent.train(Count(10), episodes=3, hooks=[Keep()])
    # Of 30 timesteps the newest 25: the last 5 of the first episode, and two whole ones.
    whole = [2 - 2.0 ** (t - 9) for t in range(10)]
    expected = [*whole[5:], *whole, *whole]
    assert [found[f"return_{i}"] for i in range(25)] == pytest.approx(expected, rel=1e-6)
    assert found["rows"] == 25


def test_one_update_by_hand():
    """Plain gradient descent on -mean(log pi * G), with all returns 1."""
    model = models.VPG(2, lambda mode, features: features["state"], optimizer=keras.optimizers.SGD(0.5))
    agent = PGAgent(model, BatchMemory(4), config=CONFIG)
    agent.train(Count(1), episodes=1)
    before = dict(zip(("kernel", "bias"), weights(agent)))
    agent.memory.clear()
    actions = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            actions.extend(int(agent.memory.get_by_index(i)["action"]) for i in range(len(agent.memory)))

    agent.train(Count(1), steps=1, hooks=[Record()])
    probability = np.exp(before["bias"]) / np.exp(before["bias"]).sum()
    gradient = -np.mean([np.eye(2)[action] - probability for action in actions], axis=0)
    after = dict(zip(("kernel", "bias"), weights(agent)))
    assert len(actions) == 4
    np.testing.assert_allclose(after["bias"], before["bias"] - 0.5 * gradient, atol=1e-6)


@pytest.mark.thorough
@pytest.mark.sensitive
@pytest.mark.parametrize("make", [lambda: PGAgent(small(learning_rate=0.05), BatchMemory(32), config=CONFIG),
                                  thorough(lambda: TRPOAgent(small(models.TRPO), BatchMemory(32),
                                                             {"max_kl_divergence": 0.05}, config=CONFIG))])  # fmt: skip
def test_it_learns_what_pays(make):
    agent = make()
    agent.train(
        Arm(), steps=40, episodes=40 * 32
    )  # there is nothing left to improve in the end, and TRPO refuses to step
    assert agent.evaluate(Arm(), episodes=5)["episode_return"] == 1.0
    assert tf.nn.softmax(agent.predict(np.zeros((1, 1), np.float32), ["logits"])["logits"]).numpy()[0, 1] > 0.8


@pytest.mark.thorough
@pytest.mark.sensitive
def test_actions_are_sampled_in_training_and_best_in_evaluation():
    seen = []

    class Watch(Count):
        def step(self, action):
            seen.append(float(np.ravel(action)[0]))
            return super().step(action)

    for space, continuous in ((SPACES.Discrete(2), False), (SPACES.Box(-5.0, 5.0, (1,)), True)):
        model = small(size=1 if continuous else 2, is_continuous=continuous)
        agent = PGAgent(model, BatchMemory(1000), config=CONFIG)
        seen.clear()
        agent.train(Watch(10, space), episodes=20)
        if continuous:  # in the ten states of 20 episodes; six deviations
            states = np.arange(10, dtype=np.float32)[:, None] / 10
            of = agent.predict(states, ["loc", "scale"])
            noise = (np.reshape(seen, (20, 10)) - of["loc"][:, 0]) / of["scale"][:, 0]
            assert len(set(seen)) > 100 and abs(noise.mean()) < 0.43 and noise.std() == pytest.approx(1.0, abs=0.3)
        else:
            assert 0.3 < np.std(seen)
        states = np.zeros((1, 1), np.float32)
        best = float(np.ravel(agent.predict(states))[0])
        seen.clear()
        agent.evaluate(Watch(1, space), episodes=5)
        assert seen == pytest.approx([best] * 5)
        if continuous:
            found = agent.predict(states, ["loc", "scale", "results"])
            assert found["loc"].shape == found["scale"].shape == (1, 1) and found["results"] == found["loc"]


def test_what_has_nothing_to_sample_from_does_its_results():
    def model_fn(features, labels, mode):
        scores = keras.layers.Dense(2)(features["state"])
        loss = keras.ops.mean(scores) * 0.0
        return EstimatorSpec(mode, {"results": keras.ops.argmax(scores, -1)}, loss, "adam")

    memory = BatchMemory(10)
    agent = PGAgent(model_fn, memory, config=CONFIG)
    seen = set()

    class Watch(Count):
        def step(self, action):
            seen.add(int(action))
            return super().step(action)

    agent.train(Watch(10), episodes=3)
    assert agent.global_step == 3
    state = np.zeros((1, 1), np.float32)
    assert int(agent.predict(state)[0]) in seen
    with pytest.raises(ValueError, match=r"NaturalGradient needs a policy to sample from.*'logits'"):
        TRPOAgent(model_fn, BatchMemory(10), config=CONFIG).train(Count(10), episodes=1)


class Distribution(keras.callbacks.Callback):
    """The largest mean KL divergence of an update, and whether the surrogate fell."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_train_batch_begin(self, batch, logs=None):
        memory = self.model.memory
        self.rows = [memory.get_by_index(i) for i in range(len(memory))]
        self.states = np.stack([row["state"] for row in self.rows])
        self.before = self.heads()

    def heads(self):
        return [head.numpy().copy() for head in self.model.policy.parameters_of([self.states])]

    def on_train_batch_end(self, batch, logs=None):
        after, joint = self.heads(), self.model.policy.joint
        self.found.append(float(np.mean(joint.kl(self.before, after))))


@pytest.mark.sensitive
@pytest.mark.parametrize("continuous", [False, thorough(True)])
def test_steps_stay_within_the_trust_region(continuous):
    space = SPACES.Box(-5.0, 5.0, (2,)) if continuous else SPACES.Discrete(2)

    class Uneven(Count):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, float(np.ravel(action)[0]), *rest

    model = small(models.TRPO, is_continuous=continuous)
    agent = TRPOAgent(model, BatchMemory(25), {"max_kl_divergence": 0.02}, config=CONFIG)
    watch = Distribution()
    agent.train(Uneven(10, space), steps=8, hooks=[watch])
    assert agent.global_step == 8 and len(watch.found) == 8
    # Also within episodes: every 25 timesteps.
    assert agent.global_timestep == 200
    assert all(kl <= 0.02 * 1.001 for kl in watch.found) and max(watch.found) > 0.005


@pytest.mark.thorough
def test_refused_steps_are_none():
    class Rewards(Count):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, float(action), *rest

    told: list = []
    bounds = {"hooks": [keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: told.append(
        (logs["accepted"], logs["kl_divergence"])))]}  # fmt: skip
    agent = TRPOAgent(small(models.TRPO), BatchMemory(10), {"max_kl_divergence": 0.02}, config=CONFIG)
    agent.train(Rewards(10), episodes=3, **bounds)
    assert all(accepted == 1.0 and 0.0 < kl <= 0.02 * 1.001 for accepted, kl in told)
    assert agent.global_step == len(told) == 3
    told.clear()

    def flat(features, labels, mode):
        spec = small(models.TRPO)(features, labels, mode)
        return EstimatorSpec(mode, spec.predictions, spec.loss(labels, spec.predictions) * 0.0, spec.train_op)

    agent = TRPOAgent(flat, BatchMemory(10), config=CONFIG)
    agent.train(Count(10), episodes=3, **bounds)
    assert told == [(0.0, 0.0)] * 3
    assert (agent.global_step, agent.global_timestep, len(agent.memory)) == (0, 30, 0)
    assert int(agent.model.optimizer.iterations) == 0
    agent = TRPOAgent(flat, BatchMemory(10), {"override_line_search": True}, config=CONFIG)
    assert agent.train(Count(10), episodes=2).global_step == 0  # there is no step to take


@pytest.mark.thorough
def test_it_goes_on_where_it_was(tmp_path):
    make = lambda: PGAgent(small(), BatchMemory(25), model_dir=tmp_path, config=CONFIG)  # noqa: E731
    agent = make().train(Count(10), episodes=6)
    kept = weights(agent)
    again = make()
    assert (again.global_step, again.global_timestep, again.global_episode) == (2, 60, 6)
    for one, other in zip(weights(again), kept):
        np.testing.assert_array_equal(one, other)
    env = Count(10)
    again.train(env, max_episodes=6)
    assert env.resets == env.steps == 0
    again.train(env, episodes=3)
    assert (again.global_step, again.global_episode) == (3, 9)


def test_an_episode_at_a_time():
    agent = PGAgent(small(), BatchMemory(15), config=CONFIG)
    first, second = agent.run_episode(Count(10)), agent.run_episode(Count(10))
    assert (first["total_reward"], first["length"], first["updates"]) == (10.0, 10, 0) and np.isnan(first["loss"])
    assert second["updates"] == 1 and np.isfinite(second["loss"])


@pytest.mark.parametrize(
    "kind, params, error, message",
    [
        (PGAgent, {"gamma": 0.9}, ValueError, r"`optimizer_params` has no \['gamma'\]"),
        (PGAgent, {"max_kl_divergence": 0.1}, ValueError, "`optimizer_params` has no"),
        (PGAgent, {"discount": 1.5}, ValueError, r"`optimizer_params\['discount'\]` must be in \[0.0, 1.0\]"),
        (PGAgent, {"discount": "0.9"}, TypeError, "discount"),
        (PGAgent, [0.9], TypeError, "`optimizer_params` must be a dict"),
        (TRPOAgent, {"max_kl_divergence": 0.0}, ValueError, "max_kl_divergence"),
        (TRPOAgent, {"cg_damping": -1e-3}, ValueError, "cg_damping"),
        (TRPOAgent, {"cg_iterations": 0}, ValueError, "cg_iterations"),
        (TRPOAgent, {"line_search_iterations": 2.5}, ValueError, "line_search_iterations"),
        (TRPOAgent, {"override_line_search": 1}, TypeError, "override_line_search"),
    ],
)
def test_bad_optimizer_params(kind, params, error, message):
    with pytest.raises(error, match=message):
        kind(small(), BatchMemory(), params)


def test_defaults_and_what_is_given():
    assert PGAgent(small(), BatchMemory()).optimizer_params == {"discount": 0.97}
    params = TRPOAgent(small(), BatchMemory(), {"cg_iterations": 5}).optimizer_params
    assert params == {
        "discount": 0.97, "max_kl_divergence": 0.005, "cg_damping": 0.001, "cg_iterations": 5,
        "line_search_iterations": 20, "override_line_search": False,
    }  # fmt: skip


def test_bad_bounds_leave_the_environment_alone():
    agent, env = PGAgent(small(), BatchMemory(10), config=CONFIG), Count(10)
    for wrong in ({"steps": 1, "max_steps": 1}, {"episodes": 1, "max_episodes": 1}, {"steps": 0}, {"max_episodes": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            agent.train(env, **wrong)
    with pytest.raises(TypeError, match="hooks"):
        agent.train(env, steps=1, hooks=[object()])
    assert env.resets == env.steps == 0
