"""Every stock Keras callback, unmodified, on an agent's fit. Those that log are in test_keras_logging.py."""

import json
import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.callbacks import (
    BackupAndRestore,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    SwapEMAWeights,
    TensorBoard,
    TerminateOnNaN,
)
from runs import RATES, Recorder, Returns, equal, run
from variants import with_few

import kagent

pytestmark = pytest.mark.eager(seldom=True)
GRAPH = {"run_eagerly": False}  # of many updates

# Order -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", with_few(["dqn", "ppo"], ["dqn"]))
def test_calls_come_in_the_order_of_model_fit(small, kind):
    stock, ours = Recorder(), Recorder()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    data = np.zeros((6, 2)), np.zeros((6, 1))
    # 3 batches per epoch, 2 epochs, 2 batches of validation
    model.fit(*data, batch_size=2, epochs=2, validation_data=[d[:4] for d in data], validation_batch_size=2,
              verbose=0, callbacks=[stock])  # fmt: skip
    agent = small(
        kind, **({"start": 4, "frequency": 4, "batch_size": 4} if kind == "dqn" else {"n_steps": 4, "batch_size": 4})
    )
    agent.fit("CartPole-v1", steps=24, steps_per_epoch=12, validation_env="CartPole-v1", validation_episodes=2,
              verbose=0, callbacks=[ours])  # fmt: skip
    assert ours.names() == stock.names() and len(ours.names()) == 30
    epochs = [[call for call in r.calls if call[0].startswith("on_epoch")] for r in (stock, ours)]
    assert [call[:2] for call in epochs[0]] == [call[:2] for call in epochs[1]]
    keys = ours.calls[-1][-1]
    assert {"loss", "episode_return", "val_episode_return"} <= set(keys)


@pytest.mark.thorough
def test_batches_are_numbered_by_the_timestep_of_their_epoch(small):
    recorder = Recorder()
    run(small("dqn", start=4, frequency=4, batch_size=4), recorder, epochs=2)
    ends = [call[1] for call in recorder.calls if call[0] == "on_train_batch_end"]
    assert ends == [3, 7, 11, 15, 19] * 2
    recorder = Recorder()
    agent = small("dqn", start=4, frequency=2, batch_size=4, n_envs=4)
    run(agent, recorder, epochs=1)
    ends = [call[1] for call in recorder.calls if call[0] == "on_train_batch_end"]
    assert ends == [3, 5, 7, 9, 11, 13, 15, 17, 19]  # two a step, each at its own time


# Saving ----------------------------------------------------------------------------------------------------


def test_model_checkpoint_keeps_the_best_agent(small, tmp_path):
    returns, path = Returns(1.0, 5.0, 3.0, 5.0, 2.0), tmp_path / "best.keras"
    agent = small("dqn")
    best = ModelCheckpoint(path, monitor="episode_return", mode="max", save_best_only=True)
    run(agent, returns, best)
    assert best.best == 5.0
    loaded = kagent.load(path)
    assert equal(loaded.get_weights(), returns.weights[1]) and not equal(loaded.get_weights(), agent.get_weights())
    assert loaded.timesteps == 40
    assert equal(keras.saving.load_model(path).get_weights(), loaded.get_weights())


@pytest.mark.thorough
def test_model_checkpoint_is_not_caught_by_an_epoch_without_an_episode(small, tmp_path):
    """Keras takes the first value as the best, and nothing is ever better than NaN."""
    path = tmp_path / "best.keras"
    best = ModelCheckpoint(path, monitor="episode_return", mode="max", save_best_only=True)
    history = run(small("sac", frequency=60), best, steps=240, steps_per_epoch=60, epochs=4).history
    assert math.isnan(history["episode_return"][0]) and math.isfinite(history["episode_return"][3])
    assert best.best == history["episode_return"][3] and kagent.load(path).timesteps == 240


@pytest.mark.parametrize("kind", with_few(["dqn", "ppo", "sac"], ["ppo"]))
def test_model_checkpoint_of_weights_carries_optimizer_counters_and_memory(small, kind, tmp_path):
    path = tmp_path / "agent.{epoch:02d}-{timesteps:.0f}.weights.h5"
    agent = small(kind)
    run(agent, ModelCheckpoint(path, save_weights_only=True), epochs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent.01-20.weights.h5", "agent.02-40.weights.h5"]
    other = small(kind, seed=9)
    other.load_weights(tmp_path / "agent.02-40.weights.h5")
    assert equal(other.get_weights(), agent.get_weights())
    assert equal([v.numpy() for v in other.optimizer.variables], [v.numpy() for v in agent.optimizer.variables])
    assert (other.timesteps, other.episodes, other.updates) == (agent.timesteps, agent.episodes, agent.updates)
    assert len(other.memory) == len(agent.memory)


def test_model_checkpoint_counts_timesteps(small, tmp_path):
    agent = small("dqn", start=1, frequency=1, batch_size=1, compiled=GRAPH)
    run(agent, ModelCheckpoint(tmp_path / "{epoch}-{batch}.weights.h5", save_weights_only=True, save_freq=15), epochs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-15.weights.h5", "2-10.weights.h5"]


class Killed(Exception):
    pass


def kill(epoch):
    def on_epoch_begin(number, logs):
        if number == epoch:
            raise Killed

    return LambdaCallback(on_epoch_begin=on_epoch_begin)


@pytest.mark.parametrize("kind", with_few(["dqn", "ppo"], ["ppo"]))
def test_backup_and_restore_goes_on_where_it_was(small, kind, tmp_path):
    whole = small(kind)
    run(whole, epochs=4)
    agent = small(kind)
    with pytest.raises(Killed):
        run(agent, BackupAndRestore(tmp_path / "backup"), kill(2), epochs=4)
    metadata = json.loads((tmp_path / "backup" / "training_metadata.json").read_text())
    assert metadata["epoch"] == 2
    resumed = small(kind, seed=9)
    history = run(resumed, BackupAndRestore(tmp_path / "backup"), epochs=4)
    assert history.epoch == [2, 3] and history.history["timesteps"] == [60, 80]
    assert equal(resumed.get_weights(), whole.get_weights())
    assert not (tmp_path / "backup").exists()
    again = run(resumed, epochs=2)  # P4: nothing of the restored epoch is left
    assert again.epoch == [0, 1] and resumed.timesteps == 120


@pytest.mark.thorough
def test_backup_within_an_epoch(small, tmp_path):
    agent = small("dqn", start=1, frequency=1, batch_size=1, compiled=GRAPH)
    stop = LambdaCallback(on_train_batch_end=lambda batch, logs: (_ for _ in ()).throw(Killed) if batch == 17 else None)
    with pytest.raises(Killed):
        run(agent, BackupAndRestore(tmp_path / "backup", save_freq=5), stop)
    resumed = small("dqn", start=1, frequency=1, batch_size=1, compiled=GRAPH)
    history = run(resumed, BackupAndRestore(tmp_path / "backup", save_freq=5), epochs=2)
    assert history.history["timesteps"] == [20, 40] and resumed.timesteps == 40


# Stopping --------------------------------------------------------------------------------------------------


def test_early_stopping_restores_the_best_weights_and_nothing_else(small):
    returns = Returns(1.0, 7.0, 3.0, 3.0, 9.0, name="val_episode_return")
    stop = EarlyStopping(monitor="val_episode_return", mode="max", patience=2, restore_best_weights=True)
    agent = small("dqn")
    history = run(agent, returns, stop, validation_env="CartPole-v1", validation_episodes=1)
    assert history.epoch == [0, 1, 2, 3] and stop.best == 7.0
    assert equal(agent.get_weights(), returns.weights[1]) and not equal(agent.get_weights(), returns.weights[3])
    assert agent.timesteps == 80 and len(agent.memory) == 80  # P3: time is not turned back
    observation = np.array([[0.1, -0.2, 0.05, 0.3]], np.float32)
    assert agent.act(observation[0], deterministic=True) == np.argmax(agent.policy.values([observation]))


def test_early_stopping_on_the_return_of_training(small):
    stop = EarlyStopping(monitor="episode_return", mode="max", patience=1)
    run(small("ppo"), Returns(-math.inf, 1.0, 2.0, 1.5, 9.0), stop)
    assert stop.stopped_epoch == 3 and stop.best == 2.0


@pytest.mark.thorough
def test_monitors_wait_for_the_first_episode_and_begin_with_it(small):
    """NaN is no value: it is neither the best so far nor an epoch without improvement."""
    nan = math.nan
    stop = EarlyStopping(monitor="episode_return", mode="max", patience=2, restore_best_weights=True)
    returns = Returns(nan, nan, nan, nan, 1.0)
    run(small("ppo"), returns, stop)
    assert stop.stopped_epoch == 0 and stop.best == 1.0 and stop.best_epoch == 4
    stop = EarlyStopping(monitor="episode_return", mode="max", patience=2)
    history = run(small("ppo"), Returns(nan, nan, 5.0, 4.0, 3.0), stop)
    assert stop.stopped_epoch == 4 and stop.best == 5.0 and history.epoch == [0, 1, 2, 3, 4]
    agent = small("dqn", learning_rate=0.4)
    plateau = ReduceLROnPlateau(monitor="episode_return", mode="max", patience=2, factor=0.5)
    history = run(agent, Returns(nan, nan, nan, 1.0, 1.0), plateau).history
    np.testing.assert_allclose(history["learning_rate"], [0.4] * 5, rtol=1e-6)


def test_terminate_on_nan(small):
    class Broken(kagent.DQN):
        def train_step(self, batch):
            logs = super().train_step(batch)
            bad = tf.cast(self.clock.updates, tf.int32) >= 3
            return {**logs, "loss": tf.where(bad, float("nan"), logs["loss"])}

    agent = small(Broken, start=4, batch_size=4, frequency=4)
    run(agent, TerminateOnNaN())
    assert (agent.timesteps, agent.updates) == (16, 4)
    with pytest.raises(RuntimeError, match="NaN"):
        run(agent, TerminateOnNaN(raise_error=True))


@pytest.mark.eager(as_users=True)
def test_epochs_before_the_first_update_are_not_taken_for_nan(small):
    agent = small("dqn", start=60)
    run(agent, TerminateOnNaN(raise_error=True))
    assert agent.timesteps == 100


# Learning rates --------------------------------------------------------------------------------------------


@pytest.mark.eager
def test_the_learning_rate_of_several_optimizers_is_the_policys(small):
    """Loggers of other libraries read one learning rate from every optimizer."""
    agent = small("sac", learning_rate=0.25, critic_learning_rate=0.5)
    assert float(agent.optimizer.learning_rate) == 0.25
    assert float(agent.optimizer.role_map.of("critic").learning_rate) == 0.5
    with pytest.raises(AttributeError, match=r"role_map\.of\(role\)\.learning_rate\. Received: 0\.1"):
        agent.optimizer.learning_rate = 0.1
    assert float(agent.optimizer.learning_rate) == 0.25


@pytest.mark.parametrize("kind", RATES)
def test_learning_rate_scheduler(small, kind):
    history = run(small(kind), LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1)), epochs=2).history
    for name in RATES[kind]:
        np.testing.assert_allclose(history[name], [0.1, 0.05], rtol=1e-6)


@pytest.mark.thorough
def test_a_scheduled_learning_rate_of_zero_stops_learning(small):
    """The compiled program reads the rate; it does not remember it."""
    agent, returns = small("dqn", jit=True), Returns(*[0.0] * 4)
    run(agent, returns, LearningRateScheduler(lambda epoch: [0.01, 0.0, 0.0, 0.01][epoch]), epochs=4)
    first, second, third, fourth = (weights[:4] for weights in returns.weights)  # of the policy
    assert equal(first, second) and equal(second, third) and not equal(third, fourth)


@pytest.mark.parametrize("kind", with_few(["dqn", "sac"], ["sac"]))
def test_reduce_lr_on_plateau(small, kind):
    agent = small(kind, learning_rate=0.4)
    callback = ReduceLROnPlateau(monitor="episode_return", mode="max", patience=2, factor=0.5)
    history = run(agent, Returns(-math.inf, 1.0, 1.0, 1.0, 2.0), callback).history
    for name in RATES[kind]:
        np.testing.assert_allclose(history[name], [0.4, 0.4, 0.4, 0.4, 0.2], rtol=1e-6)


@pytest.mark.eager(as_users=True)
def test_reduce_lr_on_plateau_of_the_loss_does_not_stumble_over_the_warm_up(small):
    agent = small("dqn", learning_rate=0.4, start=41, frequency=20)
    callback = ReduceLROnPlateau(monitor="loss", patience=2, factor=0.5)
    falling = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(loss=5.0 - epoch) if epoch > 1 else None)
    history = run(agent, falling, callback).history
    np.testing.assert_equal(history["loss"], [math.nan, math.nan, 3.0, 2.0, 1.0])
    np.testing.assert_allclose(history["learning_rate"], [0.4] * 5, rtol=1e-6)


_SCHEDULE = {"type": "linear", "initial": 1e-3, "final": 0.0}


@pytest.mark.parametrize(
    "callback",
    [LearningRateScheduler(lambda epoch, rate: rate), ReduceLROnPlateau(monitor="episode_return", mode="max")],
)
@pytest.mark.parametrize(
    ("kind", "arguments", "roles"),
    [
        ("dqn", {"learning_rate": _SCHEDULE}, "policy"),
        ("sac", {"critic_learning_rate": _SCHEDULE}, "critic"),
        ("ppo", {"learning_rate": keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)}, "policy, critic"),
    ],
)
def test_a_callback_that_sets_a_rate_and_a_schedule_of_it_are_refused_together(small, callback, kind, arguments, roles):
    """The schedule replaced the rate that the callback had set, at each update and without a word."""
    agent = small(kind, **arguments)
    message = f"{type(callback).__name__} sets learning rates, .* the learning rate of {roles}, which"
    for given in ([callback], keras.callbacks.CallbackList([callback], model=agent)):
        with pytest.raises(ValueError, match=message):
            agent.fit({"sac": "Pendulum-v1"}.get(kind, "CartPole-v1"), steps=20, verbose=0, callbacks=given)
    assert agent.timesteps == 0


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau, ModelCheckpoint])
def test_a_monitor_without_its_mode_is_refused_before_the_first_timestep(small, kind, tmp_path):
    """Keras raises at the end of the first epoch, which may come after hours."""
    own = {"filepath": str(tmp_path / "a.keras"), "save_best_only": True} if kind is ModelCheckpoint else {}
    agent = small("dqn")
    for monitor, modes in (("val_episode_return", "mode='max'"), ("episode_length", "mode='max' or mode='min'")):
        callback = kind(monitor=monitor, **own)
        for given in ([callback], keras.callbacks.CallbackList([callback], model=agent)):
            with pytest.raises(ValueError, match=rf"{kind.__name__}\(monitor='{monitor}'\) needs {modes}: .*'auto'"):
                agent.fit("CartPole-v1", steps=20, callbacks=given, verbose=0)
    assert agent.timesteps == 0
    run(agent, kind(monitor="loss", **own), epochs=1)
    run(agent, ModelCheckpoint(str(tmp_path / "b.keras")), epochs=1)  # which monitors nothing


def test_a_schedule_of_keras_in_compile_is_refused_with_a_callback_that_sets_it(small):
    agent = small("dqn")
    agent.compile(optimizer=keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)))
    with pytest.raises(ValueError, match="LearningRateScheduler sets learning rates"):
        run(agent, LearningRateScheduler(lambda epoch, rate: rate))
    other = small("dqn", start=10_000)
    run(other, epochs=1)
    with pytest.raises(ValueError, match="LearningRateScheduler sets learning rates"):
        agent.fit(
            other.memory.dataset(4).take(1), callbacks=[LearningRateScheduler(lambda epoch, rate: rate)], verbose=0
        )


# Averages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", with_few(["dqn", "sac"], ["dqn"]))
def test_swap_ema_weights_evaluates_the_average_and_trains_the_rest(small, kind):
    optimizer = {"type": "Adam", "learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.9}
    agent = small(kind, optimizer=optimizer, frequency=4, compiled=GRAPH)
    acted = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            acted.append(("before", [w.copy() for w in self.model.policy.get_weights()]))

        def on_test_batch_end(self, batch, logs=None):
            acted.append(("test", [w.copy() for w in self.model.policy.get_weights()]))

        def on_epoch_end(self, epoch, logs=None):
            acted.append(("after", [w.copy() for w in self.model.policy.get_weights()]))

    env = {"dqn": "CartPole-v1", "sac": "Pendulum-v1"}[kind]
    run(agent, SwapEMAWeights(), Watch(), epochs=2, validation_env=env, validation_episodes=1)
    assert [name for name, _ in acted] == ["before", "test", "after"] * 2
    (_, start), (_, test), (_, after), (_, again), *_ = acted
    assert not equal(test, after) and not equal(start, after) and equal(after, again)


def test_swap_ema_weights_on_epoch_lets_training_act_with_its_own_weights(small):
    agent = small("dqn", optimizer={"type": "Adam", "learning_rate": 0.5, "use_ema": True}, exploration=0.0)
    seen = []

    class Watch(kagent.callbacks.Callback):
        def on_timestep_end(self, timestep, logs=None):
            observation = np.ones((1, 4), np.float32)
            acting, learning = agent.actor.forward([observation])[0], agent.policy.values([observation])
            seen.append(np.allclose(acting, learning, atol=1e-5))

    run(agent, SwapEMAWeights(swap_on_epoch=True), Watch(), epochs=3)
    assert len(seen) == 60 and all(seen)


def test_the_average_stands_in_the_end_as_keras_says(small):
    agent = small(
        "dqn", optimizer={"type": "Adam", "learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.5}, frequency=10
    )
    returns = Returns(0.0, 0.0)
    run(agent, returns, epochs=2)
    assert not equal(agent.policy.get_weights(), returns.weights[-1][:6])
    observation = np.array([[0.1, -0.2, 0.05, 0.3]], np.float32)
    assert agent.act(observation[0], deterministic=True) == np.argmax(agent.policy.values([observation]))


def test_all_of_them_at_once(small, tmp_path):
    agent = small("sac")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run(
            agent,
            BackupAndRestore(tmp_path / "backup"),
            ReduceLROnPlateau(monitor="val_episode_return", mode="max"),
            LearningRateScheduler(lambda epoch, rate: rate),
            CSVLogger(tmp_path / "log.csv"),
            TensorBoard(tmp_path / "events"),
            ModelCheckpoint(tmp_path / "best.keras", monitor="val_episode_return", mode="max", save_best_only=True),
            EarlyStopping(monitor="val_episode_return", mode="max", restore_best_weights=True),
            TerminateOnNaN(),
            LambdaCallback(),
            epochs=2,
            validation_env="Pendulum-v1",
            validation_episodes=1,
        )
    assert agent.timesteps == 40 and (tmp_path / "best.keras").exists()
