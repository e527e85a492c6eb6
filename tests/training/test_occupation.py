"""What cannot be done with an agent, or an environment, that is in the middle of something."""

import gymnasium
import keras
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from toy_envs import Counter

import kagent
from kagent.training.episode_streams import OrderError

pytestmark = pytest.mark.eager

SEEN = np.zeros(3, np.float32)


def at(event, function):
    return keras.callbacks.LambdaCallback(**{event: lambda *_: function()})


def counting(small, **changes):
    return small("dqn", env=Counter((5,)), **{"start": 8, "batch_size": 4, "frequency": 10, **changes})


CHANGES = {
    "fit": lambda agent, path: agent.fit(Counter((5,)), steps=5, verbose=0),
    "pretrain": lambda agent, path: agent.pretrain(path, 1),
    "act": lambda agent, path: agent.act(SEEN),
    "observe": lambda agent, path: agent.observe(0.0),
    "experience": lambda agent, path: agent.experience([SEEN], [0], [1], [0.0]),
    "begin": lambda agent, path: agent.begin(steps=5),
    "compile": lambda agent, path: agent.compile(),
    "reschedule": lambda agent, path: agent.reschedule({"batch_size": 2}),
    "close": lambda agent, path: agent.close(),
    "load_weights": lambda agent, path: agent.load_weights(path / "a.weights.h5"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("files")
    agent = kagent.DQN(
        Counter((5,)), memory=100, batch_size=4, start=8, horizon=0, network={"type": "mlp", "units": [8]}, seed=0
    )
    agent.compile(run_eagerly=True, jit_compile=False)
    agent.fit(Counter((5,)), steps=10, verbose=0, callbacks=[kagent.callbacks.Recorder(path)])
    agent.save_weights(path / "a.weights.h5")
    return path


@pytest.mark.parametrize("method", CHANGES)
def test_what_changes_an_agent_is_refused_in_the_middle_of_its_fit(small, files, method):
    agent, caught = counting(small), []

    def attempt():
        with pytest.raises(OrderError, match=f"`{method}` of an agent cannot be called") as error:
            CHANGES[method](agent, files)
        caught.append(error)

    agent.fit(Counter((5,)), steps=20, steps_per_epoch=10, verbose=0, callbacks=[at("on_epoch_end", attempt)])
    assert len(caught) == 2 and agent.timesteps == 20 and agent.episodes == 4
    agent.act(SEEN)  # and afterwards it may be called


@pytest.mark.parametrize("method", ["fit", "act", "observe", "update"])
def test_an_environment_cannot_change_the_agent_that_walks_it(small, files, method):
    class Calling(Counter):
        def step(self, action):
            if self.time == 2:
                {**CHANGES, "update": lambda agent, path: agent.update()}[method](agent, files)
            return super().step(action)

    agent = counting(small)
    with pytest.raises(OrderError, match=f"`{method}`"):
        agent.fit(Calling((5,)), steps=20, verbose=0)
    assert agent.timesteps == 2  # which were taken, and are counted
    agent.fit(Counter((5,)), steps=10, verbose=0)  # nothing is left of it
    assert agent.timesteps == 12


def test_what_only_looks_goes_on_in_callbacks(small):
    looks = []

    def look(agent):
        agent.act(SEEN, deterministic=True)
        agent.act(SEEN, independent=True)
        looks.append(agent.evaluate(Counter((5,)), 1)["episode_length"])
        agent.set_weights(agent.get_weights())

    histories = []
    for looking in (False, True):
        agent = counting(small)
        callbacks = [at("on_epoch_end", lambda agent=agent: look(agent))] if looking else []
        histories.append(
            agent.fit(Counter((5,)), steps=30, steps_per_epoch=10, verbose=0, callbacks=callbacks).history["loss"]
        )
    assert looks == [5.0] * 3 and histories[0] == histories[1]


def test_updates_that_callbacks_ask_for_are_made(small):
    agent = counting(small, frequency="never")
    agent.fit(Counter((5,)), steps=30, steps_per_epoch=10, verbose=0, callbacks=[at("on_epoch_end", agent.update)])
    assert agent.updates == 3


def test_an_update_within_an_update_is_refused(small):
    class Again(kagent.callbacks.Callback):
        def on_update_begin(self, update, logs=None):
            self.model.update()

    agent = counting(small)
    with pytest.raises(OrderError, match="`update` of an agent cannot be called while its `update`"):
        agent.fit(Counter((5,)), steps=10, verbose=0, callbacks=[Again()])


@pytest.mark.parametrize("event", ["on_train_begin", "on_train_end"])
def test_a_file_may_be_loaded_where_training_begins_and_ends(small, files, event):
    agent = counting(small, memory=100)
    load = at(event, lambda: agent.load_weights(files / "a.weights.h5"))
    agent.fit(Counter((5,)), max_steps=20, verbose=0, callbacks=[load])
    assert agent.timesteps == {"on_train_begin": 20, "on_train_end": 10}[event]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_occupied_after_an_error(small, error):
    def stop():
        raise error("stop")

    agent, env = counting(small), Counter((5,))
    with pytest.raises(error):
        agent.fit(env, steps=20, steps_per_epoch=10, verbose=0, callbacks=[at("on_epoch_end", stop)])
    agent.compile(run_eagerly=True)
    agent.fit(env, steps=5, verbose=0)
    assert agent.evaluate(env, 1)["episode_length"] == 5.0


def test_training_from_a_dataset_is_one_of_these(small):
    agent = counting(small)
    agent.fit(Counter((5,)), steps=20, verbose=0)
    data, timesteps = agent.memory.dataset(4), agent.timesteps

    def attempt():
        with pytest.raises(OrderError, match="`act`"):
            agent.act(SEEN)
        agent.evaluate(Counter((5,)), 1)

    agent.fit(data, steps_per_epoch=2, epochs=1, verbose=0, callbacks=[at("on_epoch_end", attempt)])
    assert agent.timesteps == timesteps


# Environments ----------------------------------------------------------------------------------------------------


def vector(mode=AutoresetMode.SAME_STEP, **arguments):
    return SyncVectorEnv([lambda: Counter((5,), **arguments)] * 2, autoreset_mode=mode)


class Outer(gymnasium.Wrapper):
    pass


@pytest.mark.parametrize(
    ("made", "again"),
    [
        (lambda: Counter((5,)), lambda env: env),
        (lambda: Counter((5,)), lambda env: Outer(Outer(env))),
        (lambda: Outer(Counter((5,))), lambda env: env.unwrapped),
        (lambda: Counter((5,)), lambda env: lambda: Outer(env)),
        (vector, lambda env: env),
        (vector, lambda env: env.envs[1]),
        (vector, lambda env: gymnasium.wrappers.vector.RecordEpisodeStatistics(env)),
    ],
)
@pytest.mark.parametrize("whose", ["own", "another's"])
def test_an_environment_that_is_walked_cannot_be_evaluated_in(small, made, again, whose):
    env, agent = made(), counting(small)
    other, seen = agent if whose == "own" else counting(small), []

    def attempt():
        with pytest.raises(ValueError, match="`fit` is in the middle of"):
            other.evaluate(again(env), 1)
        seen.append(agent.episodes)

    agent.fit(env, steps=20, steps_per_epoch=10, verbose=0, callbacks=[at("on_epoch_end", attempt)])
    assert agent.timesteps == 20 and agent.episodes == 4  # none was broken off
    assert seen == [2, 4]
    assert agent.evaluate(again(env), 1)["episode_length"] == 5.0  # nobody is in it any more


def test_the_environment_of_validation_is_another_one(small):
    env, agent = Counter((5,)), counting(small)
    with pytest.raises(ValueError, match="`fit` is in the middle of: `validation`"):
        agent.fit(env, steps=10, verbose=0, validation_env=lambda: Outer(env), validation_episodes=1)
    assert agent.timesteps == 0


class AtTests(keras.callbacks.Callback):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_test_batch_end(self, batch, logs=None):
        self.function()


def test_the_environment_of_validation_cannot_be_evaluated_in_meanwhile(small):
    agent, validation, caught = counting(small), Counter((5,)), []

    def attempt():
        with pytest.raises(ValueError, match="`evaluate` is in the middle of"):
            agent.evaluate(validation, 1)
        caught.append(True)

    agent.fit(Counter((5,)), steps=10, steps_per_epoch=10, verbose=0, validation_env=validation, validation_episodes=2,
              callbacks=[AtTests(attempt)])  # fmt: skip
    assert caught == [True, True]


def test_a_callable_that_returns_one_environment_in_many_wrappers_is_refused(small):
    shared, agent = Counter((5,)), counting(small)
    with pytest.raises(ValueError, match=r"must make a new one. Received: one env twice"):
        agent.fit(lambda: Outer(shared), steps=10, n_envs=2, verbose=0)
    with pytest.raises(ValueError, match=r"different ones. Received: .* as environments 0 and 1"):
        agent.fit(SyncVectorEnv([lambda: Outer(shared)] * 2), steps=10, verbose=0)
    with pytest.raises(ValueError, match="one env twice"):
        agent.evaluate(lambda: Outer(shared), 2, n_envs=2)
