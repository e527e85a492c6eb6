"""Files that unpack to far more than they are, and damaged ones."""

import json
import random
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

import kagent
from kagent import saving, traces
from kagent.config import settings_file
from kagent.files import packed

CARTPOLE = "CartPole-v1"
BOMB = 100 << 20  # bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of each kind."""
    folder = tmp_path_factory.mktemp("packed")
    network = [{"type": "dense", "size": 4}]
    scaled = {"type": "clipping", "lower": -1, "upper": 1}
    agent = kagent.DQN(CARTPOLE, network=network, preprocessing=scaled, memory=50, batch_size=8, start=16, seed=0)
    agent.compile(run_eagerly=True)
    agent.fit(CARTPOLE, steps=20, verbose=0)
    agent.save(folder / "a.keras", include_memory=True)
    agent.save_weights(folder / "a.weights.h5")
    kagent.PPO(CARTPOLE, network=network, seed=0).save(folder / "actor.keras")
    ends = {"terminated": np.array([False, True]), "truncated": np.array([False, False])}
    trace = {"observation": np.zeros((2, 4), np.float32), "final_observation": np.ones((1, 4), np.float32), **ends,
             "action": np.array([0, 1]), "reward": np.array([0.5, 1.0]), "episode_length": np.array([2])}  # fmt: skip
    traces.save_trace(folder / "trace.npz", trace)
    settings = {"agent": "dqn", "memory": 100, "network": {"type": "mlp", "units": [8]}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "settings.yaml").write_text("agent: dqn\nmemory: 100\nnetwork:\n  type: mlp\n  units: [8, 8]\n")
    return folder


@pytest.fixture(scope="module")
def agent(folder):
    return kagent.load(folder / "a.keras")


def rezipped(source, target, change):
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)), zipfile.ZIP_DEFLATED, 1)
    return target


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5", "assets/other"])
def test_members_that_unpack_to_far_more(member, folder, tmp_path):
    path = tmp_path / "a.keras"
    shutil.copy(folder / "a.keras", path)
    if member != "assets/other":
        rezipped(folder / "a.keras", path, lambda name, content: b" " * BOMB if name == member else content)
    else:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(member, bytes(BOMB))
    assert path.stat().st_size < BOMB // 50
    with pytest.raises(ValueError, match=r"a\.keras' would unpack to \d{9} bytes from \d{6}"):
        kagent.load(path)


def test_a_large_config_is_refused_before_it_is_parsed(folder, tmp_path):
    path = rezipped(
        folder / "a.keras", tmp_path / "a.keras", lambda name, x: b" " * (9 << 20) if name == "config.json" else x
    )
    with pytest.raises(ValueError, match=r"config\.json in .* has more than 8388608 bytes"):
        kagent.load(path)


@pytest.mark.parametrize("dropped", ["config.json", "model.weights.h5"])
def test_members_that_must_be_there(dropped, folder, tmp_path):
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(folder / "a.keras") as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            if name != dropped:
                after.writestr(name, before.read(name))
    with pytest.raises(ValueError, match=f"has no member.*{dropped}"):
        kagent.load(path)


def test_a_directory_of_the_members_is_read_as_the_file(folder, agent, tmp_path):
    agent.save(tmp_path / "a", zipped=False)
    assert kagent.load(tmp_path / "a").timesteps == agent.timesteps
    (tmp_path / "a" / "config.json").write_bytes(b" " * (9 << 20))
    with pytest.raises(ValueError, match="more than 8388608 bytes"):
        kagent.load(tmp_path / "a")


def sparse(entries):
    entries.create_dataset("more", (2**32,), np.float32, chunks=(2**20,), compression="gzip")


def elsewhere(entries):
    entries.create_dataset("more", (8,), np.uint8, external=[("/etc/passwd", 0, 8)])


def virtual(entries):
    layout = h5py.VirtualLayout((8,), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "more", (8,))
    entries.create_virtual_dataset("more", layout)


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ("vars", sparse, r"would unpack to 1717\d{7} bytes"),
        ("layers/value_policy", sparse, r"would unpack to 1717\d{7} bytes"),
        ("optimizer/vars", sparse, r"would unpack to 1717\d{7} bytes"),
        ("layers/value_policy", elsewhere, "'layers/value_policy/more' lies in another file"),
        ("layers/value_policy", virtual, "'layers/value_policy/more' lies in another file"),
    ],
)
def test_data_sets_that_unpack_to_far_more(place, change, message, folder, agent, tmp_path):
    path = tmp_path / "a.weights.h5"
    shutil.copy(folder / "a.weights.h5", path)
    with h5py.File(path, "r+") as file:
        change(file[place])
    for read in (agent.load_weights, saving.spaces_of):
        with pytest.raises(ValueError, match=message):
            read(path)
    inside = rezipped(folder / "a.keras", tmp_path / "a.keras", lambda name, content: (
        path.read_bytes() if name == "model.weights.h5" else content))  # fmt: skip
    for load in (kagent.load, keras.saving.load_model):
        with pytest.raises(ValueError, match=message):
            load(inside)


def test_the_bound_is_a_ratio(tmp_path):
    # 64 MiB, and twenty times what is stored.
    for size, refused in ((64 << 20, False), ((64 << 20) + (4 << 20), True)):
        with h5py.File(tmp_path / f"{refused}.h5", "w") as file:
            file.create_dataset("a", (size,), np.uint8, chunks=(1 << 20,))  # none of it is stored
            assert file.id.get_filesize() < 100_000
            if refused:
                with pytest.raises(ValueError, match="would unpack to 71303168 bytes"):
                    packed.check_hdf5(file)
            else:
                packed.check_hdf5(file)


# Damage ----------------------------------------------------------------------------------------------------


def damaged(content, random_):
    """Cut, shortened inside, or with some bytes changed."""
    kind, at = random_.random(), random_.randrange(len(content))
    if kind < 0.2:
        return content[:at]
    if kind < 0.3:
        return content[:at] + content[at + random_.randrange(1, 200) :]
    changed = bytearray(content)
    for _ in range(random_.choice([1, 3, 20])):
        changed[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
    return bytes(changed)


ODD = [
    None,
    -1,
    True,
    "",
    "x",
    [],
    {},
    1e308,
    2**63,
    -(2**70),
    float("nan"),
    {"class_name": "Dense"},
    [None],
    {"type": "x"},
]


def places(value, path=()):
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def odd(config, random_):
    """The configuration with one of its values another one, or missing."""
    config = json.loads(json.dumps(config))
    *path, last = random_.choice(list(places(config)))
    inner = config
    for key in path:
        inner = inner[key]
    if random_.random() < 0.2:
        del inner[last]
    else:
        inner[last] = random_.choice(ODD)
    return config


READERS = {
    "a.keras": kagent.load,
    "actor.keras": kagent.acting.load,
    "trace.npz": traces.load_trace,
    "settings.json": lambda path: settings_file.read(path, "`agent`"),
    "settings.yaml": lambda path: settings_file.read(path, "`agent`"),
    "a.weights.h5": saving.spaces_of,
}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_raise_one_of_two_errors(name, folder, tmp_path):
    random_, content, path, refused = random.Random(0), (folder / name).read_bytes(), tmp_path / name, 0
    for _ in range(8 if name == "a.keras" else 40):
        path.write_bytes(damaged(content, random_))
        try:
            READERS[name](path)
        except (ValueError, OSError):
            refused += 1
    assert refused


def test_damaged_weights_raise_one_of_two_errors(folder, agent, tmp_path):
    random_, content, path, refused = (
        random.Random(0),
        (folder / "a.weights.h5").read_bytes(),
        tmp_path / "a.weights.h5",
        0,
    )
    for _ in range(12):
        path.write_bytes(damaged(content, random_))
        try:
            agent.load_weights(path)
        except (ValueError, OSError):
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("name", "member", "read", "count"),
    [
        ("a.keras", "config.json", kagent.load, 25),
        ("actor.keras", "assets/actor.json", kagent.acting.load, 60),
    ],
)
def test_odd_values_raise_one_error(name, member, read, count, folder, tmp_path):
    random_, refused = random.Random(1), 0
    with zipfile.ZipFile(folder / name) as archive:
        honest = json.loads(archive.read(member))
    for _ in range(count):
        config = json.dumps(odd(honest, random_)).encode()
        path = rezipped(folder / name, tmp_path / name, lambda n, c: config if n == member else c)  # noqa: B023
        try:
            read(path)
        except ValueError:
            refused += 1
    assert refused


def test_what_is_no_file_of_ours(tmp_path):
    for content in (b"", b"PK", b"no zip at all", b"PK\x05\x06" + bytes(18)):
        path = tmp_path / "a.keras"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.keras"):
            kagent.load(path)
    with pytest.raises(FileNotFoundError):
        kagent.load(tmp_path / "nowhere.keras")
    with pytest.raises(OSError):
        kagent.load(tmp_path)
    for config in ("[]", "3", "{", "null", '{"class_name": ["DQN"]}', '{"registered_name": "kagent>DQN", "config": 3}'):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", config)
            archive.writestr("model.weights.h5", b"")
        with pytest.raises(ValueError):
            kagent.load(path)
