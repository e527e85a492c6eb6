"""Packed rows: exact, aligned, and the same bytes for NumPy and TensorFlow."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from kagent.memories import storage as module
from kagent.memories.storage import Column, Storage, shared_array, shared_tensor

EXTREMES = {
    "float32": [0.1, -1e-38, 3.4e38, np.inf],
    "bool": [True, False, True, True],
    "uint8": [0, 255, 7, 1],
    "int8": [-128, 127, 0, -1],
    "int16": [-(2**15), 2**15 - 1, 0, 1],
    "uint16": [0, 2**16 - 1, 1, 2],
    "int32": [-(2**31), 2**31 - 1, 2**24 + 1, 0],
    "uint32": [0, 2**32 - 1, 2**24 + 1, 1],
    "int64": [-(2**63), 2**63 - 1, 2**24 + 1, 2**53 + 1],
    "uint64": [0, 2**64 - 1, 2**53 + 1, 1],
}
SHAPES = [(), (1,), (3,), (2, 3), (17,), (4, 5, 3)]


def column(name, dtype, shape=(), limit=None):
    return Column(name, shape, np.dtype(dtype), limit)


def fill(store, random_seed=0):
    """Random rows; returns what was written, by column."""
    random, written = np.random.default_rng(random_seed), {}
    for col in store.columns:
        shape = (store.rows, *col.shape)
        if col.limit is not None:
            values = random.integers(0, col.limit, shape)
            values.flat[0] = col.limit - 1
        else:
            values = np.asarray(EXTREMES[col.dtype.name], col.dtype)[random.integers(0, 4, shape)]
        written[col.name] = values.astype(col.dtype)
        store.views[col.name][...] = written[col.name]
    return written


@pytest.mark.parametrize("jit", [False, True])
def test_every_dtype_and_shape_comes_back_exactly(jit):
    columns = [column(f"{dtype}{shape}", dtype, shape) for dtype in EXTREMES for shape in SHAPES]
    columns += [column(f"small{n}{shape}", "int32", shape, n) for n in (2, 2**24) for shape in SHAPES]
    store = Storage(columns, 7)
    written = fill(store)
    got = tf.function(store.unpack, jit_compile=jit)(store.tensors)
    for col in columns:
        array = got[col.name].numpy()
        assert array.dtype == col.dtype and array.shape == (7, *col.shape), col
        np.testing.assert_array_equal(array, written[col.name], err_msg=str(col))


def test_rows_of_any_rank_are_unpacked_where_their_number_is_unknown():
    store = Storage([column("image", "uint8", (2, 3, 3)), column("number", "int64")], 6)
    written = fill(store)
    spec = {name: tf.TensorSpec((None, 2, width), name) for name, width in store.widths.items()}
    unpack = tf.function(store.unpack, input_signature=[spec])
    got = unpack({name: tf.reshape(t, (3, 2, -1)) for name, t in store.tensors.items()})
    np.testing.assert_array_equal(got["image"], written["image"].reshape(3, 2, 2, 3, 3))
    np.testing.assert_array_equal(got["number"], written["number"].reshape(3, 2))


def test_images_stay_uint8_and_big_integers_stay_whole():
    columns = [
        column("image", "uint8", (84, 84, 4)),
        column("next_image", "uint8", (84, 84, 4)),
        column("id", "int64"),
        column("index", "int32", (), 2**24 + 1),
        column("action", "int32", (), 18),
        column("reward", "float32"),
        column("terminated", "bool"),
    ]
    store = Storage(columns, 10)
    assert store.widths == {"uint8": 2 * 84 * 84 * 4, "int64": 1, "int32": 1, "float32": 3}
    assert store.blocks["uint8"].nbytes == 10 * 2 * 84 * 84 * 4


def test_numpy_and_tensorflow_share_the_same_bytes():
    # It fails as soon as DLPack, or TensorFlow's reading of it, copies.
    store = Storage([column("x", "float32", (3,)), column("image", "uint8", (5, 5, 1)), column("n", "int64")], 4)
    read = tf.function(lambda: store.unpack(store.tensors))  # captured tensors are read at each call, too
    elements = iter(tf.data.Dataset.counter().map(lambda _: store.tensors))
    for trial in range(3):
        written = fill(store, trial)
        for name, array in store.blocks.items():
            np.testing.assert_array_equal(store.tensors[name], array)
            np.testing.assert_array_equal(next(elements)[name], array)
        for name, values in read().items():
            np.testing.assert_array_equal(values, written[name])


def test_the_shared_bytes_outlive_their_owners():
    store = Storage([column("n", "int64", (1000,))], 100)
    store.blocks["int64"][...] = 7
    tensor, gone = store.tensors["int64"], weakref.ref(store)
    del store
    gc.collect()
    filler = [np.full((100, 1000), 3, np.int64) for _ in range(20)]  # would take the place of freed memory
    assert gone() is None and len(filler) == 20
    assert (tensor.numpy() == 7).all()


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (1001, 13)])
def test_arrays_are_aligned_zeros(dtype, shape):
    kept = [shared_array(shape, dtype) for _ in range(20)]
    for array in kept:
        assert array.ctypes.data % 64 == 0 and array.shape == shape and array.dtype == dtype
        assert not array.any() and array.flags.c_contiguous and array.flags.writeable
    assert shared_tensor(kept[0]).shape == shape


def test_more_than_is_free_is_refused_with_what_would_fit(monkeypatch):
    columns = [column("image", "uint8", (100,)), column("reward", "float32")]  # 104 bytes a row
    monkeypatch.setattr(module, "free_memory", lambda: 104_000)
    Storage(columns, 1000)
    with pytest.raises(ValueError, match=r"for 1001 transitions.*capacity of at most 800\b"):
        Storage(columns, 1001)
    Storage(columns, 800)
    monkeypatch.setattr(module, "free_memory", lambda: None)  # a system that does not tell
    Storage(columns, 1001)


def test_free_memory_is_what_the_system_says():
    free = module.free_memory()
    with open("/proc/meminfo") as lines:
        total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal"))
    assert 0 < free < total
