"""What `compile` takes of Keras's losses and metrics."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from modes import VARIANTS

import kagent


class Largest(keras.metrics.Metric):
    """Of no registered class."""

    def __init__(self, name="largest", **kwargs):
        super().__init__(name=name, **kwargs)
        self.value = self.add_weight(name="value", initializer="zeros")

    def update_state(self, value):
        self.value.assign(keras.ops.maximum(self.value, value))

    def result(self):
        return keras.ops.copy(self.value)

    def reset_state(self):
        self.value.assign(0.0)


@keras.saving.register_keras_serializable("test_step_metrics")
class Objective(kagent.objectives.ActionValueObjective):
    """Logs known numbers, by kagent's train_step: of update u, from 0, u and twice u."""

    def update(self, agent, batch):
        now = tf.cast(agent.clock.updates, tf.float32)
        return {"loss": now, "twice": 2.0 * now}


MODE = pytest.mark.parametrize("mode", VARIANTS)


def options(mode):
    return {"run_eagerly": mode == "eager", "jit_compile": mode == "xla"}


@MODE
@pytest.mark.parametrize("steps", [1, 3])
def test_metrics_take_the_logs_of_gradient_steps(small, mode, steps):
    agent = small("dqn", objective=Objective(), frequency=8, gradient_steps=steps)  # updates at 16, 24; 32, 40
    agent.compile(metrics={"twice": [keras.metrics.Mean(name="mean"), Largest()], "loss": keras.metrics.Sum(name="sum")},
                  **options(mode))  # fmt: skip
    history = agent.fit("CartPole-v1", steps=40, steps_per_epoch=28, verbose=0).history
    first, second = np.arange(2 * steps), np.arange(2 * steps, 4 * steps)
    assert history["mean"] == [2 * first.mean(), 2 * second.mean()]
    assert history["largest"] == [2 * first.max(), 2 * second.max()]
    assert history["sum"] == [first.sum(), second.sum()]
    assert history["loss"] == [first.mean(), second.mean()] and history["twice"] == [
        2 * first.mean(),
        2 * second.mean(),
    ]


@pytest.mark.eager
@pytest.mark.parametrize("listed", [True, False])
def test_a_metric_of_a_logs_name_takes_its_place(small, listed):
    agent = small("dqn", objective=Objective(), frequency=8)
    metric = Largest(name="loss")
    agent.compile(metrics=[metric] if listed else metric, run_eagerly=True)
    history = agent.fit("CartPole-v1", steps=32, steps_per_epoch=32, verbose=0).history
    assert history["loss"] == [2.0]  # of 0, 1 and 2
    agent.compile(run_eagerly=True)  # and none, from here on
    assert metric not in agent.metrics


@pytest.mark.eager
@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (["mae"], TypeError, "'mae'"),
        ("accuracy", TypeError, "'accuracy'"),
        ([keras.metrics.MeanSquaredError()], ValueError, "'mean_squared_error', a MeanSquaredError of"),
        ([keras.metrics.Mean(name="a"), keras.metrics.Sum(name="a")], ValueError, "different names"),
        ({"loss": [keras.metrics.Mean(), 3]}, TypeError, "Received: 3"),
        ([len], TypeError, "len"),
    ],
)
def test_metrics_of_another_kind_are_refused(small, metrics, error, message):
    agent = small("dqn")
    with pytest.raises(error, match=f"(?s)`metrics`.*{message}"):
        agent.compile(metrics=metrics)
    agent.fit("CartPole-v1", steps=20, verbose=0)  # compiled as before


@pytest.mark.parametrize("eager", [True, False])
def test_a_metric_without_its_log_is_refused_before_any_update(small, eager):
    agent = small("dqn")
    agent.compile(metrics=[keras.metrics.Mean(name="accuracy")], run_eagerly=eager, jit_compile=False)
    with pytest.raises(ValueError, match=r"logs no 'accuracy'.*Logs: gradient_norm, loss, q_mean"):
        agent.fit("CartPole-v1", steps=20, verbose=0)
    assert agent.updates == 0


@pytest.mark.eager
@pytest.mark.parametrize(
    "given",
    [{"loss": "mse"}, {"loss_weights": [1.0]}, {"weighted_metrics": ["mae"]}, {"loss": "mse", "loss_weights": [1]}],
)
def test_losses_that_would_not_be_used_are_refused(small, given):
    with pytest.raises(ValueError, match=f"`{next(iter(given))}` is for a `train_step` of your own"):
        small("dqn").compile(**given)


class Guided(kagent.DQN):
    """A train_step as in Keras's guides."""

    def train_step(self, batch):
        def loss():
            values = self.policy.values(batch["observation"])
            return self.compute_loss(y=tf.zeros_like(values), y_pred=values), {}

        value, _ = self.minimize("policy", loss)
        values = self.policy.values(batch["observation"])
        return {**self.compute_metrics(batch, tf.zeros_like(values), values), "loss": value}


class Silent(Guided):
    def train_step(self, batch):
        return {"loss": tf.constant(0.0)}


@pytest.mark.eager
def test_a_train_step_of_the_users_own_has_keras_losses_and_metrics(small):
    agent = small(Guided)
    agent.compile(loss="mse", metrics=[keras.metrics.MeanAbsoluteError(name="size")], run_eagerly=True)
    history = agent.fit("CartPole-v1", steps=60, steps_per_epoch=30, verbose=0).history
    assert 0.0 < history["size"][-1] and 0.0 < history["loss"][-1]


@pytest.mark.eager
def test_metrics_that_such_a_train_step_does_not_log_are_refused(small):
    agent = small(Silent)
    agent.compile(metrics=[keras.metrics.MeanAbsoluteError(name="size")], run_eagerly=True)
    with pytest.raises(ValueError, match=r"compute_metrics.*\['size'\]"):
        agent.fit("CartPole-v1", steps=20, verbose=0)


@pytest.mark.eager
def test_metrics_go_to_files_as_far_as_these_can_name_them(small, tmp_path):
    agent = small("dqn")
    agent.compile(metrics={"loss": [keras.metrics.Mean(name="mean"), Largest()]}, run_eagerly=True)
    with pytest.warns(UserWarning, match="'largest' does not go to the file: register its class Largest"):
        agent.save(tmp_path / "agent.keras")
    loaded = kagent.load(tmp_path / "agent.keras")
    assert [metric.name for metric in loaded.metrics] == ["loss", "mean"]
    history = loaded.fit("CartPole-v1", steps=40, verbose=0).history
    assert history["mean"] == pytest.approx(history["loss"], rel=1e-6, nan_ok=True)


@pytest.mark.eager
def test_files_of_agents_that_were_compiled_with_losses_load(small):
    agent = small("dqn")
    with pytest.warns(UserWarning, match=r"left out: \['loss', 'metrics'\]"):
        agent.compile_from_config({"optimizer": "auto", "loss": "mse", "metrics": ["mae"], "steps_per_execution": 2})
    assert agent.steps_per_execution == 2
