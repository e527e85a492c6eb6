"""A `train_step` of one's own, what it logs, steps_per_execution, and training from a dataset."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_envs import Counter
from variants import thorough

import kagent


class Doubled(kagent.DQN):
    """Overrides `train_step` alone."""

    def train_step(self, batch):
        def loss():
            q = self.policy.values(batch["observation"])
            return 2.0 * tf.reduce_mean(tf.square(q)), {}

        value, _ = self.minimize("policy", loss)
        return {"loss": value, "mine": tf.reduce_max(batch["reward"])}


class Batches(keras.callbacks.Callback):
    """Keeps (timesteps, updates, logs) at the end of each batch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((self.model.timesteps, self.model.updates, dict(logs)))


@pytest.mark.parametrize("jit", [False, True])
def test_a_subclass_needs_only_train_step(small, jit):
    agent = small(Doubled, jit=jit, gradient_steps=4, learning_rate=1e-2)
    history = agent.fit("CartPole-v1", steps=300, steps_per_epoch=60, verbose=0).history
    assert {"loss", "mine", "episode_return"} <= set(history) and "q_mean" not in history
    assert history["mine"] == [1.0] * 5
    assert history["loss"][-1] < history["loss"][0] / 4  # it minimizes what it says


@pytest.mark.parametrize("count", [1, 4])
def test_plain_values_are_averaged_over_steps_and_epoch(small, count):
    class Times(kagent.DQN):
        def train_step(self, batch):
            return {"loss": tf.cast(self.clock.updates, tf.float32), "other": 2.0 * self.clock.updates}

    batches = Batches()
    agent = small(Times, frequency=4, gradient_steps=count)
    history = agent.fit("CartPole-v1", steps=56, steps_per_epoch=28, verbose=0, callbacks=[batches]).history
    first = np.arange(4 * count)  # updates are due at 16, 20, 24, 28; then at 32 ... 56
    second = np.arange(4 * count, 11 * count)
    np.testing.assert_allclose(history["loss"], [first.mean(), second.mean()], rtol=1e-6)
    np.testing.assert_allclose(history["other"], [2 * first.mean(), 2 * second.mean()], rtol=1e-6)
    assert batches.seen[1][2]["loss"] == np.arange(count, 2 * count).mean()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("count", [1, 4])
def test_a_keras_metric_speaks_for_the_epoch_so_far(small, jit, count):
    class Metered(kagent.DQN):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.meter = keras.metrics.Mean(name="meter")
            self.peak = keras.metrics.MeanSquaredError(name="error")

        def train_step(self, batch):
            now = tf.cast(self.clock.updates, tf.float32)
            self.meter.update_state(now)
            self.peak.update_state([[0.0]], [[now]])
            return {"loss": now, "meter": self.meter.result(), "error": self.peak.result()}

    batches = Batches()
    agent = small(Metered, jit=jit, gradient_steps=count)
    history = agent.fit("CartPole-v1", steps=56, steps_per_epoch=28, verbose=0, callbacks=[batches]).history
    first, second = np.arange(4 * count), np.arange(4 * count, 11 * count)
    np.testing.assert_allclose(history["meter"], [first.mean(), second.mean()], rtol=1e-6)
    np.testing.assert_allclose(history["error"], [(first**2).mean(), (second**2).mean()], rtol=1e-6)
    np.testing.assert_allclose(history["loss"], [first.mean(), second.mean()], rtol=1e-6)
    assert batches.seen[1][2]["meter"] == np.arange(2 * count).mean()  # all since the epoch began


def test_the_train_step_of_keras_own_guide_logs_its_loss_metric(small):
    """`self.metrics` has Keras's loss tracker: updated by hand, it speaks for the epoch as in Keras."""

    class Guided(kagent.DQN):
        def train_step(self, batch):
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(tf.cast(self.clock.updates, tf.float32))
            return {metric.name: metric.result() for metric in self.metrics}

    batches = Batches()
    agent = small(Guided, gradient_steps=3)
    history = agent.fit("CartPole-v1", steps=56, steps_per_epoch=28, verbose=0, callbacks=[batches]).history
    np.testing.assert_allclose(history["loss"], [np.arange(12).mean(), np.arange(12, 33).mean()], rtol=1e-6)
    assert [logs["loss"] for _, _, logs in batches.seen[:2]] == [1.0, 2.5]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("dqn", {"frequency": 1, "gradient_steps": 2}),
        thorough(("dqn", {"frequency": 4})),
        thorough(("ppo", {"n_steps": 8, "n_envs": 2})),
    ],
)
def test_steps_per_execution_runs_due_updates_together(small, kind, changes):
    seen = {}
    for n in (1, 3):
        batches = seen[n] = Batches()
        agent = small(kind, compiled={"steps_per_execution": n}, **changes)
        agent.fit("CartPole-v1", steps=160, verbose=0, callbacks=[batches])
    assert len(seen[3].seen) == len(seen[1].seen) // 3
    updates = {timesteps: done for timesteps, done, _ in seen[1].seen}
    for number, (timesteps, done, _) in enumerate(seen[3].seen):
        assert done == updates[timesteps]  # as many as one by one would have made by now
        assert timesteps == seen[1].seen[3 * number + 2][0]  # the environment has gone ahead


def test_steps_per_execution_learns_from_every_rollout_it_holds(small):
    class Times(kagent.PPO):
        def train_step(self, batch):
            return {"loss": 0.0, "time": tf.reduce_mean(batch["observation"][:, 2])}

    env, batches = Counter(lengths=(1000,)), Batches()
    agent = small(Times, env=env, n_steps=4, batch_size=4, epochs=2, compiled={"steps_per_execution": 2})
    agent.fit(env, steps=24, verbose=0, callbacks=[batches])
    assert [(steps, logs["time"]) for steps, _, logs in batches.seen] == [(8, 3.5), (16, 11.5), (24, 19.5)]
    assert agent.updates == 12  # 6 rollouts, 2 epochs of one minibatch each


def test_due_updates_that_did_not_fill_an_execution_are_made_up_for(small):
    agent = small("dqn", frequency=1, start=1, batch_size=1, compiled={"steps_per_execution": 8})
    agent.fit("CartPole-v1", steps=12, verbose=0)
    assert agent.updates == 8
    agent.fit("CartPole-v1", steps=4, verbose=0)
    assert agent.updates == 16


def test_several_updates_due_at_one_step_of_many_environments_are_all_made(small):
    batches = Batches()
    agent = small("dqn", frequency=1, start=4, batch_size=4, n_envs=4)
    agent.fit("CartPole-v1", steps=40, steps_per_epoch=20, verbose=0, callbacks=[batches])
    assert agent.updates == 37  # 4, 5 ... 40, none left over at the end
    assert batches.seen[-1][0] == 40


def transitions(count, terminated=False):
    random = np.random.default_rng(0)
    return {
        "observation": random.normal(size=(count, 4)).astype(np.float32),
        "action": random.integers(0, 2, count).astype(np.int32),
        "reward": np.ones(count, np.float32),
        "terminated": np.full(count, terminated),
        "truncated": np.zeros(count, bool),
        "next_observation": random.normal(size=(count, 4)).astype(np.float32),
    }


@pytest.mark.parametrize("n", [1, 2])
def test_it_trains_from_a_dataset_as_a_keras_model_does(small, n, tmp_path):
    dataset = tf.data.Dataset.from_tensor_slices(transitions(64, True)).batch(8, drop_remainder=True)
    agent = small("dqn", learning_rate=1e-2, compiled={"steps_per_execution": n})
    csv = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = agent.fit(dataset, epochs=5, verbose=0, callbacks=[csv]).history
    assert len(history["loss"]) == 5 and history["loss"][-1] < history["loss"][0]
    assert (agent.updates, agent.timesteps, agent.episodes) == (40, 0, 0)
    assert (tmp_path / "log.csv").read_text().startswith("epoch,gradient_norm,loss,q_mean")
    assert agent.fit(dataset.repeat(), epochs=2, steps_per_epoch=4, verbose=0).epoch == [0, 1]
    assert agent.updates == 48


def test_targets_also_move_when_there_are_no_timesteps(small):
    """A target of period 8 timesteps, with an update of 2 steps every 4 timesteps, moves every 4 updates."""
    agent = small("dqn", target_update_period=8, frequency=4, gradient_steps=2)
    dataset = tf.data.Dataset.from_tensor_slices(transitions(64)).batch(8, drop_remainder=True)

    class Compare(keras.callbacks.Callback):
        same = []

        def on_train_batch_end(self, batch, logs=None):
            pairs = zip(self.model.policy.get_weights(), self.model.target_policy.get_weights())
            self.same.append(all((a == b).all() for a, b in pairs))

    agent.fit(dataset, epochs=1, verbose=0, callbacks=[Compare()])
    assert Compare.same == [False, False, False, True] * 2


@pytest.mark.parametrize("argument", ["steps", "max_steps", "episodes", "max_episodes", "n_envs"])
def test_a_dataset_takes_epochs_not_timesteps(small, argument):
    dataset = tf.data.Dataset.from_tensor_slices(transitions(8)).batch(8)
    with pytest.raises(ValueError, match=argument):
        small("dqn").fit(dataset, **{argument: 5})


def test_a_dataset_from_one_agents_memory_trains_another(small):
    first, second = small("dqn"), small("dqn", seed=1)
    first.fit("CartPole-v1", steps=100, verbose=0)
    history = second.fit(first.memory.dataset(batch_size=8), epochs=2, steps_per_epoch=10, verbose=0)
    assert np.isfinite(history.history["loss"]).all() and second.updates == 20


@pytest.mark.parametrize("radius, steps", [(0.0, 0), thorough((0.01, 2))])
def test_steps_that_the_optimizer_refuses_do_not_count(radius, steps):
    """Whether or not the step logs it: within a radius of 0 no step of the natural gradient makes the loss smaller."""

    class Terse(kagent.Agent):
        def train_step(self, batch):
            return {"loss": super().train_step(batch)["loss"]}

    agent = Terse(
        "CartPole-v1", objective="policy_gradient", memory={"type": "Rollout", "steps": 8},
        update={"unit": "timesteps", "batch_size": 8, "epochs": 1}, reward_estimation={"horizon": "episode"},
        policy={"network": {"type": "mlp", "units": [4]}}, exploration="Sampling",
        optimizer={"type": "natural_gradient", "learning_rate": radius}, seed=0,
    )  # fmt: skip
    agent.compile(jit_compile=False)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    assert agent.updates == steps


def test_a_log_called_accepted_is_only_a_log(small):
    """The optimizer's iterations decide which steps count; what a user's step logs does not."""

    class Chooses(kagent.DQN):
        def train_step(self, batch):
            return {**super().train_step(batch), "accepted": 0.0}

    agent = small(Chooses)
    history = agent.fit("CartPole-v1", steps=20, verbose=0).history
    assert agent.updates > 0 and history["accepted"][-1] == 0.0
