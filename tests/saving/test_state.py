"""The state of an agent: all of a file is right, or nothing of the agent changes."""

import copy
import dataclasses
import json
import os
import shutil
import warnings

import h5py
import keras
import numpy as np
import pytest
from agent_states import differences, state_of
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_envs import Identity

import kagent
from kagent.files import checked_file
from kagent.saving import entries, headers
from kagent.saving.state import COUNTERS, AgentState
from kagent.training.counters import Counters

pytestmark = pytest.mark.eager


@keras.saving.register_keras_serializable("test_state")
class Shift(keras.layers.Layer):
    """A layer with state outside its variables."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shift = np.zeros(2, np.float32)

    def call(self, inputs):
        return inputs + self.shift

    def save_own_variables(self, store):
        store["shift"] = self.shift

    def load_own_variables(self, store):
        shift = np.array(store["shift"])
        if shift.shape != (2,):
            raise ValueError(f"`shift` must be 2 numbers. Received: {shift}")
        self.shift = shift


def environment():
    return Identity(spaces.Box(-1, 1, (2,), np.float32), length=9)


def make(seed=0):
    """An agent whose state has a part of every kind, also in layers beside their variables."""
    normalization = keras.layers.Normalization()
    normalization.adapt(np.float32([[0.0, 1.0], [0.5, -1.0]]))
    shift = Shift()
    shift.shift = np.float32([0.25, 0.5])
    network = keras.Sequential([keras.Input((2,)), normalization, shift, keras.layers.Dense(4, "tanh")])
    agent = kagent.DPG(
        environment(), network=network, memory={"type": "prioritized", "capacity": 40}, batch_size=4, start=8,
        reward_estimation={"horizon": 2, "discount": 0.9}, preprocessing="running_normalization", seed=seed,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    return agent


class Trained:
    """An agent in the middle of an episode, all that it is, and its file. Hypothesis shows it in one line."""

    def __init__(self, agent, path):
        self.agent, self.path, self.before = agent, path, whole(agent)

    def __iter__(self):
        return iter((self.agent, self.before, self.path))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    agent = make()
    agent.fit(environment(), steps=22, verbose=0)
    path = tmp_path_factory.mktemp("state") / "a.weights.h5"
    agent.save_weights(path)
    return Trained(agent, path)


def whole(agent):
    """All of an agent as bytes by name; of layers also what they hold beside their variables."""
    found = state_of(agent)
    bounds = [float(bound) for bound in agent._clock.bounds]
    found |= {"known": json.dumps(agent._run.known, default=float).encode(), "bounds": json.dumps(bounds).encode()}
    for role in ("policy", "critic", "target_policy", "target_critic"):
        for number, model in enumerate(getattr(agent, role).inner_models()):
            for place, layer in enumerate(model._flatten_layers()):
                for name in ("mean", "variance", "shift"):
                    value = getattr(layer, name, None)
                    if value is not None:
                        found[f"{role} {number} layer {place} {name}"] = np.array(value).tobytes()
    return found


def names_of(path):
    names = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.size else None)
    return names


def damaged(path, target, apply):
    """A copy of a file, changed by `apply`, with a right checksum."""
    shutil.copy(path, target)
    with target.open("r+b") as file:
        file.truncate(target.stat().st_size - 24)
    with h5py.File(target, "r+") as file:
        apply(file)
    checked_file.seal(str(target))
    return target


def load(agent, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping nested container")  # Keras, on its way to the error
        agent.load_weights(path)


def refused(agent, before, path):
    rows = agent.memory.storage if agent.memory.built else None
    with pytest.raises(ValueError):
        load(agent, path)
    assert differences(whole(agent), before) == []
    assert not agent.memory.built or agent.memory.storage is rows


@pytest.mark.thorough
def test_the_state_has_every_part_once(trained):
    agent, _, path = trained
    data = AgentState.collect(agent)
    names = {"preprocessing", "counters", "seeds", "streams", "open", "known", "bounds", "memory"}
    assert data.keys() == names and AgentState.collect(agent, memory=False).keys() == names - {"memory"}
    assert set(COUNTERS) == set(Counters.__slots__)
    with h5py.File(path) as file:
        read = entries.read(file["vars"])
        state = AgentState.check(agent, read)
        assert read.keys() == names | headers.collect(agent).keys()
    assert [field.name for field in dataclasses.fields(state)] == [
        "preprocessing", "counters", "random", "open", "known", "bounds", "memory", "recorded",
    ]  # fmt: skip
    # 22 timesteps are two episodes of 9, and 4 of the third; updates follow each of the timesteps 8 to 22.
    assert (state.counters["timesteps"], state.counters["episodes"], state.counters["gradient_steps"]) == (22, 2, 15)
    assert state.open["lengths"].tolist() == [4] and state.bounds == (22, np.inf, np.inf)
    assert len(state.memory) == len(agent.memory) and state.memory is not agent.memory


def test_a_state_is_checked_without_a_change_and_applied_whole(trained):
    agent, before, path = trained
    other = make(seed=3)
    untouched = whole(other)
    with h5py.File(path) as file:
        state = AgentState.check(other, entries.read(file["vars"]))
        assert differences(whole(other), untouched) == []
    memory = other.memory
    state.apply(other)
    assert other.memory is memory and memory.windows.memory is memory
    same = ("seed", "stream", "open", "preprocessing", "memory ", "known", "bounds", *COUNTERS)
    assert [name for name in differences(whole(other), before) if name.startswith(same)] == []
    assert differences(whole(agent), before) == []


SHORTER = "vars/counters", 6  # as files of before had


@pytest.mark.thorough
@settings(max_examples=6)
@given(data=st.data())
def test_a_cut_entry_is_refused_and_changes_nothing(trained, tmp_path_factory, data):
    agent, before, path = trained
    target = tmp_path_factory.getbasetemp() / "cut.weights.h5"
    # A file without "memory" is one that was saved without it.
    name = data.draw(st.sampled_from([name for name in names_of(path) if name != "vars/memory"]))
    remove = data.draw(st.booleans())

    def apply(file):
        value = file[name][()]
        del file[name]
        if not remove:
            sizes = [size for size in range(len(value)) if (name, size) != SHORTER] if value.ndim else []
            file[name] = value[: data.draw(st.sampled_from(sizes))] if sizes else np.stack([value] * 2)

    refused(agent, before, damaged(path, target, apply))


@pytest.mark.thorough
@settings(max_examples=5)
@given(data=st.data())
def test_a_flipped_byte_is_taken_whole_or_changes_nothing(trained, tmp_path_factory, data):
    agent, before, path = trained
    target = tmp_path_factory.getbasetemp() / "flipped.weights.h5"
    entry = data.draw(st.sampled_from(names_of(path)))

    def apply(file):
        value = file[entry][()]
        content = bytearray(value.tobytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        file[entry][...] = np.frombuffer(bytes(content), value.dtype).reshape(value.shape)

    damaged(path, target, apply)
    try:
        load(agent, target)
    except ValueError:
        pass  # not every number that is another one can be known as wrong
    else:
        load(agent, path)
    assert differences(whole(agent), before) == []


@settings(max_examples=8)
@given(data=st.data())
def test_a_flipped_byte_is_found_by_the_checksum(trained, tmp_path_factory, data):
    agent, before, path = trained
    target = tmp_path_factory.getbasetemp() / "checksum.weights.h5"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    target.write_bytes(content)
    refused(agent, before, target)


def paths(value, prefix=()):
    found = [prefix] if prefix else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [path for key, part in pairs for path in paths(part, (*prefix, key))]


@settings(max_examples=6)
@given(data=st.data())
def test_a_part_that_is_of_another_kind_is_refused_and_changes_nothing(trained, tmp_path_factory, data):
    agent, before, path = trained
    target = tmp_path_factory.getbasetemp() / "part.weights.h5"
    with h5py.File(path) as file:
        saved = json.loads(file["vars/state"][()].tobytes())
    parts = ("format", "observation_space", "action_space", "seeds", "streams", "bounds", "open", "preprocessing")
    place = data.draw(st.sampled_from([place for place in paths(saved) if place[0] in parts]))
    value = data.draw(
        st.sampled_from(["text", {"a": "text"}, ["text", {}], {"array": ["x"], "dtype": "object", "shape": [1]}])
    )
    state = copy.deepcopy(saved)
    inner = state
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value

    def apply(file):
        del file["vars/state"]
        file["vars/state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)

    refused(agent, before, damaged(path, target, apply))


def test_layers_get_back_what_they_hold_beside_their_variables(trained, tmp_path):
    agent, before, path = trained

    def apply(file):
        changed = []

        def visit(name, item):
            if isinstance(item, h5py.Dataset) and name.endswith("shift"):
                item[...] = 7.0
                changed.append(name)

        file.visititems(visit)
        assert changed
        file["vars/counters"][...] = -1  # the last to be found wrong, as Keras reads on

    refused(agent, before, damaged(path, tmp_path / "a.weights.h5", apply))


@pytest.mark.thorough
def test_an_agent_that_refused_a_file_takes_the_next_and_goes_on_as_the_saved_one(trained, tmp_path):
    _, _, path = trained
    other, straight = make(seed=4), make(seed=5)
    cut = damaged(path, tmp_path / "a.weights.h5", lambda file: file["vars/counters"].__setitem__(..., -1))
    refused(other, whole(other), cut)
    for agent in (other, straight):
        load(agent, path)
        agent.fit(environment(), steps=4, verbose=0)
    assert differences(whole(other), whole(straight)) == []
    assert os.path.exists(cut) and other.timesteps == 26
