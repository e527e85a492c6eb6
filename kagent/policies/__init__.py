"""Policies decide, critics judge: Keras layers around one functional model each."""

from kagent.policies import deterministic, fixed, model  # noqa: F401  (they register themselves)
