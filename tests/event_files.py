"""TensorBoard's event files, read back."""

import numpy as np
import tensorflow as tf


def events(folder):
    """Every event of a directory's files, in order."""
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda p: (p.stat().st_mtime_ns, p.name)):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield tf.compat.v1.Event.FromString(record)


def curves(folder):
    """By tag: the steps, and the values: floats, or `(buckets, 3)` of left edge, right edge and count."""
    found = {}
    for event in events(folder):
        for value in event.summary.value:
            array = tf.make_ndarray(value.tensor)
            found.setdefault(value.tag, []).append((event.step, float(array) if array.ndim == 0 else array))
    return {tag: ([step for step, _ in points], [value for _, value in points]) for tag, points in found.items()}


def graphs(folder):
    """(step, GraphDef) of every graph."""
    found = []
    for event in events(folder):
        if event.graph_def:
            graph = tf.compat.v1.GraphDef()
            graph.ParseFromString(event.graph_def)
            found.append((event.step, graph))
    return found


def moments(array):
    return float(np.mean(array)), float(np.var(array))
