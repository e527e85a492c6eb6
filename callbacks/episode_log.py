"""One line per episode in a CSV file."""

from __future__ import annotations

import csv
import os
import time

import kagent


class EpisodeLog(kagent.callbacks.Callback):
    """Writes number, return, length, environment, timestep and time of every episode as it ends.

    `keras.callbacks.CSVLogger` has one line per epoch, with means. A resumed run appends to the file.

    Args:
        path: The file, made with a header if it is not there.

    Example:

    >>> agent.fit("CartPole-v1", steps=50_000, callbacks=[EpisodeLog("episodes.csv")])
    >>> import csv
    >>> episodes = list(csv.DictReader(open("episodes.csv")))
    """

    FIELDS = ("episode", "episode_return", "episode_length", "env", "timesteps", "seconds")

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__()
        self.path = path

    def on_train_begin(self, logs=None):
        self.file = open(self.path, "a", newline="", buffering=1)  # a line is on disk when it is written
        self.writer = csv.writer(self.file)
        self.begin = time.perf_counter()
        if self.file.tell() == 0:
            self.writer.writerow(self.FIELDS)

    def on_episode_end(self, episode, logs=None):
        seconds = round(time.perf_counter() - self.begin, 3)
        outcome = logs["episode_return"], logs["episode_length"], logs["env"]
        self.writer.writerow([episode, *outcome, self.model.timesteps, seconds])

    def on_train_end(self, logs=None):
        self.file.close()
