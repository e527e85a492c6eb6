"""Films of real environments, read back."""

import itertools
import sys

import gymnasium
import imageio.v2 as imageio
import numpy as np
import pytest

import kagent
from kagent.cli import main
from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.environments import rendering


class Scripted:
    """Acts like an agent: pushes the cart this way and that."""

    def __init__(self):
        self.calls = []

    def act(self, observation, deterministic=False, mask=None):
        self.calls.append((np.array(observation), deterministic, mask))
        return len(self.calls) // 4 % 2


class Sensed(gymnasium.Env):
    """Says how late it is, and remembers its actions."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gymnasium.spaces.Box(0, 10, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    render_mode = "rgb_array"

    def __init__(self, length=3):
        self.length, self.actions = length, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.actions.append(action)
        self.time += 1
        return np.array([self.time / 9], np.float32), 0.0, self.time == self.length, False, {}

    def render(self):
        return np.zeros((16, 16, 3), np.uint8)


class Counting(gymnasium.Env):
    """Ends after three steps; its pictures are told apart by brightness."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space = gymnasium.spaces.Box(0, 10, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    render_mode = "rgb_array"

    def __init__(self, image=None, length=3):
        self.step_count, self.image, self.length, self.seeds, self.closed = 0, image, length, [], False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.step_count = 0
        return np.zeros(1, np.float32), {"action_mask": np.array([True, False])}

    def step(self, action):
        self.step_count += 1
        return np.zeros(1, np.float32), 0.5, self.step_count == self.length, False, {}

    def render(self):
        return np.full((16, 16, 3), 40 * self.step_count, np.uint8) if self.image is None else self.image

    def close(self):
        self.closed = True


def test_a_gif_of_cartpole_shows_every_step(tmp_path):
    agent, path = Scripted(), tmp_path / "new" / "cart.gif"
    result = rendering.record(agent, "CartPole-v1", path, seed=3, max_steps=15)
    assert result["frames"] == 16 and result["fps"] == 50 and result["episode_lengths"] == [15]
    assert result["episode_returns"] == [15.0]
    first, _ = gymnasium.make("CartPole-v1").reset(seed=3)
    np.testing.assert_array_equal(agent.calls[0][0], first)
    assert all(deterministic and mask is None for _, deterministic, mask in agent.calls)
    env = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    env.reset(seed=3)
    shown = [env.render()]
    for call in range(1, 16):
        env.step(call // 4 % 2)
        shown.append(env.render())
    changes = sum((now != before).any() for before, now in itertools.pairwise(shown))
    with imageio.get_reader(path) as reader:
        frames = [frame[..., :3] for frame in reader]
        total = sum(reader.get_meta_data(index)["duration"] for index in range(len(frames)))
    assert frames[0].shape == (400, 600, 3)
    assert len(frames) == changes + 1 > 10  # equal neighbours are one picture, shown longer
    assert total == 16 * 20  # milliseconds
    assert np.abs(frames[-1].astype(int) - shown[-1]).max() <= 8  # a palette of 256 colours
    assert not list(path.parent.glob(".*"))


def test_an_mp4_has_every_frame_at_the_rate_asked_for(tmp_path):
    path = tmp_path / "cart.mp4"
    result = rendering.record(Scripted(), "CartPole-v1", path, seed=0, max_steps=12, episodes=2, fps=25)
    with imageio.get_reader(path) as reader:
        meta, frames = reader.get_meta_data(), [frame for frame in reader]
    assert len(frames) == result["frames"] == 26
    assert meta["fps"] == 25 and meta["size"] == (600, 400)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 50  # the cart has moved


def test_episodes_masks_and_seeds_reach_the_environment(tmp_path):
    env, agent = Counting(), Scripted()
    result = rendering.record(agent, env, tmp_path / "x.gif", episodes=2, seed=5, deterministic=False)
    assert result == {"frames": 8, "fps": 10.0, "episode_returns": [1.5, 1.5], "episode_lengths": [3, 3]}
    assert env.seeds == [5, None] and not env.closed
    assert agent.calls[0][2].tolist() == [True, False] and agent.calls[1][2] is None
    assert not any(deterministic for _, deterministic, _ in agent.calls)
    with imageio.get_reader(tmp_path / "x.gif") as reader:
        assert [int(frame[0, 0, 0]) for frame in reader] == [0, 40, 80, 120] * 2
        assert reader.get_meta_data()["duration"] == 100


def test_a_recurrent_agent_is_filmed_in_its_state(tmp_path):
    agent = kagent.RecurrentPPO(lambda: Sensed(), network={"units": [4], "rnn": 4}, seed=0)
    for weight in agent.policy.weights:  # large ones, so that the state decides
        weight.assign(np.random.default_rng(weight.shape[-1]).normal(0.0, 3.0, weight.shape))
    agent.actor.expire()
    agent.save(tmp_path / "a.keras")
    actor, taken = kagent.acting.load(tmp_path / "a.keras"), []
    for who in (agent, actor):
        env = Sensed(length=12)
        assert rendering.record(who, env, tmp_path / "a.gif", episodes=2)["episode_lengths"] == [12, 12]
        taken.append(env.actions)
    player, expected = actor.player(), []
    for _ in range(2):
        player.reset()
        expected += [player.act(np.array([step / 9], np.float32)) for step in range(12)]
    first = [actor.player().act(np.array([step / 9], np.float32)) for step in range(12)]
    assert taken == [expected, expected] and expected[:12] == expected[12:] != first
    rendering.record(agent, Sensed(length=3), tmp_path / "a.gif", deterministic=False)
    with pytest.raises(ValueError, match=r"has a state of its episode.*`player\(\)`"):
        actor.act(np.zeros(1, np.float32))


def test_sampled_actions_are_filmed(tmp_path):
    agent = kagent.PPO(lambda: Sensed(), network={"units": [4]}, seed=0)
    env = Sensed(length=40)
    rendering.record(agent, env, tmp_path / "a.gif", deterministic=False)
    assert len(env.actions) == 40 and len(set(env.actions)) == 2 and agent.timesteps == 0


def test_an_environment_with_other_spaces_is_refused(tmp_path):
    agent = Scripted()
    agent.observation_space, agent.action_space = Counting.observation_space, gymnasium.spaces.Discrete(3)
    with pytest.raises(ValueError, match=r"action_space is not the agent's(.|\n)*n=3(.|\n)*n=2"):
        rendering.record(agent, Counting(), tmp_path / "x.gif")
    agent.action_space = Counting.action_space
    assert rendering.record(agent, Counting(), tmp_path / "x.gif")["frames"] == 4


@pytest.mark.parametrize("image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), [1], np.zeros((4, 4, 4), np.uint8)])
def test_what_is_no_picture_is_refused_and_the_old_file_stays(tmp_path, image):
    path = tmp_path / "x.gif"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="render_mode='rgb_array'"):
        rendering.record(Scripted(), Counting(image), path)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["x.gif"]


class Blind(Counting):
    """Has no picture, and its constructor no `render_mode`."""

    render = gymnasium.Env.render

    def __init__(self):
        super().__init__()


def test_an_environment_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"RGB images\. Blind has no `render` of its own"):
        rendering.record(Scripted(), Blind(), tmp_path / "x.gif")
    gymnasium.register("Blind-v0", Blind)
    try:
        with pytest.raises(ValueError, match="Blind-v0 cannot be filmed: its constructor takes no `render_mode`"):
            rendering.record(Scripted(), "Blind-v0", tmp_path / "x.gif")
        with pytest.raises(CommandError, match="Blind-v0 cannot be drawn: its constructor takes no `render_mode`"):
            Source("Blind-v0", wrappers=('TimeLimit:{"max_episode_steps": 3}',)).make(render_mode="rgb_array")
        with pytest.raises(CommandError, match=r"does not take \{.size.: 3\}"):
            Source("Blind-v0", {"size": 3}).make()
    finally:
        del gymnasium.registry["Blind-v0"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options, message",
    [({"episodes": 0}, "episodes"), ({"fps": 0.5}, "fps"), ({"max_steps": 0}, "max_steps")],
)
def test_numbers_below_one_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=f"`{message}`.*Received"):
        rendering.record(Scripted(), Counting(), tmp_path / "x.gif", **options)
    with pytest.raises(ValueError, match=r"\.gif or \.mp4"):
        rendering.record(Scripted(), Counting(), tmp_path / "x.avi")


@pytest.mark.parametrize("missing", ["imageio", "imageio_ffmpeg", "pygame"])
def test_a_missing_package_gives_the_install_line(tmp_path, monkeypatch, missing):
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "imageio":
        monkeypatch.setitem(sys.modules, "imageio.v2", None)
    with pytest.raises(ImportError, match=r"pip install 'kagent\[render\]'"):
        rendering.record(Scripted(), "CartPole-v1", tmp_path / "x.gif", max_steps=2)
    assert not list(tmp_path.iterdir())


def test_record_refuses_bad_input_in_one_line(tmp_path, capsys):
    file = tmp_path / "agent.keras"
    for arguments, message in (
        ([str(file), "CartPole-v1", "--out", "x.avi"], "--out must end in .gif or .mp4"),
        ([str(file), "CartPole-v1", "--out", "x.gif"], "no such file"),
        ([str(file), "CartPole-v1", "--out", "x.gif", "--episodes", "0"], "at least 1"),
        ([str(file), "CartPole-v1"], "--out"),
    ):
        assert main(["record", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_several_environments_are_side_by_side(tmp_path):
    """Three in a grid of two columns, of 16 x 16 pixels with 4 between. The first ends after 1 timestep, the third after 3."""
    envs = [Counting(length=1), Counting(np.full((16, 8, 3), 200, np.uint8), length=2), Counting(length=3)]
    result = rendering.record(Scripted(), envs, tmp_path / "grid.mp4", seed=5)
    assert result["frames"] == 4 and result["episode_lengths"] == [1, 2, 3]
    assert result["episode_returns"] == [0.5, 1.0, 1.5] and [env.seeds for env in envs] == [[5], [6], [7]]
    assert not any(env.closed for env in envs)
    films = [rendering._play(Scripted(), env, 1, None, True, None, [], [], rendering._image) for env in envs]
    images = list(rendering.side_by_side(films))
    assert {image.shape for image in images} == {(36, 36, 3)}
    # Brightness 40 for each timestep, half of it once the episode is over.
    assert [int(image[0, 0, 0]) for image in images] == [0, 40, 20, 20]
    assert [int(image[20, 0, 0]) for image in images] == [0, 40, 80, 120]
    assert [int(image[0, 20, 0]) for image in images] == [200, 200, 200, 100]
    assert all(not image[:, 16:20].any() and not image[0, 28:].any() and not image[20:, 20:].any() for image in images)


def test_what_is_no_environment_is_not_filmed(tmp_path):
    env = Counting()
    for wrong in ([], [env, env]):
        with pytest.raises(ValueError, match="must be different environments, one at least"):
            rendering.record(Scripted(), wrong, tmp_path / "film.gif")
    vector = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    with pytest.raises(
        TypeError, match=r"Received: SyncVectorEnv\. The environments of a vector environment are filmed"
    ):
        rendering.record(Scripted(), vector, tmp_path / "film.gif")
    with pytest.raises(TypeError, match=r"or a list of these\. Received: int"):
        rendering.record(Scripted(), [env, 3], tmp_path / "film.gif")
    assert env.seeds == [] and not list(tmp_path.iterdir())
