"""The summarizer's arguments, directories and instants; what it costs. Its labels are in test_summarizer_labels.py."""

import datetime
import re
import shutil
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_files import curves, events, graphs
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from toy_envs import Counter, Identity
from variants import with_few

import kagent
from kagent.callbacks import Callback, Checkpoint, Summarizer
from kagent.callbacks.callback import overrides_batch_events
from kagent.callbacks.summaries import activations, directory, policy
from kagent.callbacks.summaries.labels import GROUPS, LABELS, Pace, expand
from kagent.callbacks.summaries.writer import Writer

NAME = re.compile(r"summary-\d{8}-\d{6}")
ENVS = {"dqn": "CartPole-v1", "ppo": "CartPole-v1", "sac": "Pendulum-v1"}


def train(agent, steps, *callbacks, env="CartPole-v1", **arguments):
    agent.fit(env, steps=steps, verbose=0, callbacks=list(callbacks), **arguments)
    return agent


# Arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"directory": 3}, "directory"),
        ({"frequency": 0}, "frequency"),
        ({"frequency": True}, "frequency"),
        ({"frequency": 1.5}, "frequency"),
        ({"frequency": {"act": 0}}, "frequency"),
        ({"frequency": {"reset": 1}}, "frequency.*reset.*act, observe, experience, update, variables"),
        ({"flush": 0}, "flush"),
        ({"flush": True}, "flush"),
        ({"flush": float("nan")}, "flush"),
        ({"max_summaries": 0}, "max_summaries"),
        ({"labels": "losses"}, "labels.*'all'.*graph"),
        ({"labels": None}, "labels"),
        ({"labels": {"graph": True}}, "labels"),
        ({"labels": ["graph", "gradients"]}, "labels.*gradients.*Known.*update-norm"),
        ({"labels": [3]}, "labels.*3"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, named):
    with pytest.raises((ValueError, TypeError), match=f"summarizer.{named}"):
        Summarizer(**{"directory": tmp_path, **arguments})


@pytest.mark.parametrize(
    "spec, named",
    [
        ({}, "directory"),
        ({"directory": "a", "interval": 3}, "interval.*max-summaries"),
        ({"directory": "a", "max-summaries": 3, "max_summaries": 3}, "not both"),
        ("a", "dict"),
        ({"directory": "a", "labels": ["nothing"]}, "nothing"),
    ],
)
def test_bad_specifications_are_refused(spec, named):
    with pytest.raises((ValueError, TypeError), match=f"summarizer.*{named}"):
        Summarizer.from_spec(spec)


def test_a_specification_of_the_seed_page(tmp_path):
    made = Summarizer.from_spec({"directory": str(tmp_path)})
    assert (made.directory, made.frequency, made.flush, made.max_summaries) == (tmp_path, None, 10, 5)
    assert made.labels == {"graph"}
    spec = {"directory": "a", "frequency": {"act": 3}, "flush": 1, "max-summaries": 2, "labels": ["relu", "losses"]}
    made = Summarizer.from_spec(spec)
    assert (made.frequency, made.flush, made.max_summaries, made.labels) == ({"act": 3}, 1, 2, {"relu"})
    assert Summarizer.from_spec(made) is made


def test_labels_and_their_groups():
    assert expand("all") == expand(["all"]) == {label for label in LABELS if not label.endswith("-histogram")}
    assert expand(["all", "updates-histogram", "variables-histogram"]) == set(LABELS)
    assert expand(["distributions"]) == {"bernoulli", "categorical", "gaussian", "beta"}
    assert expand(["entropies"]) == {"entropy", "action-entropies"}
    assert expand(["kl-divergences"]) == {"kl-divergence", "action-kl-divergences"}
    baseline = {"baseline-loss", "baseline-objective-loss", "baseline-regularization-loss"}
    assert expand(["losses"]) == {"loss", "objective-loss", "regularization-loss", *baseline}
    rewards = {"timestep-reward", "episode-reward", "raw-reward", "empirical-reward", "estimated-reward"}
    assert expand(iter(["rewards"])) == rewards
    assert expand([]) == frozenset()
    alone = {"dropout", "graph", "parameters", "relu", "update-norm", "updates", "updates-histogram", "variables"}
    assert alone | {"variables-histogram"} <= set(LABELS) and not alone & set(GROUPS)


def test_only_agents_are_summarized(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(TypeError, match="agent"):
        model.fit(np.zeros((2, 1)), np.zeros((2, 1)), verbose=0, callbacks=[Summarizer(tmp_path)])


# Directories -------------------------------------------------------------------------------------------------------


def test_a_run_has_a_directory_with_a_file_even_if_nothing_happens(small, tmp_path):
    before = datetime.datetime.now().replace(microsecond=0)
    summarizer = Summarizer(tmp_path / "deep" / "er", labels=["losses"])
    assert summarizer.path is None and not (tmp_path / "deep").exists()
    train(small("dqn"), 1, summarizer)
    (path,) = (tmp_path / "deep" / "er").iterdir()
    assert path == summarizer.path and NAME.fullmatch(path.name)
    stamp = datetime.datetime.strptime(path.name, "summary-%Y%m%d-%H%M%S")
    assert before <= stamp <= datetime.datetime.now()
    assert len(list(path.iterdir())) == 1 and curves(path) == {} and len(list(events(path))) == 1


@pytest.mark.eager(seldom=True)
def test_the_default_is_the_graph_alone(small, tmp_path):
    summarizer = Summarizer(tmp_path)
    train(small("dqn"), 30, summarizer)
    assert curves(summarizer.path) == {} and [step for step, _ in graphs(summarizer.path)] == [0]


def test_the_oldest_directories_go_and_nothing_else(tmp_path):
    others = ["summary-20200101-00000", "summary-20200101-000000-mine", "notes"]
    for name in [*others, "summary-20200101-000000", "summary-20210101-000000", "summary-20220101-000000"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    (tmp_path / "summary-20190101-000000").write_text("a file")
    (tmp_path / "summary-20190102-000000").symlink_to(tmp_path / "notes")
    others += ["summary-20190101-000000", "summary-20190102-000000"]
    opened = directory.open_run(tmp_path, 2)
    assert {path.name for path in tmp_path.iterdir()} == {*others, "summary-20220101-000000", opened.name}
    assert (tmp_path / "notes" / "file").exists()
    assert directory.open_run(tmp_path, 1).is_dir() and not opened.exists()


def test_runs_of_one_second_have_directories_of_their_own(tmp_path):
    names = [directory.open_run(tmp_path, 3).name for _ in range(5)]
    assert len(set(names)) == 5 and names == sorted(names) and all(NAME.fullmatch(name) for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == names[2:]


@pytest.mark.eager(seldom=True)
def test_a_further_fit_goes_on_in_the_same_directory_and_another_agent_does_not(small, tmp_path):
    summarizer = Summarizer(tmp_path, labels=["graph", "timestep-reward", "loss"])
    agent = train(small("dqn"), 20, summarizer)
    path = summarizer.path
    train(agent, 10, summarizer)
    assert summarizer.path == path and len(graphs(path)) == 1
    found = curves(path)
    assert found["timestep-reward"][0] == list(range(1, 31))
    assert found["loss"][0] == list(range(1, agent.updates + 1))
    train(small("dqn", seed=1), 3, summarizer)
    assert summarizer.path != path and curves(summarizer.path)["timestep-reward"][0] == [1, 2, 3]
    assert len(graphs(summarizer.path)) == 1 and len(list(tmp_path.iterdir())) == 2


def test_a_fit_that_failed_leaves_what_was_written(small, tmp_path):
    class Failing(Callback):
        def on_timestep_end(self, timestep, logs=None):
            if timestep == 5:
                raise KeyError("mine")

    summarizer, agent = Summarizer(tmp_path, labels=["timestep-reward"]), small("dqn")
    with pytest.raises(KeyError):
        train(agent, 10, summarizer, Failing())
    train(agent, 5, summarizer)
    assert curves(summarizer.path)["timestep-reward"][0] == list(range(1, 11))


def test_an_episode_that_a_further_fit_cuts_off_is_not_taken_for_another(small, tmp_path):
    """The second fit begins anew in another environment."""
    summarizer, agent = Summarizer(tmp_path, labels=["empirical-reward"]), small("dqn", env=Counter(), start=100)
    train(agent, 2, summarizer, env=Counter(lengths=(5,)))
    train(agent, 4, summarizer, env=lambda: Counter(lengths=(2,)), n_envs=2)
    assert curves(summarizer.path)["empirical-reward"][0] == [1, 2]


@pytest.mark.parametrize("flush, expected", [(0.001, True), (1000, False)])
def test_the_file_is_flushed_while_training_goes_on(small, tmp_path, flush, expected):
    class Reader(Callback):
        found = None

        def on_timestep_end(self, timestep, logs=None):
            if timestep == 30:
                self.found = curves(summarizer.path)

    summarizer, reader = Summarizer(tmp_path, flush=flush, labels=["timestep-reward"]), Reader()
    train(small("dqn", start=1000), 30, summarizer, reader)
    assert bool(reader.found) == expected
    assert curves(summarizer.path)["timestep-reward"][0] == list(range(1, 31))


@pytest.mark.eager(seldom=True)
def test_tensorboard_reads_it(small, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    summarizer = Summarizer(tmp_path, labels=["graph", "timestep-reward", "losses", "variables-histogram"])
    train(small("dqn"), 20, summarizer)
    accumulator = EventAccumulator(str(summarizer.path), size_guidance={"tensors": 0})
    accumulator.Reload()
    assert accumulator.Tags()["graph"] and {node.op for node in accumulator.Graph().node} >= {"MatMul", "Relu"}
    for tag, (steps, values) in curves(summarizer.path).items():
        plugin = "histograms" if tag.startswith("variables") else "scalars"
        assert accumulator.SummaryMetadata(tag).plugin_data.plugin_name == plugin
        read = accumulator.Tensors(tag)
        assert [event.step for event in read] == steps
        for event, value in zip(read, values):
            np.testing.assert_array_equal(tf.make_ndarray(event.tensor_proto), value)


# When --------------------------------------------------------------------------------------------------------------

TAGS = {
    "act": "timestep-reward",
    "observe": "episode-reward",
    "experience": "empirical-reward",
    "update": "loss",
    "variables": "variables/policy/value_0/bias-mean",
}


def instants(small, folder, frequency, **arguments):
    """Steps at which each function wrote: 60 timesteps, 12 episodes, 11 updates of two gradient steps."""
    summarizer = Summarizer(folder, frequency, labels=["rewards", "losses", "variables"])
    agent = small("dqn", env=Counter(), start=20, gradient_steps=2)
    train(agent, 60, summarizer, env=lambda: Counter(lengths=(5,)), **arguments)
    found = curves(summarizer.path)
    return {function: found.get(tag, ([], []))[0] for function, tag in TAGS.items()}


def test_always(small, tmp_path):
    assert instants(small, tmp_path, None) == {
        "act": list(range(1, 61)), "observe": list(range(1, 13)), "experience": list(range(1, 13)),
        "update": list(range(2, 23, 2)), "variables": list(range(2, 23, 2)),
    }  # fmt: skip


def test_an_integer_is_of_timesteps(small, tmp_path):
    found = instants(small, tmp_path, 25)
    assert found["act"] == [25, 50]
    assert found["observe"] == found["experience"] == list(range(1, 13)) and len(found["update"]) == 11


def test_each_function_has_its_own(small, tmp_path):
    frequency = {"act": 20, "observe": 5, "experience": 4, "update": 6, "variables": 10}
    assert instants(small, tmp_path, frequency) == {
        "act": [20, 40, 60], "observe": [5, 10], "experience": [4, 8, 12], "update": [12], "variables": [20]
    }  # fmt: skip


def test_what_a_dict_leaves_out_is_never_written(small, tmp_path):
    found = instants(small, tmp_path, {"observe": 1})
    assert found.pop("observe") == list(range(1, 13)) and set(map(len, found.values())) == {0}


def test_due_is_what_passes_a_multiple(small, tmp_path):
    """Four environments step together; updates are of two gradient steps."""
    found = instants(small, tmp_path, {"act": 10, "update": 3}, n_envs=4)
    assert found["act"] == [12, 20, 32, 40, 52, 60]
    assert found["update"] == [6, 12, 18]


@given(st.integers(1, 7), st.integers(0, 20), st.lists(st.integers(1, 9), max_size=30))
def test_what_passes_a_multiple_is_due_and_nothing_else(period, begin, steps):
    pace, never, count = Pace(period), Pace(None), begin
    pace.begin(begin)
    for step in steps:
        before, count = count, count + step
        assert pace.is_due(count) == any(n % period == 0 for n in range(before + 1, count + 1))
        assert not never.is_due(count)


@pytest.mark.parametrize("kind", with_few(["dqn", "ppo"], ["dqn"]))
def test_a_resumed_run_goes_on_where_it_stood(small, tmp_path, kind):
    frequency, labels = {"act": 10, "observe": 1, "update": 3}, ["loss", "timestep-reward", "episode-reward"]

    def run(name, max_steps, *callbacks):
        summarizer = Summarizer(tmp_path / name, frequency, labels=labels)
        # The summarizer comes first: it begins before the checkpoint is loaded.
        agent = small(kind, **({"exploration": 0.2} if kind == "dqn" else {"batch_size": 16, "epochs": 1}))
        agent.fit(ENVS[kind], max_steps=max_steps, verbose=0, callbacks=[summarizer, *callbacks])
        return curves(summarizer.path)

    first, second = (run(n, steps, Checkpoint(tmp_path / "saved")) for n, steps in (("first", 64), ("second", 128)))
    whole = run("whole", 128)
    for tag in labels:
        assert first[tag][0] and second[tag][0]
        assert first[tag][0] + second[tag][0] == whole[tag][0]
        np.testing.assert_array_equal(first[tag][1] + second[tag][1], whole[tag][1])


@pytest.mark.eager(seldom=True)
def test_updates_that_a_callback_asks_for_count_too(small, tmp_path):
    class Asking(Callback):
        def on_episode_end(self, episode, logs=None):
            self.model.update()

    summarizer = Summarizer(tmp_path, labels=["update-norm", "kl-divergence", "loss"])
    env = Counter(lengths=(5,))
    agent = train(small("dqn", env=env, frequency="never"), 20, summarizer, Asking(), env=env)
    found = curves(summarizer.path)
    assert agent.updates == 4
    assert {tag: steps for tag, (steps, _) in found.items()} == {tag: [1, 2, 3, 4] for tag in found}
    assert len(found) == 3 and min(found["update-norm"][1]) > 0


def test_an_update_within_another_ones_end(small, tmp_path):
    class Asking(Callback):
        def on_update_end(self, update, logs=None):
            self.model.update()

    summarizer = Summarizer(tmp_path, labels=["update-norm"])
    agent = train(small("dqn", start=16, frequency=8), 32, Asking(), summarizer)
    steps, found = curves(summarizer.path)["update-norm"]
    assert agent.updates == 6 and set(steps) == {2, 4, 6} and min(found) > 0


@pytest.mark.thorough
@pytest.mark.eager
def test_the_loop_of_experience_writes_what_fit_does(tmp_path):
    """Four rollouts of two episodes of four timesteps. Every second update is written, at its last of four gradient steps:
    a rollout is two minibatches, twice."""
    network = [{"type": "dense", "size": 8, "activation": "relu", "dropout": 0.5}]
    frequency = {"act": 1, "observe": 1, "experience": 1, "update": 2, "variables": 2}
    labels = ["all", "updates-histogram", "variables-histogram"]

    def make(name, **own):
        agent = kagent.PPO(
            Counter(lengths=(4,)), network=network, n_steps=8, batch_size=4, epochs=2, seed=0,
            summarizer={"directory": tmp_path / name, "frequency": frequency, "labels": labels}, **own,
        )  # fmt: skip
        agent.compile(run_eagerly=True)
        return agent

    fitted = make("fitted")
    fitted.fit(Counter(lengths=(4,)), steps=32, verbose=0)
    looped, env = make("looped", recorder={"directory": tmp_path / "traces"}), Counter(lengths=(4,))
    for _ in range(4):
        states, actions, rewards, ends = [], [], [], []
        for _ in range(2):
            state, over = env.reset()[0], False
            while not over:
                action = looped.act(state, independent=True)
                states.append(state), actions.append(action)
                state, reward, over, *_ = env.step(action)
                rewards.append(reward), ends.append(over)
        looped.experience(states=np.stack(states), actions=actions, terminal=ends, reward=rewards)
        looped.update()
    looped.close()
    found = [curves(agent._own_callbacks.by_name["summarizer"].path) for agent in (fitted, looped)]
    tags = {tag.split("/")[0] for tag in found[0]}
    assert tags >= {
        "categorical",
        "dropout",
        "relu",
        "entropy",
        "kl-divergence",
        "estimated-reward",
        "empirical-reward",
    }
    assert {tag: steps for tag, (steps, _) in found[0].items()} == {tag: steps for tag, (steps, _) in found[1].items()}
    assert found[1]["loss"][0] == found[1]["update-norm"][0] == [8, 16]
    assert found[1]["timestep-reward"][0] == list(range(1, 33)) and found[1]["episode-reward"][0] == list(range(1, 9))
    for tag in ("timestep-reward", "episode-reward", "raw-reward"):
        # Rewards are 100 times the episode, plus the timestep, plus an eighth of the action.
        np.testing.assert_allclose(found[1][tag][1], found[0][tag][1], atol=1.1)
    assert looped.timesteps == 32 and looped.episodes == 8
    assert not list((tmp_path / "traces").glob("*.npz"))  # played elsewhere


# What it costs, and what it leaves alone ---------------------------------------------------------------------------

UPDATES = {"on_update_begin", "on_update_end", "on_requested_update_end"}


@pytest.mark.parametrize(
    "labels, frequency, watched",
    [
        (["graph"], None, set()),
        ([], None, set()),
        (["episode-reward"], None, {"on_episode_end"}),
        (["timestep-reward"], 100, {"on_timestep_end"}),
        (["empirical-reward"], None, {"on_timestep_end", "on_episode_begin", "on_episode_end"}),
        (["losses", "updates", "variables"], None, UPDATES),
        (["entropy"], None, {"on_timestep_end", *UPDATES}),
        (["losses", "updates"], {"variables": 1}, set()),
        ("all", {"observe": 3}, {"on_episode_end"}),
    ],
)
def test_only_what_is_needed_is_watched(tmp_path, labels, frequency, watched):
    summarizer = Summarizer(tmp_path, frequency, labels=labels)
    known = {"on_episode_begin", "on_episode_end", "on_timestep_end", *UPDATES}
    assert {event for event in known if summarizer.overrides(event)} == watched
    assert not overrides_batch_events(keras.callbacks.CallbackList([summarizer]))


def test_between_due_timesteps_nothing_is_computed(small, tmp_path, monkeypatch):
    calls, asked = [], policy.Behavior.parameters
    monkeypatch.setattr(policy.Behavior, "parameters", lambda *given: calls.append(1) or asked(*given))
    train(small("dqn", start=100), 35, Summarizer(tmp_path, 10, labels=["distributions", "relu"]))
    assert len(calls) == 3


@pytest.mark.parametrize("kind", with_few(["dqn", "ppo", "sac"], ["dqn"]))
def test_an_agent_learns_the_same_with_it_and_without(small, tmp_path, kind):
    learned = []
    for callbacks in ([], [Summarizer(tmp_path, labels="all")]):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(8, "relu"), *([] if kind == "sac" else [keras.layers.Dropout(0.5, seed=1)])]
        few = {"compiled": {"run_eagerly": True}, "frequency": 16} if kind == "sac" else {}
        agent = train(small(kind, network=keras.Sequential(layers), **few), 32, *callbacks, env=ENVS[kind])
        learned.append([variable.numpy() for variable in agent.variables])
    for first, second in zip(*learned, strict=True):  # of two programs: one hands out more
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_a_compiled_learner_is_traced_once(small, tmp_path):
    agent = train(small("dqn", jit=True), 40, Summarizer(tmp_path, labels="all"))
    assert agent.updates > 5 and agent.train_function.traces == 1


class Block(keras.layers.Layer):
    """A layer that keeps its own in a dict of lists."""

    def __init__(self):
        super().__init__(name="block")
        self.inner = {"a": [keras.layers.Dense(3, "relu", name="inside")]}

    def call(self, x):
        return self.inner["a"][0](x)


def test_layers_are_found_wherever_they_are():
    twice = keras.layers.Dense(4, "relu", name="twice")
    inner = keras.Sequential([keras.layers.Activation("relu", name="deep"), keras.layers.Dropout(0.5, name="drop")])
    x = keras.Input((4,))
    hidden = keras.layers.Concatenate()([twice(x), twice(keras.layers.Rescaling(2.0)(x))])
    hidden = keras.layers.Conv1D(2, 1, activation="relu", name="convolution")(keras.layers.Reshape((4, 2))(hidden))
    outer = Block()(inner(keras.layers.Flatten()(hidden)))
    model = keras.Model([x], [keras.layers.Dense(2, name="linear")(outer)])
    relus = activations.ZeroFractions(model, activations.is_relu, training=False)
    assert set(relus.layers) == {"twice", "deep", "convolution", "inside"}
    assert set(activations.ZeroFractions(model, activations.is_dropout, training=True).layers) == {"drop"}
    rows = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    found = relus([rows], 0)
    expected = np.concatenate([twice(rows), twice(2 * rows)], axis=-1)
    assert found["twice"] == pytest.approx(np.mean(expected == 0)) and 0 < found["convolution"] < 1
    assert found == relus([rows], 1) and "call" not in vars(twice)


@pytest.mark.eager(seldom=True)
def test_offline_training_writes_the_graph(small, tmp_path):
    agent = train(small("dqn"), 20)
    summarizer = Summarizer(tmp_path, labels="all")
    agent.fit(agent.memory.dataset(batch_size=8).take(3), verbose=0, callbacks=[summarizer])
    assert curves(summarizer.path) == {} and len(graphs(summarizer.path)) == 1


@pytest.mark.eager(seldom=True)
def test_nested_actions_by_name(small, tmp_path):
    env = Identity(spaces.Dict(left=spaces.Discrete(2), right=spaces.MultiDiscrete([2, 3])))
    summarizer = Summarizer(tmp_path, labels=["entropies", "categorical"])
    train(small("dqn", env=env), 20, summarizer, env=env)
    values = {f"categorical/left/value-{i}" for i in range(2)} | {f"categorical/right/value-{i}" for i in range(5)}
    assert set(curves(summarizer.path)) == {"entropy", "action-entropies/left", "action-entropies/right", *values}


# A directory that is removed ---------------------------------------------------------------------------------------


class Removes(Callback):
    """Removes the summarizer's directory at the ends of episodes."""

    def __init__(self, summarizer, *episodes):
        super().__init__()
        self.summarizer, self.episodes = summarizer, episodes

    def on_episode_end(self, episode, logs=None):
        if episode in self.episodes:
            shutil.rmtree(self.summarizer.path)
            time.sleep(0.005)


def test_a_directory_that_is_removed_is_said_and_begun_anew(small, tmp_path):
    env = Counter(lengths=(4,))
    summarizer = Summarizer(tmp_path, labels=["episode-reward"], flush=1e-3)
    agent = small("dqn", env=env, start=10_000)
    with pytest.warns(UserWarning, match=r"event file in '.*summary-.*' was removed.*up to now are lost") as warned:
        agent.fit(env, episodes=8, verbose=0, callbacks=[Removes(summarizer, 2), summarizer])
    assert len([w for w in warned if "was removed" in str(w.message)]) == 1
    steps, values = curves(summarizer.path)["episode-reward"]
    assert steps == [3, 4, 5, 6, 7, 8] and len(values) == 6


def test_a_directory_that_is_removed_at_the_end_is_said(small, tmp_path):
    env = Counter(lengths=(4,))
    summarizer = Summarizer(tmp_path, labels=["episode-reward"], flush=100)
    with pytest.warns(UserWarning, match="was removed"):
        train(small("dqn", env=env, start=10_000), 8, summarizer, Removes(summarizer, 1), env=env)
    assert not summarizer.path.exists()


def test_summaries_that_cannot_be_written_are_one_warning(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    writer = Writer(tmp_path, 10.0)
    monkeypatch.setattr(tf.summary.experimental, "write_raw_pb", full)
    with pytest.warns(UserWarning, match=r"cannot be written to .* bytes are free: No space left") as caught:
        writer.scalars(1, {"a": 1.0})
        writer.scalars(2, {"a": 2.0})
    assert len(caught) == 1
    writer.close()
