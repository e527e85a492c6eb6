"""Of any space: what layers give is of the space they say."""

import numpy as np
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import make

ELEMENTWISE = [
    "running_normalization", "deltafier", {"type": "exponential_normalization", "decay": 0.9},
    {"type": "clipping", "lower": -0.7, "upper": 1.3}, {"type": "rescaling", "scale": -0.37, "offset": 0.1},
    {"type": "activation", "nonlinearity": "tanh"}, {"type": "activation", "nonlinearity": "softplus"},
    {"type": "linear_normalization", "min_value": -3.3, "max_value": 7.1},
]  # fmt: skip
WITH_AXES = [
    "instance_normalization", {"type": "sequence", "length": 3}, {"type": "sequence", "length": 2, "axis": 0},
    {"type": "deltafier", "concatenate": -1},
]  # fmt: skip
ANY = [{"type": "sequence", "length": 2, "axis": 0, "concatenate": False}]


@st.composite
def boxes(draw):
    shape = tuple(draw(st.lists(st.integers(1, 3), max_size=3)))
    dtype = draw(st.sampled_from([np.float32, np.float64, np.uint8, np.int16]))
    integer = np.dtype(dtype).kind != "f"
    size = int(np.prod(shape, dtype=int))
    number = st.integers(0, 200) if integer else st.floats(-1e3, 1e3, width=32)
    low = np.array(draw(st.lists(number, min_size=size, max_size=size)), dtype).reshape(shape)
    width = st.integers(1, 55) if integer else st.floats(np.float32(0.1), 1e3, width=32)
    high = (low + np.array(draw(st.lists(width, min_size=size, max_size=size)), dtype).reshape(shape)).astype(dtype)
    if not integer and draw(st.booleans()):
        low = np.where(draw(st.lists(st.booleans(), min_size=size, max_size=size)), low.ravel(), -np.inf).reshape(shape)
    return spaces.Box(low.astype(dtype), high, shape, dtype)


def images():
    shape = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))
    kinds = st.sampled_from([(0, 255, np.uint8), (0.0, 1.0, np.float32), (-1.0, 0.3, np.float32)])
    return st.builds(lambda size, kind: spaces.Box(*kind[:2], size, kind[2]), shape, kinds)


def discrete():
    return st.sampled_from(
        [spaces.Discrete(3, start=-1), spaces.MultiDiscrete([2, 5]), spaces.MultiBinary(3), spaces.MultiBinary([2, 2])]
    )


def layers_for(space):
    if not isinstance(space, spaces.Box):
        return ANY + ([{"type": "sequence", "length": 3}] if space.shape else [])
    found = ELEMENTWISE + ANY + (WITH_AXES if space.shape else [])
    if np.isfinite(space.low.astype(float)).any():
        found = [*found, "linear_normalization"]
    if len(space.shape) == 3 and space.shape[2] == 3:
        gray = {"type": "image", "grayscale": True}
        found = [
            *found,
            {"type": "image", "height": 5, "width": 4},
            gray,
            {"type": "image", "grayscale": [0.5, -1, 0.1]},
        ]
    return found


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_processed_values_are_of_the_processed_space(data):
    space = data.draw(st.one_of(boxes(), images(), discrete()))
    first = data.draw(st.sampled_from(layers_for(space)))
    key = {"Box": "float", "MultiBinary": "bool"}.get(type(space).__name__, "int")
    one = make({key: first}, space)
    more = [layer for layer in ELEMENTWISE + ANY if isinstance(one.space, spaces.Box) or layer in ANY]
    made = make({key: [first, *data.draw(st.lists(st.sampled_from(more), max_size=2))]}, space)
    (leaf,) = made.processed.leaves
    (raw,) = made.raw.leaves
    space.seed(data.draw(st.integers(0, 1000)))
    past, fresh = made.begin(2), np.ones(2, bool)
    for _ in range(4):
        values = [space.sample(), space.sample()]
        if isinstance(space, spaces.Box):  # the corners too
            values[1] = data.draw(st.sampled_from([values[1], *_corners(space)]))
        x = np.stack([raw.encode(value) for value in values])
        (y,) = made.stored(made.observation([x], past, slice(None), fresh, True))
        assert (y.shape, y.dtype) == ((2, *leaf.shape), leaf.stored_dtype)
        for row in y:
            assert made.space.contains(np.asarray(leaf.decode(row)))
        fresh = np.array(data.draw(st.lists(st.booleans(), min_size=2, max_size=2)))


def _corners(space):
    low = np.where(np.isfinite(space.low.astype(float)), space.low, space.high - 1).astype(space.dtype)
    return low, space.high
