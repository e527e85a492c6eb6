"""Model functions and arguments of the estimator's agent: what is taken, what is handed on, what is refused."""

import functools

import keras
import numpy as np
import pytest
from counting import GRID, Count, make, q_spec, uncalled

from kagent import memories as core_memories
from kagent.estimators import Agent, BatchMemory, EstimatorSpec, Memory, Modes, RunConfig, SummaryOptions, models


def test_a_partial_and_an_object_are_model_functions():
    def model_fn(features, labels, mode, rate):
        return q_spec(features, labels, mode, optimizer=rate)

    class Model:
        def __call__(self, labels, features):
            return q_spec(features, labels, Modes.TRAIN)

    for function in (functools.partial(model_fn, rate=0.1), Model()):
        assert make(function).train(Count(), steps=1, **GRID).global_step == 1


def test_refused_types():
    function = uncalled("features", "labels", "params")
    with pytest.raises(TypeError, match=r"`model_fn` must be a function"):
        Agent("dqn", Memory())
    with pytest.raises(TypeError, match=r"`params` must be a dict"):
        Agent(function, Memory(), params=[1])
    with pytest.raises(TypeError, match=r"`memory` of Agent must be a Memory"):
        Agent(uncalled("features", "labels"), object())
    with pytest.raises(TypeError, match=r"`memory` of Agent must be a Memory"):
        Agent(uncalled("features", "labels"), core_memories.Replay(10))
    with pytest.raises(ValueError, match=r"must be a Memory. Received: .*BatchMemory"):
        Agent(uncalled("features", "labels"), BatchMemory())
    with pytest.warns(UserWarning, match=r"takes `params`, and none are given"):
        Agent(function, Memory())


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
        (of_another_mode, "returned an EstimatorSpec of 'eval'"),
        (of_labels, "computed from the features alone"),
        (results_of(lambda x: keras.layers.Dense(2)(x)), r"must be \('batch',\) for the action space"),
        (vector_loss, "must be a scalar"),
        (eager_loss, "must be symbolic tensors"),
        (results_of(lambda x: keras.ops.argmax(keras.layers.Dense(3)(x), -1)), "below 2.*argmax of 3 numbers"),
        (models.DQN(3), "below 2.*argmax of 3 numbers"),
        (models.NAF(2), r"must be \('batch',\) for the action space"),
    ],
    ids=["mode", "labels", "shape", "vector", "eager", "beyond", "num_actions", "continuous"],
)
def test_refused_results_of_model_functions(function, message):
    env = Count()
    with pytest.raises((ValueError, TypeError), match=message):
        make(function).train(env, steps=1, **GRID)
    assert env.calls == (0, 0)


def test_an_optimizer_is_of_one_model():
    optimizer, env = keras.optimizers.Adam(), Count()
    function = lambda features, labels, mode: q_spec(features, labels, mode, optimizer)  # noqa: E731
    first = make(function).train(Count(), steps=1, **GRID).train(Count(), steps=1, **GRID)
    assert first.model.optimizer is optimizer and int(optimizer.iterations) == 2
    with pytest.raises(ValueError, match=r"`train_op` trains another model already"):
        make(function).train(env, steps=1, **GRID)
    assert env.calls == (0, 0)


@pytest.mark.parametrize("kind", [models.DQN, models.NAF, models.VPG, models.TRPO])
def test_models_of_agents_neither_generate_nor_encode(kind):
    for mode in (Modes.GENERATE, Modes.ENCODE):
        with pytest.raises(TypeError, match=f"no mode {mode!r}"):
            kind(2)(features={"state": keras.Input((4,))}, labels=None, mode=mode)


def test_who_has_not_been_trained_neither_predicts_nor_evaluates(tmp_path):
    env = Count()
    for agent in (make(), make(model_dir=tmp_path / "none")):
        for call in (lambda: agent.predict(np.zeros((1, 1))), lambda: agent.evaluate(env)):  # noqa: B023
            with pytest.raises(ValueError, match=r"Could not find a trained model"):
                call()
    assert env.calls == (0, 0) and not list(tmp_path.iterdir())
