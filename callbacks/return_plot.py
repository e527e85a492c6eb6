"""A picture of the learning curve that is always up to date."""

from __future__ import annotations

import os

import kagent


class ReturnPlot(kagent.callbacks.Callback):
    """Draws the return of every episode over timesteps, with a running mean, into an image after every epoch.

    Most image viewers and notebooks reload a file that changes. Needs matplotlib; opens no window.

    Args:
        path: The image, `.png`, `.svg` or `.pdf`.
        window: Number of episodes in the running mean.

    Raises:
        ImportError: matplotlib is not installed.

    Example:

    >>> agent.fit("CartPole-v1", steps=50_000, callbacks=[ReturnPlot("returns.png")])
    """

    def __init__(self, path: str | os.PathLike[str], window: int = 20):
        super().__init__()
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("ReturnPlot needs matplotlib: pip install 'kagent[plots]'") from error
        self.path, self.window, self.figure = path, window, Figure(figsize=(7, 4), layout="constrained")

    def on_train_begin(self, logs=None):
        self.timesteps = []
        self.returns = []

    def on_episode_end(self, episode, logs=None):
        self.timesteps.append(self.model.timesteps)
        self.returns.append(logs["episode_return"])

    def on_epoch_end(self, epoch, logs=None):
        self.figure.clear()
        axes = self.figure.subplots()
        axes.plot(self.timesteps, self.returns, ".", alpha=0.3, label="episode")
        means = [sum(part) / len(part) for part in (self.returns[max(0, i - self.window) : i] for i in self._ends())]
        axes.plot(self.timesteps, means, label=f"mean of {self.window}")
        axes.set(xlabel="timesteps", ylabel="return", title=self.model.name)
        axes.legend()
        self.figure.savefig(self.path)

    def _ends(self):
        return range(1, len(self.returns) + 1)
