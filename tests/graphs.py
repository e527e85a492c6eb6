"""How graphs are compiled in fast tests: small ones take longer to compile than to run."""

import sys


def without_xla(patch):
    """Makes "auto" of `jit_compile` mean False: XLA's compilation takes three times as long as all else of a small agent.

    `jit_compile=True` is left as it is.
    """
    from kagent.learning import compilation

    suits = compilation.suits_xla
    patch.setattr(compilation, "suits_xla", lambda jit, *rest: False if jit == "auto" else suits(jit, *rest))


def rewrite(on):
    """Whether TensorFlow rewrites graphs before it runs them: those of a small agent take longer than their updates."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].config.optimizer.set_experimental_options({"disable_meta_optimizer": not on})


def untraced(patch):
    """Has agents learn the names of their logs from the first update, and from no trace before it.

    An epoch without an update has the program traced for its names: that takes longer than all else of a few timesteps.
    """
    from kagent.learning.learner import Learner

    patch.setattr(Learner, "names", property(lambda learner: learner._names))


def eagerly(patch):
    """Has every agent learn eagerly, whatever its `compile` says: examples make a few updates, and one program for each would be
    most of their time."""
    from kagent.learning.learner import Learner

    make = Learner.__init__
    patch.setattr(
        Learner, "__init__", lambda learner, agent, task, jit, eager: make(learner, agent, task, jit=False, eager=True)
    )


def in_one_epoch(patch):
    """Makes a `fit` of which nothing says how long its epochs are one epoch, not ten, which have the same logs then."""
    from kagent.config import run_length

    of_fit = run_length.of_fit

    def in_one(counters, given, steps_per_epoch, epochs, initial_epoch):
        says = steps_per_epoch is not None or epochs is not None or initial_epoch
        bounded = given.get("steps") is not None or given.get("max_steps") is not None
        return of_fit(counters, given, steps_per_epoch, 1 if bounded and not says else epochs, initial_epoch)

    patch.setattr(run_length, "of_fit", in_one)
