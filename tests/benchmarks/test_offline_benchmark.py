"""The program that measures offline learning."""

import json

import pytest

from benchmarks import offline

pytestmark = [pytest.mark.eager, pytest.mark.thorough]


def test_it_prints_a_line_for_each_seed(capsys):
    offline.main(["BC", "--arguments", '{"batch_size": 8}', "--seeds", "3", "--steps", "2", "1"])
    data, line = capsys.readouterr().out.strip().splitlines()
    assert data == "mean return of the data: -196"
    found = json.loads(line)
    assert (found["preset"], found["arguments"], found["seed"]) == ("BC", {"batch_size": 8}, 3)
    assert found["steps"] == [1, 2] and len(found["returns"]) == 2 and max(found["returns"]) < 0
