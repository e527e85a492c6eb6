"""Stock Keras callbacks on an agent. Say `mode="max"`: Keras cannot know that more return is better.

python examples/keras_callbacks.py && tensorboard --logdir callbacks_run
"""

import argparse
import pathlib

import keras

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=50_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("callbacks_run"), help="folder of the results")


class Record(kagent.callbacks.Callback):
    """kagent's own Callback has events for episodes, too."""

    best = 0.0

    def on_episode_end(self, episode, logs=None):
        if logs["episode_return"] > self.best:
            self.best = logs["episode_return"]
            print(f"\nepisode {episode}: new record, {self.best:.0f}")


def main() -> None:
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    agent = kagent.PPO("CartPole-v1", n_envs=8, n_steps=32, batch_size=256, epochs=20, learning_rate=1e-3, seed=0)
    best = {"monitor": "val_episode_return", "mode": "max"}
    history = agent.fit(
        "CartPole-v1",
        steps=args.steps,
        steps_per_epoch=max(args.steps // 20, 1),  # an epoch is a reporting unit
        validation_env="CartPole-v1",
        validation_episodes=10,
        callbacks=[
            keras.callbacks.ModelCheckpoint(args.out / "best.keras", save_best_only=True, **best),
            keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=3, **best),
            keras.callbacks.EarlyStopping(patience=8, restore_best_weights=True, **best),
            keras.callbacks.CSVLogger(args.out / "log.csv"),
            keras.callbacks.TensorBoard(args.out / "events"),
            keras.callbacks.TerminateOnNaN(),
            Record(),
        ],
    )
    print(f"best validation: {max(history.history['val_episode_return']):.1f}, saved in {args.out / 'best.keras'}")


if __name__ == "__main__":
    main()
