"""Children of the harness that are forked from a process which has imported TensorFlow."""

import forked

from benchmarks import speed


def run(module, arguments, settings, timeout):
    """As `benchmarks.speed.run_child`."""
    done = forked.run(["-m", module, *arguments], speed.ROOT, speed.environment(settings), timeout)
    return speed.parse(done.returncode, done.stdout, done.stderr)
