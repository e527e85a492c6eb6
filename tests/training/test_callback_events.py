"""What kagent's own Callback hears beside what Keras tells every callback."""

import gymnasium
import keras
import numpy as np
import pytest
from toy_envs import Counter

import kagent
from kagent.callbacks import Callback

pytestmark = pytest.mark.eager


class Alike(Counter):
    """A Counter whose episodes are alike, so that an open one can be brought back."""

    def reset(self, **arguments):
        self.episode = -1
        return super().reset(**arguments)


class Listener(Callback):
    """Writes down the agent's own events."""

    def __init__(self):
        super().__init__()
        self.begins, self.ends, self.steps, self.order = [], [], [], []

    def on_episode_begin(self, episode, logs=None):
        self.begins.append((episode, logs["env"]))
        self.order.append("begin")

    def on_episode_end(self, episode, logs=None):
        self.ends.append((episode, dict(logs)))
        self.order.append("end")

    def on_timestep_end(self, timestep, logs=None):
        self.steps.append((timestep, {name: values for name, values in logs.items()}))
        self.order.append("step")


def listen(small, env, steps, **arguments):
    listener = Listener()
    agent = small("dqn", env=Counter(), start=10_000, exploration=0.0)
    agent.fit(env, steps=steps, verbose=0, callbacks=[listener], **arguments)
    return agent, listener


def test_episodes_and_timesteps_of_one_environment(small):
    _, heard = listen(small, Counter(lengths=(2, 3)), 6)
    assert heard.order == ["begin", *["step"] * 2, "end", "begin", *["step"] * 3, "end", "begin", "step"]
    assert [number for number, _ in heard.begins] == [0, 1, 2]
    assert [number for number, _ in heard.ends] == [0, 1]
    assert [logs["episode_length"] for _, logs in heard.ends] == [2, 3]
    assert [timestep for timestep, _ in heard.steps] == [1, 2, 3, 4, 5, 6]
    rewards = np.concatenate([logs["reward"] for _, logs in heard.steps])
    assert rewards.shape == (6,)
    returns = [logs["episode_return"] for _, logs in heard.ends]
    np.testing.assert_allclose(returns, [rewards[:2].sum(), rewards[2:5].sum()])
    assert [bool(logs["terminated"][0]) for _, logs in heard.steps] == [False, True, False, False, True, False]
    assert not any(logs["truncated"][0] for _, logs in heard.steps)


def test_several_environments_are_told_apart(small):
    lengths = iter([2, 3])
    _, heard = listen(small, lambda: Counter(lengths=(next(lengths),)), 12, n_envs=2)
    assert sorted(heard.begins[:2]) == [(0, 0), (0, 1)]
    assert [timestep for timestep, _ in heard.steps] == [2, 4, 6, 8, 10, 12]
    assert all(logs["reward"].shape == (2,) for _, logs in heard.steps)
    assert [(number, logs["env"], logs["episode_length"]) for number, logs in heard.ends] == [
        (0, 0, 2), (1, 1, 3), (2, 0, 2), (3, 0, 2), (4, 1, 3),
    ]  # fmt: skip


def test_steps_that_only_reset_are_not_timesteps(small):
    """A vector environment that resets in a step of its own."""
    vector = gymnasium.vector.SyncVectorEnv([lambda: Counter(lengths=(2,))] * 2)
    agent, heard = listen(small, vector, 8)
    assert agent.timesteps == 8 and agent.episodes == 4
    assert [logs["episode_length"] for _, logs in heard.ends] == [2] * 4
    assert [timestep for timestep, _ in heard.steps] == [2, 4, 4, 6, 8]
    np.testing.assert_array_equal(heard.steps[2][1]["reward"], [0.0, 0.0])


def test_masks_before_and_after_every_step(small):
    _, heard = listen(small, Counter(lengths=(4,), masked=True), 2)
    logs = heard.steps[-1][1]  # of the last step, which no other has overwritten
    for name, time in (("action_mask", 1), ("next_action_mask", 2)):
        (mask,) = logs[name]
        assert mask.tolist() == [[i in (time % 3, (time + 1) % 3) for i in range(3)]]
    _, heard = listen(small, Counter(), 1)
    assert heard.steps[0][1]["action_mask"] is heard.steps[0][1]["next_action_mask"] is None


def test_logs_are_the_callbacks_own(small):
    """What is kept of one timestep is not changed by the next, nor is what other callbacks see."""

    class Vandal(Callback):
        def on_episode_end(self, episode, logs=None):
            logs.clear()

    listener = Listener()
    agent = small("dqn", env=Counter(), start=10_000)
    agent.fit(Counter(lengths=(2,)), steps=6, verbose=0, callbacks=[Vandal(), listener])
    assert [logs["episode_length"] for _, logs in listener.ends] == [2, 2, 2]
    assert len({float(logs["reward"][0]) for _, logs in listener.steps}) == 6


def test_an_event_that_nobody_overrides_is_not_called(small, monkeypatch):
    def fail(*arguments, **named):
        raise AssertionError("called although it is not overridden")

    class Ends(Callback):
        heard = 0

        def on_episode_end(self, episode, logs=None):
            self.heard += 1

    for event in ("on_episode_begin", "on_timestep_end"):
        monkeypatch.setattr(Callback, event, fail)
    ends = Ends()
    small("dqn", env=Counter(), start=10_000).fit(
        Counter(lengths=(2,)), steps=6, verbose=0, callbacks=[ends, Callback()]
    )
    assert ends.heard == 3 and ends.overrides("on_episode_end") and not ends.overrides("on_timestep_end")


def test_an_episode_that_goes_on_in_the_next_fit_does_not_begin_again(small):
    agent, env = small("dqn", env=Counter(), start=10_000), Alike(lengths=(4,))
    agent.fit(env, steps=6, verbose=0)
    listener = Listener()
    agent.fit(env, steps=3, verbose=0, callbacks=[listener])
    assert listener.begins == [(2, 0)] and listener.ends[0][1]["episode_length"] == 4


def test_they_are_keras_callbacks_too(small):
    class Both(Callback):
        heard = []

        def on_train_begin(self, logs=None):
            self.heard.append(self.model)

        def on_episode_end(self, episode, logs=None):
            self.model.stop_training = True

    agent = small("dqn")
    agent.fit("CartPole-v1", steps=1000, verbose=0, callbacks=[Both()])
    assert Both.heard == [agent] and agent.episodes == 1 and agent.timesteps < 1000


def test_updates_are_told_when_the_agent_has_learned(small):
    class Updates(Callback):
        heard = []

        def on_update_end(self, update, logs=None):
            self.heard.append((update, self.model.timesteps, logs.pop("loss") >= 0))

    agent = small("dqn", start=8, frequency=4, gradient_steps=2, n_envs=8)
    history = agent.fit("CartPole-v1", steps=24, verbose=0, callbacks=[Updates(), Updates()])
    # Two in each step of eight environments, of two gradient steps; each told twice, with logs of its own.
    told = [(2, 8, True), (4, 16, True), (6, 16, True), (8, 24, True), (10, 24, True)]
    assert Updates.heard == [entry for entry in told for _ in range(2)] and "loss" in history.history


def test_the_beginnings_of_updates_are_told_and_those_a_callback_asks_for(small):
    class Updates(Callback):
        def __init__(self):
            super().__init__()
            self.heard = []

        def on_update_begin(self, update, logs=None):
            self.heard.append(("begin", update, self.model.timesteps))

        def on_update_end(self, update, logs=None):
            self.heard.append(("end", update, self.model.timesteps))

        def on_requested_update_end(self, update, logs=None):
            assert logs["loss"] >= 0
            self.heard.append(("asked", update, self.model.timesteps))

        def on_timestep_end(self, timestep, logs=None):
            if timestep == 10:
                self.model.update()

    listener = Updates()
    agent = small("dqn", start=8, frequency=4, gradient_steps=2)
    agent.fit("CartPole-v1", steps=12, verbose=0, callbacks=[listener])
    due = [("begin", 0, 8), ("end", 2, 8), ("begin", 4, 12), ("end", 6, 12)]
    assert listener.heard == [*due[:2], ("begin", 2, 10), ("asked", 4, 10), *due[2:]]
    agent.update()  # outside of fit nobody listens
    assert len(listener.heard) == 6


@pytest.mark.parametrize("event", ["on_episode_begin", "on_episode_end", "on_timestep_end"])
def test_what_a_callback_raises_reaches_the_caller_and_training_can_go_on(small, event):
    def fail(self, number, logs=None):
        if number >= (2 if event == "on_timestep_end" else 1):
            raise KeyError("mine")

    agent = small("dqn", env=Counter(), start=10_000)
    with pytest.raises(KeyError, match="mine"):
        agent.fit(Counter(lengths=(2,)), steps=20, verbose=0, callbacks=[type("Failing", (Callback,), {event: fail})()])
    taken = agent.timesteps
    assert 0 < taken < 20
    agent.fit(Counter(lengths=(2,)), steps=4, verbose=0)
    assert agent.timesteps == taken + 4 == len(agent.memory)


@pytest.mark.parametrize("event", ["on_timestep_end", "on_episode_end", "on_episode_begin"])
def test_an_agent_saved_by_a_callback_is_whole(small, tmp_path, event):
    """Both environments end at timestep 6; who is told first must not find the other in between."""

    def save(self, number, logs=None):
        if self.model.timesteps == 6 and not (tmp_path / "a.keras").exists():
            self.model.save(tmp_path / "a.keras")

    saver, listener = type("Saver", (Callback,), {event: save})(), Listener()
    agent = small("dqn", env=Counter(), start=10_000)
    agent.fit(lambda: Alike(lengths=(3,)), steps=8, n_envs=2, verbose=0, callbacks=[saver])
    loaded = kagent.load(tmp_path / "a.keras")
    assert (loaded.timesteps, loaded.episodes) == (6, 2)
    loaded.fit(lambda: Alike(lengths=(3,)), steps=6, n_envs=2, verbose=0, callbacks=[listener])
    assert [logs["episode_length"] for _, logs in listener.ends] == [3, 3]


def test_events_that_a_callback_would_not_get_are_refused_before_the_first_step(small):
    agent = small("dqn")

    def never(*arguments, **named):
        raise AssertionError("a step was taken")

    class Mixin:
        def on_asked_update_end(self, update, logs=None):
            pass

    with pytest.raises(
        TypeError, match=r"Former\.on_asked_update_end would not be called: its name is 'on_requested_update_end'"
    ):
        type("Former", (Mixin, Callback), {})
    former = Callback()
    former.on_asked_update_end = never
    plain = type("Plain", (keras.callbacks.Callback,), {"on_timestep_end": lambda self, timestep, logs=None: None})()
    for callback, message in (
        (former, r"Callback\.on_asked_update_end would not be called"),
        (plain, r"Plain\.on_timestep_end would not be called: only a kagent\.callbacks\.Callback has that event"),
        (keras.callbacks.LambdaCallback(on_episode_end=never), r"LambdaCallback\.on_episode_end would not be called"),
    ):
        for given in ([callback], keras.callbacks.CallbackList([callback])):
            with pytest.raises(TypeError, match=message):
                agent.fit("CartPole-v1", steps=3, verbose=0, callbacks=given)
    assert agent.timesteps == 0


def test_an_event_may_be_an_attribute_of_the_callback(small):
    callback, seen = Callback(), []
    callback.on_timestep_end = lambda timestep, logs=None: seen.append(timestep)
    callback.watches = ["loss"]  # the former name of a method, and no method
    small("dqn").fit("CartPole-v1", steps=3, verbose=0, callbacks=[callback])
    assert seen == [1, 2, 3]
