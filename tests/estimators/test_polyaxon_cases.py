"""Polyaxon's contract, case by case: the numbers of a test are those of the contract's list."""

from __future__ import annotations

import math
import random

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from counting import GRID, Count, Listener, counters, make, q_spec, recording, same, state_of, uncalled
from event_files import curves

from kagent import ops, schedules
from kagent.callbacks import Callback
from kagent.estimators import (
    Agent,
    BatchMemory,
    Bootstrap,
    EstimatorSpec,
    Memory,
    Modes,
    PGAgent,
    RunConfig,
    TRPOAgent,
    explorations,
    models,
)

pytestmark = pytest.mark.eager(learners=True)

UPDATES = [10, 12, 16, 20, 24, 28, 30, 32, 36, 40, 44, 48, 50]
UNCOMPILED = RunConfig(seed=0, jit_compile=False)
STATES = np.linspace(-1.0, 1.0, 20, dtype=np.float32).reshape(5, 4)


def predicting(model):
    """The specification of a model function on four numbers, and what it predicts as a Keras model."""
    features = {"state": keras.Input((4,))}
    spec = model(features=features, labels={}, mode=Modes.TRAIN)
    return spec, keras.Model(features, dict(spec.predictions))


def set_head(predict, name, bias):
    layer = predict.get_layer(name)
    layer.set_weights([np.zeros_like(layer.get_weights()[0]), np.asarray(bias, np.float32)])


# Construction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("features", "labels"),
        ("features", "labels", "mode"),
        ("features", "labels", "mode", "params"),
        ("features", "labels", "mode", "params", "config"),
        ("features", "labels", "mode", "params", "config", "model_dir"),
        ("labels", "config", "features", "params", "mode"),
        ("model_dir", "labels", "features"),
    ],
    ids="-".join,
)
def test_case_01_signatures(names, tmp_path):
    seen, params = [], {"lr": 1, "layers": [1, 2]}
    given = {"params": params} if "params" in names else {}
    agent = make(recording(names, seen), model_dir=str(tmp_path), **given)
    assert not seen
    agent.train(Count(), steps=1, **GRID)
    [call] = seen
    assert sorted(call) == sorted(names)
    assert call["features"]["state"].shape == (None, 1)
    assert set(call["labels"]) == {"action", "reward", "done", "terminated", "next_state", "target"}
    assert call.get("mode", "train") == "train"
    if "params" in names:
        assert call["params"] == params and call["params"] is not params
        assert call["params"]["layers"] is not params["layers"]
    assert call.get("config", agent.config) == agent.config
    assert call.get("model_dir", str(tmp_path)) == agent.model_dir == str(tmp_path)
    agent.train(Count(), steps=1, **GRID)
    agent.evaluate(Count(), episodes=1)
    agent.evaluate(Count(), episodes=1)
    # Once for each mode; without `mode` an evaluation is no other call.
    assert [call.get("mode") for call in seen] == (["train", "eval"] if "mode" in names else [None])
    assert set(seen[-1]["labels"]) == set(call["labels"])


@pytest.mark.parametrize(
    "function, params, message",
    [
        (uncalled("labels", "mode"), None, "must take `features`"),
        (uncalled("features", "mode"), None, "must take `labels`"),
        (uncalled("features", "labels", "mode"), {"lr": 1}, "`params` are given"),
        (uncalled("features", "labels", "foo"), None, r"unexpected arguments \['foo'\]"),
        (uncalled("*features", "labels"), None, "by name"),
        (None, None, "`model_fn` must be a function"),
    ],
    ids=["features", "labels", "params", "foo", "positional", "none"],
)
def test_case_02_refused_model_functions(function, params, message):
    with pytest.raises(ValueError, match=message):
        Agent(function, Memory(), params=params)


def test_case_03_config_and_model_dir_agree():
    function = uncalled("features", "labels")
    with pytest.raises(ValueError, match=r"`config` must be a RunConfig"):
        Agent(function, Memory(), config="x")
    with pytest.raises(ValueError, match=r"must agree.*'/a' and '/b'"):
        Agent(function, Memory(), model_dir="/a", config=RunConfig(model_dir="/b"))
    for arguments in ({"model_dir": "/a"}, {"config": RunConfig(model_dir="/a")}):
        assert Agent(function, Memory(), **arguments).config.model_dir == "/a"
    agent = Agent(function, Memory(), model_dir="/a", config=RunConfig(model_dir="/a"))
    assert agent.model_dir == agent.config.model_dir == "/a"
    assert Agent(function, Memory()).model_dir is None
    with pytest.raises(TypeError, match=r"`model_dir` must be a path"):
        Agent(function, Memory(), model_dir=3)


def test_case_04_params_are_copied():
    params = {"lr": 1, "units": [8]}
    agent = Agent(uncalled("features", "labels", "params"), Memory(), params=params)
    params["lr"] = 5
    params["units"].append(9)
    agent.params["lr"] = 9
    agent.params["units"].append(7)
    assert agent.params == {"lr": 1, "units": [8]}


def test_case_05_no_specification_and_no_environment():
    env = Count()
    agent = make(lambda features, labels, mode: {"results": features["state"]})
    with pytest.raises(ValueError, match=r"model_fn should return an EstimatorSpec"):
        agent.train(env, steps=1)
    with pytest.raises(TypeError, match=r"`env` must be"):
        make().train(object())
    assert env.calls == (0, 0)


def test_case_06_memories():
    for kind in (PGAgent, TRPOAgent):
        with pytest.raises(ValueError, match=f"`memory` of (a )?{kind.__name__} must be a BatchMemory"):
            kind(models.VPG(2), memory=Memory())
        assert kind(models.VPG(2), memory=BatchMemory()).memory.batch_size == 5000
    env = Count()
    with pytest.raises(ValueError, match=r"before gathering enough data.*batch_size=32:.*Received: 10"):
        make(memory=Memory(batch_size=32)).train(env, first_update=10)
    assert env.calls == (0, 0)


def test_case_07_modes_and_specifications():
    assert (Modes.TRAIN, Modes.EVAL, Modes.PREDICT) == ("train", "eval", "infer")
    every = ("train", "eval", "infer", "generate", "encode")
    assert [m for m in every if Modes.is_infer(m)] == ["infer", "generate", "encode"]
    assert [m for m in every if Modes.is_train(m)] == ["train"]
    assert [m for m in every if Modes.is_eval(m)] == ["eval"]
    x, loss = keras.Input((2,)), keras.KerasTensor(())
    for missing, arguments in (
        ("loss", {"mode": "train", "predictions": {"results": x}, "train_op": "adam"}),
        ("train_op", {"mode": "train", "predictions": {"results": x}, "loss": loss}),
        ("loss", {"mode": "eval", "predictions": {"results": x}}),
        ("predictions", {"mode": "infer", "loss": loss}),
    ):
        with pytest.raises(ValueError, match=f"Missing {missing}"):
            EstimatorSpec(**arguments)
    EstimatorSpec("infer", predictions={"results": x})
    EstimatorSpec("eval", loss=loss)
    for shape in ((None,), (3,), (1,)):
        with pytest.raises(ValueError, match=r"scalar"):
            EstimatorSpec("train", loss=keras.KerasTensor(shape), train_op="adam")
    with pytest.raises(ValueError, match=r"`mode` must be one of"):
        EstimatorSpec("training", loss=loss, train_op="adam")
    with pytest.raises(TypeError, match=r"`predictions` must be a dict"):
        EstimatorSpec("infer", predictions=x)


# Counters and bounds ---------------------------------------------------------------------------------------------


def test_case_08_updates_are_at_multiples_and_at_ends_of_episodes():
    agent, heard = make(), Listener()
    assert agent.train(Count(), episodes=5, hooks=[heard], **GRID) is agent
    assert counters(agent) == (50, 5, 13)
    assert heard.times == UPDATES
    assert int(agent.model.optimizer.iterations) == 13


def test_case_09_and_10_steps_are_incremental_and_max_steps_absolute():
    agent, env = make(), Count()
    agent.train(env, steps=3, **GRID)
    assert counters(agent) == (16, 1, 3)
    agent.train(env, steps=3, **GRID)
    assert counters(agent) == (26, 2, 6)
    before, calls = state_of(agent), env.calls
    assert agent.train(env, max_steps=6, **GRID) is agent
    assert agent.train(env, max_episodes=2, **GRID) is agent
    assert agent.train(env, max_episodes=1, steps=5, **GRID) is agent
    assert env.calls == calls and counters(agent) == (26, 2, 6)
    assert same(before, state_of(agent))
    agent.train(env, max_steps=7, **GRID)
    assert counters(agent) == (28, 2, 7)


def test_case_10_max_steps_from_the_start_and_twice():
    agent, env = make(), Count()
    agent.train(env, max_steps=6, **GRID)
    assert counters(agent) == (28, 2, 6)
    before, calls = state_of(agent), env.calls
    assert agent.train(env, max_steps=6, **GRID) is agent
    assert env.calls == calls and counters(agent) == (28, 2, 6) and same(before, state_of(agent))


def test_case_11_episodes_are_incremental_and_max_episodes_absolute():
    agent, env = make(), Count()
    for _ in range(2):
        calls = env.calls
        assert agent.train(env, max_episodes=2, **GRID) is agent
        assert agent.global_episode == 2
    assert env.calls == calls and env.steps == 20
    for done in (4, 6):
        agent.train(env, episodes=2, **GRID)
        assert agent.global_episode == done


@pytest.mark.parametrize(
    "arguments",
    [
        {"steps": 1, "max_steps": 1}, {"episodes": 1, "max_episodes": 1}, {"steps": 0}, {"max_steps": -1},
        {"episodes": 0}, {"max_episodes": 1.5}, {"steps": True}, {"steps": 1, "first_update": -1},
        {"steps": 1, "first_update": 7}, {"steps": 1, "update_frequency": 0}, {"steps": 1, "update_frequency": -4},
    ],
    ids=str,
)  # fmt: skip
def test_case_12_refused_arguments(arguments):
    env, agent = Count(), make()
    for call in (agent.train, agent.fit):
        with pytest.raises(ValueError, match=r"eceived"):
            call(env, **{**GRID, **arguments})
    assert env.calls == (0, 0) and agent.model is None


@pytest.mark.parametrize(
    "bounds, reached",
    [
        ({"steps": 4, "max_episodes": 2}, (20, 2, 4)),
        ({"steps": 2, "max_episodes": 2}, (12, 1, 2)),
        ({"max_steps": 99, "episodes": 1}, (10, 1, 1)),
    ],
)
def test_case_12_the_first_bound_reached_ends_it(bounds, reached):
    agent = make()
    agent.train(Count(), **bounds, **GRID)
    assert counters(agent) == reached


def test_case_13_chaining_and_history():
    agent, env = make(), Count()
    assert agent.train(env, steps=1, **GRID).train(env, steps=1, **GRID) is agent
    history = agent.fit(env, episodes=3, **GRID)
    assert isinstance(history, keras.callbacks.History)
    assert history.history["episode_return"] == [10.0] * 3
    assert history.history["episodes"] == [2, 3, 4]
    assert history.history["updates"][-1] == agent.global_step
    assert history.history["timesteps"][-1] == agent.global_timestep
    assert np.isfinite(history.history["loss"]).all()
    assert agent.fit(env, max_episodes=1, **GRID).history == {}


@pytest.mark.parametrize(
    "first, frequency, length, times",
    [
        (25, 4, 10, [28, 30, 32, 36, 40, 44, 48, 50]),
        (29, 4, 10, [30, 32, 36, 40, 44, 48, 50]),
        (10, 10, 10, [10, 20, 30, 40, 50]),
        (8, 7, 5, [10, 14, 15, 20, 21, 25]),
        (13, 100, 6, [18, 24, 30]),
        (9, 3, 1, []),
    ],
)
def test_case_14_first_update_gates_updates_at_ends_too(first, frequency, length, times):
    agent, heard = make(), Listener()
    agent.train(Count(length), first, frequency, episodes=5, hooks=[heard])
    assert heard.times == times
    assert counters(agent) == (5 * length, 5, len(times))


def test_case_15_the_counters_drive_different_things():
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.1, 0.01])
    decay = schedules.Polynomial(initial=0.15, final=1e-4, steps=100, unit="timesteps", power=1)

    def model_fn(features, labels, mode):
        return q_spec(features, labels, mode, keras.optimizers.Adam(rate), exploration=decay)

    agent = make(model_fn)
    agent.train(Count(), episodes=5, **GRID)
    model = agent.model
    assert agent.global_step == 13
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert schedules.evaluate(model.exploration.amount, model.clock) == pytest.approx(0.07505)


def test_case_16_a_stop_in_mid_episode_is_clean():
    agent = make()
    assert agent.train(Count(), hooks=[Listener(stop_at=2)], **GRID) is agent  # without any bound
    assert counters(agent) == (12, 1, 2)
    agent.train(Count(), episodes=1, **GRID)
    assert counters(agent) == (22, 2, 5)  # at 16, 20 and 22


def test_case_17_resuming_in_another_agent(tmp_path):
    def another(**arguments):
        return make(memory=Memory(1000, 8, saved=False), model_dir=str(tmp_path), **arguments)

    agent = another().train(Count(), episodes=5, **GRID)
    env, again = Count(), another(config=RunConfig(seed=9))
    assert counters(again) == (50, 5, 13)
    again.train(env, max_episodes=5, **GRID)
    again.train(env, max_steps=13, **GRID)
    assert env.calls == (0, 0)
    assert same(state_of(agent), state_of(again))
    assert again.model._random["act"].bit_generator.state["state"]["key"].tolist() == (
        agent.model._random["act"].bit_generator.state["state"]["key"].tolist()
    )
    heard = Listener()
    third = another().train(Count(), episodes=1, hooks=[heard], **GRID)
    assert counters(third)[:2] == (60, 6)
    assert heard.order[1] == "epoch_begin 5" and heard.times == [60]  # at 52 and 56 the memory is too empty
    assert sorted(path.name for path in tmp_path.glob("ckpt*")) == ["ckpt-5.weights.h5", "ckpt-6.weights.h5"]
    with pytest.raises(ValueError, match=r"holds checkpoints from beyond that"):
        agent.train(Count(), episodes=1, **GRID)  # never two states in one directory


class Lengths(Count):
    """Its episodes have these lengths, one after the other and over again."""

    def __init__(self, lengths):
        super().__init__()
        self.lengths = lengths

    def reset(self, **arguments):
        self.n = self.lengths[self.resets % len(self.lengths)]
        return super().reset(**arguments)


def counted(state, held, lengths, first, frequency, most_steps=math.inf, most_episodes=math.inf):
    """Counters and times of updates as the contract says them, in plain words."""
    timestep, episode, step = state
    times, begun = [], 0
    while step < most_steps and episode < most_episodes:
        length, begun = lengths[begun % len(lengths)], begun + 1
        for time in range(1, length + 1):
            timestep, held, done = timestep + 1, held + 1, time == length
            episode += done
            if timestep >= first and (timestep % frequency == 0 or done) and held >= 8:
                times.append(timestep)
                step += 1
            if step >= most_steps:
                break
    return (timestep, episode, step), times


def test_cases_08_to_14_with_other_numbers():
    agent, rng = make(memory=Memory(20, 8)), random.Random(4)
    state = (0, 0, 0)
    for _ in range(14):
        lengths = [rng.choice([1, 1, 2, 3, 5, 10, 23]) for _ in range(rng.randint(1, 4))]
        first, frequency = 8 + rng.choice([0, 1, 7, state[0] + 9]), rng.choice([1, 2, 3, 4, 7, 100])
        steps, episodes = state[2] + rng.randint(0, 6), state[1] + rng.randint(0, 6)
        bounds = rng.choice([{"max_steps": max(1, steps)}, {"max_episodes": max(1, episodes)},
                             {"max_steps": max(1, steps), "max_episodes": max(1, episodes)}])  # fmt: skip
        most = {f"most_{name[4:]}": bound for name, bound in bounds.items()}
        expected, times = counted(state, state[0], lengths, first, frequency, **most)
        env, heard = Lengths(lengths), Listener()
        agent.train(env, first, frequency, hooks=[heard], **bounds)
        about = (state, lengths, first, frequency, bounds)
        assert (counters(agent), heard.times) == (expected, times), about
        assert env.steps == expected[0] - state[0] and (env.resets > 0) == (env.steps > 0), about
        state = expected
    assert min(state) > 25


def test_case_18_policy_gradients_wait_for_a_full_batch_and_the_end_of_an_episode():
    heard, memory, env = Listener(), BatchMemory(25), Count()
    agent = PGAgent(models.VPG(2, models.mlp([8])), memory, config=UNCOMPILED)
    assert agent.train(env, episodes=9, hooks=[heard]) is agent
    assert counters(agent) == (90, 9, 3) and heard.times == [30, 60, 90]
    assert len(memory) == 0 and env.steps == 90
    agent.train(env, max_episodes=9)
    assert env.steps == 90 and agent.global_step == 3
    agent.train(env, steps=1)
    assert counters(agent) == (120, 12, 4)


# Components ------------------------------------------------------------------------------------------------------


def test_case_19_memories():
    memory = Memory(3, 2)
    assert memory.get_by_index(0) is None
    with pytest.raises(ValueError, match="Not enough data to sample"):
        memory.sample()
    for i in range(5):
        memory.step(a=i, b=-i)
    assert memory.get_by_index(-1) == {"a": 4, "b": -4} and memory.get_by_index(0) == {"a": 2, "b": -2}
    assert memory.can_sample() and not memory.can_sample(1)
    with pytest.raises(KeyError):
        memory.step(a=1)
    batch = BatchMemory(3)
    for a in range(4):
        batch.step(a=a)
    assert batch.sample()["a"].tolist() == [1, 2, 3] and len(batch) == 0
    with pytest.raises(ValueError, match="Not enough data to sample"):
        batch.sample()
    alike = [Memory(50, 8, seed=3) for _ in range(2)]
    for i in range(60):
        for one in alike:
            one.step(a=i)
    assert alike[0].sample()["a"].tolist() == alike[1].sample()["a"].tolist()


@pytest.mark.parametrize(
    "rewards, done, discount, expected",
    [
        ([0, 0, 1, 0, 0, 1, 0], [0] * 7, 0.9, [1.40049, 1.5561, 1.729, 0.81, 0.9, 1, 0]),
        ([1, 1, 1, 1], [0, 1, 0, 1], 0.5, [1.5, 1, 1.5, 1]),
        ([3, 1, 2], [0, 0, 0], 0.0, [3, 1, 2]),
    ],
)
def test_case_20_returns(rewards, done, discount, expected):
    reward = np.asarray(rewards, np.float32)[:, None]
    ended = np.asarray(done, bool)[:, None]
    found = ops.discounted_return(reward, ops.discount_factor(discount, ended), ended)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


def at(rate, *timesteps):
    # Of the three times only that of the environment counts.
    return [rate(schedules.Clock(timesteps=t, updates=7, episodes=3, progress=0.5)) for t in timesteps]


def test_case_21_exploration_rates():
    decay = explorations.decay
    assert at(decay(), 0, 50_000, 100_000, 200_000) == pytest.approx([0.15, 0.07505, 1e-4, 1e-4], abs=1e-12)
    assert at(decay(start_decay_at=1000), 0, 1000, 51_000) == pytest.approx([0.15, 0.15, 0.07505], abs=1e-12)
    assert at(decay(min_exploration_rate=0.1), 0, 50_000, 10**7) == [0.15, 0.1, 0.1]
    for decay_type, k, smooth, stairs in (
        ("exponential_decay", 0.96, 0.0940604, 0.096),
        ("natural_exp_decay", 0.5, 0.0472367, 0.0606531),
        ("inverse_time_decay", 0.5, 0.0571429, 0.0666667),
    ):
        arguments = {"exploration_rate": 0.1, "decay_type": decay_type, "decay_rate": k, "decay_steps": 100}
        assert at(decay(**arguments), 150) == pytest.approx([smooth], abs=5e-8)
        assert at(decay(**arguments, staircase=True), 150) == pytest.approx([stairs], abs=5e-8)


@pytest.mark.sensitive
def test_case_21_a_rate_is_a_chance():
    taken = []

    class Watched(Count):
        def step(self, action):
            taken.append(int(action))
            return super().step(action)

    def explorer(amount):
        def model_fn(features, labels, mode):
            q = keras.layers.Dense(2, kernel_initializer="zeros")(features["state"])  # the first of equals is 0
            results = {"results": keras.ops.argmax(q, -1)}
            return EstimatorSpec(mode, results, keras.ops.mean(q) * 0.0, "sgd", exploration=amount)

        return model_fn

    for amount, share in ((None, 0.0), (0.0, 0.0), (1.0, 0.5), (0.5, 0.25)):
        taken.clear()
        agent = make(explorer(amount)).train(Watched(50), episodes=20, first_update=900, update_frequency=1000)
        # Of a thousand; six deviations.
        assert len(taken) == 1000 and np.mean(taken) == pytest.approx(share, abs=0.0 if share == 0 else 0.1)
        assert not agent.predict(np.zeros((1000, 1))).any()
        taken.clear()
        agent.evaluate(Watched(50), episodes=2)
        assert not any(taken)


@pytest.mark.parametrize(
    "dueling, expected",
    [
        ("mean", [9.0, 10.0, 11.0]),
        ("max", [8.0, 9.0, 10.0]),
        ("naive", [11.0, 12.0, 13.0]),
        (True, [1.0, 2.0, 3.0]),
        (None, [1.0, 2.0, 3.0]),
    ],
)
def test_case_22_dueling_heads(dueling, expected):
    for kind in (models.DQN, models.DDQN):
        _, predict = predicting(kind(3, dueling=dueling))
        set_head(predict, "a", [1.0, 2.0, 3.0])
        if dueling is not None:
            set_head(predict, "v", [10.0])
        found = predict({"state": STATES})
        np.testing.assert_array_equal(found["q"], [expected] * 5)
        np.testing.assert_array_equal(found["a"], [[1.0, 2.0, 3.0]] * 5)
        np.testing.assert_array_equal(found["results"], [2] * 5)
        assert found["results"].dtype == tf.int32 and ("v" in found) == (dueling is not None)
        if dueling is not None:
            np.testing.assert_array_equal(found["v"], [10.0] * 5)
    for unknown in ("foo", "MEAN", False, 1, 0, 2.0, ["mean"]):
        with pytest.raises(ValueError, match=r"`dueling` must be one of .*True or None"):
            models.DQN(2, dueling=unknown)


@pytest.mark.parametrize("double, expected", [(False, [2.8, 1.0]), (True, [1.9, 1.0])])
def test_case_23_targets_of_a_batch(double, expected):
    # The state holds what the target network says in its first two numbers and the online one in the others.
    def model_fn(features, labels, mode):
        q = keras.layers.Dense(2, use_bias=False, name="q")(features["state"])
        predictions = {"results": keras.ops.argmax(q, axis=-1), "q": q}
        bootstrap = Bootstrap(discount=0.9, double=double, target_update_frequency=100)
        loss = keras.ops.mean(labels["target"] * keras.ops.sum(q, axis=-1))
        return EstimatorSpec(mode, predictions, loss, "sgd", bootstrap=bootstrap)

    class Four(Count):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)

        def reset(self, **arguments):
            return np.zeros(4, np.float32), super().reset(**arguments)[1]

        def step(self, action):
            return (np.zeros(4, np.float32), *super().step(action)[1:])

    model = make(model_fn).train(Four(), first_update=100, episodes=1).model
    model.policy.trainable_variables[0].assign([[0, 0], [0, 0], [1, 0], [0, 1]])
    model.target_policy.variables[0].assign([[1, 0], [0, 1], [0, 0], [0, 0]])
    batch = {
        "observation": tf.zeros((2, 4)),
        "next_observation": tf.constant([[1.0, 2, 5, 0], [3, 4, 0, 5]]),
        "action": tf.constant([0, 1]),
        "reward": tf.ones(2),
        "terminated": tf.constant([False, True]),
        "truncated": tf.constant([True, False]),  # a time limit is no end: it is bootstrapped
    }
    for order in ([0, 1], [1, 0]):
        [term] = model.objective.terms(
            model.learning_context,
            model.reward_estimation.completed({k: tf.gather(v, order) for k, v in batch.items()}, model.clock),
        )
        np.testing.assert_allclose(term.batch["target"], np.asarray(expected)[order], rtol=1e-6)


def test_case_23_defect_d1_successors_are_stored_and_not_the_next_rows():
    def model_fn(features, labels, mode):
        spec = q_spec(features, labels, mode)
        largest = lambda x: keras.ops.max(keras.ops.abs(x))  # noqa: E731
        value = keras.ops.squeeze(features["state"], -1)  # what the target network says of a state is the state
        follows = keras.ops.squeeze(labels["next_state"], -1)
        target = labels["reward"] + 0.5 * follows * (1.0 - keras.ops.cast(labels["terminated"], "float32"))
        metrics = {"step": largest(follows - value - 1.0), "target": largest(target - labels["target"])}
        predictions = {**spec.predictions, "v": value}
        bootstrap = Bootstrap("v", discount=0.5)
        return EstimatorSpec(mode, predictions, spec.loss, "adam", metrics, bootstrap=bootstrap)

    for truncates in (False, True):
        history = make(model_fn).fit(Count(5, truncates), episodes=8, **GRID)
        assert max(history.history["step"][-6:]) == max(history.history["target"][-6:]) == 0.0


def test_case_23_defect_d2_the_target_network_follows_at_its_period():
    agent, equal = make(), []

    class Watch(Callback):
        def on_update_end(self, update, logs=None):
            equal.append(same(*([v.numpy() for v in part.variables] for part in parts(self.model))))

    def parts(model):
        return model.policy, model.target_policy

    agent.train(Count(), steps=9, hooks=[Watch()], **GRID)
    assert equal == [False, False, False, True, False, False, False, True, False]


def test_case_24_losses_and_searches():
    spec, predict = predicting(models.VPG(2))
    set_head(predict, "logits", [0.0, 0.0])
    labels = {"action": tf.constant([0, 1]), "discount_reward": tf.constant([1.0, 3.0])}
    assert float(spec.loss(labels, predict({"state": STATES[:2]}))) == pytest.approx(1.386294, abs=1e-6)
    spec, predict = predicting(models.NAF(1))
    for name, bias in (("mu", [0.5]), ("l", [0.0]), ("v", [3.0])):
        set_head(predict, name, bias)
    predictions = predict({"state": STATES})
    np.testing.assert_array_equal(predictions["lower"], [[[1.0]]] * 5)
    for away, loss in ((0.0, 0.0), (1.0, 0.5)):  # Q = 3 - 1.5**2 / 2
        labels = {"action": tf.fill((5, 1), 2.0), "target": tf.fill((5,), 1.875 + away)}
        assert float(spec.loss(labels, predictions)) == loss
    matrix = tf.constant([[4.0, 1.0], [1.0, 3.0]])
    solved = ops.conjugate_gradient(lambda v: tf.linalg.matvec(matrix, v), tf.constant([1.0, 2.0]), 10)
    np.testing.assert_allclose(solved, [1 / 11, 7 / 11], rtol=1e-6)
    for start, better in ((1.0, True), (0.0, False)):
        improved, x = ops.line_search(lambda x: x * x, start, -4.0, 8.0)
        assert bool(improved) == better and float(x) == 0.0


def test_case_24_theta():
    agent = TRPOAgent(models.TRPO(2, models.mlp([8])), BatchMemory(10), config=UNCOMPILED)
    with pytest.raises(ValueError, match="Could not find a trained model"):
        agent.get_theta()
    for updates in (1, 2, 3):
        assert agent.train(Count(), steps=1, episodes=50).global_step == updates
    theta, before = agent.get_theta(), state_of(agent)
    assert theta.dtype == np.float32
    assert theta.shape == (1 * 8 + 8 + 8 * 2 + 2,)
    agent.set_theta(theta)
    assert same(before, state_of(agent))
    agent.set_theta(np.zeros_like(theta))
    assert not agent.get_theta().any()
    bias_of_the_second = np.zeros_like(theta)
    bias_of_the_second[-1] = 3.0
    agent.set_theta(bias_of_the_second)
    assert agent.predict(np.zeros((1, 1), np.float32)).tolist() == [1]
    for wrong in (theta[:-1], theta * np.nan):
        with pytest.raises(ValueError, match="`theta` must be 34 finite numbers"):
            agent.set_theta(wrong)


def test_case_25_hooks_hear_everything_in_nested_order():
    heard = Listener()
    make().train(Count(), episodes=5, hooks=[heard], **GRID)
    expected, per_episode = ["train_begin"], [1, 3, 3, 3, 3]
    for episode, updates in enumerate(per_episode):
        expected += [f"epoch_begin {episode}", f"episode_begin {episode}"]
        expected += ["batch_end", "update_end"] * updates
        expected += [f"episode_end {episode}", f"epoch_end {episode}"]
    assert heard.order == [*expected, "train_end"]
    env = Count()
    for hooks in ([object()], [keras.callbacks.Callback], "callback", object()):
        with pytest.raises(TypeError, match=r"`hooks` must be"):
            make().train(env, steps=1, hooks=hooks, **GRID)
    assert env.calls == (0, 0)


def test_case_25_summaries_are_counted_in_episodes(tmp_path):
    config = RunConfig(seed=0, summaries="all", summary_episodes=2)
    agent = make(config=config, model_dir=tmp_path)
    agent.train(Count(), episodes=5, **GRID)
    agent.train(Count(), episodes=1, **GRID)
    found = curves(tmp_path)
    wanted = ("total_reward", "max_reward", "min_reward", "avg_reward", "loss", "learning_rate", "exploration_rate")
    for tag in wanted:
        assert found[tag][0] == [2, 4, 6], tag
    assert found["total_reward"][1] == [10.0] * 3
    assert {tag for tag in found if tag.endswith("GradientsNorm")} == {
        f"{v.path}/GradientsNorm" for v in agent.model.policy.trainable_variables
    }
    assert {"global_episode/sec", "global_timestep/sec"} <= set(found)
    with pytest.raises(ValueError, match="nope"):
        RunConfig(summaries="nope")


def test_case_25_checkpoints_are_of_episodes(tmp_path):
    config = RunConfig(seed=0, save_episodes=2, keep_checkpoint_max=2)
    saved = []

    class Watch(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            saved.append(sorted(path.name for path in tmp_path.glob("ckpt*")))

    make(config=config, model_dir=tmp_path).train(Count(), episodes=5, hooks=[Watch()], **GRID)
    assert saved == [[], [], *[["ckpt-2.weights.h5"]] * 2, ["ckpt-2.weights.h5", "ckpt-4.weights.h5"]]
    assert sorted(path.name for path in tmp_path.glob("ckpt*")) == ["ckpt-4.weights.h5", "ckpt-5.weights.h5"]
