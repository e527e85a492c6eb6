"""The estimator's agent in training: counters, bounds, schedules, targets, resuming, hooks."""

import json
import logging
import math
import warnings

import keras
import numpy as np
import pytest
from counting import GRID, Count, Listener, counters, make, q_spec, state_of
from event_files import curves
from variants import thorough

from kagent.callbacks import Callback
from kagent.estimators import Agent, BatchMemory, Bootstrap, EstimatorSpec, Memory, Modes, PGAgent, RunConfig, models
from kagent.saving.headers import check_images

pytestmark = pytest.mark.eager(learners=True)


def test_no_update_while_the_memory_cannot_sample():
    agent, heard = make(memory=Memory(100, 8)), Listener()
    agent.train(Count(), episodes=2, hooks=[heard], **GRID)
    agent.memory.clear()
    agent.train(Count(6), episodes=2, hooks=[heard], **GRID)
    assert heard.times == [10, 12, 16, 20, 28, 32]  # not at 24 and 26: six transitions are too few


def test_run_episode_returns_statistics():
    agent = make()
    first = agent.run_episode(Count(), **GRID)
    assert {k: first[k] for k in ("total_reward", "max_reward", "min_reward", "avg_reward", "length", "updates")} == {
        "total_reward": 10.0, "max_reward": 1.0, "min_reward": 1.0, "avg_reward": 1.0, "length": 10, "updates": 1
    }  # fmt: skip
    assert math.isfinite(first["loss"])
    assert agent.run_episode(Count(3), **GRID)["updates"] == 2  # at 12 and at 13
    assert math.isnan(make().run_episode(Count(3), **GRID)["loss"])
    assert counters(agent) == (13, 2, 3)


@pytest.mark.parametrize("batch_size, first", [(64, 64), (32, 36), (8, 36)])
def test_the_defaults_go_together(batch_size, first):
    """The first update comes at the first multiple of its frequency from 35 timesteps, or the batch size, on."""
    agent, heard = make(memory=Memory(100, batch_size)), Listener()
    agent.train(Count(1000), steps=1, update_frequency=4, hooks=[heard], verbose=0)
    assert heard.times == [first]


@pytest.mark.parametrize("verbose, lines", [("auto", 1), (1, 1), (2, 6), (0, 0)])
def test_training_shows_its_progress(capsys, verbose, lines):
    agent = make().train(Count(), episodes=3, verbose=verbose, **GRID)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == lines and all(len(line) < 80 for line in said)
    if lines == 1:
        assert said[0].startswith("3/3 ━") and "episode_return: 10.00 - loss: " in said[0]
        agent.train(Count(), episodes=2, **GRID)
        assert capsys.readouterr().out.startswith("5/5 ━")
    pg = PGAgent(models.VPG(2, models.mlp([4])), BatchMemory(8), config=RunConfig(seed=0, jit_compile=False))
    pg.train(Count(), episodes=1, verbose=verbose)
    assert (capsys.readouterr().out == "") == (verbose == 0)


# Targets -------------------------------------------------------------------------------------------------------


def test_a_value_of_the_state_is_bootstrapped_as_it_is():
    import tensorflow as tf

    def model_fn(features, labels, mode):
        v = keras.layers.Dense(1, use_bias=False, name="v")(features["state"])
        results = keras.ops.zeros_like(keras.ops.argmax(v, axis=-1))
        loss = keras.ops.mean(keras.ops.square(labels["target"] - keras.ops.squeeze(v, -1)))
        bootstrap = Bootstrap("v", discount=0.5)
        return EstimatorSpec(mode, {"results": results, "v": v}, loss, "sgd", bootstrap=bootstrap)

    agent = make(model_fn)
    agent._make(Count.observation_space, Count.action_space)
    agent.model.target_policy.variables[0].assign([[2.0]])
    batch = {
        "observation": tf.zeros((3, 1)), "next_observation": tf.constant([[3.0], [4.0], [5.0]]),
        "action": tf.zeros(3, tf.int32), "reward": tf.ones(3),
        "terminated": tf.constant([False, True, False]), "truncated": tf.constant([False, False, True]),
    }  # fmt: skip
    [term] = agent.model.objective.terms(
        agent.model.learning_context, agent.model.reward_estimation.completed(batch, agent.model.clock)
    )
    np.testing.assert_allclose(term.batch["target"], [4.0, 1.0, 6.0])


def test_rewards_are_the_targets_without_bootstrap():
    seen = []

    def model_fn(features, labels, mode):
        spec = q_spec(features, labels, mode)
        predictions = {"results": spec.predictions["results"]}
        metrics = {"gap": keras.ops.max(keras.ops.abs(labels["target"] - labels["reward"]))}
        return EstimatorSpec(mode, predictions, spec.loss, "adam", eval_metric_ops=metrics)

    class Watch(Callback):
        def on_update_end(self, update, logs=None):
            seen.append(logs["gap"])

    agent = make(model_fn)
    agent.train(Count(), steps=2, hooks=[Watch()], **GRID)
    assert seen == [0.0, 0.0] and not hasattr(agent.model, "target_policy")


# Acting --------------------------------------------------------------------------------------------------------


def test_acting_is_numpy_where_the_layers_are_known():
    agent = make().train(Count(), steps=1, **GRID)
    assert agent.model.actor.is_numpy
    states = np.linspace(-3, 3, 7).reshape(-1, 1)
    q = agent.predict(states, predict_keys=["q"])["q"]
    np.testing.assert_array_equal(agent.predict(states), q.argmax(-1))
    acted = [agent.model.act(state.astype(np.float32), deterministic=True) for state in states]
    np.testing.assert_array_equal(acted, q.argmax(-1))
    with pytest.raises(ValueError, match=r"has no \['v'\]. Known: \['q', 'results'\]"):
        agent.predict(states, predict_keys=["v"])
    with pytest.raises(ValueError, match=r"must be \('N', 1\). Received: \(7,\)"):
        agent.predict(states[:, 0])


def test_results_of_any_operations_are_acted_by():
    def model_fn(features, labels, mode):
        scores = keras.layers.Dense(2)(features["state"])
        results = keras.ops.where(keras.ops.squeeze(features["state"], -1) > 4.5, 1, 0)
        return EstimatorSpec(mode, {"results": results}, keras.ops.mean(scores), "adam")

    agent = make(model_fn).train(Count(), episodes=1, **GRID)
    assert not agent.model.actor.is_numpy
    assert agent.predict(np.arange(8.0)[:, None]).tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert [agent.model.act(np.asarray([x], np.float32), deterministic=True) for x in (4, 5)] == [0, 1]


def test_box_actions_and_exploration():
    from gymnasium import spaces

    taken = []

    class Continuous(Count):
        action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

        def step(self, action):
            taken.append(action.copy())
            return super().step(action)

    def model_fn(features, labels, mode):
        mean = keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(0.25))
        results = mean(features["state"])
        loss = keras.ops.mean(keras.ops.square(results - labels["action"]))
        return EstimatorSpec(mode, {"results": results}, loss, 0.0, exploration=noise)

    noise = 0.0
    agent = make(model_fn).train(Continuous(), episodes=1, **GRID)
    np.testing.assert_allclose(np.stack(taken), 0.25)
    np.testing.assert_allclose(agent.predict(np.zeros((3, 1))), np.full((3, 2), 0.25))
    taken.clear()
    noise = 0.5
    make(model_fn).train(Continuous(), episodes=20, **GRID)
    actions = np.stack(taken)
    assert 0.2 < actions.std() < 0.6 and (np.abs(actions) <= 1).all()
    agent = make(model_fn).train(Continuous(), episodes=1, **GRID)
    assert np.ptp(agent.predict(np.zeros((3, 1)))) == 0.0


def test_evaluation_counts_nothing_and_is_greedy():
    agent, env = make(), Count()
    agent.train(env, episodes=2, **GRID)
    before, reached = state_of(agent), counters(agent)
    found = agent.evaluate(env, episodes=3)
    assert (found["episode_return"], found["episode_length"], found["episodes"]) == (10.0, 10.0, 3)
    assert found["global_step"] == agent.global_step
    assert counters(agent) == reached
    assert all((a == b).all() for a, b in zip(before, state_of(agent), strict=True))


def test_equal_seeds_give_equal_agents_and_leave_python_alone():
    import random

    random.seed(5)
    state = random.getstate()
    first, second = (make(config=RunConfig(seed=seed)).train(Count(), episodes=3, **GRID) for seed in (3, 3))
    assert random.getstate() == state
    assert all((a == b).all() for a, b in zip(state_of(first), state_of(second), strict=True))
    other = make(config=RunConfig(seed=4)).train(Count(), episodes=3, **GRID)
    assert any((a != b).any() for a, b in zip(state_of(first), state_of(other), strict=True))


def test_a_loss_that_is_not_finite_ends_training(tmp_path):
    def model_fn(features, labels, mode):
        spec = q_spec(features, labels, mode)
        loss = spec.loss / keras.ops.cast(keras.ops.max(features["state"]) < 100, "float32")
        return EstimatorSpec(mode, spec.predictions, loss, "adam")

    agent = make(model_fn, model_dir=tmp_path).train(Count(), episodes=2, **GRID)
    with pytest.raises(RuntimeError, match=r"Training has diverged"):
        agent.train(Count(200), steps=100, first_update=9, update_frequency=4)
    again = make(model_fn, model_dir=tmp_path)
    assert counters(again) == (20, 2, 4)


# Files ---------------------------------------------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("events"))


def test_no_files_without_model_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make().train(Count(), episodes=2, **GRID)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_alone_predicts_and_evaluates(tmp_path):
    agent = make(model_dir=tmp_path).train(Count(), episodes=3, **GRID)
    states = np.linspace(-1, 1, 5)[:, None]
    again = make(model_dir=tmp_path)
    np.testing.assert_array_equal(again.predict(states, "q")["q"], agent.predict(states, "q")["q"])
    assert make(model_dir=tmp_path).evaluate(Count(), episodes=1)["global_episode"] == 3


def test_training_stopped_in_mid_episode_resumes_from_there(tmp_path):
    make(model_dir=tmp_path).train(Count(), steps=3, **GRID)
    assert names(tmp_path) == ["ckpt-1.weights.h5"]
    again = make(model_dir=tmp_path)
    assert counters(again) == (16, 1, 3)
    again.train(Count(), steps=3, **GRID)
    assert again.global_step == 6


def test_a_damaged_checkpoint_is_no_new_beginning(tmp_path):
    config = RunConfig(seed=0, save_episodes=1)
    make(config=config, model_dir=tmp_path).train(Count(), episodes=2, **GRID)
    newest = tmp_path / "ckpt-2.weights.h5"
    newest.write_bytes(newest.read_bytes()[:3000])
    with pytest.warns(UserWarning, match=r"is damaged; training goes on from 'ckpt-1.weights.h5'"):
        assert make(config=config, model_dir=tmp_path).train(Count(), max_episodes=1, **GRID).global_episode == 1
    (tmp_path / "ckpt-1.weights.h5").write_bytes(b"x")
    env = Count()
    with pytest.raises(ValueError, match=r"None of the checkpoints can be loaded"):
        make(config=config, model_dir=tmp_path).train(env, episodes=1, **GRID)
    assert env.calls == (0, 0)


class Wandering(Count):
    """Its states and the lengths of its episodes depend on the seed of each."""

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed)
        self.n = int(self.np_random.integers(5, 9))
        return observation + np.float32(self.np_random.random()), info

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation + np.float32(self.np_random.random()), float(action), *rest


@pytest.mark.parametrize("saved", [True, thorough(False)])
def test_a_run_in_parts_is_the_same_as_a_whole_one(tmp_path, saved):
    def part(directory, until):
        function = lambda features, labels, mode: q_spec(  # noqa: E731
            features, labels, mode, bootstrap=Bootstrap(target_update_frequency=4), exploration=0.5
        )
        agent = make(function, Memory(100, 8, saved=saved), RunConfig(seed=3, summaries=None), model_dir=directory)
        return agent.train(Wandering(), max_episodes=until, **GRID)

    whole = part(tmp_path / "whole", 9)
    part(tmp_path / "parts", 4)
    parts = part(tmp_path / "parts", 9)
    same = [(a == b).all() for a, b in zip(state_of(whole), state_of(parts), strict=True)]
    assert counters(whole)[:2] == counters(parts)[:2] and all(same) == saved
    assert (counters(whole) == counters(parts)) == saved  # without its memory it waits until it has a batch again


def test_an_update_that_was_due_when_it_was_stopped_is_made(tmp_path):
    class Stop(Callback):
        def on_timestep_end(self, timestep, logs=None):
            self.model.stop_training = timestep in (10, 16)

    make(model_dir=tmp_path).train(Count(), hooks=[Stop()], **GRID)
    again = make(model_dir=tmp_path)
    assert counters(again) == (10, 1, 0)
    heard = Listener()
    again.train(Count(), episodes=1, hooks=[Stop(), heard], **GRID)  # stopped again, at a multiple of 4
    assert heard.times == [10, 12]
    heard = Listener()
    make(model_dir=tmp_path).train(Count(), episodes=1, hooks=[heard], **GRID)
    assert heard.times == [16, 20, 24, 26]
    heard = Listener()
    other = make(model_dir=tmp_path)
    other.train(Count(), episodes=1, hooks=[heard], first_update=9, update_frequency=3)
    assert heard.times == [27, 30, 33, 36]  # another rule begins where it is


def test_policy_gradients_have_gradients_and_activations_too(tmp_path):
    config = RunConfig(seed=0, summaries=["gradients", "activations"], jit_compile=False, log_episodes=None)
    agent = PGAgent(models.VPG(2, models.mlp([4])), BatchMemory(10), model_dir=tmp_path, config=config)
    agent.train(Count(), episodes=2)
    found, paths = curves(tmp_path), [variable.path for variable in agent.model.policy.trainable_variables]
    assert {f"{path}/{kind}" for path in paths for kind in ("Gradients", "GradientsNorm")} <= set(found)
    assert any(tag.endswith("logits/activation") for tag in found)
    assert all(steps == [1, 2] for steps, _ in found.values())
    assert all(norm > 0 for norm in found[f"{paths[-1]}/GradientsNorm"][1])


def test_summaries_change_nothing(tmp_path):
    plain = make(config=RunConfig(seed=2)).train(Count(), episodes=4, **GRID)
    watched = make(config=RunConfig(seed=2, summaries="all"), model_dir=tmp_path).train(Count(), episodes=4, **GRID)
    for a, b in zip(state_of(plain), state_of(watched), strict=True):  # of two programs: one hands out more
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_log_has_a_line_per_episode(caplog):
    with caplog.at_level(logging.INFO, logger="kagent.estimators"):
        make(config=RunConfig(seed=0, log_episodes=2)).train(Count(), episodes=5, **GRID)
    lines = [record.getMessage() for record in caplog.records if record.name == "kagent.estimators"]
    assert [line.split(":")[0] for line in lines] == ["episode 2", "episode 4"]
    assert "return 10, length 10" in lines[0]


def test_hooks_of_the_specification_go_along():
    trained, evaluated = Listener(), []

    class Evaluated(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            evaluated.append(logs["episode_return"])

    def model_fn(features, labels, mode):
        return q_spec(features, labels, mode, training_hooks=[trained], evaluation_hooks=[Evaluated()])

    agent = make(model_fn).train(Count(), steps=2, **GRID)
    agent.evaluate(Count(), episodes=1)
    assert len(trained.times) == 2 and evaluated == [10.0]


def test_stock_callbacks_go_along(tmp_path):
    log = tmp_path / "log.csv"
    agent = make()
    agent.train(Count(), episodes=3, hooks=[keras.callbacks.CSVLogger(log), keras.callbacks.TerminateOnNaN()], **GRID)
    rows = log.read_text().splitlines()
    assert len(rows) == 4 and rows[1].startswith("0,")


@pytest.mark.eager(as_users=True)
def test_one_program_for_all_calls():
    agent = Agent(
        lambda features, labels, mode: q_spec(features, labels, mode), Memory(100, 8), config=RunConfig(seed=0)
    )
    agent.train(Count(), steps=2, **GRID)
    agent.train(Count(), episodes=1, **GRID).train(Count(), steps=1, first_update=20, update_frequency=3)
    assert agent.model.train_function.traces == 1
    assert json.dumps(counters(agent))


class Nested(Count):
    """Observes an image and a Discrete, and takes actions from 5 on."""

    def __init__(self):
        super().__init__()
        from gymnasium import spaces

        image = spaces.Box(0, 255, (8, 8, 3), np.uint8)
        self.observation_space = spaces.Dict(image=image, kind=spaces.Discrete(3, start=1))
        self.action_space = spaces.Discrete(3, start=5)

    def observe(self):
        return {"image": np.full((8, 8, 3), self.time, np.uint8), "kind": 1 + self.time % 3}

    def reset(self, **arguments):
        super().reset(**arguments)
        return self.observe(), {}

    def step(self, action):
        return (self.observe(), *super().step(action)[1:])


class Scale(keras.layers.Layer):
    """A layer without configuration."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(1,), initializer="ones")

    def call(self, x):
        return x * self.factor


@pytest.mark.thorough
def test_nested_observations_and_layers_of_any_kind(tmp_path):
    seen = []

    def model_fn(features, labels, mode):
        assert set(features) == set(labels["next_state"]) == {"image", "kind"}
        seen.append(features["image"])
        x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="relu")(features["image"]))
        x = keras.layers.Concatenate()([x, features["kind"]])
        x = keras.Sequential([keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)])(x)
        q = Scale()(keras.layers.Dense(3)(x))
        taken = keras.ops.sum(q * keras.ops.one_hot(labels["action"], 3), axis=-1)
        loss = keras.ops.mean(keras.ops.square(labels["target"] - taken))
        predictions = {"results": keras.ops.argmax(q, axis=-1), "q": q}
        return EstimatorSpec(mode, predictions, loss, "adam", exploration=0.5, bootstrap=Bootstrap(double=True))

    config = RunConfig(seed=0, summaries="all")
    agent = make(model_fn, model_dir=tmp_path, config=config).train(Nested(), episodes=3, **GRID)
    plain = make(model_fn, config=RunConfig(seed=0)).train(Nested(), episodes=3, **GRID)
    again = make(model_fn, model_dir=tmp_path)
    rng = np.random.default_rng(0)
    states = {"image": rng.integers(0, 255, (4, 8, 8, 3)).astype(np.uint8), "kind": np.array([1, 2, 3, 1])}
    assert set(agent.predict(states)) <= {5, 6, 7}
    as_seen = keras.Model(agent.model.policy.trace.inputs, seen[0])([states["image"], states["kind"] - 1])
    np.testing.assert_array_equal(as_seen, states["image"].astype(np.float32))  # as the space declares it
    with pytest.warns(
        UserWarning, match=r"divided by 255.*Let the function begin with keras.layers.Rescaling\(1 / 255\)"
    ):
        check_images(agent.model, None)  # weights of before
    np.testing.assert_array_equal(agent.predict(states, "q")["q"], again.predict(states, "q")["q"])
    assert all((a == b).all() for a, b in zip(state_of(agent), state_of(again), strict=True))
    for a, b in zip(state_of(agent), state_of(plain), strict=True):  # of two programs: one hands out more
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# Branches of a model function ------------------------------------------------------------------------------------


def branching(seen):
    """A linear Q model that names nothing, with further predictions where it predicts and hooks where it evaluates."""

    def model_fn(features, labels, mode):
        seen.append((mode, labels is None))
        hidden = keras.layers.Dense(3, activation="tanh")(features)
        q = keras.layers.Dense(2)(hidden)
        predictions = {"results": keras.ops.argmax(q, axis=-1), "q": q}
        if mode == Modes.PREDICT:
            assert labels is None
            return EstimatorSpec(mode, {**predictions, "best": keras.ops.max(q, axis=-1), "hidden": 2.0 * hidden})
        taken = keras.ops.sum(q * keras.ops.one_hot(labels["action"], 2), axis=-1)
        # A layer for the loss alone, made after the others.
        further = keras.layers.Dense(1)(labels["next_state"])
        loss = keras.ops.mean(keras.ops.square(labels["target"] - taken)) + 0.0 * keras.ops.mean(further)
        if mode == Modes.EVAL:
            return EstimatorSpec(mode, loss=loss, evaluation_hooks=[keras.callbacks.LambdaCallback()])
        return EstimatorSpec(mode, predictions, loss, "adam")

    return model_fn


def test_predictions_of_the_branch_for_prediction_are_by_the_trained_weights(tmp_path):
    seen = []
    agent = make(branching(seen), model_dir=str(tmp_path))
    states = np.linspace(0.0, 2.0, 4, dtype=np.float32)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for _ in range(2):  # the weights of now, whenever it is asked
            agent.train(Count(), steps=3, **GRID)
            found = agent.predict(states, predict_keys=["q", "best", "hidden"])
            kernel, bias, kernel_2, bias_2 = (v.numpy() for v in agent.model.policy.acting.variables)
            hidden = np.tanh(states @ kernel + bias)
            q = hidden @ kernel_2 + bias_2
            np.testing.assert_allclose(found["q"], q, atol=1e-5)
            np.testing.assert_allclose(found["best"], q.max(axis=1), atol=1e-5)
            np.testing.assert_allclose(found["hidden"], 2 * hidden, atol=1e-5)
            np.testing.assert_array_equal(agent.predict(states), q.argmax(axis=1))
    assert seen == [("train", False), ("infer", True)]
    agent.evaluate(Count(), episodes=1)
    assert seen[2:] == [("eval", False)]
    again = make(branching(seen), model_dir=str(tmp_path))  # from the checkpoint, without training
    np.testing.assert_allclose(again.predict(states, "best")["best"], found["best"], atol=1e-6)
    with pytest.raises(ValueError, match=r"`predict_keys`.*\['worst'\].*'best', 'hidden', 'q'"):
        agent.predict(states, "worst")


def test_a_function_that_needs_labels_predicts_what_it_does_in_training():
    agent = make().train(Count(), steps=1, **GRID)
    states = np.zeros((2, 1), np.float32)
    with pytest.warns(UserWarning, match=r"`model_fn` does not take labels=None, as in mode 'infer'.*TypeError"):
        found = agent.predict(states, "q")
    assert found["q"].shape == (2, 2) and agent.predict(states).shape == (2,)


def test_layers_that_nothing_has_trained_are_refused():
    def model_fn(features, labels, mode):
        spec = q_spec(features, labels or {"action": features[:, 0], "target": features[:, 0]}, mode)
        if mode == Modes.PREDICT:
            return EstimatorSpec(mode, {**spec.predictions, "more": keras.layers.Dense(7, name="more")(features)})
        return spec

    agent = make(model_fn).train(Count(), steps=1, **GRID)
    with pytest.raises(ValueError, match=r"layer for 'infer', 'more' with weights of .* nothing has trained it"):
        agent.predict(np.zeros((2, 1), np.float32))


def test_the_state_is_a_tensor_and_a_dict_of_one():
    def model_fn(features, labels, mode):
        assert features["state"] is features and list(features) == ["state"] and "state" in features
        assert {**features} == {"state": features} and features.get("speed", 3) == 3
        assert features[:, :1].shape == (None, 1)
        with pytest.raises(KeyError):
            features["speed"]
        return q_spec(features, labels, mode)

    assert make(model_fn).train(Count(), steps=1, **GRID).global_step == 1


def test_run_episode_takes_the_names_of_the_page():
    agent = make()
    found = agent.run_episode(
        Count(), sess=None, features=None, labels=None, no_run_hooks=None, global_step=None, update_episode_op=None,
        update_timestep_op=None, estimator_spec=None, **GRID,
    )  # fmt: skip
    assert (
        found["length"] == 10
        and agent.run_episode(Count(), estimator_spec=agent._descriptions.training, **GRID)["length"] == 10
    )
    for name in (
        "sess",
        "features",
        "labels",
        "no_run_hooks",
        "global_step",
        "update_episode_op",
        "update_timestep_op",
    ):
        with pytest.raises(ValueError, match=rf"`{name}` must be None: there is no graph and no session"):
            agent.run_episode(uncalled_env, **{name: 1})
    with pytest.raises(ValueError, match=r"`estimator_spec` must be None, or what `model_fn` returned"):
        agent.run_episode(uncalled_env, estimator_spec=3)


def uncalled_env():
    raise AssertionError("made")
