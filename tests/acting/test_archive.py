"""Actors in files: the round trip, files that lie, and serving without TensorFlow."""

import errno
import io
import json
import subprocess
import sys
import textwrap
import zipfile

import gymnasium
import numpy as np
import pytest

from kagent import acting, spaces
from kagent.acting import Actor, Program, archive, distributions
from kagent.spaces import Structure

BOX, DISCRETE = gymnasium.spaces.Box(-np.inf, np.inf, (3,)), gymnasium.spaces.Discrete(4, start=1)
MLP = {
    "inputs": [{"shape": [3], "dtype": "float32"}],
    "weights": [[3, 8], [8], [8, 4], [4]],
    "nodes": [
        {"op": "dense", "inputs": [0], "weights": [0, 1], "activation": "relu"},
        {"op": "dense", "inputs": [1], "weights": [2, 3]},
    ],
    "outputs": [2],
}


def make(program=None):
    rng = np.random.default_rng(0)
    program = program or Program(MLP, [rng.normal(size=shape) for shape in MLP["weights"]])
    decision = distributions.make("categorical", Structure(DISCRETE).leaves[0])
    return Actor(None, spaces.to_config(BOX), [decision], program=program, action=spaces.to_config(DISCRETE))


def keras_file(directory, path, names=(archive.JSON, archive.NPZ)):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
        for name in names:
            file.write(directory / name, f"assets/{name}")
    return path


@pytest.fixture
def saved(tmp_path):
    actor = make()
    actor.save(tmp_path / "actor")
    return actor, tmp_path / "actor", keras_file(tmp_path / "actor", tmp_path / "agent.keras")


def test_round_trip(saved):
    actor, directory, path = saved
    for source in (directory, path, str(path)):
        loaded = acting.load(source, seed=3)
        np.testing.assert_array_equal(loaded.program.weights, actor.program.weights)
        for observation in np.random.default_rng(1).normal(size=(30, 3)).astype(np.float32):
            assert loaded.act(observation) == actor.act(observation)
        samples = [[acting.load(source, seed=seed).act(observation, False) for _ in range(1)] for seed in (3, 3)]
        assert samples[0] == samples[1]
    with pytest.raises(ValueError, match="finite"):
        loaded.act([0.0, np.nan, 0.0])


def test_every_kind_of_space_and_decision(tmp_path):
    action = gymnasium.spaces.Dict(
        a=gymnasium.spaces.MultiDiscrete([2, 3]),
        b=gymnasium.spaces.Tuple((gymnasium.spaces.Box(-2.0, 3.0, (2,)), gymnasium.spaces.Box(-np.inf, np.inf, (1,)))),
    )
    kinds = ["categorical", "squashed_gaussian", "gaussian"]
    chosen = [distributions.make(kind, leaf) for kind, leaf in zip(kinds, Structure(action).leaves)]
    widths = [width for decision in chosen for width in decision.widths]
    nodes = [{"op": "dense", "inputs": [0], "weights": [i]} for i in range(len(widths))]
    weights = [[3, width] for width in widths]
    config = {**MLP, "nodes": nodes, "weights": weights, "outputs": list(range(1, 1 + len(widths)))}
    program = Program(config, np.random.default_rng(0).normal(size=3 * sum(widths)))
    actor = Actor(None, spaces.to_config(BOX), chosen, program=program, action=spaces.to_config(action))
    actor.save(tmp_path)
    loaded = acting.load(tmp_path)
    one, other = actor.act(np.ones(3)), loaded.act(np.ones(3))
    assert action.contains(other) and one["a"].tolist() == other["a"].tolist()
    for left, right in zip(one["b"], other["b"]):
        np.testing.assert_array_equal(left, right)


def test_a_save_that_fails_leaves_the_pair_that_was_there(saved, monkeypatch):
    _, directory, _ = saved
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    other = make(Program(MLP, [np.ones(shape) for shape in MLP["weights"]]))

    def full(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(archive.np, "savez", full)
        with pytest.raises(
            OSError, match=r"No space left on device: the file could not be written, and \d+ bytes are free"
        ):
            other.save(directory)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    acting.load(directory)


def test_two_files_of_two_saves_are_no_actor(saved, tmp_path):
    _, directory, _ = saved
    make(Program(MLP, [np.ones(shape) for shape in MLP["weights"]])).save(tmp_path / "other")
    (directory / archive.NPZ).write_bytes((tmp_path / "other" / archive.NPZ).read_bytes())
    with pytest.raises(ValueError, match=r"actor.npz holds other weights than those of actor.json"):
        acting.load(directory)
    about = json.loads((directory / archive.JSON).read_text())
    del about["checksum"]  # as files of before are
    (directory / archive.JSON).write_text(json.dumps(about))
    assert acting.load(directory).program.weights.tolist() == [1.0] * SIZE


def test_other_files(tmp_path, saved):
    _, directory, path = saved
    with pytest.raises(FileNotFoundError):
        acting.load(tmp_path / "missing.keras")
    (tmp_path / "text.keras").write_text("not a zip")
    with pytest.raises(ValueError, match="readable"):
        acting.load(tmp_path / "text.keras")
    empty = keras_file(directory, tmp_path / "no_actor.keras", names=())
    with pytest.raises(ValueError, match="layers that the NumPy actor does not know"):
        acting.load(empty)
    half = keras_file(directory, tmp_path / "half.keras", names=(archive.JSON,))
    with pytest.raises(ValueError, match=r"actor\.npz"):
        acting.load(half)
    with pytest.raises(ValueError, match=r"actor\.json"):
        acting.load(tmp_path)
    for cut in range(0, path.stat().st_size, 97):
        (tmp_path / "cut.keras").write_bytes(path.read_bytes()[:cut])
        with pytest.raises(ValueError):
            acting.load(tmp_path / "cut.keras")


def test_flipped_bytes_never_raise_anything_but_value_errors(tmp_path, saved):
    whole = saved[2].read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 4):
            damaged[place] = rng.integers(256)
        (tmp_path / "damaged.keras").write_bytes(damaged)
        try:
            acting.load(tmp_path / "damaged.keras")
        except ValueError:
            pass


def rewritten(saved, change):
    _, directory, _ = saved
    about = json.loads((directory / archive.JSON).read_text())
    change(about)
    (directory / archive.JSON).write_text(json.dumps(about))
    return directory


CHANGES = {
    "version": lambda about: about.update(version=99),
    "no program": lambda about: about.pop("program"),
    "program is text": lambda about: about.update(program="x"),
    "unknown op": lambda about: about["program"]["nodes"][0].update(op="exec"),
    "giant weights": lambda about: about["program"].update(weights=[[1 << 20, 1 << 20]]),
    "more weights than there are": lambda about: about["program"].update(weights=[[3, 8], [8], [8, 4], [4], [9]]),
    "decision unknown": lambda about: about["decisions"][0].update(kind="eval"),
    "decisions missing": lambda about: about.update(decisions=[]),
    "decisions not a list": lambda about: about.update(decisions=7),
    "observation of another shape": lambda about: about["observation"].update(shape=[4]),
    "action of another kind": lambda about: about.update(action=about["observation"]),
    "more choices than logits": lambda about: about["decisions"][0]["space"].update(n=9),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_json_that_lies(saved, name):
    with pytest.raises(ValueError):
        acting.load(rewritten(saved, CHANGES[name]))


@pytest.mark.parametrize("text", ["", "[1", "[" * 100_000, "3", "null", '{"version": 1', "\xff"])
def test_a_json_that_is_none(saved, text):
    (saved[1] / archive.JSON).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError):
        acting.load(saved[1])


def npz(raw, name="weights.npy", compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr(name, raw)
    return stream.getvalue()


def npy(array=None, shape=None, descr="<f4"):
    stream = io.BytesIO()
    if array is not None:
        np.lib.format.write_array(stream, array, allow_pickle=True)
    else:
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


SIZE = sum(int(np.prod(shape)) for shape in MLP["weights"])
ARRAYS = {
    "pickle": npz(npy(np.array([print] * SIZE, object))),
    "another size": npz(npy(np.zeros(SIZE + 1, np.float32))),
    "another shape": npz(npy(np.zeros((1, SIZE), np.float32))),
    "another dtype": npz(npy(np.zeros(SIZE // 2, np.float64))),
    "declared giant": npz(npy(shape=(1 << 50,)) + b"\0" * 4 * SIZE),
    "declared right, too short": npz(npy(shape=(SIZE,)) + b"\0" * 3 * SIZE),
    "declared object": npz(npy(shape=(SIZE,), descr="|O") + b"\0" * 4 * SIZE),
    "bomb": npz(b"\0" * (1 << 24), compression=zipfile.ZIP_DEFLATED),
    "large": npz(b"\0" * (1 << 24)),
    "other member": npz(npy(np.zeros(SIZE, np.float32)), "other.npy"),
    "not npy": npz(b"hello"),
    "not npz": b"hello",
    "empty": b"",
}


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_an_npz_that_lies(saved, name):
    (saved[1] / archive.NPZ).write_bytes(ARRAYS[name])
    with pytest.raises(ValueError):
        acting.load(saved[1])


def test_a_json_bomb_is_not_unpacked(tmp_path, saved):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"assets/{archive.JSON}", b" " * (1 << 25))
    with pytest.raises(ValueError, match="larger than"):
        acting.load(path)


def test_serving_imports_numpy_alone(saved):
    actor, _, path = saved
    program = f"""
        import sys
        import numpy.random
        before = set(sys.modules)
        import kagent.acting
        actor = kagent.acting.load({str(path)!r})
        print(actor.act([0.5, -1.0, 2.0]), actor.act([0.5, -1.0, 2.0], deterministic=False, mask=[0, 1, 0, 0]))
        roots = {{name.partition(".")[0] for name in set(sys.modules) - before}}
        print(sorted(roots - set(sys.stdlib_module_names)))
        print(sorted({{"tensorflow", "keras", "gymnasium", "torch", "jax"}} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{actor.act([0.5, -1.0, 2.0])} 2", "['kagent']", "[]"]
