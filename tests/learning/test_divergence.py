"""Training that has diverged ends with an error that says where."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import kagent
from kagent.learning.divergence import DivergenceError, check_losses

SGD = keras.optimizers.SGD


class Broken(kagent.DQN):
    """Its loss is NaN from the third gradient step on."""

    def train_step(self, batch):
        logs = super().train_step(batch)
        bad = tf.cast(self.clock.updates, tf.int32) >= 2
        return {**logs, "loss": tf.where(bad, float("nan"), logs["loss"])}


def test_the_message_names_step_role_and_the_first_log():
    sgd = SGD()
    check_losses({"loss": 1.0, "entropy": math.nan}, 1, sgd)  # what is no loss may be anything
    check_losses({"own": math.inf}, 1, sgd)
    with pytest.raises(DivergenceError, match=r"role 'policy' is not finite after gradient step 3.*: loss=nan$"):
        check_losses({"loss": math.nan, "q_mean": 1.0}, 3, sgd)
    logs = {"loss": math.inf, "q_mean": math.nan, "critic_loss": math.inf, "policy_loss": 1.0}
    with pytest.raises(DivergenceError, match=r"role 'critic' is not finite after gradient step 4.*: q_mean=nan$"):
        check_losses(logs, 4, sgd)
    with pytest.raises(DivergenceError, match=r"role 'temperature' is not finite.*: temperature_loss=nan$"):
        check_losses({"loss": 1.0, "temperature_loss": math.nan}, 1, sgd)
    with pytest.raises(DivergenceError, match="role 'critic' is not finite"):
        check_losses({"loss": math.nan, "critic_regularization_loss": math.nan, "policy_loss": 1.0}, 5, sgd)
    with pytest.raises(DivergenceError, match="role 'policy' is not finite"):
        check_losses({"loss": math.nan, "regularization_loss": math.nan}, 5, sgd)
    with pytest.raises(DivergenceError, match="Adafactor gives NaN where a row and a column of a gradient are zero"):
        check_losses({"loss": math.nan}, 1, keras.optimizers.Adafactor())


@pytest.mark.parametrize("jit", [False, True])
def test_fit_ends_before_anything_of_the_update_is_saved(small, tmp_path, jit):
    class Saving(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            updates.append(self.model.updates)

    updates = []
    agent = small(Broken, jit=jit)
    saver = kagent.callbacks.Checkpoint(tmp_path, "run", frequency=None)
    with pytest.raises(DivergenceError, match="after gradient step 3"):
        agent.fit("CartPole-v1", steps=100, steps_per_epoch=100, verbose=0, callbacks=[Saving(), saver])
    assert updates == [1, 2] and not list(tmp_path.glob("*.h5"))


@pytest.mark.eager
def test_loops_of_ones_own_and_updates_that_are_asked_for(small):
    agent = small(Broken, frequency="never")
    agent.fit("CartPole-v1", steps=20, verbose=0)
    agent.update(), agent.update()
    with pytest.raises(DivergenceError, match="after gradient step 3"):
        agent.update()


@pytest.mark.eager
def test_offline_data(small):
    batch = {
        "observation": np.zeros((4, 4), np.float32), "action": np.zeros(4, np.int32),
        "reward": np.full(4, 1e38, np.float32), "terminated": np.zeros(4, bool),
        "truncated": np.zeros(4, bool), "next_observation": np.ones((4, 4), np.float32),
    }  # fmt: skip
    data = tf.data.Dataset.from_tensors(batch).repeat(3)
    agent = small("dqn", objective={"type": "action_value", "huber": None})
    with pytest.raises(DivergenceError, match=r"role 'policy' is not finite after gradient step 1"):
        agent.fit(data, verbose=0)


@pytest.mark.eager
def test_keras_terminate_on_nan_ends_training_as_in_keras(small):
    agent = small(Broken)
    agent.fit("CartPole-v1", steps=100, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert agent.updates == 3
    with pytest.raises(DivergenceError, match="after gradient step 4"):  # the next fit has no such callback
        agent.fit("CartPole-v1", steps=100, verbose=0)


@pytest.mark.eager
def test_an_optimizer_that_diverges(small):
    agent = small("dqn", optimizer=SGD(1e30), objective={"type": "action_value", "huber": None})
    with pytest.raises(DivergenceError, match="Training has diverged"):
        agent.fit("CartPole-v1", steps=200, verbose=0)


@pytest.mark.eager
def test_weights_that_are_not_finite_at_the_epochs_end(small):
    """The loss of the last update is that before its step: its weights are looked at too."""

    class Spoiled(kagent.DQN):
        def train_step(self, batch):
            logs = super().train_step(batch)
            self.policy.trainable_variables[0][0, 0].assign(math.inf)
            return logs

    agent, saved = small(Spoiled), []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: saved.append(epoch))
    with pytest.raises(DivergenceError, match=r"'policy/.*' of role 'policy' is not finite after gradient step 1"):
        agent.fit("CartPole-v1", updates=1, verbose=0, callbacks=[callback])
    assert not saved
