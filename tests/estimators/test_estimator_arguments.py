"""Model functions and arguments of the estimator's agent: what is taken, what is handed on, what is refused."""

import functools

import keras
import numpy as np
import pytest
from counting import Count, make, q_spec

from kagent import memories as core_memories
from kagent.estimators import Agent, EstimatorSpec, Modes, RunConfig, SummaryOptions
from kagent.estimators.memories import BatchMemory, Memory

GRID = {"first_update": 9, "update_frequency": 4}


def recording(names, seen):
    """A model function whose arguments are `names`, in this order."""

    def record(**given):
        seen.append(given)
        return q_spec(given["features"], given["labels"], given.get("mode", Modes.TRAIN))

    scope = {"record": record}
    passed = ", ".join(f"{name}={name}" for name in names)
    exec(f"def model_fn({', '.join(names)}):\n    return record({passed})", scope)
    return scope["model_fn"]


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
def test_documented_signatures(names, tmp_path):
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
    assert len(seen) == 1


def test_a_partial_and_an_object_are_model_functions():
    def model_fn(features, labels, mode, rate):
        return q_spec(features, labels, mode, optimizer=rate)

    class Model:
        def __call__(self, labels, features):
            return q_spec(features, labels, Modes.TRAIN)

    for function in (functools.partial(model_fn, rate=0.1), Model()):
        assert make(function).train(Count(), steps=1, **GRID).global_step == 1


def never(*names):
    def record(**given):
        raise AssertionError("called")

    scope = {"record": record}
    exec(f"def model_fn({', '.join(names)}):\n    return record()", scope)
    return scope["model_fn"]


@pytest.mark.parametrize(
    "function, params, message",
    [
        (never("labels", "mode"), None, "must take `features`"),
        (never("features", "mode"), None, "must take `labels`"),
        (never("features", "labels", "mode"), {"lr": 1}, "`params` are given"),
        (never("features", "labels", "foo"), None, r"unexpected arguments \['foo'\]"),
        (never("*features", "labels"), None, "by name"),
        (None, None, "`model_fn` must be a function"),
    ],
    ids=["features", "labels", "params", "foo", "positional", "none"],
)
def test_refused_model_functions(function, params, message):
    with pytest.raises(ValueError, match=message):
        Agent(function, Memory(), params=params)


def test_refused_types():
    function = never("features", "labels", "params")
    with pytest.raises(TypeError, match=r"`model_fn` must be a function"):
        Agent("dqn", Memory())
    with pytest.raises(TypeError, match=r"`params` must be a dict"):
        Agent(function, Memory(), params=[1])
    with pytest.raises(TypeError, match=r"`memory` must be"):
        Agent(never("features", "labels"), object())
    with pytest.raises(TypeError, match=r"`memory` must be"):
        Agent(never("features", "labels"), core_memories.Replay(10))
    with pytest.raises(ValueError, match=r"must be a Replay. Received: BatchMemory"):
        Agent(never("features", "labels"), BatchMemory())
    with pytest.warns(UserWarning, match=r"takes `params`, and none are given"):
        Agent(function, Memory())


def test_config_and_model_dir_agree():
    function = never("features", "labels")
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


def test_params_are_copied():
    params = {"lr": 1, "units": [8]}
    agent = Agent(never("features", "labels", "params"), Memory(), params=params)
    params["lr"] = 5
    params["units"].append(9)
    agent.params["lr"] = 9
    agent.params["units"].append(7)
    assert agent.params == {"lr": 1, "units": [8]}


@pytest.mark.parametrize(
    "arguments",
    [
        {"model_dir": 3}, {"seed": -1}, {"seed": 1.5}, {"save_episodes": 0}, {"keep_checkpoint_max": 0},
        {"summary_episodes": "x"}, {"summaries": "nope"}, {"summaries": ["loss", "nope"]}, {"summaries": 3},
        {"jit_compile": 1}, {"log_episodes": 0},
    ],
    ids=str,
)  # fmt: skip
def test_refused_configs(arguments):
    with pytest.raises((ValueError, TypeError), match=r"eceived|Known"):
        RunConfig(**arguments)
    with pytest.raises((ValueError, TypeError), match=r"eceived|Known"):
        RunConfig().replace(**arguments)


def test_configs_are_frozen_and_replaced():
    config = RunConfig(seed=3, summaries="all")
    assert config.summaries == SummaryOptions.VALUES
    assert RunConfig(summaries=["loss", "all"]).summaries == SummaryOptions.VALUES
    assert RunConfig(summaries="reward").summaries == ("reward",)
    assert config.replace(save_episodes=2) == RunConfig(seed=3, summaries="all", save_episodes=2)
    with pytest.raises(AttributeError):
        config.seed = 4
    with pytest.raises(ValueError, match="no \\['seeds'\\]"):
        config.replace(seeds=4)


def test_modes():
    assert (Modes.TRAIN, Modes.EVAL, Modes.PREDICT) == ("train", "eval", "infer")
    inferring = [m for m in ("train", "eval", "infer", "generate", "encode") if Modes.is_infer(m)]
    assert inferring == ["infer", "generate", "encode"]
    assert [Modes.is_train(m) for m in ("train", "eval")] == [True, False]
    assert [Modes.is_eval(m) for m in ("train", "eval")] == [False, True]


def test_a_specification_has_what_its_mode_needs():
    x, loss = keras.Input((2,)), keras.KerasTensor(())
    for arguments in (
        {"mode": "train", "predictions": {"results": x}, "train_op": "adam"},
        {"mode": "train", "predictions": {"results": x}, "loss": loss},
        {"mode": "eval", "predictions": {"results": x}},
        {"mode": "infer", "loss": loss},
    ):
        with pytest.raises(ValueError, match=r"Missing"):
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


def results_of(results):
    def model_fn(features, labels, mode):
        found = results(features["state"])
        return EstimatorSpec(mode, {"results": found}, keras.ops.sum(keras.layers.Dense(1)(features["state"])), "sgd")

    return model_fn


def of_labels(features, labels, mode):
    predictions = {"results": keras.ops.argmax(keras.layers.Dense(2)(labels["next_state"]), axis=-1)}
    return EstimatorSpec(mode, predictions, keras.ops.mean(labels["reward"]), "adam")


def of_another_mode(features, labels, mode):
    return q_spec(features, labels, Modes.EVAL)


def vector_loss(features, labels, mode):
    predictions = q_spec(features, labels, mode).predictions
    return EstimatorSpec(mode, predictions, lambda labels, found: labels["reward"], "adam")


def eager_loss(features, labels, mode):
    return EstimatorSpec(mode, q_spec(features, labels, mode).predictions, np.float32(0.0), "adam")


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda features, labels: {"results": features}, "model_fn should return an EstimatorSpec"),
        (of_another_mode, "returned an EstimatorSpec of 'eval'"),
        (of_labels, "computed from the features alone"),
        (results_of(lambda x: keras.layers.Dense(2)(x)), r"must be \('batch',\) for the action space"),
        (vector_loss, "must be a scalar"),
        (eager_loss, "must be symbolic tensors"),
    ],
    ids=["dict", "mode", "labels", "shape", "vector", "eager"],
)
def test_refused_results_of_model_functions(function, message):
    env = Count()
    with pytest.raises((ValueError, TypeError), match=message):
        make(function).train(env, steps=1, **GRID)
    assert env.calls == (0, 0)


REFUSED = {
    "steps": {"steps": 1, "max_steps": 1},
    "episodes": {"episodes": 1, "max_episodes": 1},
    "no steps": {"steps": 0},
    "negative": {"max_steps": -1},
    "no episodes": {"episodes": 0},
    "fraction": {"max_episodes": 1.5},
    "bool": {"steps": True},
    "first": {"steps": 1, "first_update": -1},
    "too early": {"steps": 1, "first_update": 7},
    "frequency": {"steps": 1, "update_frequency": 0},
    "negative frequency": {"steps": 1, "update_frequency": -4},
}


@pytest.mark.parametrize("arguments", REFUSED.values(), ids=list(REFUSED))
def test_refused_arguments_of_train(arguments):
    env, agent = Count(), make()
    for call in (agent.train, agent.fit):
        with pytest.raises(ValueError, match=r"eceived"):
            call(env, **{**GRID, **arguments})
    assert env.calls == (0, 0) and agent.model is None


def test_refused_environments_hooks_and_order():
    env, agent = Count(), make()
    with pytest.raises(TypeError, match=r"`env` must be"):
        agent.train(object(), steps=1, **GRID)
    for hooks in ([object()], [keras.callbacks.Callback], "callback", object()):
        with pytest.raises(TypeError, match=r"`hooks` must be"):
            agent.train(env, steps=1, hooks=hooks, **GRID)
    with pytest.raises(ValueError, match=r"before gathering enough data.*batch_size=32. Received: 10"):
        make(memory=Memory(batch_size=32)).train(env, first_update=10)
    with pytest.raises(ValueError, match=r"Could not find a trained model"):
        agent.predict(np.zeros((1, 1)))
    with pytest.raises(ValueError, match=r"Could not find a trained model"):
        agent.evaluate(env)
    assert env.calls == (0, 0)
