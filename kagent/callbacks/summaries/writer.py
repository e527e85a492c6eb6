"""One event file."""

from __future__ import annotations

import contextlib
import shutil
import struct
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.files.atomic_files import errors_of_tensorflow, naming_the_disk, words_of

_QUEUE = 1000  # events between flushes at most
_FILES = "events.out.tfevents.*"  # as TensorFlow names them
_LOOK = 1.0  # seconds at most from one look at the file to the next


class Writer:
    """Writes summaries to a new event file in a directory, and flushes it now and then.

    Where the file is removed meanwhile, TensorFlow writes on into nothing. Here a warning says so, and another file begins.
    Where it cannot be written, as on a full disk, a warning says so once, and training goes on without it.

    Args:
        path: The directory.
        flush: Seconds between flushes; a flush comes with the next event after them.

    Raises:
        OSError: The file cannot be made. The error names the directory and the bytes that are free.
    """

    def __init__(self, path: Path, flush: float):
        self._path, self._milliseconds = path, min(max(1, round(flush * 1000)), 2**31 - 1)
        self._every = min(flush, _LOOK)
        self._failed = self._in_session = False
        with naming_the_disk(path), errors_of_tensorflow():
            self._open()

    def _open(self) -> None:
        before = {*self._path.glob(_FILES)}
        self._writer = tf.summary.create_file_writer(str(self._path), max_queue=_QUEUE, flush_millis=self._milliseconds)
        self._writer.init()  # a run that ends at once leaves a file too
        # TensorFlow flushes whenever a writer ceases to be the default one, which here is at every timestep.
        self._writer.flush = _nothing
        self._files, self._looked = {*self._path.glob(_FILES)} - before, time.monotonic()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < self._every:
            return
        self._looked = now
        if not self._is_there():
            self.close()
            try:
                self._open()
            except tf.errors.OpError as error:
                self._warn_of(error)

    def _is_there(self) -> bool:
        return any(file.exists() for file in self._files)

    @contextlib.contextmanager
    def _at(self, step: int) -> Iterator[None]:
        try:
            with self._writer.as_default(step=step):
                yield
        except tf.errors.OpError as error:
            self._warn_of(error)

    def _warn_of(self, error: tf.errors.OpError) -> None:
        if not self._failed:
            self._failed = True
            free = shutil.disk_usage(self._path).free
            warnings.warn(
                f"Summaries cannot be written to {str(self._path)!r}, where {free} bytes are free: {words_of(error)}. Training "
                "goes on without them.",
                stacklevel=3,
            )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers by tag."""
        if values:
            self._look()
            # All in one event: by `tf.summary.scalar`, which makes one of each, a hundred take as long as the update.
            summary = tf.compat.v1.Summary()
            for tag, value in values.items():
                tensor = summary.value.add(tag=tag, metadata=_SCALAR).tensor
                tensor.dtype = tf.float32.as_datatype_enum
                tensor.tensor_shape.SetInParent()
                tensor.float_val.append(value)
            with self._at(step):
                tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)

    def histograms(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes the distributions of the numbers of arrays by tag."""
        if arrays:
            self._look()
            with self._at(step):
                for tag, array in arrays.items():
                    tf.summary.histogram(tag, array)

    def graph(self, graph: Any) -> None:
        """Writes a graph, at step 0."""
        with self._at(0):
            tf.summary.graph(graph)

    def hparams(self, values: Mapping[str, bool | int | float | str]) -> None:
        """Writes settings for TensorBoard's HParams page: a session of theirs begins."""
        from tensorboard.plugins.hparams import api  # half a second, of runs that have it

        self._raw(0, api.hparams_pb(dict(values)))
        self._in_session = True

    def session_end(self) -> None:
        """Writes that the session of `hparams` has ended well, if there is one."""
        if self._in_session:
            from tensorboard.plugins.hparams import api_pb2, summary

            self._raw(0, summary.session_end_pb(api_pb2.STATUS_SUCCESS))
            self._in_session = False

    def gif(self, step: int, tag: str, content: bytes) -> None:
        """Writes an animated picture, the content of a `.gif` file."""
        width, height = struct.unpack("<HH", content[6:10])  # of every GIF
        made = tf.compat.v1.Summary()
        image = tf.compat.v1.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
        made.value.add(tag=tag, image=image)
        self._raw(step, made)

    def _raw(self, step: int, summary: Any) -> None:
        self._look()
        with self._at(step):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)

    def close(self) -> None:
        """Writes what is left, and closes the file. Warns where that was removed."""
        if not self._is_there():
            warnings.warn(
                f"The event file in {str(self._path)!r} was removed while it was written: the summaries up to now are lost. "
                "Later ones, if there are any, go to a new file there.",
                stacklevel=2,
            )
        del self._writer.flush
        try:
            self._writer.close()
        except tf.errors.OpError as error:
            self._warn_of(error)


def _scalar_metadata() -> Any:
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    metadata.data_class = 1  # DATA_CLASS_SCALAR of TensorFlow's summary.proto
    return metadata


_SCALAR = _scalar_metadata()


def _nothing() -> None:
    pass
