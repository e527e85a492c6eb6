"""Times of minibatches of a prioritized memory beside those of a uniform one."""

import pytest

from benchmarks import sampling


def test_a_ratio_is_the_median_of_those_of_the_turns():
    found = sampling.Figures([1.0, 2.0, 4.0], [2.0, 6.0, 4.0], [3.0, 8.0, 40.0])
    assert (found.ratio("uniform"), found.ratio("prioritized"), found.ratio("updated")) == (1.0, 2.0, 4.0)


def test_each_memory_has_its_turns():
    found = sampling.measure(capacity=2_000, batch_size=32, draws=3, turns=2)
    assert [len(times) for times in found] == [2, 2, 2]
    assert min(map(min, found)) > 0


@pytest.mark.parametrize("arguments", [["--turns", "0"], ["--capacity", "10", "--batch-size", "11"]])
def test_sizes_are_judged_before_memories_are_made(arguments, capsys):
    with pytest.raises(SystemExit):
        sampling.main(arguments)
    assert "--batch-size at most --capacity" in capsys.readouterr().err
