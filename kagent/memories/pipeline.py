"""Datasets that read a memory as it is at each draw."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def pipeline(dataset: tf.data.Dataset, function: Any = None) -> tf.data.Dataset:
    """A dataset that makes one element at a time, on demand: nothing reads ahead, so no batch is stale.

    Args:
        dataset: What it is made of.
        function: From an element to another, of TensorFlow's operations: AutoGraph does not translate it. None: elements stay.
    """
    if function is not None:
        dataset = dataset.map(tf.autograph.experimental.do_not_convert(function))
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    return dataset.with_options(options)
