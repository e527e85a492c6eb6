"""Stock Keras callbacks that log: CSVLogger, TensorBoard, ProgbarLogger, LambdaCallback."""

import csv
import math

import numpy as np
import pytest
import tensorflow as tf
from keras.callbacks import CSVLogger, LambdaCallback, TensorBoard
from runs import RATES, run


@pytest.mark.parametrize("kind", ["dqn", "ppo", "sac"])
def test_csv_logger_has_every_column_from_the_first_epoch(small, kind, tmp_path):
    changes = {"n_steps": 32} if kind == "ppo" else {"start": 30}
    history = run(small(kind, **changes), CSVLogger(tmp_path / "log.csv"), epochs=4).history
    with open(tmp_path / "log.csv") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    for name, values in history.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values)
    assert float(rows[0]["loss"]) == math.inf and math.isfinite(float(rows[3]["loss"]))


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    found = {tag: [(e.step, tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)]
             for tag in events.Tags()["tensors"]}  # fmt: skip
    return {tag: [(step, float(value) if value.ndim == 0 else value) for step, value in values]
            for tag, values in found.items()}  # fmt: skip


def test_tensorboard_has_a_curve_for_every_log(small, tmp_path):
    agent = small("sac")
    history = run(agent, TensorBoard(tmp_path), epochs=2, validation_env="Pendulum-v1", validation_episodes=1).history
    train, validation = scalars(tmp_path / "train"), scalars(tmp_path / "validation")
    for name, values in history.items():
        where = validation if name.startswith("val_") else train
        steps, found = zip(*where[f"epoch_{name.removeprefix('val_')}"])
        assert steps == (0, 1)
        np.testing.assert_allclose(found, values, rtol=1e-5)
    assert {f"epoch_{name}" for name in RATES["sac"]} <= set(train)
    assert train["epoch_timesteps"] == [(0, 20.0), (1, 40.0)]
    assert [step for step, _ in validation["evaluation_episode_return_vs_iterations"]] == [5, 25]  # gradient steps


def test_tensorboard_of_batches_weights_and_pace(small, tmp_path):
    agent = small("dqn", start=4, batch_size=4)
    callback = TensorBoard(tmp_path, update_freq=1, histogram_freq=1, write_steps_per_second=True)
    run(agent, callback, epochs=2)
    train = scalars(tmp_path / "train")
    assert [step for step, _ in train["batch_loss"]] == list(range(1, 11))
    assert "batch_steps_per_second" in train and "epoch_steps_per_second" in train
    histograms = [values for tag, values in train.items() if tag.endswith("kernel/histogram")]
    assert histograms and all([step for step, _ in values] == [0, 1] for values in histograms)


@pytest.mark.parametrize("verbose", [1, 2])
def test_the_progress_bar_tells_return_and_pace(small, capsys, verbose):
    run(small("dqn"), verbose=verbose, epochs=2, steps=60, steps_per_epoch=30)
    said = capsys.readouterr().out
    assert "Epoch 1/2" in said and "Epoch 2/2" in said and "30/30" in said
    for name in ("loss", "episode_return", "steps_per_second", "timesteps"):
        assert f"{name}: " in said
    assert ("━" in said) == (verbose == 1)


def test_silence(small, capsys):
    run(small("dqn"), verbose=0)
    assert capsys.readouterr().out == ""


def test_lambda_callback_hears_everything(small):
    heard = []
    names = ["on_epoch_begin", "on_epoch_end", "on_train_begin", "on_train_end", "on_train_batch_begin",
             "on_train_batch_end"]  # fmt: skip
    hearing = {name: lambda *_, _name=name, **__: heard.append(_name) for name in names}
    run(small("dqn", start=20, frequency=20), LambdaCallback(**hearing), epochs=1)
    assert heard == [names[i] for i in (2, 0, 4, 5, 1, 3)]
