"""Curves, settings and videos of training for TensorBoard, over an agent's own time."""

from __future__ import annotations

import contextlib
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from kagent.callbacks.summaries.settings import Setting, settings
from kagent.callbacks.summaries.writer import Writer
from kagent.config.checks import check_count
from kagent.environments import rendering
from kagent.files.atomic_files import errors_of_tensorflow, naming_the_disk

UNITS = ("timesteps", "episodes", "updates")
TAGS = ("groups", "keras")
_TIMES = (*UNITS, "steps_per_second")
_FLUSH = 1e-3  # seconds: a point is in the file as soon as its epoch ends


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's TensorBoard callback over timesteps, with curves in groups: `tensorboard --logdir <log_dir>`.

    | tags | |
    |---|---|
    | `rollout/` | `episode_return`, `episode_length` of training's own episodes |
    | `train/` | `loss` and the other logs of updates |
    | `time/` | `timesteps`, `episodes`, `updates`, `steps_per_second` |
    | `eval/` | the logs of validations, `val_episode_return` as `eval/episode_return` |
    | `weights/` | histograms of the variables, with `histogram_freq` |

    Keras's own x axis counts epochs, which are longer in a longer run: runs with other bounds cannot be compared by it. A
    metric that has no value yet, because no episode has ended and no update was made, has no point. A warning is given where
    event files are removed during training. Where they can no longer be written, as on a full disk, a warning says so once,
    and training goes on.

    Args:
        log_dir: Where event files go.
        unit: Of the x axis: "timesteps", "episodes" or "updates" (gradient steps), as the agent counts them.
        tags: "groups", or "keras": Keras's names, `epoch_loss`, in its folders `train` and `validation`.
        hparams: Whether the agent's settings are written for TensorBoard's HParams page: its constructor arguments, those of
            parts by dotted names such as `objective.clip_range`. A dict: these, and further settings of yours.
        video: An environment's id, or an environment that renders RGB arrays: one greedy episode of it is written as
            `eval/video`, which the Images page shows. Or a list of these, such as `["CartPole-v1"] * 4`: an episode of each, side by
            side. Needs `pip install 'kagent[render]'`. None: no videos.
        video_freq: Epochs from one video to the next.
        video_steps: Timesteps after which an episode of a video is cut.
        **arguments: As `keras.callbacks.TensorBoard` takes them. What `update_freq` writes of batches stays over batches.

    Raises:
        TypeError: A `video` of something else than environments.
        ValueError: Another unit or other tags; frequencies that are no integers >= 1; `hparams` of other values than numbers,
            texts and bools; `video` with tags="keras", or of the same environment twice.
        ImportError: A video, without what renders it; the message is the line that installs it.
        OSError: Event files cannot be written when training begins. The error names the directory and the bytes that are free.

    Example:

    >>> history = agent.fit("CartPole-v1", steps=1_000, callbacks=[TensorBoard("logs", unit="timesteps")])
    """

    histogram_freq: Any
    embeddings_freq: Any

    def __init__(
        self,
        log_dir: Any = "logs",
        unit: str = "timesteps",
        tags: str = "groups",
        hparams: bool | Mapping[str, Setting] = True,
        video: Any = None,
        video_freq: int = 10,
        video_steps: int = 1000,
        **arguments: Any,
    ):
        if unit not in UNITS:
            raise ValueError(f"`unit` must be one of {UNITS}. Received: {unit!r}")
        if tags not in TAGS:
            raise ValueError(f"`tags` must be one of {TAGS}. Received: {tags!r}")
        super().__init__(log_dir, **arguments)
        self.unit, self.tags, self.hparams, self.video = unit, tags, _checked(hparams), video
        self.video_freq = check_count(video_freq, "video_freq")
        self.video_steps = check_count(video_steps, "video_steps")
        if video is not None:
            if tags == "keras":
                raise ValueError(f"A `video` is written with tags='groups'. Received: video={video!r}, tags='keras'")
            rendering.check_filmed(video)
            rendering.check_installed()
        self._writer: Writer | None = None
        # What Keras alone writes, into folders of its own.
        self._of_keras = tags == "keras" or bool(
            self.embeddings_freq
            or self.update_freq != "epoch"
            or arguments.get("profile_batch")
            or self.write_steps_per_second
        )
        self._there = False  # whether Keras's event files were there at the end of the last epoch
        self._failed = False  # whether they could not be written

    # What Keras writes -----------------------------------------------------------------------------------------

    def set_model(self, model: Any) -> None:
        if not self._of_keras:
            keras.callbacks.Callback.set_model(self, model)
            return
        with naming_the_disk(Path(self.log_dir)), errors_of_tensorflow():
            super().set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._of_keras:
            with naming_the_disk(Path(self.log_dir)), errors_of_tensorflow():
                super().on_train_begin(logs)
        self._there = self._failed = False
        if self.tags == "groups":
            self._open()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._of_keras:
            with self._surviving_a_full_disk():
                super().on_train_end(logs)
        if self._writer is not None:
            self._writer.session_end()
            self._writer.close()
            self._writer = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._of_keras:
            with naming_the_disk(Path(self.log_dir)), errors_of_tensorflow():
                super().on_test_begin(logs)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._of_keras:
            with self._surviving_a_full_disk():
                super().on_test_end(logs)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._of_keras:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._of_keras:
            with self._surviving_a_full_disk():
                super().on_train_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._of_keras:
            super().on_test_batch_begin(batch, logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._of_keras:
            super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        known = {name: value for name, value in (logs or {}).items() if not _is_nan(value)}
        step = getattr(self.model, self.unit)
        if self._writer is not None:
            self._write(self._writer, epoch, step, known)
            known = {}  # Keras has no more to write of them
        if not self._of_keras:
            return
        every = self.histogram_freq, self.embeddings_freq
        # They are frequencies of epochs, which is not the number handed on.
        self.histogram_freq, self.embeddings_freq = (int(bool(n) and epoch % n == 0) for n in every)
        if self._writer is not None:
            self.histogram_freq = 0
        try:
            with self._surviving_a_full_disk():
                super().on_epoch_end(step, known)
        finally:
            self.histogram_freq, self.embeddings_freq = every
        self._check_files()

    # The groups ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        folder = Path(self.log_dir)
        with naming_the_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._writer = Writer(folder, _FLUSH)
        if self.hparams is not None:
            self._writer.hparams({**settings(self.model), **self.hparams})

    def _write(self, writer: Writer, epoch: int, step: int, known: dict[str, Any]) -> None:
        writer.scalars(step, {tag_of(name): float(value) for name, value in known.items()})
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            writer.histograms(step, {f"weights/{weight.path}": weight.numpy() for weight in self.model.weights})
        if self.video is not None and epoch % self.video_freq == 0:
            writer.gif(step, "eval/video", self._film())

    def _film(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "episode.gif")
            rendering.record(self.model, self.video, path, max_steps=self.video_steps, seed=0)
            return path.read_bytes()

    @contextlib.contextmanager
    def _surviving_a_full_disk(self) -> Iterator[None]:
        try:
            with naming_the_disk(Path(self.log_dir)), errors_of_tensorflow():
                yield
        except OSError as error:
            if not self._failed:
                self._failed = True
                warnings.warn(f"Curves cannot be written, and training goes on without them. {error}", stacklevel=3)

    def _check_files(self) -> None:
        there = any(Path(self.log_dir).joinpath("train").glob("events.out.tfevents.*"))
        if self._there and not there:
            warnings.warn(
                f"The event files in {str(self.log_dir)!r} were removed during training: these curves are lost, and further "
                "points are too. The next `fit` begins new files.",
                stacklevel=2,
            )
        self._there = there


def tag_of(name: str) -> str:
    """The tag of a log of `fit`, with its group.

    Example:

    >>> [tag_of(name) for name in ("val_episode_return", "episode_return", "timesteps", "loss")]
    ['eval/episode_return', 'rollout/episode_return', 'time/timesteps', 'train/loss']
    """
    if name.startswith("val_"):
        return f"eval/{name.removeprefix('val_')}"
    if name.startswith("episode_"):
        return f"rollout/{name}"
    return f"time/{name}" if name in _TIMES else f"train/{name}"


def _checked(hparams: Any) -> dict[str, Setting] | None:
    if hparams is False:
        return None
    if hparams is True:
        return {}
    allowed = "True, False, or a dict of numbers, texts and bools by name"
    if not isinstance(hparams, Mapping) or not all(
        isinstance(name, str) and isinstance(value, bool | int | float | str) for name, value in hparams.items()
    ):
        raise ValueError(f"`hparams` must be {allowed}. Received: {hparams!r}")
    return dict(hparams)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
