"""W&B, MLflow, pandas and polars with agents, offline. `pytest -m loggers`, where `pip install 'kagent[loggers]'` has put them."""

import json
import math
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from toy_envs import Counter

import kagent

pytestmark = [pytest.mark.loggers, pytest.mark.filterwarnings("ignore")]
KINDS = ["dqn", "ppo", "sac"]  # one optimizer, and one for each role


def fit(agent, kind, callbacks, **changes):
    env = "Pendulum-v1" if kind == "sac" else "CartPole-v1"
    arguments = {
        "steps": 60,
        "steps_per_epoch": 20,
        "validation_env": env,
        "validation_episodes": 1,
        "validation_freq": 2,
    }
    return agent.fit(env, callbacks=callbacks, verbose=0, **{**arguments, **changes}).history


# W&B -------------------------------------------------------------------------------------------------------


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A run of W&B that writes to a folder, and what was logged to it."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path))
    import wandb

    run = wandb.init(project="kagent", dir=tmp_path)
    yield run
    run.finish()


BLOCK = 1 << 15  # bytes


def records(path):
    """The records of an offline run's file: a log as LevelDB writes it, in blocks, behind a head of seven bytes."""
    data, place, found = path.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while place + 7 <= len(data):
        left = BLOCK - place % BLOCK
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        if left < 7 or kind == 0:
            place += left
            continue
        found += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield found
            found = b""


def logged(run, folder):
    """What was logged: one dict for each `wandb.log`."""
    from wandb.proto import wandb_internal_pb2

    run.finish()
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    deadline, found = time.monotonic() + 60, []
    while not any(record.HasField("exit") for record in found):  # another process writes them, this one last
        assert time.monotonic() < deadline
        time.sleep(0.05)
        found = [wandb_internal_pb2.Record.FromString(data) for data in records(path)]
    histories = [record.history.item for record in found if record.HasField("history")]
    return [{i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items} for items in histories]


@pytest.mark.parametrize("kind", KINDS)
def test_wandb_logs_every_epoch(small, kind, offline, tmp_path):
    from wandb.integration.keras import WandbMetricsLogger

    history = fit(small(kind), kind, [WandbMetricsLogger()])
    rows = [row for row in logged(offline, tmp_path) if "epoch/epoch" in row]
    assert [row["epoch/epoch"] for row in rows] == [0, 1, 2]
    assert [row["epoch/timesteps"] for row in rows] == history["timesteps"] == [20.0, 40.0, 60.0]
    assert [("epoch/val_episode_return" in row) for row in rows] == [False, True, False]
    assert rows[1]["epoch/val_episode_return"] == pytest.approx(history["val_episode_return"][0])
    for row, value in zip(rows, history["loss"]):
        assert row["epoch/loss"] == (pytest.approx(value) if math.isfinite(value) else "NaN")


@pytest.mark.parametrize("kind", KINDS)
def test_wandb_logs_batches_and_keeps_files(small, kind, offline, tmp_path):
    from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint

    path = tmp_path / "best.keras"
    best = WandbModelCheckpoint(str(path), monitor="episode_return", mode="max", save_best_only=True)
    agent = small(kind, start=4) if kind != "ppo" else small(kind)
    fit(agent, kind, [WandbMetricsLogger("batch"), best])
    rows = [row for row in logged(offline, tmp_path) if "batch/batch_step" in row]
    assert len(rows) > 1 and all("batch/loss" in row for row in rows)
    assert kagent.load(path).timesteps in (20, 40, 60)


# MLflow ----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    mlflow.set_experiment("kagent")
    yield mlflow.MlflowClient()
    mlflow.flush_async_logging()


@pytest.mark.parametrize("kind", KINDS)
def test_mlflow_logs_every_epoch(small, kind, store):
    import mlflow

    agent = small(kind)
    with mlflow.start_run() as run:
        history = fit(agent, kind, [mlflow.keras.MlflowCallback()])
    mlflow.flush_async_logging()
    found = lambda name: {m.step: m.value for m in store.get_metric_history(run.info.run_id, name)}  # noqa: E731
    assert found("timesteps") == {0: 20.0, 1: 40.0, 2: 60.0}
    np.testing.assert_allclose(list(found("episode_return").values()), history["episode_return"])
    assert found("val_episode_return") == {1: pytest.approx(history["val_episode_return"][0])}
    assert any(name.startswith("optimizer_") for name in store.get_run(run.info.run_id).data.params)


@pytest.mark.parametrize("kind", KINDS)
def test_mlflow_logs_steps_and_evaluations(small, kind, store):
    import mlflow

    agent = small(kind, start=4) if kind != "ppo" else small(kind)
    callback = mlflow.keras.MlflowCallback(log_every_epoch=False, log_every_n_steps=1)
    with mlflow.start_run() as run:
        fit(agent, kind, [callback])
        result = agent.evaluate("Pendulum-v1" if kind == "sac" else "CartPole-v1", episodes=2, callbacks=[callback])
    mlflow.flush_async_logging()
    metrics = store.get_run(run.info.run_id).data.metrics
    assert "loss" in metrics and metrics["validation_episode_return"] == pytest.approx(result["episode_return"])


# Frames ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.eager
def test_a_frame_of_a_history(small, library):
    agent = small("dqn", env=Counter(), start=10_000)
    history = agent.fit(
        Counter(lengths=(7,)), steps=20, steps_per_epoch=5, validation_env=Counter(lengths=(2,)), validation_episodes=1,
        validation_freq=2, verbose=0,
    )  # fmt: skip
    frame = kagent.history_frame(history, library)
    assert type(frame).__module__.split(".")[0] == library and frame.shape[0] == 4
    assert list(frame["timesteps"]) == [5, 10, 15, 20] and "int" in str(frame["timesteps"].dtype).lower()
    assert [math.isnan(value) for value in frame["val_episode_length"]] == [True, False, True, False]
    assert math.isnan(frame["episode_return"][0]) and frame["episode_length"][1] == 7.0


PROGRAM = """
import types
import kagent
history = types.SimpleNamespace(history={"a": [1.0]}, epoch=[0], params={})
print(type(kagent.history_frame(history)).__module__)
"""


def test_pandas_comes_first_where_both_are_there():
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("pandas")
