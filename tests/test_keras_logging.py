"""Stock Keras callbacks that log: CSVLogger, TensorBoard, ProgbarLogger, LambdaCallback."""

import csv
import errno
import io
import math
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf
from event_files import curves
from keras.callbacks import CSVLogger, LambdaCallback, TensorBoard
from runs import RATES, run
from toy_envs import Counter
from variants import thorough, with_few

import kagent


@pytest.mark.eager(as_users=True)  # in the names of logs
@pytest.mark.parametrize("kind", ["dqn", *map(thorough, ("ppo", "sac"))])
def test_csv_logger_has_every_column_from_the_first_epoch(small, kind, tmp_path):
    changes = {"n_steps": 32} if kind == "ppo" else {"start": 30}
    agent = small(kind, compiled={"run_eagerly": False}, **changes)
    history = run(agent, CSVLogger(tmp_path / "log.csv"), epochs=4).history
    with open(tmp_path / "log.csv") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    for name, values in history.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values)
    assert set(rows[0]) == {"epoch", *history}  # none for a validation that is not made
    for name, values in history.items():
        assert len(values) == 4 and not np.isinf(values).any(), name
    assert math.isnan(float(rows[0]["loss"])) and math.isfinite(float(rows[3]["loss"]))


@pytest.mark.eager(as_users=True)
@pytest.mark.parametrize("kind", with_few(["dqn", "ppo", "sac"], ["ppo"]))
def test_eager_epochs_before_the_first_update_have_the_same_columns(small, kind, tmp_path):
    agent = small(kind, **({"n_steps": 24, "epochs": 2} if kind == "ppo" else {"start": 30, "frequency": 10}))
    before = [weight.numpy().copy() for weight in agent.weights]
    kept = []
    callback = LambdaCallback(on_epoch_end=lambda *_: kept.append([weight.numpy().copy() for weight in agent.weights]))
    history = run(agent, CSVLogger(tmp_path / "log.csv"), callback, epochs=2).history
    assert agent.run_eagerly and agent.updates > 0
    with open(tmp_path / "log.csv") as lines:
        rows = list(csv.DictReader(lines))
    assert set(rows[0]) == {"epoch", *history} and all(len(values) == 2 for values in history.values())
    assert math.isnan(history["loss"][0]) and math.isfinite(history["loss"][1]) and math.isnan(float(rows[0]["loss"]))
    for value, same in zip(before, kept[0]):
        np.testing.assert_array_equal(value, same)  # traced, never run


@pytest.mark.eager(as_users=True)
@pytest.mark.parametrize("method", ["train_step", "prepare"])
def test_an_eager_step_of_the_users_own_is_called_with_values_only(small, method):
    seen = []

    def look(self, given):
        seen.append(given["reward"].numpy().shape[0])  # a tensor of a graph has no values
        return getattr(kagent.DQN, method)(self, given)

    agent = small(type("Looking", (kagent.DQN,), {method: look}), start=30, frequency=10, batch_size=4)
    history = run(agent, epochs=2).history
    assert len(seen) == agent.updates > 0 and len(history["loss"]) == 1 and len(history["episodes"]) == 2


def test_csv_logger_has_the_columns_of_a_validation_that_comes_later(small, tmp_path):
    validation = {"validation_env": "CartPole-v1", "validation_episodes": 1, "validation_freq": 2}
    history = run(small("dqn"), CSVLogger(tmp_path / "log.csv"), epochs=2, **validation).history
    with open(tmp_path / "log.csv") as lines:
        rows = list(csv.DictReader(lines))
    assert (
        rows[0]["val_episode_return"] == "NA"
        and float(rows[1]["val_episode_return"]) == history["val_episode_return"][0]
    )
    assert set(rows[0]) == {"epoch", *history}  # all that validation logs, and nothing else


@pytest.mark.eager
def test_a_csv_log_on_a_full_disk_is_an_error_with_its_path(small, tmp_path):
    (tmp_path / "log.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device.*\d+ bytes are free there.*log\.csv") as raised:
        run(small("dqn", start=1000), CSVLogger(tmp_path / "log.csv"), epochs=2)
    assert raised.value.filename == str(tmp_path / "log.csv")


@pytest.mark.eager(as_users=True)
@pytest.mark.parametrize("unit", with_few(["timesteps", "updates", "episodes"], ["updates"]))
def test_tensorboard_over_the_agents_time(small, tmp_path, unit):
    """Runs of epochs of another length are on the same axis; what is not known yet has no point."""
    agent = small("dqn", start=40, frequency=20, batch_size=4)
    callback = kagent.callbacks.TensorBoard(tmp_path, unit=unit, tags="keras", histogram_freq=2)
    history = run(agent, callback, epochs=3, validation_env="CartPole-v1", validation_episodes=1).history
    steps = history[unit]
    found, values = curves(tmp_path / "train")["epoch_timesteps"]
    assert (found, values) == (steps, [20.0, 40.0, 60.0])
    assert curves(tmp_path / "validation")["epoch_episode_return"][0] == steps
    losses = [(step, value) for step, value in zip(steps, history["loss"]) if not math.isnan(value)]
    assert 0 < len(losses) < 3
    assert curves(tmp_path / "train")["epoch_loss"][0] == [step for step, _ in losses]
    for tag, (at, numbers) in curves(tmp_path / "train").items():
        assert not tag.startswith("epoch_") or np.isfinite(numbers).all(), tag
        assert "histogram" not in tag or at == [steps[0], steps[2]]


def test_tensorboards_unit_is_checked(tmp_path):
    with pytest.raises(
        ValueError, match=r"`unit` must be one of \('timesteps', 'episodes', 'updates'\). Received: 'epochs'"
    ):
        kagent.callbacks.TensorBoard(tmp_path, unit="epochs")


def test_tensorboard_warns_where_its_files_are_removed(small, tmp_path):
    remove = LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 1 and shutil.rmtree(tmp_path / "train"))
    callbacks = [kagent.callbacks.TensorBoard(tmp_path, tags="keras"), remove]
    with pytest.warns(UserWarning, match="The event files in .* were removed during training") as found:
        run(small("dqn"), *callbacks, epochs=4)
    assert sum("event files" in str(warning.message) for warning in found) == 1  # at the end of the third epoch


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


@pytest.mark.eager
@pytest.mark.parametrize("kind", ["Summarizer", *map(thorough, ("TensorBoard", "Groups"))])
def test_a_full_disk_is_an_error_at_the_beginning_and_a_warning_later(kind, small, tmp_path):
    """A limit on the size of files, which root has to keep too, stands for the disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def curves():
        if kind == "Summarizer":
            return kagent.callbacks.Summarizer(tmp_path, labels=["episode-reward"], flush=0.001)
        tags = "keras" if kind == "TensorBoard" else "groups"
        return kagent.callbacks.TensorBoard(tmp_path, tags=tags, write_graph=False)

    def fill(epoch, logs=None):
        if epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        agent = small("dqn")
        with pytest.raises(OSError, match=f"File too large.*bytes are free there: '{tmp_path}") as raised:
            run(agent, curves())
        assert raised.value.errno == errno.EFBIG and "\n" not in str(raised.value) and agent.timesteps == 0
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        env = Counter(lengths=(2,))
        agent = small("dqn", env=env)
        with pytest.warns(UserWarning, match=f"cannot be written.*{tmp_path}") as warned:
            agent.fit(
                env, 100, steps_per_epoch=20, callbacks=[LambdaCallback(on_epoch_begin=fill), curves()], verbose=0
            )
        assert agent.timesteps == 100 and sum("cannot be written" in str(one.message) for one in warned) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("verbose", [1, 2])
def test_the_progress_of_epochs(small, capsys, verbose):
    run(small("dqn"), verbose=verbose, epochs=2, steps=60, steps_per_epoch=30)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"] == lines[::2]
    for line in lines[1::2]:
        assert line.startswith("30/30 ") and ("━" in line) == (verbose == 1) and len(line) < 80
        assert [part.split(":")[0] for part in line.split(" - ")[-3:]] == ["episode_return", "loss", "episodes"]


def drawn(monkeypatch, columns, fit):
    """The lines that `fit` draws on a terminal, one over the other."""

    class Terminal(io.StringIO):
        encoding = "utf-8"
        isatty = lambda self: True  # noqa: E731

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("kagent.callbacks.progress_bar._INTERVAL", 0.0)
    fit()
    monkeypatch.undo()
    return [line.rstrip() for part in terminal.getvalue().split("\n") for line in part.split("\r") if line]


@pytest.mark.parametrize(
    "columns, names",
    [
        (80, ["episode_return", "loss", "episodes"]),
        (40, ["episode_return"]),
        (140, ["episode_return", "loss", "episodes", "updates", "steps_per_second"]),
    ],
)
def test_a_bar_is_one_line_of_the_same_metrics_from_first_to_last(small, monkeypatch, columns, names):
    env = Counter(lengths=(45, 7))
    agent = small("dqn", env=env, start=30, frequency=10, batch_size=4)
    lines = drawn(monkeypatch, columns, lambda: agent.fit(env, steps=80, steps_per_epoch=20))
    bars = [line for line in lines if not line.startswith("Epoch")]
    assert len(bars) >= 4 * 2 + 5 and max(map(len, bars)) < columns
    values = [dict(part.split(": ") for part in line.split(" - ")[1:]) for line in bars]
    assert all(list(found) == names for found in values)
    assert values[0]["episode_return"] == "?" and float(values[-1]["episode_return"]) > 0
    if columns >= 80:
        assert (values[0]["loss"], values[0]["episodes"]) == ("?", "0")
        assert values[-1]["episodes"] == "2" and float(values[-1]["loss"]) > 0  # ends at 45 and 52
    assert not any(word in line for line in bars for word in ("nan", "inf"))


def test_a_bar_stops_where_training_is_stopped(small, monkeypatch):
    agent = small("dqn", start=4, frequency=4, batch_size=4)
    stop = LambdaCallback(on_train_batch_end=lambda *_, **__: setattr(agent, "stop_training", agent.timesteps >= 32))
    lines = drawn(monkeypatch, 80, lambda: agent.fit("CartPole-v1", steps=100, steps_per_epoch=100, callbacks=[stop]))
    assert agent.timesteps == 32 and all(line.startswith(" ") for line in lines)
    assert lines[-1].startswith(" 32/100 ━") and "─" in lines[-1]


def test_a_bar_of_a_validation_and_of_an_evaluation(small, monkeypatch):
    agent = small("dqn", start=4, frequency=4, batch_size=4)
    validation = {"validation_env": "CartPole-v1", "validation_episodes": 1}
    lines = drawn(monkeypatch, 80, lambda: agent.fit("CartPole-v1", steps=20, steps_per_epoch=20, **validation))
    names = [part.split(":")[0] for part in lines[-1].split(" - ")[1:]]
    assert names == ["episode_return", "val_episode_return"] and max(map(len, lines)) < 80
    assert float(lines[-1].split("val_episode_return: ")[1]) == agent.history.history["val_episode_return"][0]
    found = {}
    lines = drawn(monkeypatch, 80, lambda: found.update(agent.evaluate("CartPole-v1", episodes=3, verbose=1)))
    assert lines[-1].startswith("3/3 ━") and f"episode_return: {found['episode_return']:.4f}"[:17] in lines[-1]


def test_a_bar_of_several_environments_counts_their_last_step_into_the_next_epoch(small, monkeypatch):
    agent = small("dqn", start=1000)
    lines = drawn(monkeypatch, 80, lambda: agent.fit("CartPole-v1", steps=20, steps_per_epoch=10, n_envs=4))
    ends = [line for line in lines if line.startswith("10/10 ")]  # 12 and 20 timesteps
    assert len(ends) == 2 and all("─" not in line for line in ends) and agent.timesteps == 20
    assert [line[:6] for line in lines if line.startswith(" 2/10")]  # the second epoch has two of the first's last four


def test_a_bar_of_a_second_fit_has_no_loss_before_its_first_update(small, monkeypatch):
    agent = small("dqn", start=4, frequency=20, batch_size=4)
    agent.fit("CartPole-v1", steps=4, verbose=0)
    assert agent.updates > 0
    lines = drawn(monkeypatch, 80, lambda: agent.fit("CartPole-v1", steps=30, steps_per_epoch=15))
    losses = [line.split("loss: ")[1].split(" - ")[0] for line in lines if "loss" in line]
    assert losses[0] == "?" and float(losses[-1]) > 0 and "nan" not in losses  # the next update is at 24


def test_an_error_begins_a_line_of_its_own(small, monkeypatch):
    agent = small("dqn", start=4, frequency=4, batch_size=4)

    class Stop(kagent.callbacks.Callback):
        def on_timestep_end(self, timestep, logs=None):
            if timestep == 14:
                raise KeyboardInterrupt

    def fit():
        with pytest.raises(KeyboardInterrupt):
            agent.fit("CartPole-v1", steps=100, callbacks=[Stop()])
        print("next")

    assert drawn(monkeypatch, 80, fit)[-1] == "next"


@pytest.mark.thorough
def test_a_bar_without_a_terminal(small, monkeypatch):
    class Collector:
        """What some notebooks and loggers put in the place of stdout."""

        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

    for out in (Collector(), None):
        monkeypatch.setattr("sys.stdout", out)
        small("dqn").fit("CartPole-v1", steps=20, steps_per_epoch=10)
        monkeypatch.undo()
        if out is not None:
            lines = out.text.splitlines()
            assert lines[::2] == ["Epoch 1/2", "Epoch 2/2"]
            assert all(line.startswith("10/10 ====") for line in lines[1::2]) and "\r" not in out.text


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
