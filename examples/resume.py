"""Go on after a crash, exactly: Keras's BackupAndRestore brings back weights, optimizers, memory, random streams and
the open episodes.

Stop it whenever you like and start it again; it ends as if it had never been stopped. `--crash-after 3` stops it for
you at the end of the third epoch:

    python examples/resume.py --crash-after 3
    python examples/resume.py
"""

import argparse
import hashlib
import os

import keras

import kagent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=20_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--backup", default="resume_backup", help="folder of the backup (default: %(default)s)")
parser.add_argument("--crash-after", type=int, default=0, metavar="EPOCHS", help="die without a word after so many")


class Crash(keras.callbacks.Callback):
    """Ends the process as a power cut would."""

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epochs:
            os._exit(1)


def main() -> None:
    args = parser.parse_args()
    agent = kagent.DQN("CartPole-v1", learning_rate=1e-3, gradient_steps=4, target_update_period=500, seed=0)
    callbacks = [keras.callbacks.BackupAndRestore(args.backup)]
    if args.crash_after:
        callbacks.append(Crash(args.crash_after))
    history = agent.fit("CartPole-v1", steps=args.steps, callbacks=callbacks, verbose=2)
    print(f"trained epochs {[epoch + 1 for epoch in history.epoch]}")
    weights = b"".join(weight.tobytes() for weight in agent.get_weights())
    print(
        f"{agent.timesteps} timesteps, {agent.updates} gradient steps, weights {hashlib.sha256(weights).hexdigest()[:16]}"
    )


if __name__ == "__main__":
    main()
