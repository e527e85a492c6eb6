"""Which axes of an array are those of an image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kagent.spaces import images

PLAIN = {
    # What AtariPreprocessing, FrameStackObservation and their like give: height, width, channels.
    (84, 84, 4): (84, 84, 4),
    (4, 84, 84): (84, 84, 4),
    (1, 84, 84): (84, 84, 1),
    (210, 160, 3): (210, 160, 3),
    (3, 210, 160): (210, 160, 3),
    (2, 12, 12): (12, 12, 2),
    (7, 7, 3): (7, 7, 3),
    (10, 10, 4): (10, 10, 4),
    (17, 8, 8): (8, 8, 17),  # planes of a board
    (8, 8, 111): (8, 8, 111),
    (3, 4, 4): (4, 4, 3),
    (4, 4, 3): (4, 4, 3),
    (5, 10, 20): (10, 20, 5),
    (84, 1, 3): (84, 1, 3),
    (84, 84): (84, 84, 1),
    # Stacks: channels of every frame.
    (4, 64, 64, 3): (64, 64, 12),
    (4, 3, 64, 64): (64, 64, 12),
    (2, 4, 64, 64, 3): (64, 64, 24),
}


@pytest.mark.parametrize("shape", PLAIN)
def test_plain_shapes(shape):
    layout = images.read(shape)
    assert layout.size == PLAIN[shape] and sorted(layout.order) == list(range(len(shape)))
    height, width, channels = layout.size
    assert str(layout) == f"{shape} read as height {height} x width {width} x channels {channels}"


AMBIGUOUS = [(64, 64, 64), (5, 6, 7), (36, 40, 38), (16, 4, 9), (4, 84, 3), (84, 4, 4), (3, 3, 64), (2, 5, 6, 7)]


@pytest.mark.parametrize("shape", AMBIGUOUS)
def test_ambiguous_shapes_are_refused_by_the_argument(shape):
    with pytest.raises(
        ValueError, match=r"`network.data_format` must say which axis .* Received: 'auto'. Allowed: 'ch"
    ):
        images.read(shape, "auto", "network.data_format", 3)
    first, last = (images.read(shape, name).size for name in ("channels_first", "channels_last"))
    *frames, a, b, c = shape
    count = 2 if frames else 1
    assert (first, last) == ((b, c, count * a), (a, b, count * c))


def test_an_image_too_thin_in_one_reading_is_none():
    assert images.read((1, 84, 3), least=3) is None and images.read((2, 2, 1), least=3) is None
    with pytest.raises(ValueError, match="data_format"):
        images.read((1, 84, 3))


def test_a_data_format_that_there_is_not():
    with pytest.raises(ValueError, match=r"`network.data_format` must be one of .*. Received: 'first'"):
        images.check_data_format("first", "network.data_format")


@given(st.lists(st.integers(1, 40), min_size=3, max_size=5))
def test_what_auto_says_is_one_of_the_two(shape):
    choices = [images.read(tuple(shape), name) for name in ("channels_first", "channels_last")]
    try:
        assert images.read(tuple(shape)) in choices
    except ValueError:
        assert choices[0].size != choices[1].size or choices[0].order != choices[1].order
