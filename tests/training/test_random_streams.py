"""Streams of random numbers by purpose."""

import numpy as np
import pytest
import tensorflow as tf

from kagent.training.random_streams import PURPOSES, RandomStreams, seed_from


def draws(streams):
    return {purpose: streams[purpose].integers(2**62, size=3).tolist() for purpose in PURPOSES}


def test_purposes_and_seeds_have_streams_of_their_own():
    one, same, other = RandomStreams(3), RandomStreams(3), RandomStreams(4)
    one["act"].random(1000)  # moves no other stream
    same["act"].random(1000)
    found = draws(one)
    assert found == draws(same) and len({tuple(numbers) for numbers in found.values()}) == len(PURPOSES)
    assert all(numbers != found[purpose] for purpose, numbers in draws(other).items())


def test_the_first_number_of_a_stream_is_numpys():
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([7, PURPOSES.index("reset")])))
    assert RandomStreams(7).next_seed() == generator.integers(2**31 - 1)


def test_a_restored_state_goes_on_as_the_saved_one():
    one, other = RandomStreams(0), RandomStreams(1)
    one["act"].random(5)
    kept = one.state()
    other.restore(**kept)
    assert str(other.state()) == str(kept)
    assert draws(other) == draws(one)  # the state is a copy: drawing from one moved nothing in it


def test_a_stream_that_a_state_lacks_stays():
    one, other = RandomStreams(0), RandomStreams(1)
    kept = one.state()
    del kept["streams"]["pretrain"]  # files of before there were traces
    other.restore(**kept)
    assert other["pretrain"].random() == RandomStreams(1)["pretrain"].random()
    assert other["act"].random() == one["act"].random()


def test_a_gradient_step_has_its_own_seed():
    streams = RandomStreams(0)
    assert streams.step_seed(5).numpy().tolist() == [streams.graph_seed, 5]
    assert streams.step_seed(tf.constant(2**31 + 4, tf.float64)).numpy().tolist() == [streams.graph_seed, 4]


@pytest.mark.parametrize("seed", [-1, True, 1.0, "1", 2**63])
def test_seeds_that_are_none(seed):
    with pytest.raises(ValueError, match="`seed` must be None or an integer"):
        seed_from(seed)
