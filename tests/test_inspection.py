"""kagent.inspect: what a file says of its agent, with nothing built; files that lie or are damaged."""

import json
import shutil
import subprocess
import sys
import zipfile

import gymnasium
import h5py
import keras
import numpy as np
import pytest

import kagent
from kagent.cli import main
from kagent.files import json_arrays

ENV = gymnasium.make("CartPole-v1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of a PPO and of a DQN with what it remembers of 60 timesteps."""
    path = tmp_path_factory.mktemp("files")
    kagent.PPO(ENV, network={"type": "mlp", "units": [8]}, seed=0).save(path / "ppo.keras")
    agent = kagent.DQN(ENV, network={"type": "mlp", "units": [8]}, memory=100, batch_size=4, start=1000, seed=0)
    agent.fit("CartPole-v1", steps=60, verbose=0)
    agent.save_weights(path / "dqn.weights.h5")
    agent.save(path / "dqn", zipped=False)
    agent.actor.save(path / "actor")
    (path / "run").mkdir()
    shutil.copy(path / "ppo.keras", path / "run" / "agent.keras")
    with open(path / "episodes.json", "w") as file:
        json.dump(agent.episodes, file)
    return path


def test_an_agent(folder):
    """Policy 4*8+8 + 8*2+2 = 58 numbers, critic 4*8+8 + 8+1 = 49."""
    found = kagent.inspect(folder / "ppo.keras")
    assert (found.kind, found.algorithm, found.objective) == ("agent", "PPO", "ClippedPolicyObjective")
    assert found.observation_space == ENV.observation_space and found.action_space == ENV.action_space
    assert found.counters == {"timesteps": 0, "episodes": 0} and found.sizes["networks"] == 107
    assert found.versions["kagent"] == kagent.__version__ and found.versions["keras"] == keras.__version__
    assert found.versions["format"] == "2" and found.memory == 0 and found.served
    assert found.bytes == (folder / "ppo.keras").stat().st_size and found.saved.startswith("20")
    assert found.settings["objective"]["clip_range"] == 0.2
    assert kagent.inspect(folder / "run").path == folder / "run" / "agent.keras"


def test_weights_with_a_memory(folder):
    """A row has two observations of 16 bytes, and more: 100 of them."""
    found = kagent.inspect(folder / "dqn.weights.h5")
    assert (found.kind, found.algorithm, found.saved, found.served) == ("weights", "DQN", None, False)
    assert found.counters == {"timesteps": 60, "episodes": json.loads((folder / "episodes.json").read_text())}
    assert found.sizes["networks"] == 2 * 58 and found.memory >= 60 * 32 and found.settings == {}
    of_folder = kagent.inspect(folder / "dqn")
    assert (of_folder.kind, of_folder.counters, of_folder.memory, of_folder.served) == (
        "agent",
        found.counters,
        0,
        True,
    )


def test_an_actor(folder):
    found = kagent.inspect(folder / "actor")
    assert (found.kind, found.algorithm, found.counters, found.served) == ("actor", None, {}, True)
    assert found.sizes == {"policy": 58} and found.action_space == ENV.action_space


def test_the_table_names_all_of_it(folder):
    text = str(kagent.inspect(folder / "ppo.keras"))
    for part in (
        "PPO",
        "Discrete(2)",
        "0 timesteps",
        f"kagent {kagent.__version__}",
        "networks 107",
        "kagent.acting.load serves it",
    ):
        assert part in text
    _, *lines = text.splitlines()  # a path has the length that it has
    assert max(map(len, lines)) <= 80 and lines[3].startswith(
        "observations  Box([-4.8 -inf -0.41887903 -inf], [4.8 inf"
    )
    assert "memory" not in text and "in NumPy" not in str(kagent.inspect(folder / "dqn.weights.h5"))


def test_nothing_is_built_and_no_tensorflow_is_imported(folder):
    path = str(folder / "ppo.keras")
    program = (
        f"import sys, kagent; kagent.inspect({path!r}); print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("load", [kagent.load, kagent.acting.load])
def test_the_folder_of_a_run_is_answered_with_its_agent(folder, load):
    with pytest.raises(ValueError, match=r"is not the directory of.*is the folder of a run, whose agent is '.*agent\.keras'|"
                       r"holds no actor\.json.*is the folder of a run, whose agent is '.*agent\.keras'"):  # fmt: skip
        load(folder / "run")


def test_the_command(folder, capsys):
    assert main(["inspect", str(folder / "run")]) == 0
    assert "algorithm     PPO" in capsys.readouterr().out
    assert main(["inspect", str(folder / "ppo.keras"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["algorithm"] == "PPO" and found["action_space"]["n"] == 2 and found["settings"]["seed"] == 0
    assert main(["inspect", str(folder / "none.keras")]) == 2
    assert "There is no file" in capsys.readouterr().err


def rewritten(source, target, changes):
    """A copy of a `.keras` file with other members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def test_a_class_that_nobody_registered_is_looked_at(folder, tmp_path):
    with zipfile.ZipFile(folder / "ppo.keras") as file:
        config = json.loads(file.read("config.json"))
    config |= {"module": "os", "class_name": "system", "registered_name": "os>system"}
    found = kagent.inspect(rewritten(folder / "ppo.keras", tmp_path / "a.keras", {"config.json": json.dumps(config)}))
    assert found.algorithm == "PPO"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"config.json": "{"}, r"a\.keras' is damaged: Expecting property name"),
        ({"config.json": b"\xff\xff\xff"}, r"a\.keras' is damaged: .*decode"),
        ({"metadata.json": "{"}, r"a\.keras' is damaged: Expecting property name"),
        ({"config.json": json.dumps({"class_name": "Dense", "config": {}})}, "holds a 'Dense', not a kagent agent"),
        ({"model.weights.h5": b"nothing"}, r"a\.keras' is damaged: .*file signature"),
        ({"model.weights.h5": None}, "model.weights.h5"),
        ({"metadata.json": b" " * (1 << 20) + b"{}"}, "metadata.json in .* has more than"),
    ],
)
def test_damaged_agents_are_refused(folder, tmp_path, changes, message):
    path = rewritten(folder / "ppo.keras", tmp_path / "a.keras", changes)
    with pytest.raises(ValueError, match=message):
        kagent.inspect(path)


def test_damaged_weights_are_refused(folder, tmp_path):
    path = tmp_path / "a.weights.h5"
    content = bytearray((folder / "dqn.weights.h5").read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        kagent.inspect(path)


def test_weights_of_others_are_refused(tmp_path):
    path = tmp_path / "a.weights.h5"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(path)
    with pytest.raises(ValueError, match="holds no kagent agent"):
        kagent.inspect(path)


@pytest.mark.parametrize("broken", ["counters", "space", "newer"])
def test_a_state_that_lies_is_refused(tmp_path, broken):
    space = {"type": "Discrete", "n": 2, "start": 0}
    state = {
        "format": 99 if broken == "newer" else 2,
        "algorithm": None,
        "observation_space": space,
        "action_space": space,
    }
    if broken == "space":
        state["action_space"] = {"type": "Discrete", "n": "many"}
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        file["vars/state"] = np.frombuffer(json_arrays.dump(state, []), np.uint8)
        file["vars/counters"] = np.zeros((2, 2)) if broken == "counters" else np.zeros(8, np.int64)
    with pytest.raises(ValueError, match={"newer": "a newer kagent", "counters": "counters must be"}.get(broken)):
        kagent.inspect(path)


@pytest.mark.parametrize("name", ["a.txt", "folder"])
def test_what_is_no_agent_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"is no file of an agent\. Allowed: a \.keras file"):
        kagent.inspect(tmp_path / name)


def test_a_damaged_actor_is_refused(folder, tmp_path):
    shutil.copytree(folder / "actor", tmp_path / "actor")
    about = json.loads((tmp_path / "actor" / "actor.json").read_text())
    (tmp_path / "actor" / "actor.json").write_text(json.dumps({**about, "program": {"weights": [["x"]]}}))
    with pytest.raises(ValueError, match="is damaged, or of another version"):
        kagent.inspect(tmp_path / "actor")
