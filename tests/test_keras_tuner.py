"""What keras-tuner asks of the models that it tunes, as its `Tuner` and `Hyperband` do it, of agents."""

import collections
import copy
import gc
import math

import keras
import numpy as np
import pytest
from keras.callbacks import EarlyStopping, LearningRateScheduler, ModelCheckpoint, TensorBoard
from runs import equal

import kagent

pytestmark = pytest.mark.eager(seldom=True)
STEPS = 20  # an epoch
SEARCH = {"steps_per_epoch": STEPS, "validation_env": "CartPole-v1", "validation_episodes": 2, "verbose": 0}


class TunerCallback(keras.callbacks.Callback):
    """Reports epochs and batches to the tuner, with the model."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch begins", epoch, self.model))

    def on_batch_begin(self, batch, logs=None):
        self.calls.append(("batch begins", batch, self.model))

    def on_batch_end(self, batch, logs=None):
        self.calls.append(("batch ends", batch, self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch ends", epoch, self.model))


class SaveBestEpoch(keras.callbacks.Callback):
    """One for all executions of a trial: it saves the weights of the best epoch of all."""

    def __init__(self, objective, path):
        super().__init__()
        self.objective, self.path, self.best = objective, path, -math.inf

    def on_epoch_end(self, epoch, logs=None):
        if logs[self.objective] > self.best:
            self.best = logs[self.objective]
            assert self.model.distribute_strategy is not None  # which keras-tuner hands on to where it writes
            self.model.save_weights(self.path)


class Tuner:
    """Builds, fits, saves and loads models as keras-tuner does, but for the search itself.

    Args:
        build: Makes a compiled model of hyperparameters.
        folder: For the trials' weights.
        objective: The key of the logs that is maximized.
        executions: How often a trial is run.
    """

    def __init__(self, build, folder, objective="val_episode_return", executions=1):
        self.build_model, self.folder, self.objective, self.executions = build, folder, objective, executions
        self.calls = []

    def path(self, trial):
        (self.folder / trial).mkdir(exist_ok=True)
        return str(self.folder / trial / "checkpoint.weights.h5")

    def build(self, hp):
        keras.backend.clear_session()
        gc.collect()
        model = self.build_model(hp)
        assert isinstance(model, keras.Model) and model.built
        assert sum(math.prod(weight.shape) for weight in model.trainable_weights) > 0  # against its largest size
        if "tuner/trial_id" in hp:  # Hyperband goes on with a trial of its last round
            model.load_weights(self.path(hp["tuner/trial_id"]))
        return model

    def run_trial(self, trial, hp, *args, callbacks=(), **kwargs):
        """Returns the best value of the objective, a mean over the executions, and their models."""
        saver, values, models = SaveBestEpoch(self.objective, self.path(trial)), [], []
        if "tuner/epochs" in hp:
            kwargs |= {"epochs": hp["tuner/epochs"], "initial_epoch": hp["tuner/initial_epoch"]}
        for execution in range(self.executions):
            copied = copy.deepcopy(list(callbacks))
            for callback in copied:
                if type(callback).__name__ == "TensorBoard":
                    callback.log_dir = f"{callback.log_dir}/{trial}/execution{execution}"
            copied += [TunerCallback(self.calls), saver]
            model = self.build(hp)
            history = model.fit(*args, callbacks=copied, **kwargs)
            assert isinstance(history, keras.callbacks.History)
            epochs = collections.defaultdict(dict)
            for name, found in history.history.items():
                for epoch, value in enumerate(found):
                    epochs[epoch][name] = value
            values.append(max(metrics[self.objective] for metrics in epochs.values()))
            models.append(model)
        return np.mean(values), models

    def load_model(self, trial, hp):
        model = self.build({name: value for name, value in hp.items() if not name.startswith("tuner/")})
        model.load_weights(self.path(trial))
        return model


@pytest.fixture
def tuner(small, tmp_path):
    def make(kind="dqn", **given):
        return Tuner(lambda hp: small(kind, learning_rate=hp["rate"]), tmp_path, **given)

    return make


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["dqn", "ppo"])
def test_trials_are_fitted_and_the_best_epoch_comes_back(kind, tuner, tmp_path):
    tuner = tuner(kind, executions=2)
    rates, stops = LearningRateScheduler(lambda epoch, rate: rate / 2), EarlyStopping("loss", patience=9)
    best, models = tuner.run_trial(
        "00", {"rate": 0.1}, "CartPole-v1", epochs=3, callbacks=[rates, stops, TensorBoard(tmp_path / "logs")], **SEARCH
    )
    assert [model.timesteps for model in models] == [60, 60] and math.isfinite(best)
    assert [float(model.optimizer.learning_rate) for model in models] == pytest.approx([0.0125] * 2)
    assert rates.model is None and stops.model is None  # only their copies were used
    assert len(list((tmp_path / "logs" / "00").glob("execution?/train/*"))) == 2
    epochs = [call for call in tuner.calls if call[0] == "epoch ends"]
    assert [epoch for _, epoch, _ in epochs] == [0, 1, 2] * 2
    assert all(model is models[place // 3] for place, (_, _, model) in enumerate(epochs))
    loaded = tuner.load_model("00", {"rate": 0.1})
    assert loaded.timesteps in (20, 40, 60) and type(loaded) is type(models[0])
    assert not equal(loaded.get_weights(), tuner.build({"rate": 0.1}).get_weights())


@pytest.mark.thorough
def test_hyperband_goes_on_with_the_weights_of_an_earlier_trial(tuner):
    tuner = tuner(objective="timesteps")  # which rises: the last epoch is the best
    hp = {"rate": 0.01, "tuner/epochs": 2, "tuner/initial_epoch": 0}
    _, (first,) = tuner.run_trial("00", hp, "CartPole-v1", **SEARCH)
    assert first.timesteps == 40
    tuner.calls.clear()
    again = {"rate": 0.01, "tuner/epochs": 4, "tuner/initial_epoch": 2, "tuner/trial_id": "00"}
    _, (second,) = tuner.run_trial("01", again, "CartPole-v1", **SEARCH)
    assert [epoch for name, epoch, _ in tuner.calls if name == "epoch begins"] == [2, 3]
    assert second.timesteps == 80 and second.updates > first.updates and len(second.memory) == 80
    whole = tuner.build({"rate": 0.01})
    whole.fit("CartPole-v1", epochs=2, **SEARCH)
    whole.fit("CartPole-v1", epochs=4, initial_epoch=2, **SEARCH)
    assert equal(second.get_weights(), whole.get_weights())  # as if it had never been interrupted
    assert equal(tuner.load_model("01", again).get_weights(), whole.get_weights())


@pytest.mark.thorough
def test_a_trial_may_be_stopped(tuner):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1  # as the oracle says

    tuner = tuner()
    _, (model,) = tuner.run_trial("00", {"rate": 0.01}, "CartPole-v1", epochs=9, callbacks=[Stop()], **SEARCH)
    assert model.timesteps == 40


@pytest.mark.thorough
def test_callbacks_are_copied_for_every_trial(small, tmp_path):
    given = [
        kagent.callbacks.Checkpoint(tmp_path / "checkpoints"),
        kagent.callbacks.Recorder(tmp_path / "videos"),
        kagent.callbacks.Summarizer(tmp_path / "summaries"),
        ModelCheckpoint(tmp_path / "a.keras", "episode_return", mode="max"),
    ]
    for callback in given:
        copied = copy.deepcopy(callback)
        assert type(copied) is type(callback) and copied is not callback
        small("dqn").fit("CartPole-v1", steps=20, callbacks=[copied], verbose=0)
        assert callback.model is None
