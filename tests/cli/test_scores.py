"""The interquartile mean and its bootstrap interval, with numbers worked out by hand."""

import pytest

from kagent.cli.scores import bootstrap_interval, interquartile_mean, quantile


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([7.0], 7.0),
        ([1.0, 3.0], 2.0),
        ([1.0, 100.0, 2.0, 3.0, 4.0], 3.0),  # of 2, 3 and 4
        ([0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 700.0], 35.0),  # two are left out at both ends
    ],
)
def test_the_interquartile_mean(values, mean):
    assert interquartile_mean(values) == mean


def test_a_quantile_lies_between_its_neighbours():
    assert [quantile([0.0, 4.0, 6.0], share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [0.0, 2.0, 4.0, 5.0, 6.0]


def test_the_interval_of_two_seeds():
    """The resamples are 0 0, 0 10, 10 0 and 10 10, their means 0, 5, 5 and 10: 2.5 % lies at place 0.075 of 3."""
    low, high = bootstrap_interval([10.0, 0.0])
    assert low == pytest.approx(0.375) and high == pytest.approx(9.625)
    assert bootstrap_interval([10.0, 0.0], level=0.0) == (5.0, 5.0)


def test_the_interval_of_four_seeds_is_of_interquartile_means():
    """Of 0, 0, 0, 8 the middle two have the mean 0, 4 or 8: with three or four eights among four 8, with two 4, else 0.

    Of the 256 resamples 13 have at least three eights, and 54 have two: the upper 5 % reach into the 8, the upper quarter is 4.
    """
    assert bootstrap_interval([0.0, 0.0, 8.0, 0.0], level=0.92) == (0.0, 8.0)
    assert bootstrap_interval([0.0, 0.0, 8.0, 0.0], level=0.6) == (0.0, 4.0)


def test_the_interval_of_one_seed_and_of_many():
    assert bootstrap_interval([3.0]) == (3.0, 3.0)
    values = [float(value) for value in range(12)]
    low, high = bootstrap_interval(values)
    assert 0.0 < low < interquartile_mean(values) == 5.5 < high < 11.0
    assert bootstrap_interval(values) == (low, high)  # drawn from the same seed
