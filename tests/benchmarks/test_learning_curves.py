"""The pictures of the documentation show the numbers of the results."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import learning_curves, learning_table
from benchmarks.learning_cells import TASKS
from kagent.cli import charts

DQN = TASKS["dqn-cartpole"]


def record(seed, score, curve=None, steps=400):
    found = {"task": DQN.name, "seed": seed, "mean": score, "timesteps": steps}
    return {**found, "curve": curve} if curve is not None else found


def curve(timesteps, returns):
    return {"timesteps": timesteps, "returns": returns}


def test_the_pictures_are_those_of_the_results():
    found = learning_table.read(learning_table.RESULTS)
    assert learning_curves.differing(found) == [], "run python -m benchmarks.learning_curves"
    files = [learning_curves.STATIC / path for path in learning_curves.pictures(found)]
    assert len(files) == len(found) + 1 and max(path.stat().st_size for path in files) < 60_000


def test_a_picture_of_other_numbers_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(learning_curves, "FRONT", ("dqn-cartpole",))
    found = {"dqn-cartpole": [record(1000, 300.0, curve([4, 400], [9.0, 200.0]))]}
    assert learning_curves.differing(found, tmp_path) == ["curves/dqn-cartpole.svg", "learning.svg"]
    assert learning_curves.write(found, tmp_path) == 2 and learning_curves.differing(found, tmp_path) == []
    more = {"dqn-cartpole": [*found["dqn-cartpole"], record(1001, 400.0)]}
    assert learning_curves.differing(more, tmp_path) == ["curves/dqn-cartpole.svg", "learning.svg"]
    (tmp_path / "curves" / "gone-cartpole.svg").write_text("<svg/>")
    assert learning_curves.differing(found, tmp_path) == ["curves/gone-cartpole.svg"]
    learning_curves.write(found, tmp_path)
    assert [path.name for path in (tmp_path / "curves").iterdir()] == ["dqn-cartpole.svg"]


def test_a_curve_joins_the_seeds_that_recorded_one():
    """From where both have begun to where one ends; at 200 the second seed lies half way. Of two seeds' four resamples the lowest
    is one seed alone, then twice the mean of both: 2.5 % lies at place 0.075."""
    runs = [
        record(1000, 1.0, curve([100, 200, 300, 400], [0.0, 10.0, 20.0, 30.0])),
        record(1001, 2.0, curve([200, 300], [20.0, 40.0])),
        record(1002, 3.0),
    ]
    line = learning_curves.line("DQN", learning_curves.numbers(DQN, runs))
    assert line.label == "DQN, 2 seeds" and line.x.tolist() == [200, 300] and line.y.tolist() == [15, 30]
    assert line.low.tolist() == pytest.approx([10 + 0.075 * 5, 20 + 0.075 * 10])
    assert line.high.tolist() == pytest.approx([20 - 0.075 * 5, 40 - 0.075 * 10])
    alone = learning_curves.line("DQN", learning_curves.numbers(DQN, runs[:1]))
    assert alone.label == "DQN, one seed" and alone.low is None
    for none in ([], [record(1000, 1.0)], [record(1000, 1.0, curve([], []))]):
        assert learning_curves.line("DQN", learning_curves.numbers(DQN, none)) is None


def test_a_cell_without_curves_has_dots_and_says_so():
    svg = learning_curves.picture(DQN, [record(1000, 100.0), record(1001, 500.0)])
    assert svg.count("<circle") == 3 and "<polyline" not in svg and "no curve recorded" in svg  # one is the legend's
    drawn = learning_curves.picture(DQN, [record(1000, 100.0, curve([4, 400], [9.0, 200.0]))])
    assert drawn.count("<polyline") == 1 and "no curve" not in drawn
    assert (
        learning_curves.digest_of(svg) != learning_curves.digest_of(drawn)
        and learning_curves.digest_of("<svg/>") is None
    )


def test_the_picture_of_the_readme_needs_all_of_its_curves():
    with pytest.raises(ValueError, match="--curves"):
        learning_curves.front({"dqn-cartpole": [record(1000, 300.0, curve([4], [9.0]))]})


def test_the_command_says_which_pictures_differ(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(learning_curves, "FRONT", ("dqn-cartpole",))
    monkeypatch.setattr(learning_curves, "STATIC", tmp_path / "static")
    (tmp_path / "results" / "dqn-cartpole").mkdir(parents=True)
    text = json.dumps(record(1000, 300.0, curve([4, 400], [9.0, 200.0])))
    (tmp_path / "results" / "dqn-cartpole" / "1000.json").write_text(text)
    monkeypatch.setattr(learning_curves.write, "__defaults__", (tmp_path / "static",))
    given = ["--results", str(tmp_path / "results")]
    assert learning_curves.main([*given, "--check"]) == 1 and "learning.svg" in capsys.readouterr().out
    assert learning_curves.main(given) == 0 and learning_curves.main([*given, "--check"]) == 0


def test_charts_are_well_formed_and_keep_their_text_inside():
    """The widest texts: a title, labels and numbers that are long."""
    lines = [
        charts.Line(f"<{index} & a label that goes on for longer than the picture is wide, by far, of a long name>",
                    charts.np.array([0.0, 1e6]), charts.np.array([-1e9, 1e9]), colour=index)
        for index in range(8)
    ]  # fmt: skip
    svg = charts.chart(lines, title='"A" < B ' * 20, x_label="x", y_label="y", level=(0.0, "level"))
    root = ElementTree.fromstring(svg)
    width, height = map(float, root.get("viewBox").split()[2:])
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    assert len(texts) > 20
    for text in texts:
        letters = len(text.text) * (8 if text.get("font-size") else charts._LETTER)
        left = float(text.get("x")) - letters * {"end": 1, "middle": 0.5}.get(text.get("text-anchor"), 0)
        assert left >= 0 and left + letters <= width + 1 and float(text.get("y")) <= height, text.text
    dashes = re.findall(r'<polyline [^>]*stroke="([^"]+)"[^>]*?(stroke-dasharray="[^"]*")?>', svg.replace("/>", ">"))
    assert (
        len({(colour, "dasharray" in line) for (colour, _), line in zip(dashes, re.findall("<polyline.*", svg))}) == 8
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 500, [0, 100, 200, 300, 400, 500]), (-3, 3, [-4, -2, 0, 2, 4]), (5, 5, [4, 4.5, 5, 5.5, 6]),
     (0.1, 0.14, [0.1, 0.11, 0.12, 0.13, 0.14])],
)  # fmt: skip
def test_ticks_are_round(low, high, expected):
    assert charts.ticks(low, high, 5) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (500, "500"), (1500, "1.5k"), (2000, "2k"), (12_500, "12.5k"), (1e6, "1M"), (-0.05, "-0.05")]
)  # fmt: skip
def test_numbers_of_axes_are_short(value, text):
    assert charts.shown(value) == text


def test_thousands_are_short_on_the_whole_axis_or_nowhere_on_it():
    assert [charts.shown(value, 1500) for value in (-1500, -1000, 0)] == ["-1500", "-1000", "0"]
    assert [charts.shown(value, 20_000) for value in (0, 5000, 20_000)] == ["0", "5k", "20k"]
    assert [charts.shown(value, 1e6) for value in (200_000, 1e6)] == ["200k", "1M"]
