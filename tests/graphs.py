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
