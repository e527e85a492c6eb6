"""The estimator's agent in training: counters, bounds, schedules, targets, resuming, hooks."""

import json
import logging
import math
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from counting import Count, counters, make, q_spec, state_of
from event_files import curves

from kagent import schedules
from kagent.callbacks import Callback
from kagent.estimators import Agent, Bootstrap, EstimatorSpec, PGAgent, RunConfig, models
from kagent.estimators.memories import BatchMemory, Memory
from kagent.summaries.parameters import parameters

GRID = {"first_update": 9, "update_frequency": 4}
UPDATES = [10, 12, 16, 20, 24, 28, 30, 32, 36, 40, 44, 48, 50]


class Listener(Callback):
    """Writes down when updates are made, and the order of everything."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.times, self.order, self.stop_at = [], [], stop_at

    def on_train_begin(self, logs=None):
        self.order.append("train_begin")

    def on_train_end(self, logs=None):
        self.order.append("train_end")

    def on_epoch_begin(self, epoch, logs=None):
        self.order.append(f"epoch_begin {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.order.append(f"epoch_end {epoch}")

    def on_episode_begin(self, episode, logs=None):
        self.order.append(f"episode_begin {episode}")

    def on_episode_end(self, episode, logs=None):
        self.order.append(f"episode_end {episode}")

    def on_train_batch_end(self, batch, logs=None):
        self.order.append("batch_end")

    def on_update_end(self, update, logs=None):
        self.times.append(self.model.timesteps)
        self.order.append("update_end")
        if self.stop_at == update:
            self.model.stop_training = True


def test_updates_are_at_multiples_and_at_ends_of_episodes():
    agent, heard = make(), Listener()
    assert agent.train(Count(), episodes=5, hooks=[heard], **GRID) is agent
    assert counters(agent) == (50, 5, 13)
    assert heard.times == UPDATES
    assert int(agent.model.optimizer.iterations) == 13


def test_hooks_hear_everything_in_nested_order():
    heard = Listener()
    make().train(Count(), episodes=5, hooks=[heard], **GRID)
    expected, per_episode = ["train_begin"], [1, 3, 3, 3, 3]
    for episode, updates in enumerate(per_episode):
        expected += [f"epoch_begin {episode}", f"episode_begin {episode}"]
        expected += ["batch_end", "update_end"] * updates
        expected += [f"episode_end {episode}", f"epoch_end {episode}"]
    assert heard.order == [*expected, "train_end"]


@pytest.mark.parametrize(
    "first, frequency, length, times",
    [
        (25, 4, 10, [28, 30, 32, 36, 40, 44, 48, 50]),
        (29, 4, 10, [30, 32, 36, 40, 44, 48, 50]),
        (10, 10, 10, [10, 20, 30, 40, 50]),
        (8, 7, 5, [10, 14, 15, 20, 21, 25]),
        (13, 100, 6, [18, 24, 30]),
    ],
)
def test_first_update_gates_updates_at_ends_too(first, frequency, length, times):
    agent, heard = make(), Listener()
    agent.train(Count(length), first, frequency, episodes=5, hooks=[heard])
    assert heard.times == times
    assert counters(agent) == (5 * length, 5, len(times))


def test_no_update_while_the_memory_cannot_sample():
    agent, heard = make(memory=Memory(100, 8)), Listener()
    agent.train(Count(), episodes=2, hooks=[heard], **GRID)
    agent.memory.clear()
    agent.train(Count(6), episodes=2, hooks=[heard], **GRID)
    assert heard.times == [10, 12, 16, 20, 28, 32]  # not at 24 and 26: six transitions are too few


def test_steps_are_incremental_and_max_steps_absolute():
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
    assert all((a == b).all() for a, b in zip(before, state_of(agent), strict=True))
    agent.train(env, max_steps=7, **GRID)
    assert counters(agent) == (28, 2, 7)


def test_max_steps_from_the_start_and_twice():
    agent, env = make(), Count()
    agent.train(env, max_steps=6, **GRID)
    assert counters(agent) == (28, 2, 6)
    calls = env.calls
    assert agent.train(env, max_steps=6, **GRID) is agent
    assert env.calls == calls


def test_episodes_are_incremental_and_max_episodes_absolute():
    agent, env = make(), Count()
    for done in (2, 2):
        agent.train(env, max_episodes=2, **GRID)
        assert agent.global_episode == done
    assert env.steps == 20
    for done in (4, 6):
        agent.train(env, episodes=2, **GRID)
        assert agent.global_episode == done


@pytest.mark.parametrize(
    "bounds, reached",
    [
        ({"steps": 4, "max_episodes": 2}, (20, 2, 4)),
        ({"steps": 2, "max_episodes": 2}, (12, 1, 2)),
        ({"max_steps": 99, "episodes": 1}, (10, 1, 1)),
    ],
)
def test_the_first_bound_reached_ends_it(bounds, reached):
    agent = make()
    agent.train(Count(), **bounds, **GRID)
    assert counters(agent) == reached


def test_chaining_and_history():
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


def test_a_stop_in_mid_episode_is_clean():
    agent = make()
    agent.train(Count(), hooks=[Listener(stop_at=2)], **GRID)  # without any bound
    assert counters(agent) == (12, 1, 2)
    agent.train(Count(), episodes=1, **GRID)
    assert counters(agent) == (22, 2, 5)  # at 16, 20 and 22


def test_the_counters_drive_different_things():
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.1, 0.01])
    decay = schedules.Polynomial(initial=0.15, final=1e-4, steps=100, unit="timesteps", power=1)

    def model_fn(features, labels, mode):
        return q_spec(features, labels, mode, keras.optimizers.Adam(rate), exploration=decay)

    agent = make(model_fn)
    agent.train(Count(), episodes=5, **GRID)
    assert agent.global_step == 13
    assert float(agent.model.optimizer.learning_rate) == pytest.approx(0.01)
    assert parameters(agent.model, agent.model.host_clock)["exploration.amount"] == pytest.approx(0.07505)


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


# Targets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double, expected", [(False, [2.8, 1.0]), (True, [1.9, 1.0])])
def test_targets_of_a_batch(double, expected):
    # The state holds what the target network says in its first two numbers and the online one in the others.
    import tensorflow as tf
    from gymnasium import spaces

    def model_fn(features, labels, mode):
        q = keras.layers.Dense(2, use_bias=False, name="q")(features["state"])
        predictions = {"results": keras.ops.argmax(q, axis=-1), "q": q}
        bootstrap = Bootstrap(discount=0.9, double=double, target_update_frequency=100)
        loss = keras.ops.mean(labels["target"] * keras.ops.sum(q, axis=-1))
        return EstimatorSpec(mode, predictions, loss, "sgd", bootstrap=bootstrap)

    class Four(Count):
        observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)

    agent = make(model_fn)
    agent._make(Four.observation_space, Four.action_space)
    model = agent.model
    model.policy.trainable_variables[0].assign([[0, 0], [0, 0], [1, 0], [0, 1]])
    model.target_policy.variables[0].assign([[1, 0], [0, 1], [0, 0], [0, 0]])
    batch = {
        "observation": tf.zeros((2, 4)),
        "next_observation": tf.constant([[1.0, 2, 5, 0], [3, 4, 0, 5]]),
        "action": tf.constant([0, 1]),
        "reward": tf.ones(2),
        "terminated": tf.constant([False, True]),
        "truncated": tf.constant([True, False]),
    }
    for order in ([0, 1], [1, 0]):
        [term] = model.objective.terms(model, {k: tf.gather(v, order) for k, v in batch.items()})
        np.testing.assert_allclose(term.batch["target"], np.asarray(expected)[order], rtol=1e-6)


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
    [term] = agent.model.objective.terms(agent.model, batch)
    np.testing.assert_allclose(term.batch["target"], [4.0, 1.0, 6.0])


def test_the_target_network_follows_at_its_period():
    agent, equal = make(), []

    class Watch(Callback):
        def on_update_end(self, update, logs=None):
            pairs = zip(self.model.policy.variables, self.model.target_policy.variables, strict=True)
            equal.append(all((a.numpy() == b.numpy()).all() for a, b in pairs))

    agent.train(Count(), steps=9, hooks=[Watch()], **GRID)
    assert equal == [False, False, False, True, False, False, False, True, False]


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


def test_exploration_is_a_draw_for_every_action():
    taken = []

    class Watched(Count):
        def step(self, action):
            taken.append(int(action))
            return super().step(action)

    def explorer(amount):
        def model_fn(features, labels, mode):
            q = keras.layers.Dense(2, kernel_initializer="zeros")(features["state"])  # the first of equals is 0
            return EstimatorSpec(
                mode, {"results": keras.ops.argmax(q, -1)}, keras.ops.mean(q) * 0.0, "sgd", exploration=amount
            )

        return model_fn

    for amount, share in ((None, 0.0), (0.0, 0.0), (1.0, 0.5), (0.5, 0.25)):
        taken.clear()
        make(explorer(amount)).train(Watched(50), episodes=20, first_update=900, update_frequency=1000)
        assert np.mean(taken) == pytest.approx(share, abs=0.0 if share == 0 else 0.06)


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
    with pytest.raises(RuntimeError, match=r"The loss is not finite"):
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


def test_checkpoints_are_of_episodes(tmp_path):
    config = RunConfig(seed=0, save_episodes=2, keep_checkpoint_max=2)
    saved = []

    class Watch(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            saved.append(names(tmp_path))

    make(config=config, model_dir=tmp_path).train(Count(), episodes=5, hooks=[Watch()], **GRID)
    assert [found[-1:] for found in saved] == [
        [],
        [],
        ["ckpt-2.weights.h5"],
        ["ckpt-2.weights.h5"],
        ["ckpt-4.weights.h5"],
    ]
    assert names(tmp_path) == ["ckpt-4.weights.h5", "ckpt-5.weights.h5"]


def test_resuming_in_another_agent(tmp_path):
    agent = make(model_dir=tmp_path).train(Count(), episodes=5, **GRID)
    env, again = Count(), make(model_dir=str(tmp_path), config=RunConfig(seed=9))
    assert counters(again) == (50, 5, 13)
    again.train(env, max_episodes=5, **GRID)
    again.train(env, max_steps=13, **GRID)
    assert env.calls == (0, 0)
    assert all((a == b).all() for a, b in zip(state_of(agent), state_of(again), strict=True))
    assert again.model.act_generator.bit_generator.state["state"]["key"].tolist() == (
        agent.model.act_generator.bit_generator.state["state"]["key"].tolist()
    )
    heard = Listener()
    third = make(model_dir=tmp_path).train(Count(), episodes=1, hooks=[heard], **GRID)
    assert counters(third)[:2] == (60, 6)
    assert heard.order[1] == "epoch_begin 5" and heard.times[-1] == 60
    assert names(tmp_path) == ["ckpt-5.weights.h5", "ckpt-6.weights.h5"]
    with pytest.raises(ValueError, match=r"holds checkpoints from beyond that"):
        agent.train(Count(), episodes=1, **GRID)  # never two states in one directory


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


@pytest.mark.parametrize("saved", [True, False])
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


KILLED = """
    import os, sys
    sys.path[:0] = {paths!r}
    from counting import Count, make
    from kagent.estimators import RunConfig

    class Slow(Count):
        def step(self, action):
            found = super().step(action)
            print(self.steps, flush=True)
            return found

    agent = make(config=RunConfig(seed=0, save_episodes=1, summaries=None), model_dir={directory!r})
    agent.train(Slow(), first_update=9, update_frequency=4)
"""


@pytest.mark.parametrize("after", [37, 62])
def test_a_killed_run_loses_no_more_than_since_the_last_checkpoint(tmp_path, after):
    directory = tmp_path / "run"
    code = textwrap.dedent(KILLED).format(paths=[p for p in sys.path if p], directory=str(directory))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) >= after:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    process.wait()
    config = RunConfig(seed=0, save_episodes=1, summaries=None)
    resumed = make(config=config, model_dir=directory)
    episodes = resumed.global_episode
    assert episodes >= after // 10 - 1
    # What was resumed is the whole state at the end of that episode, as of a run that was never killed.
    whole = make(config=config).train(Count(), episodes=episodes, **GRID)
    assert counters(resumed) == counters(whole)
    assert all((a == b).all() for a, b in zip(state_of(resumed), state_of(whole), strict=True))


def test_summaries_are_counted_in_episodes(tmp_path):
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
    assert all((a == b).all() for a, b in zip(state_of(plain), state_of(watched), strict=True))


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


def test_nested_observations_and_layers_of_any_kind(tmp_path):
    def model_fn(features, labels, mode):
        assert set(features) == set(labels["next_state"]) == {"image", "kind"}
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
    for other in (plain, again):
        np.testing.assert_array_equal(agent.predict(states, "q")["q"], other.predict(states, "q")["q"])
        assert all((a == b).all() for a, b in zip(state_of(agent), state_of(other), strict=True))
