"""fit: its bounds, epochs, logs and refusals. Episodes have 4 steps, so that counts are known."""

import math

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from toy_envs import Counter

import kagent

pytestmark = pytest.mark.eager
TRACED = {"run_eagerly": False}  # what `train_step` logs is known before the first update


class Watched(Counter):
    """A Counter whose episodes are alike, that remembers how often it was reset and stepped, and if closed."""

    taken = resets = 0
    closed = False

    def step(self, action):
        self.taken += 1
        return super().step(action)

    def reset(self, **arguments):
        self.resets += 1
        self.episode = -1
        return super().reset(**arguments)

    def close(self):
        self.closed = True


@pytest.fixture
def env():
    return Watched(lengths=(4,))


@pytest.fixture
def agent(small, env):
    return small("dqn", env=env, start=10_000)


def counts(agent):
    return agent.timesteps, agent.episodes


def test_steps_and_episodes_add(agent, env):
    agent.fit(env, steps=10, verbose=0)
    assert counts(agent) == (10, 2)
    agent.fit(env, steps=10, verbose=0)
    assert counts(agent) == (20, 5)  # the open episode went on
    agent.fit(env, 2, verbose=0)
    assert counts(agent) == (22, 5)
    for number in (1, 2):
        agent.fit(env, episodes=3, verbose=0)
        assert counts(agent) == (20 + 12 * number, 5 + 3 * number)


def test_max_steps_and_max_episodes_are_absolute(agent, env):
    for _ in range(2):
        agent.fit(env, max_steps=10, verbose=0)
        assert counts(agent) == (10, 2)
    for _ in range(2):
        history = agent.fit(env, max_episodes=4, verbose=0)
        assert counts(agent) == (16, 4)
    assert history.history == {} and env.taken == 16 + 2  # beside 16 steps, 2 of the open episode, replayed once
    agent.fit(env, max_steps=5, verbose=0)
    assert counts(agent) == (16, 4)


@pytest.mark.parametrize(
    ("bounds", "reached"),
    [({"steps": 100, "episodes": 2}, (8, 2)), ({"steps": 5, "episodes": 2}, (5, 1)),
     ({"max_steps": 9, "episodes": 20}, (9, 2)), ({"steps": 9, "max_episodes": 1}, (4, 1)), ({"steps": 0}, (0, 0))],
)  # fmt: skip
def test_the_first_of_two_bounds_ends_it(agent, env, bounds, reached):
    agent.fit(env, **bounds, verbose=0)
    assert counts(agent) == reached


def test_numbers_that_are_whole_may_be_floats(agent, env):
    agent.fit(env, steps=1e1, verbose=0)
    assert agent.timesteps == 10


def test_vector_steps_may_overshoot_a_bound_and_count_every_environment(small):
    agent = small("dqn", env=Counter, start=10_000)
    agent.fit(lambda: Counter(lengths=(3, 5)), steps=10, n_envs=4, verbose=0)
    assert counts(agent) == (12, 4)  # 3 steps of 4 environments
    vector = gymnasium.vector.SyncVectorEnv([lambda: Counter(lengths=(3,))] * 2)
    agent.fit(vector, steps=14, verbose=0)  # its resets take steps of their own, which are no transitions
    assert counts(agent) == (12 + 14, 4 + 4)


def test_the_number_of_environments_may_change_between_fits(small):
    agent = small("ppo", n_steps=8, epochs=1)
    for count in (2, 1, 3):
        agent.fit("CartPole-v1", steps=48, n_envs=count, verbose=0)
    assert agent.timesteps == 144 and agent.updates == 18


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, ValueError, "bound"),
        ({"steps": 1, "max_steps": 1}, ValueError, "exclude"),
        ({"episodes": 1, "max_episodes": 1}, ValueError, "exclude"),
        *[({name: value}, ValueError, f"`{name}`")
          for name in ("steps", "max_steps", "episodes", "max_episodes")
          for value in (-1, 2.5, "9", True, math.nan, math.inf)],
        *[({"steps": 9, "steps_per_epoch": value}, ValueError, "steps_per_epoch") for value in (0, -1, 1.5, "9")],
        ({"steps": 9, "initial_epoch": -1}, ValueError, "initial_epoch"),
        ({"steps": 9, "initial_epoch": "1"}, ValueError, "initial_epoch"),
        ({"steps": 9, "validation_episodes": 0}, ValueError, "validation_episodes"),
        ({"steps": 9, "validation_freq": 0}, ValueError, "validation_freq"),
        ({"steps": 9, "validation_env": "CartPole-v1"}, ValueError, "observation_space"),
        ({"steps": 9, "n_envs": 0}, ValueError, "n_envs"),
        ({"steps": 9, "n_envs": 2}, ValueError, "n_envs"),
        *[({"epochs": value}, ValueError, "epochs") for value in (-1, 1.5, "9", True)],
        ({"steps": 9, "batch_size": 2}, TypeError, "batch_size"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_arguments_are_refused_before_any_step(agent, env, arguments, error, said):
    with pytest.raises(error, match=said):
        agent.fit(env, verbose=0, **arguments)
    assert (env.taken, env.resets, agent.timesteps) == (0, 0, 0)


def test_a_refusal_loses_nothing(agent, env):
    agent.fit(env, steps=6, verbose=0)
    with pytest.raises(ValueError, match="observation_space"):
        agent.fit("CartPole-v1", steps=6, verbose=0)
    seeds = list(env.seeds)
    agent.fit(env, steps=2, verbose=0)
    assert counts(agent) == (8, 2) and env.seeds[len(seeds)] == seeds[-1]  # the open episode went on


def test_validation_may_not_take_place_in_the_training_environment(agent, env):
    for other in (env, gymnasium.wrappers.TimeLimit(env, 9)):
        with pytest.raises(ValueError, match="validation_env"):
            agent.fit(env, steps=9, validation_env=other, verbose=0)
    assert env.taken == 0


def test_environments_are_closed_if_they_were_made_here(small, env):
    made = []

    def make():
        made.append(Watched(lengths=(4,)))
        return made[-1]

    agent = small("dqn", env=env, start=10_000)
    agent.fit(make, steps=8, n_envs=2, validation_env=make, validation_episodes=1, verbose=0)
    assert len(made) == 3 and all(one.closed for one in made)
    agent.fit(env, steps=3, verbose=0)
    assert not env.closed


@pytest.mark.eager(as_users=True)
def test_epochs_are_of_equal_length_and_log_the_same_keys(small):
    agent = small("dqn", start=40, compiled=TRACED)
    history = agent.fit("CartPole-v1", steps=100, steps_per_epoch=16, verbose=0)
    assert history.epoch == list(range(7)) and history is agent.history
    logs = history.history
    assert set(logs) == {"loss", "q_mean", "gradient_norm", "episode_return", "episode_length", "episodes", "timesteps",
                         "updates", "steps_per_second"}  # fmt: skip
    assert {len(values) for values in logs.values()} == {7}
    assert logs["timesteps"] == [16, 32, 48, 64, 80, 96, 100]
    assert logs["updates"] == [0, 0, 3, 7, 11, 15, 16]
    assert all(isinstance(value, float) for values in logs.values() for value in values)


@pytest.mark.eager(seldom=True)
@pytest.mark.parametrize(
    ("kind", "roles"), [("ppo", {"policy", "critic"}), ("sac", {"policy", "critic", "temperature"})]
)
def test_every_role_logs_its_loss(small, kind, roles):
    agent = small(kind)
    env = {"ppo": "CartPole-v1", "sac": "Pendulum-v1"}[kind]
    logs = agent.fit(env, steps=32, verbose=0).history
    assert {f"{role}_loss" for role in roles} | {"loss", "entropy", "episode_return"} <= set(logs)


@pytest.mark.eager(as_users=True)
def test_the_default_epoch_is_a_tenth_of_the_bound(agent, env):
    assert agent.fit(env, steps=100, verbose=0).history["timesteps"] == list(range(10, 101, 10))
    assert agent.fit(env, max_steps=150, verbose=0).history["timesteps"] == list(range(105, 151, 5))
    assert len(agent.fit(env, episodes=300, verbose=0).epoch) == 2  # some 1,200 timesteps in epochs of 1,000


def test_returns_and_lengths_are_means_over_the_epoch(small):
    env = Counter(lengths=(3, 5, 1))
    agent = small("dqn", env=env, start=10_000, exploration=0.0)
    returns = []

    class Listen(kagent.callbacks.Callback):
        def on_episode_end(self, episode, logs=None):
            returns.append(logs["episode_return"])

    logs = agent.fit(env, steps=12, steps_per_epoch=2, verbose=0, callbacks=[Listen()]).history
    assert logs["episodes"] == [0, 1, 1, 2, 3, 4]  # ends at 3, 8, 9, 12
    assert logs["episode_length"][1:] == [3, 3, 5, 1, 3] and math.isnan(logs["episode_length"][0])
    expected = [math.nan, returns[0], returns[0], returns[1], returns[2], returns[3]]
    np.testing.assert_allclose(logs["episode_return"], expected)


@pytest.mark.eager(as_users=True)
def test_an_epoch_without_updates_repeats_what_is_known(small):
    agent = small("ppo", n_steps=24, compiled=TRACED)
    logs = agent.fit("CartPole-v1", steps=96, steps_per_epoch=12, verbose=0).history
    assert math.isnan(logs["loss"][0]) and math.isnan(logs["entropy"][0])
    assert all(math.isfinite(value) for name in ("loss", "entropy") for value in logs[name][1:])
    assert logs["loss"][1] == logs["loss"][2] != logs["loss"][3] == logs["loss"][4]


def test_stop_training_ends_it_in_mid_episode_and_fit_goes_on_from_there(agent, env):
    class Stop(kagent.callbacks.Callback):
        def on_timestep_end(self, timestep, logs=None):
            self.model.stop_training = timestep == 6

    history = agent.fit(env, steps=100, verbose=0, callbacks=[Stop()])
    assert counts(agent) == (6, 1) and env.taken == 6 and len(history.epoch) == 1
    agent.fit(env, steps=2, verbose=0)
    assert counts(agent) == (8, 2)


@pytest.mark.parametrize("event", ["on_train_batch_end", "on_epoch_end", "on_train_begin"])
def test_stop_training_is_obeyed_wherever_it_is_set(small, event):
    agent = small("dqn")
    stop = keras.callbacks.LambdaCallback(**{event: lambda *_, **__: setattr(agent, "stop_training", True)})
    agent.fit("CartPole-v1", steps=100, steps_per_epoch=20, verbose=0, callbacks=[stop])
    assert agent.timesteps == {"on_train_batch_end": 16, "on_epoch_end": 20, "on_train_begin": 0}[event]


def test_initial_epoch_numbers_the_epochs(agent, env, capsys):
    history = agent.fit(env, steps=30, steps_per_epoch=10, initial_epoch=4, verbose=2)
    assert history.epoch == [4, 5, 6] and history.params["epochs"] == 7
    assert "Epoch 5/7" in capsys.readouterr().out


def test_keras_max_epochs_caps_a_debugging_run(agent, env):
    keras.config.set_max_epochs(2)
    try:
        assert agent.fit(env, steps=100, steps_per_epoch=10, verbose=0).epoch == [0, 1]
    finally:
        keras.config.set_max_epochs(None)
    assert agent.timesteps == 20


@pytest.mark.parametrize(("frequency", "validated"), [(1, [0, 1, 2, 3]), (2, [1, 3]), ([1, 4], [0, 3])])
def test_validation_is_logged_where_it_takes_place(small, frequency, validated):
    env, seen = Counter(lengths=(3,)), []
    log = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs)) if "val_episode_return" in logs else None
    )
    agent = small("dqn", env=env, start=10_000)
    agent.fit(env, steps=20, steps_per_epoch=5, validation_env=lambda: Counter(lengths=(7,)),
              validation_episodes=2, validation_freq=frequency, callbacks=[log], verbose=0)  # fmt: skip
    assert [epoch for epoch, _ in seen] == validated
    assert {logs["val_episode_length"] for _, logs in seen} == {7.0}
    assert counts(agent) == (20, 6)  # of training alone


@pytest.mark.eager(seldom=True)
@pytest.mark.parametrize("kind", ["dqn", "ppo"])
def test_equal_seeds_give_equal_runs_whatever_is_validated(small, kind):
    runs = []
    for validation in (None, "CartPole-v1"):
        agent = small(kind, seed=3)
        logs = agent.fit("CartPole-v1", steps=96, steps_per_epoch=32, validation_env=validation,
                         validation_episodes=2, verbose=0).history  # fmt: skip
        runs.append((logs["episode_return"], logs["loss"], agent.get_weights()))
    assert runs[0][:2] == runs[1][:2]
    assert all((a == b).all() for a, b in zip(runs[0][2], runs[1][2]))
    other = small(kind, seed=4)
    assert any((a != b).any() for a, b in zip(other.get_weights(), runs[0][2]))


@pytest.mark.eager(seldom=True)
def test_one_fit_of_many_steps_equals_many_fits_of_few(small):
    whole, parts = small("dqn", seed=5, exploration=0.3), small("dqn", seed=5, exploration=0.3)
    whole.fit("CartPole-v1", steps=90, verbose=0)
    for _ in range(3):
        parts.fit("CartPole-v1", steps=30, verbose=0)
    assert counts(whole) == counts(parts) and whole.updates == parts.updates
    assert all((a == b).all() for a, b in zip(whole.get_weights(), parts.get_weights()))


# In the words of Keras ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "steps", "epochs"),
    [
        ({"epochs": 3, "steps_per_epoch": 4}, 12, [0, 1, 2]),
        ({"epochs": 5, "steps_per_epoch": 4, "initial_epoch": 3}, 8, [3, 4]),
        ({"epochs": 2, "initial_epoch": 2, "steps_per_epoch": 4}, 0, []),
        ({"epochs": 0, "steps_per_epoch": 4}, 0, []),
        ({"epochs": 4, "steps": 10}, 10, [0, 1, 2, 3]),  # of 3 timesteps, and of what is left
        ({"epochs": 4, "steps": 10, "steps_per_epoch": 4}, 10, [0, 1, 2]),
        ({"epochs": 2, "steps": 10, "steps_per_epoch": 4}, 8, [0, 1]),
        ({"epochs": 2, "episodes": 1, "steps_per_epoch": 4}, 5, [0, 1]),
    ],
)
def test_epochs_are_a_bound(agent, given, steps, epochs):
    history = agent.fit(Counter((5,)), verbose=0, **given)
    assert agent.timesteps == steps and history.epoch == epochs


def test_epochs_of_episodes_are_a_bound_too(agent):
    history = agent.fit(Counter((5,)), epochs=3, steps_per_epoch="episode", verbose=0)
    assert counts(agent) == (15, 3) and history.epoch == [0, 1, 2]


def test_an_epoch_of_which_nothing_is_said_is_a_thousand_timesteps():
    from kagent.config import run_length as bounds
    from kagent.training.counters import Counters

    end, per_epoch, number = bounds.of_fit(Counters(), {"steps": None}, None, 2, 0)
    assert (end.timesteps, per_epoch, number) == (2000, 1000, 2)


ROWS, TARGETS = np.zeros((4, 4), np.float32), np.zeros(4)


@pytest.mark.parametrize(
    "call",
    [
        lambda agent: agent.fit(ROWS, TARGETS),
        lambda agent: agent.fit(x=ROWS, y=TARGETS, epochs=2),
        lambda agent: agent.fit((ROWS, TARGETS), steps=5),
        lambda agent: agent.fit(keras.ops.zeros((4, 4)), TARGETS),
        lambda agent: agent.fit([[0.0] * 4], [0.0], batch_size=2),
        lambda agent: agent.fit(Counter((5,)), steps=5, validation_data=(ROWS, TARGETS)),
        lambda agent: agent.fit(tf.data.Dataset.from_tensors((ROWS, TARGETS))),
        lambda agent: agent.fit(tf.data.Dataset.from_tensors(ROWS)),
        lambda agent: agent.evaluate(ROWS, TARGETS),
        lambda agent: agent.evaluate(x=ROWS, y=TARGETS),
        lambda agent: agent.train_on_batch(ROWS, TARGETS),
        lambda agent: agent.test_on_batch(ROWS, TARGETS),
    ],
)
def test_data_in_the_place_of_an_environment_gets_the_answer(agent, call):
    with pytest.raises(TypeError, match=r"an agent learns from an environment.*agent.fit\(\"CartPole-v1\""):
        call(agent)
    assert agent.timesteps == 0


@pytest.mark.parametrize("name", ["validation_data", "class_weight", "batch_size", "sample_weight"])
def test_keras_arguments_that_mean_nothing_for_a_dataset_of_transitions_are_refused(agent, name):
    agent.fit(Counter((5,)), steps=20, verbose=0)
    with pytest.raises(ValueError, match=f"A dataset.*{name}"):
        agent.fit(agent.memory.dataset(4), steps_per_epoch=1, verbose=0, **{name: 1})


@pytest.mark.parametrize("name", ["epochs", "steps_per_epoch"])
def test_epochs_of_a_dataset_are_checked(agent, name):
    agent.fit(Counter((5,)), steps=20, verbose=0)
    with pytest.raises(ValueError, match=f"`{name}` must be an integer"):
        agent.fit(agent.memory.dataset(4), verbose=0, **{"steps_per_epoch": 1, name: "episode"})


def test_evaluate_refuses_what_it_does_not_know(agent):
    with pytest.raises(TypeError, match="unexpected keyword argument 'steps'"):
        agent.evaluate(Counter((5,)), steps=3)
