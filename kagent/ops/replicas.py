"""Means and random numbers of a batch whose rows lie on several replicas of `tf.distribute`.

A loss is computed by each replica of its own rows. By these functions its value, and the average of its gradients over the replicas,
are those of the whole batch. With one replica they do nothing.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def here() -> tf.distribute.ReplicaContext | None:
    """The replica whose program is being traced, where there are several; else None."""
    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context


def total(value: tf.Tensor) -> tf.Tensor:
    """The sum of a tensor over all replicas; its own value where there is one. It has no gradient."""
    context = here()
    return (
        value
        if context is None
        else tf.stop_gradient(context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value)))
    )


def ratio(numerator: tf.Tensor, denominator: tf.Tensor, least: float = 0.0) -> tf.Tensor:
    """The sum of numerators over all replicas, divided by the sum of denominators.

    Its gradient is this replica's, times the number of replicas: the average over the replicas is that of the whole batch, also
    where the loss is another function of the mean than the mean itself, or has terms that every replica has alike.

    Args:
        numerator: float32 scalar.
        denominator: float32 scalar, which needs no gradient.
        least: What the sum of denominators is at least.
    """
    context = here()
    whole = tf.maximum(total(denominator), least)
    if context is None:
        return numerator / whole
    own = context.num_replicas_in_sync * numerator / whole
    return own + tf.stop_gradient(total(numerator) / whole - own)


def place(context: tf.distribute.ReplicaContext) -> tf.Tensor:
    """The number of a replica among all, an int32 scalar."""
    return tf.cast(context.replica_id_in_sync_group, tf.int32)


def own_rows(nested: Any) -> Any:
    """Of tensors `(B, ...)` the rows of this replica; scalars, and all where there is one replica, as they are.

    Every replica has as many rows: where B is no multiple of the number of replicas, the last ones repeat the last row, with 0 as
    their `"weight"` in a batch that has one.

    Args:
        nested: Tensors in dicts, lists and tuples, and None.
    """
    context = here()
    if context is None:
        return nested
    replica, replicas = place(context), context.num_replicas_in_sync

    def cut(part: Any, weighs: bool = False) -> Any:
        if isinstance(part, dict):
            return {name: cut(x, weighs=name == "weight") for name, x in part.items()}
        if isinstance(part, list | tuple):
            parts = [cut(x) for x in part]
            return type(part)(*parts) if hasattr(part, "_fields") else type(part)(parts)
        if part is None or part.shape.rank == 0:
            return part
        count = tf.shape(part)[0] if part.shape[0] is None else part.shape[0]
        size = -(-count // replicas)
        rows = replica * size + tf.range(size)
        own = tf.gather(part, tf.minimum(rows, count - 1))
        return tf.where(tf.reshape(rows < count, (-1, *[1] * (part.shape.rank - 1))), own, 0.0) if weighs else own

    return cut(nested)


def all_rows(x: tf.Tensor) -> tf.Tensor:
    """The rows `(N * B, ...)` of all N replicas, which have B each."""
    context = here()
    if context is None:
        return x
    count, size, replica = context.num_replicas_in_sync, tf.shape(x)[0], place(context)
    # `all_gather` refuses tensors without a device of their own.
    ahead = [[replica * size, (count - 1 - replica) * size], *[[0, 0]] * (x.shape.rank - 1)]
    return tf.stop_gradient(context.all_reduce(tf.distribute.ReduceOp.SUM, tf.pad(x, ahead)))


def own_part(shape: Any, draw: Any, axis: int = 0) -> tf.Tensor:
    """What `draw` gives for this replica's rows: of a draw for the rows of all replicas its own part.

    Args:
        shape: Of the rows of one replica: a tuple, or a tensor of integers.
        draw: Function that draws a tensor of a shape.
        axis: That of rows.
    """
    context = here()
    if context is None:
        return draw(shape)
    shape = tf.convert_to_tensor(shape, tf.int32)
    at = tf.one_hot(axis, tf.size(shape), dtype=tf.int32)
    count = context.num_replicas_in_sync
    return tf.slice(draw(shape * (1 + (count - 1) * at)), shape * at * place(context), shape)
