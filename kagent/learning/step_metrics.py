"""Keras metrics of the user's over what gradient steps log."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import keras


class StepMetrics:
    """`metrics` of `compile`, each of which takes one of the values that `train_step` logs.

    Args:
        metrics: None, a `keras.metrics.Metric`, a list of them, or a dict from the name of a log to one or several. In a
            list a metric takes the log of its own name, and its result stands in its place.
        updated: Whether a `train_step` of the user's own updates them, by `compute_metrics` as in Keras, and logs them.

    Raises:
        TypeError, ValueError: Something else; a metric that compares two values, such as targets and predictions; two
            of one name.
    """

    def __init__(self, metrics: Any, updated: bool = False):
        self._takes: list[tuple[str, Any]] = []
        self._updated = updated
        if updated:
            found = keras.tree.flatten(metrics)  # names as Keras has them for its own, and None, say nothing here
            self._takes = [(metric.name, metric) for metric in found if isinstance(metric, keras.metrics.Metric)]
            return
        by_log = metrics if isinstance(metrics, dict) else {None: metrics}
        for log, given in by_log.items():
            for metric in [] if given is None else given if isinstance(given, list | tuple) else [given]:
                _check(metric)
                self._takes.append((metric.name if log is None else str(log), metric))
        names = [metric.name for metric in self.all]
        if len(set(names)) < len(names):
            raise ValueError(f"`metrics` must have different names. Received: {names}")

    @property
    def all(self) -> list[Any]:
        """The metrics."""
        return [metric for _, metric in self._takes]

    def take(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Updates the metrics from the logs of a gradient step, and adds their results. Runs in the learner.

        Raises:
            ValueError: There is no log of a metric's name, or none that a result can take the place of.
        """
        results: dict[str, Any] = {}
        if self._updated:
            silent = [metric.name for metric in self.all if metric.name not in logs]
            if silent:
                raise ValueError(
                    "`metrics` of a class with a `train_step` of its own are updated and logged there: add what "
                    f"`self.compute_metrics(...)` returns to its logs. Received: {silent}. Logs: {', '.join(sorted(logs))}"
                )
            return logs
        for log, metric in self._takes:
            if log not in logs:
                raise ValueError(
                    f"`metrics` take what `train_step` logs, and it logs no {log!r}: give a metric the name of a log, or a "
                    f"dict from logs to metrics. Received: {metric.name!r}. Logs: {', '.join(sorted(logs))}"
                )
            if metric.name in logs and getattr(logs[metric.name], "shape", ()) != ():
                raise ValueError(f"`metrics`: {metric.name!r} is of single samples. Give its metric another name")
            metric.update_state(logs[log])
            results[metric.name] = metric.result()
        return {**logs, **results}

    def get_config(self) -> dict[str, list[Any]] | None:
        """What `metrics` may be made of again; without those of classes that no file can name, of which it warns."""
        config: dict[str, list[Any]] = {}
        for log, metric in self._takes:
            if _can_be_named(type(metric)):
                config.setdefault(log, []).append(keras.saving.serialize_keras_object(metric))
            else:
                warnings.warn(
                    f"The metric {metric.name!r} does not go to the file: register its class {type(metric).__name__} with "
                    "keras.saving.register_keras_serializable, or compile the loaded agent with it.",
                    stacklevel=2,
                )
        return config or None


def _metrics(agent: Any) -> list[Any]:
    """As of `keras.Model`, with those of `compile`."""
    return [*keras.Model.metrics.fget(agent), *agent._step_metrics.all]


metrics = property(_metrics)


def _check(metric: Any) -> None:
    if not isinstance(metric, keras.metrics.Metric):
        raise TypeError(
            "`metrics` must be keras.metrics.Metric objects: those that Keras knows by name compare targets with predictions, "
            f"and an agent has no targets. Received: {metric!r}"
        )
    try:
        inspect.signature(metric.update_state).bind(0.0)
    except TypeError:
        raise ValueError(
            "`metrics` must take one value, as keras.metrics.Mean does: what `train_step` logs. Received: "
            f"{metric.name!r}, a {type(metric).__name__} of{inspect.signature(metric.update_state)}"
        ) from None


def _can_be_named(cls: type) -> bool:
    own = cls.__module__.split(".")[0] == "keras"
    return own or keras.saving.get_registered_object(keras.saving.get_registered_name(cls)) is cls
