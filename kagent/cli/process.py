"""What a program may do to its process and a library must not."""

from __future__ import annotations

import os
import sys
import tempfile

_SINGLE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def prepare() -> None:
    """Set the environment variables that TensorFlow and pygame read, then import TensorFlow quietly.

    What the user has set already stays; with `TF_CPP_MIN_LOG_LEVEL=0`, TensorFlow says all that it has to say.
    Training is small matrix products, which XLA on a CPU runs faster without handing them to a thread pool;
    everything else here is about silence.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_SINGLE_THREAD}".strip()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # films are drawn off screen; without a display SDL grumbles
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") != "0" and "tensorflow" not in sys.modules:
        _import_quietly()


def _import_quietly() -> None:
    """Import TensorFlow and look for devices with stderr put aside, and shown only if that fails.

    The level above holds from a later moment on: half a dozen notices about CPU features and absent GPU
    drivers, and one about the log itself, come before it.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except Exception:
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
