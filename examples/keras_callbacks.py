"""Every Keras habit: stock callbacks, a validation environment, TensorBoard, early stopping, and one callback of ours.

    python examples/keras_callbacks.py --steps 50000 --out logs
"""

import argparse
import pathlib

import keras

import kagent


class LongestEpisode(kagent.callbacks.Callback):
    """Notes the longest episode; `on_episode_end` is kagent's addition to Keras's events."""

    longest = 0

    def on_episode_end(self, episode, logs=None):
        self.longest = max(self.longest, logs["episode_length"])


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=50_000, help="timesteps of training")
parser.add_argument("--out", default="logs", help="folder for logs and checkpoints")
options = parser.parse_args()
out = pathlib.Path(options.out)
out.mkdir(parents=True, exist_ok=True)

longest = LongestEpisode()
agent = kagent.DQN("CartPole-v1", learning_rate=1e-3, target_update_period=500, start=500, seed=0)
agent.compile(steps_per_execution=16)
history = agent.fit(
    "CartPole-v1",
    steps=options.steps,
    validation_env="CartPole-v1",
    callbacks=[
        longest,
        keras.callbacks.EarlyStopping("val_episode_return", mode="max", patience=5, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(out / "best.keras", "val_episode_return", mode="max", save_best_only=True),
        keras.callbacks.ReduceLROnPlateau("val_episode_return", mode="max", patience=2),
        keras.callbacks.CSVLogger(out / "log.csv"),
        keras.callbacks.TensorBoard(out / "tensorboard"),
        keras.callbacks.TerminateOnNaN(),
    ],
)
print("validation returns:", history.history["val_episode_return"])
print("longest episode:", longest.longest)
