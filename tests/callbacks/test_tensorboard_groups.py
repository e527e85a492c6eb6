"""TensorBoard's groups, settings, histograms and videos, read back from real event files."""

import io
import math

import imageio.v2 as imageio
import numpy as np
import pytest
import tensorflow as tf
from event_files import curves, events
from runs import run
from toy_envs import Counter

from kagent.callbacks import TensorBoard
from kagent.callbacks.summaries.settings import settings

GROUPS = ("rollout", "train", "time", "eval")


def scalars(folder):
    """By tag: the steps, and the values."""
    found = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "scalars":
                found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return {tag: tuple(zip(*points)) for tag, points in found.items()}


def hparams_of(folder):
    """The settings in a folder, and how many sessions ended well."""
    from tensorboard.plugins.hparams import plugin_data_pb2

    found, ended = {}, 0
    for event in events(folder):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name != "hparams":
                continue
            data = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
            if data.HasField("session_start_info"):
                given = data.session_start_info.hparams
                found = {name: getattr(one, one.WhichOneof("kind")) for name, one in given.items()}
            ended += data.HasField("session_end_info")
    return found, ended


@pytest.mark.eager
@pytest.mark.parametrize("unit", ["timesteps", "episodes", "updates"])
def test_every_log_is_in_its_group(small, tmp_path, unit):
    validation = {"validation_env": Counter(lengths=(2,)), "validation_episodes": 1}
    agent = small("dqn", env=Counter(), start=40, frequency=20, batch_size=4)
    history = agent.fit(
        Counter(lengths=(7,)),
        steps=60,
        steps_per_epoch=20,
        callbacks=[TensorBoard(tmp_path, unit=unit)],
        verbose=0,
        **validation,
    ).history
    found = scalars(tmp_path)
    assert {tag.split("/")[0] for tag in found} == set(GROUPS)
    expected = {"episode_return": "rollout", "loss": "train", "steps_per_second": "time", "episodes": "time"}
    for name, group in expected.items():
        values = [math.nan] * (3 - len(history[name])) + history[
            name
        ]  # of an eager agent the loss is known when there is one
        known = [(step, value) for step, value in zip(history[unit], values) if not math.isnan(value)]
        assert found[f"{group}/{name}"][0] == tuple(step for step, _ in known)
        np.testing.assert_allclose(found[f"{group}/{name}"][1], [value for _, value in known], rtol=1e-6)
    assert found["eval/episode_length"] == (tuple(history[unit]), (2.0, 2.0, 2.0))
    assert len(found) == len(history) and not (tmp_path / "train").exists() and not (tmp_path / "validation").exists()


@pytest.mark.eager
def test_settings_are_on_the_page_of_hyperparameters(small, tmp_path):
    agent = small("ppo", learning_rate=0.25)
    run(agent, TensorBoard(tmp_path, hparams={"note": "first", "try": 3}), epochs=1)
    found, ended = hparams_of(tmp_path)
    assert found["algorithm"] == "PPO" and found["objective.clip_range"] == 0.2 and found["seed"] == 0
    assert found["optimizer.learning_rate"] == 0.25 and found["policy.network.units"] == "[8]"
    assert (found["note"], found["try"]) == ("first", 3) and ended == 1
    assert found.items() >= settings(agent).items()
    run(agent, TensorBoard(tmp_path / "none", hparams=False), epochs=1)
    assert hparams_of(tmp_path / "none") == ({}, 0)


@pytest.mark.eager
def test_tensorboards_own_reader_finds_settings_and_curves(small, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(small("dqn"), TensorBoard(tmp_path), epochs=1)
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    session = reader.SummaryMetadata("_hparams_/session_start_info")
    assert session.plugin_data.plugin_name == "hparams"
    assert {"rollout/episode_return", "time/timesteps"} <= set(reader.Tags()["tensors"])


@pytest.mark.eager
def test_histograms_are_optional(small, tmp_path):
    agent = small("dqn")
    run(agent, TensorBoard(tmp_path / "with", histogram_freq=2), TensorBoard(tmp_path / "without"), epochs=3)
    found = curves(tmp_path / "with")
    paths = {f"weights/{weight.path}" for weight in agent.weights}
    assert paths == {tag for tag in found if tag.startswith("weights/")}
    assert all(found[tag][0] == [20, 60] for tag in paths)
    assert not any(tag.startswith("weights/") for tag in curves(tmp_path / "without"))


class Pictures(Counter):
    """Draws how far it has counted."""

    render_mode = "rgb_array"
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def render(self):
        return np.full((8, 12, 3), 40 * self.time, np.uint8)


def gifs(folder):
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("image"):
                yield event.step, value.tag, value.image


@pytest.mark.eager
def test_a_video_is_an_episode_of_greedy_actions(small, tmp_path):
    """Three timesteps, so four pictures, at the ends of epochs 0 and 2 of 20 timesteps each."""
    agent, plain = (small("dqn", env=Counter(), start=10_000) for _ in range(2))
    callback = TensorBoard(tmp_path, video=Pictures(lengths=(3,)), video_freq=2)
    arguments = {"steps": 60, "steps_per_epoch": 20, "verbose": 0}
    agent.fit(Counter(lengths=(5,)), callbacks=[callback], **arguments)
    found = list(gifs(tmp_path))
    assert [(step, tag) for step, tag, _ in found] == [(20, "eval/video"), (60, "eval/video")]
    image = found[0][2]
    assert (image.width, image.height, image.colorspace) == (12, 8, 3)
    frames = imageio.mimread(io.BytesIO(image.encoded_image_string))
    assert [int(frame.max()) for frame in frames] == [0, 40, 80, 120]
    plain.fit(Counter(lengths=(5,)), **arguments)  # to watch changes nothing
    assert agent.get_config() == plain.get_config() and agent.episodes == plain.episodes == 12
    assert agent.act(np.zeros(3, np.float32)) == plain.act(np.zeros(3, np.float32))


@pytest.mark.eager
def test_several_environments_are_in_one_video(small, tmp_path):
    """Episodes of 1 and 2 timesteps, side by side with 4 pixels between: three pictures."""
    callback = TensorBoard(tmp_path, video=[Pictures(lengths=(1,)), Pictures(lengths=(2,))])
    small("dqn", env=Counter(), start=10_000).fit(Counter(), steps=5, callbacks=[callback], verbose=0)
    image = next(gifs(tmp_path))[2]
    assert (image.width, image.height) == (28, 8)
    frames = imageio.mimread(io.BytesIO(image.encoded_image_string))
    assert [(int(frame[0, 0].max()), int(frame[0, 20].max())) for frame in frames] == [(0, 0), (40, 40), (20, 80)]


@pytest.mark.eager
def test_a_long_episode_of_a_video_is_cut(small, tmp_path):
    callback = TensorBoard(tmp_path, video=Pictures(lengths=(50,)), video_steps=2)
    small("dqn", env=Counter(), start=10_000).fit(Counter(), steps=5, callbacks=[callback], verbose=0)
    assert len(imageio.mimread(io.BytesIO(next(gifs(tmp_path))[2].encoded_image_string))) == 3


@pytest.mark.eager
def test_what_keras_writes_of_batches_is_beside_the_groups(small, tmp_path):
    run(small("dqn", start=4, batch_size=4), TensorBoard(tmp_path, update_freq=1), epochs=1)
    assert "batch_loss" in curves(tmp_path / "train") and "train/loss" in scalars(tmp_path)
    assert not any(tag.startswith("epoch_") for tag in curves(tmp_path / "train"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"tags": "mine"}, r"`tags` must be one of \('groups', 'keras'\)\. Received: 'mine'"),
        ({"hparams": {"a": [1]}}, r"`hparams` must be True, False, or a dict of numbers.*Received: \{'a': \[1\]\}"),
        ({"hparams": 3}, "`hparams` must be True, False, or a dict"),
        ({"video_freq": 0}, "`video_freq` must be an integer >= 1"),
        ({"video_steps": 0.5}, "`video_steps` must be an integer >= 1"),
        ({"video": "CartPole-v1", "tags": "keras"}, "A `video` is written with tags='groups'"),
        ({"video": []}, "What is filmed must be different environments, one at least"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        TensorBoard(tmp_path, **arguments)


def test_a_video_without_what_writes_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match=r"pip install 'kagent\[render\]'"):
        TensorBoard(tmp_path, video="CartPole-v1")
