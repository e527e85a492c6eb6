"""Reading traces: what is wrong with a file is said before anything is believed, run or allocated."""

import io
import os
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from gymnasium import spaces

from kagent import traces
from kagent.traces import load_trace, save_trace, successors, trace_files, trace_headers

OBSERVATION = spaces.Dict(
    box=spaces.Box(-1, 1, (2,), np.float32), pair=spaces.Tuple((spaces.Discrete(4, start=3), spaces.MultiBinary(2)))
)
ACTION = spaces.Dict(a=spaces.MultiDiscrete([2, 3], start=[1, 0]), b=spaces.Box(-2, 2, (1,), np.float32))
LENGTHS = [2, 1, 3]


def example():
    """Six timesteps of three episodes."""
    rng = np.random.default_rng(0)
    mask = np.ones((6, 5), bool)
    mask[0] = [True, False, True, False, True]
    trace = {
        "action/a": np.array([[1, 2], [2, 0], [1, 1], [2, 2], [1, 0], [2, 1]]),
        "action/b": rng.uniform(-2, 2, (6, 1)).astype(np.float32),
        "action_mask/a": mask,
        "final_action_mask/a": np.ones((3, 5), bool),
        "reward": np.arange(6.0),
        "terminated": np.array([0, 1, 0, 0, 0, 1], bool),
        "truncated": np.array([0, 1, 1, 0, 0, 0], bool),
        "episode_length": np.array(LENGTHS),
    }
    for prefix, count in (("", 6), ("final_", 3)):
        trace[f"{prefix}observation/box"] = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
        trace[f"{prefix}observation/pair/0"] = rng.integers(3, 7, count)
        trace[f"{prefix}observation/pair/1"] = rng.integers(0, 2, (count, 2)).astype(np.int8)
    return trace


def write(path, trace):
    np.savez(path, **trace)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace-000000002.npz"


# Honest files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [write, save_trace, lambda path, trace: np.savez_compressed(path, **trace)])
def test_what_is_written_is_read(path, save):
    save(path, example())
    for given in ((), (OBSERVATION, ACTION), (None, ACTION)):
        trace = load_trace(path, *given)
        assert trace.keys() == example().keys()
        for name, array in example().items():
            np.testing.assert_array_equal(trace[name], array, strict=True)
        assert trace_headers(path, *given) == {name: (array.shape, array.dtype) for name, array in trace.items()}


def test_a_trace_without_masks_of_plain_spaces(path):
    trace = {
        "observation": np.arange(6), "final_observation": np.array([7, 8, 9]), "action": np.arange(6) % 2,
        **{name: example()[name] for name in ("terminated", "truncated", "episode_length")},
        "reward": np.zeros(6, np.float32),
    }  # fmt: skip
    save_trace(path, trace)
    assert load_trace(path, spaces.Discrete(10), spaces.Discrete(2)).keys() == trace.keys()


def test_foreign_layouts_are_read(path):
    trace = example()
    trace["observation/box"] = np.asfortranarray(trace["observation/box"])
    trace["reward"] = trace["reward"].astype(">f8")
    found = load_trace(write(path, trace), OBSERVATION, ACTION)
    np.testing.assert_array_equal(found["observation/box"], trace["observation/box"])
    np.testing.assert_array_equal(found["reward"], np.arange(6.0), strict=True)
    assert found["observation/box"].flags.c_contiguous


def test_successors():
    trace = example()
    found = successors(trace)
    assert found.keys() == {f"next_{name}" for name in trace if name.startswith(("observation", "action_mask"))}
    for name in ("observation/box", "observation/pair/0", "action_mask/a"):
        rows, last = trace[name], trace[f"final_{name}"]
        expected = [rows[1], last[0], last[1], rows[4], rows[5], last[2]]
        np.testing.assert_array_equal(found[f"next_{name}"], expected)


def test_files_of_a_directory(tmp_path):
    for name in ("trace-900000000.npz", "trace-1000000000.npz", "trace-000000009.npz", ".trace-000000001.npz", "a.npz"):
        (tmp_path / name).touch()
    (tmp_path / "trace-folder.npz").mkdir()
    expected = ["trace-000000009.npz", "trace-900000000.npz", "trace-1000000000.npz"]
    assert [path.name for path in trace_files(str(tmp_path))] == expected


def test_no_directory_or_nothing_in_it(tmp_path):
    with pytest.raises(ValueError, match=r"`directory`.*none at '.*nowhere'"):
        trace_files(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"`directory`.*{tmp_path.name}.*with none"):
        trace_files(tmp_path)
    with pytest.raises(
        TypeError, match=r"`directory` must be the path .* Received: list. `fit` learns from kagent.datasets.Episodes"
    ):
        trace_files([example()])
    with pytest.raises(FileNotFoundError):
        load_trace(tmp_path / "trace-0.npz")


# What is wrong in an array ---------------------------------------------------------------------------------


def changed(name, index, value):
    def change(trace):
        trace[name][index] = value

    return change


def cast(name, dtype):
    return lambda trace: trace.update({name: trace[name].astype(dtype)})


def shortened(name):
    return lambda trace: trace.update({name: trace[name][:-1]})


ANYWHERE = {
    "missing": (lambda trace: trace.pop("truncated"), r"lacks arrays \['truncated'\].*Received: \['action/a'"),
    "no observation": (lambda t: [t.pop(n) for n in list(t) if "observation" in n], r"lacks arrays.*'observation'"),
    "no final": (lambda trace: trace.pop("final_observation/box"), r"lacks arrays \['final_observation/box'\]"),
    "no final mask": (lambda trace: trace.pop("final_action_mask/a"), r"lacks arrays \['final_action_mask/a'\]"),
    "no mask": (lambda trace: trace.pop("action_mask/a"), r"lacks arrays \['action_mask/a'\]"),
    "unknown": (lambda t: t.update(masks=t["reward"]), r"has unknown arrays \['masks'\].*Allowed: \['action/a'"),
    "mask of none": (lambda t: t.update({"action_mask/c": t["action_mask/a"]}), r"unknown arrays \['action_mask/c'\]"),
    "short": (shortened("action/b"), r"'action/b' must be \(6, 1\) float32. Received: \(5, 1\) float32"),
    "short final": (shortened("final_observation/box"), r"must be \(3, 2\) float32. Received: \(2, 2\)"),
    "short flags": (shortened("terminated"), r"'terminated' must be \(6,\) bool. Received: \(5,\) bool"),
    "reward dtype": (cast("reward", np.int64), r"'reward' must be \(6,\) float64 or float32. Received: \(6,\) int64"),
    "flag dtype": (cast("truncated", np.int8), r"'truncated' must be \(6,\) bool"),
    "final dtype": (cast("final_observation/box", float), r"must be \(3, 2\) float32. Received: \(3, 2\) float64"),
    "mask rank": (lambda t: t.update({"action_mask/a": t["action_mask/a"][:, 0]}), r"'action_mask/a' must be"),
    "complex": (cast("action/b", complex), r"'action/b' must hold numbers or bools. Received: dtype complex128"),
    "words": (cast("action/a", str), r"'action/a' must hold numbers or bools"),
    "nan": (changed("observation/box", (4, 1), np.nan), r"'observation/box' must be finite. Received: nan at \[4, 1\]"),
    "reward": (changed("reward", 2, np.inf), r"'reward' must be finite. Received: inf at \[2\]"),
    "huge reward": (changed("reward", 1, -1e300), r"'reward' must be finite. Received: -1e\+300 at \[1\]"),
    "final nan": (changed("final_observation/box", (2, 0), -np.inf), r"'final_observation/box' must be finite"),
    "no end": (changed("terminated", 5, False), r"True at the last timestep of each episode.*Received: False at \[5\]"),
    "end inside": (changed("truncated", 3, True), r"last timestep of each episode and only there. Received: True at \[3\]"),
    "length 0": (changed("episode_length", 1, 0), r"'episode_length' must be 1 to 6.*Received: 0 at \[1\]"),
    "length huge": (changed("episode_length", 1, 2**62), r"'episode_length' must be 1 to 6"),
    "lengths": (changed("episode_length", 2, 2), r"'episode_length' must sum to 6.*Received: 5"),
}  # fmt: skip
IN_SPACES = {
    "observation below": (changed("observation/pair/0", 3, 2), r"'observation/pair/0' must be from 3 to 6. Received: 2 at \[3\]"),
    "observation above": (changed("final_observation/pair/0", 0, 7), r"from 3 to 6. Received: 7"),
    "bits": (changed("observation/pair/1", (0, 0), 2), r"'observation/pair/1' must be from \[0, 0\] to \[1, 1\]"),
    "action": (changed("action/a", (2, 0), 0), r"'action/a' must be from \[1, 0\] to \[2, 2\]. Received: 0 at \[2, 0\]"),
    "box": (changed("action/b", (5, 0), 2.5), r"'action/b' must be from \[-2.0\] to \[2.0\]. Received: 2.5 at \[5, 0\]"),
    "dtype": (cast("action/a", np.int32), r"'action/a' must be \(6, 2\) int64. Received: \(6, 2\) int32"),
    "nothing allowed": (changed("action_mask/a", (1, slice(2, 5)), False), r"at least one value of each component.*\[1, 1\]"),
    "final nothing": (changed("final_action_mask/a", (2, slice(0, 2)), False), r"'final_action_mask/a'.*\[2, 0\]"),
    "forbidden": (changed("action_mask/a", (4, 2), False), r"'action/a' must be allowed by 'action_mask/a'. Received: 0 at \[4, 1\]"),
    "mask width": (lambda t: t.update({n: t[n][:, :4] for n in t if "mask" in n}), r"mask/a' must be \(\d, 5\) bool. Received"),
    "box mask": (lambda t: t.update({n.replace("/a", "/b"): t[n] for n in list(t) if "mask" in n}), r"unknown arrays \['action_mask/b'"),
    "too much": (lambda t: t.update({n.replace("box", "c"): t[n] for n in list(t) if "box" in n}), r"unknown arrays.*'observation/c'"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(ANYWHERE))
def test_faults(path, case):
    change, message = ANYWHERE[case]
    trace = example()
    change(trace)
    write(path, trace)
    for given in ((), (OBSERVATION, ACTION)):
        with pytest.raises(ValueError, match=r"Trace '.*trace-000000002.npz': ") as raised:
            load_trace(path, *given)
        if not given:
            assert raised.match(message)
    path.unlink()
    with pytest.raises(ValueError, match=message):
        save_trace(path, trace)
    assert not path.exists()


@pytest.mark.parametrize("case", sorted(IN_SPACES))
def test_faults_by_the_spaces(path, case):
    change, message = IN_SPACES[case]
    trace = example()
    change(trace)
    load_trace(write(path, trace))
    with pytest.raises(ValueError, match=message):
        load_trace(path, OBSERVATION, ACTION)


def test_float64_that_float32_does_not_hold(path):
    trace = example()
    trace["action/b"] = trace["action/b"].astype(np.float64)
    load_trace(write(path, trace))
    trace["action/b"][3] = 1e300
    with pytest.raises(ValueError, match=r"'action/b' must be finite. Received: 1e\+300"):
        load_trace(write(path, trace))


def test_an_observation_beyond_its_box_is_read(path):
    """Environments give such, and are believed."""
    trace = example()
    trace["observation/box"][0] = 1.5
    assert load_trace(write(path, trace), OBSERVATION, ACTION)["observation/box"][0, 0] == 1.5


# Hostile files ---------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("/tmp/kagent_trace_was_here",))


def npy(array, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def header(shape, descr="<f8", data=b"\0" * 48):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


HOSTILE = {
    "pickle": (npy(np.array([Bomb()] * 6, object)), "'reward' must be"),
    "structured": (npy(np.zeros(6, "f4,f4")), "'reward' must hold numbers or bools"),
    "version": (npy(np.zeros(6), version=(2, 0)), "'reward' must have a header of version 1.0"),
    "huge": (
        header((10**12,)),
        r"'reward' must be as large as it says. Received: \(1000000000000,\) float64 in 48 bytes",
    ),
    "product": (header((2**32, 2**32, 0)), "'reward' must be as large as it says"),
    "overflow": (header((2**31, 2**33)), "'reward' must be as large as it says"),
    "negative": (header((-6, -1)), "'reward' must be as large as it says"),
    "code": (header("(__import__('os').mkdir('/tmp/kagent_trace_was_here'),)"), "malformed|header|parse"),
    "deep": (header("(" * 5000 + ")" * 5000), "header|parse|malformed|nested|memory|[Ll]arge"),
    "not an array": (b"hello", "magic"),
    "empty": (b"", "magic|EOF|reading"),
    "scalar": (npy(np.array(1.0)), "'reward'"),
    "more": (npy(np.zeros(6)) + b"\0" * 8, "'reward' must be as large as it says"),
}


@pytest.mark.parametrize("case", sorted(HOSTILE))
def test_hostile_arrays(path, case):
    content, message = HOSTILE[case]
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in example().items():
            archive.writestr(f"{name}.npy", content if name == "reward" else npy(array))
    tracemalloc.start()
    for given in ((), (OBSERVATION, ACTION)):
        for read in (trace_headers, load_trace):
            with pytest.raises(ValueError, match=f"Trace '.*trace-000000002.npz': .*({message})"):
                read(path, *given)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6 and not os.path.exists("/tmp/kagent_trace_was_here")


def test_what_unpacks_to_more_than_is_allowed(path):
    trace = example()
    trace["observation/box"] = np.zeros((6, 1_000_000), np.float32)
    trace["final_observation/box"] = np.zeros((3, 1_000_000), np.float32)
    np.savez_compressed(path, **trace)
    assert path.stat().st_size < 1e5
    assert len(load_trace(path)["reward"]) == 6
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"at most max_bytes=1000000 bytes. Received: 3600"):
        load_trace(path, max_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6 and traces.LARGEST <= 2**31


@pytest.mark.parametrize("where", [0, 5, 60, 400, -30, -400])
def test_damaged_files(path, where):
    save_trace(path, example())
    data = bytearray(path.read_bytes())
    for i in range(20):
        data[where + i if where >= 0 else len(data) + where + i] ^= 0xFF
    path.write_bytes(data)
    try:
        found = load_trace(path, OBSERVATION, ACTION)
    except ValueError as error:
        assert "trace-000000002.npz" in str(error)
    else:  # what was damaged is not content
        assert all((found[name] == array).all() for name, array in example().items())


def test_truncated_files_and_others(path):
    save_trace(path, example())
    data = path.read_bytes()
    for content in (b"", b"PK", data[:100], data[:-10], data[100:], npy(np.zeros(3))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"trace-000000002.npz"):
            load_trace(path)


def test_names_twice_and_other_entries(path):
    for name in ("reward.npy", "notes.txt", "../reward"):
        write(path, example())
        with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr(name, npy(np.zeros(6)))
        with pytest.raises(ValueError, match=r"entries must be arrays <name>.npy, each once. Received: "):
            load_trace(path)
