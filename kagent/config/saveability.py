"""Whether an agent could be saved: known before it is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class WithoutConfigurationError(ValueError):
    """A part is not to be written, by its own design: its agent saves weights alone."""


def check_saves(serialize: Callable[[], Any]) -> None:
    """Looks whether an agent could be saved: at once, not after the training.

    Args:
        serialize: Makes its configuration.

    Raises:
        ValueError: It cannot.
    """
    try:
        serialize()
    except WithoutConfigurationError:
        return
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"The agent could not be saved. A class of your own needs the decorator "
            f"@keras.saving.register_keras_serializable() and, if it is one of Keras's kinds, a get_config: {error}"
        ) from error
