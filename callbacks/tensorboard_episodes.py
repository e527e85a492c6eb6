"""Episode returns in TensorBoard, over environment steps."""

from __future__ import annotations

import os

import tensorflow as tf

import kagent


class TensorBoardEpisodes(kagent.callbacks.Callback):
    """Draws return and length of every episode over the timestep at which it ended.

    `keras.callbacks.TensorBoard` draws means over epochs. Curves over timesteps can be compared between runs with
    other epochs, algorithms or numbers of environments. Both may write to one folder.

    Args:
        folder: Log folder of TensorBoard.
        every: Draw every so many episodes, where there are very many.

    Example:

    >>> agent.fit("CartPole-v1", steps=50_000, callbacks=[TensorBoardEpisodes("logs")])

    and then `tensorboard --logdir logs`.
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 1):
        super().__init__()
        self.folder, self.every = os.fspath(folder), every

    def on_train_begin(self, logs=None):
        self.writer = tf.summary.create_file_writer(os.path.join(self.folder, "episodes"))

    def on_episode_end(self, episode, logs=None):
        if episode % self.every == 0:
            with self.writer.as_default(step=self.model.timesteps):
                tf.summary.scalar("episode_return", logs["episode_return"])
                tf.summary.scalar("episode_length", logs["episode_length"])

    def on_epoch_end(self, epoch, logs=None):
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()
