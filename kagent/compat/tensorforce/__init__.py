"""Tensorforce's words: its programs run on kagent once the import is another.

>>> from kagent.compat import tensorforce
>>> environment = tensorforce.Environment.create("gym", level="CartPole-v1")
>>> agent = tensorforce.Agent.create("ppo", environment, batch_size=10)

`Agent`, `Environment` and `Runner` are Tensorforce's; `agent.model` is the `kagent.Agent` within, a `keras.Model`. They are loaded
when they are first used. The package uses kagent's core, and nothing of the core imports it.
"""

from kagent.config import moved

__all__ = ["Agent", "Environment", "Runner"]

__getattr__ = moved.attributes(
    __name__,
    {
        **{name: f"kagent.compat.tensorforce.programs:{name}" for name in __all__},
        **{name: f"kagent.compat.tensorforce.{name}" for name in ("agents", "environments", "execution")},
    },
)
