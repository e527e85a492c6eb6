"""Learning curves from run folders that this file writes, looked at as arrays and as pixels."""

import json
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest
from run_folders import write_run

from kagent.cli import bands, curves, main, plot, plotting
from kagent.cli.scores import bootstrap_interval, interquartile_mean


def test_read_keeps_rows_with_a_return_in_order(tmp_path):
    run = plotting.read(write_run(tmp_path / "a", [300, 100, 200, 400], [3.0, 1.0, "nan", "NA"], seed=7))
    assert run.timesteps.tolist() == [100, 300] and run.returns.tolist() == [1, 3]
    assert (run.algorithm, run.environment, run.seed) == ("dqn", "CartPole-v1", 7)
    assert "seed" not in run.settings


def test_seeds_become_one_curve_on_the_timesteps_they_share(tmp_path):
    # Straight lines, so that interpolation is exact: t, 2t and 6t, logged at different timesteps.
    write_run(tmp_path / "a", [0, 50, 100], [0, 50, 100], seed=0)
    write_run(tmp_path / "b", [10, 100], [20, 200], seed=1)
    write_run(tmp_path / "c", [0, 80], [0, 480], seed=2)
    runs = [plotting.read(tmp_path / name) for name in "abc"]
    (curve,) = plotting.summarize(runs, spread="range")
    assert (curve.x[0], curve.x[-1]) == (10, 80)
    np.testing.assert_allclose(curve.line, 3 * curve.x)
    np.testing.assert_allclose(curve.low, curve.x)
    np.testing.assert_allclose(curve.high, 6 * curve.x)
    assert curve.seeds == 3 and curve.cut == 100 and curve.label == "DQN, 3 seeds"
    (middle,) = plotting.summarize(runs, spread="iqr")
    np.testing.assert_allclose(middle.line, 2 * middle.x)
    np.testing.assert_allclose(middle.low, 1.5 * middle.x)
    np.testing.assert_allclose(middle.high, 4 * middle.x)
    # Of 27 resamples the lowest mean is t, then three times (t + t + 2t) / 3; 2.5 % lies at place 0.65 of 26.
    for spread in ("iqm", "mean"):  # of three seeds none is left out
        (sure,) = plotting.summarize(runs, spread=spread)
        np.testing.assert_allclose(sure.line, 3 * sure.x)
        np.testing.assert_allclose(sure.low, (1 + 0.65 / 3) * sure.x)
        np.testing.assert_allclose(sure.high, (6 - 0.65 * 4 / 3) * sure.x)


@pytest.mark.parametrize("seeds", [1, 2, 4, 5, 6])
def test_the_band_at_a_point_is_the_interval_of_one_score(seeds):
    table = np.random.default_rng(seeds).normal(size=(seeds, 3))
    line, low, high = bands.band(table)
    for place in range(3):
        scores = table[:, place].tolist()
        assert line[place] == pytest.approx(interquartile_mean(scores))
        # Beyond five seeds both draw resamples, and not the same ones.
        near = 1e-9 if seeds <= 5 else 0.25
        assert (low[place], high[place]) == pytest.approx(bootstrap_interval(scores), abs=near)


def test_the_interquartile_band_leaves_out_the_ends():
    table = np.array([[0.0], [1.0], [2.0], [6.0], [500.0]])
    assert bands.band(table)[0].tolist() == [3.0] and bands.band(table, "mean")[0].tolist() == [101.8]


def test_over_time_and_episodes(tmp_path):
    """100 timesteps at 50 and 100 at 25 a second: 2 and 6 seconds."""
    run = write_run(tmp_path / "a", [100, 200], [1, 2])
    assert np.isnan(plotting.read(run).time).all() and np.isnan(plotting.read(run).episodes).all()
    (run / "log.csv").write_text(
        "timesteps,episode_return,steps_per_second,episodes\n50,nan,50,0\n100,1,50,3\n200,2,25,8\n"
    )
    read = plotting.read(run)
    assert read.time.tolist() == [2, 6] and read.episodes.tolist() == [3, 8]
    for x, expected in (("timesteps", [100, 200]), ("time", [2, 6]), ("episodes", [3, 8])):
        (curve,) = plotting.plot([run], tmp_path / "x.svg", x=x)
        assert curve.x.tolist() == expected
    (run / "log.csv").write_text("timesteps,episode_return,episodes\n100,1,3\n200,1,3\n300,1,4\n400,1,4\n")
    assert plotting.read(run).timesteps.tolist() == [100, 300]  # in the others no episode ended
    write_run(tmp_path / "b", [100, 200], [1, 2])
    (run / "log.csv").write_text("timesteps,episode_return,steps_per_second\n100,1,50\n200,2,25\n")
    with pytest.warns(UserWarning, match=r"No time in .*b/log.csv"):
        assert len(plotting.plot([tmp_path], tmp_path / "x.svg", x="time")) == 1


def test_seeds_whose_times_have_no_moment_in_common_are_compared_at_equal_timesteps(tmp_path):
    """The first takes 2 and 4 seconds for 100 and 200 timesteps, the second 10 and 20."""
    for seed, pace in enumerate((50, 10)):
        run = write_run(tmp_path / str(seed), [100, 200], [1, 2], seed=seed)
        rows = "".join(f"{step},{step / 100 + seed},{pace},{step}\n" for step in (100, 200))
        (run / "log.csv").write_text(f"timesteps,episode_return,steps_per_second,episodes\n{rows}")
    runs, _ = curves.read_all([tmp_path], "time")
    (curve,) = curves.summarize(runs, x="time", spread="range")
    assert (curve.x[0], curve.x[-1]) == (6, 12) and (curve.line[0], curve.line[-1]) == (1.5, 2.5)
    assert curve.cut is None  # none of them ends before another


def test_the_unit_of_time_goes_by_its_length():
    assert [curves.unit_of("time", seconds)[1].split()[0] for seconds in (179.0, 180.0, 7199.0, 7200.0)] == [
        "seconds", "minutes", "minutes", "hours",
    ]  # fmt: skip


def test_all_runs_of_an_algorithm_are_one_curve_where_asked(tmp_path):
    write_run(tmp_path / "a", [1, 2], [1, 2], learning_rate=0.1)
    write_run(tmp_path / "b", [1, 2], [3, 4], learning_rate=0.2, seed=1)
    write_run(tmp_path / "c", [1, 2], [1, 2], algorithm="ppo")
    found = plotting.summarize([plotting.read(path) for path in plotting.expand([tmp_path])], group="algorithm")
    assert [(curve.label, curve.algorithm) for curve in found] == [("DQN, 2 seeds", "dqn"), ("PPO", "ppo")]
    assert found[0].line[0] == 2


def overlapping(figure):
    """Pairs of texts and legends of a figure that lie on each other, and those that leave it."""
    renderer = figure.canvas.get_renderer()
    found = []
    for axes in figure.axes:
        texts = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, axes.get_legend()]
        (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
        texts += [
            text for text in axes.get_xticklabels() if left <= text.get_position()[0] <= right
        ]  # others are not drawn
        texts += [text for text in axes.get_yticklabels() if low <= text.get_position()[1] <= high]
        shown = [text for text in texts if not hasattr(text, "get_text") or text.get_text()]
        found += [(axes, text, text.get_window_extent(renderer)) for text in shown]
        found.append((axes, axes.patch, axes.patch.get_window_extent(renderer)))
    wrong = [text for _, text, box in found if not figure.bbox.padded(1).contains(box.x0, box.y0)]
    wrong += [text for _, text, box in found if not figure.bbox.padded(1).contains(box.x1, box.y1)]
    for index, (_, one, box) in enumerate(found):
        for _, other, second in found[index + 1 :]:
            if box.shrunk(0.98, 0.9).overlaps(second.shrunk(0.98, 0.9)):
                wrong.append((one, other))
    return wrong


def test_nothing_overlaps_however_long_the_labels_are(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    kept = []
    saved = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **more: (kept.append(self), saved(self, *args, **more)))
    for index in range(9):
        name = {"type": "Linear", "initial": 0.001 * index, "final": 0.0, "a_setting_with_a_very_long_name": "x" * 70}
        write_run(tmp_path / f"a{index}", [1, 1_000_000], [-1e6 * index, 2e6], learning_rate=name)
    write_run(tmp_path / "b", [1, 2], [1, 2], environment="Pendulum-v1")
    write_run(tmp_path / "c", [1, 2], [1, 2], environment="Pendulum-v1", seed=1)
    plotting.plot([tmp_path], tmp_path / "x.png", smooth=3)
    assert overlapping(kept[0]) == []
    kept[0].axes[0].get_legend().set_bbox_to_anchor((0.0, 0.5), transform=kept[0].axes[0].transAxes)
    kept[0].canvas.draw()
    assert overlapping(kept[0])  # it would be found


def test_labels_of_the_users_own(tmp_path, capsys):
    write_run(tmp_path / "a", [1, 2], [1, 2])
    write_run(tmp_path / "b", [1, 2], [1, 2], algorithm="ppo")
    given = ["plot", str(tmp_path), "--out", str(tmp_path / "x.svg")]
    assert main([*given, "--labels", "Ours", "Theirs"]) == 0
    text = (tmp_path / "x.svg").read_text()
    assert "<!-- Ours -->" in text and "<!-- Theirs -->" in text and "<!-- DQN -->" not in text
    capsys.readouterr()
    assert main([*given, "--labels", "Ours"]) == 2
    assert "one for each of 2 curves (DQN on CartPole-v1; PPO on CartPole-v1)" in capsys.readouterr().err


def test_a_single_run_is_drawn_where_it_was_logged(tmp_path):
    (curve,) = plotting.summarize([plotting.read(write_run(tmp_path / "a", [1, 2, 3, 4], [0, 4, 2, 6]))], smooth=2)
    assert curve.x.tolist() == [1, 2, 3, 4]
    assert curve.line.tolist() == [0, 2, 3, 4]  # mean of the last two
    assert curve.seeds == 1 and curve.cut is None


def test_other_settings_algorithms_and_environments_are_curves_of_their_own(tmp_path):
    write_run(tmp_path / "a", [1, 2], [1, 2], learning_rate=0.1, discount=0.9)
    write_run(tmp_path / "b", [1, 2], [1, 2], learning_rate=0.2, discount=0.9)
    write_run(tmp_path / "c", [1, 2], [1, 2], discount=0.9)
    write_run(tmp_path / "d", [1, 2], [1, 2], algorithm="ppo")
    write_run(tmp_path / "e", [1, 2], [1, 2], environment="Acrobot-v1")
    write_run(tmp_path / "f", [1, 2], [1, 2], environment="Acrobot-v1")
    found = plotting.summarize([plotting.read(path) for path in plotting.expand([tmp_path])])
    assert [curve.label for curve in found] == [
        "DQN learning_rate=0.1",
        "DQN learning_rate=0.2",
        "DQN learning_rate default",
        "PPO",
        "DQN, 2 runs",  # the same seed twice is no second seed
    ]
    assert [curve.environment for curve in found] == ["CartPole-v1"] * 4 + ["Acrobot-v1"]


def test_a_folder_stands_for_the_runs_in_it_and_for_those_of_several_seeds(tmp_path):
    for name in ("one", "seeds/seed-1", "seeds/seed-2", "one/kept"):
        write_run(tmp_path / name, [1, 2], [1, 2])
    (tmp_path / "seeds" / "summary.json").write_text("{}")
    names = [str(path.relative_to(tmp_path)) for path in curves.expand([tmp_path])]
    assert names == ["one", "seeds/seed-1", "seeds/seed-2"]  # what lies in the folder of a run belongs to it
    assert curves.expand([tmp_path, tmp_path / "one", tmp_path / "none"]) == [
        *curves.expand([tmp_path]), tmp_path / "none"
    ]  # fmt: skip


def test_the_image_shows_line_and_band(tmp_path):
    for seed in range(3):
        write_run(tmp_path / str(seed), [0, 500, 1000], [0, 100 * seed, 200 * seed], seed=seed)
    assert main(["plot", str(tmp_path), "--spread", "range", "--out", str(tmp_path / "out" / "curve.png")]) == 0
    image = imageio.imread(tmp_path / "out" / "curve.png")[..., :3].astype(int)
    assert image.shape[0] > 600 and image.shape[1] > 1000
    line = (np.abs(image - (0, 0x72, 0xB2)) <= 8).all(axis=-1)
    pale = np.round(255 + 0.18 * (np.array((0, 0x72, 0xB2)) - 255))
    band = (np.abs(image - pale) <= 8).all(axis=-1)
    assert line.sum() > 2_000  # 1.8 points wide over a thousand pixels
    assert band.sum() > 100_000  # a triangle over half of the panel
    assert not list((tmp_path / "out").glob(".*"))  # written beside and renamed


def test_one_panel_per_environment(tmp_path):
    write_run(tmp_path / "a", [1, 2], [1, 2])
    plotting.plot([tmp_path / "a"], tmp_path / "one.png")
    write_run(tmp_path / "b", [1, 2], [1, 2], environment="Pendulum-v1")
    plotting.plot([tmp_path / "a", tmp_path / "b"], tmp_path / "two.png")
    one, two = (imageio.imread(tmp_path / name).shape for name in ("one.png", "two.png"))
    assert two[0] == 2 * one[0] and two[1] == one[1]


def test_a_shorter_seed_is_mentioned(tmp_path, capsys):
    write_run(tmp_path / "a", [0, 1000], [0, 1], seed=0)
    write_run(tmp_path / "b", [0, 400], [0, 1], seed=1)
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "x.svg")]) == 0
    captured = capsys.readouterr()
    assert "up to 400 timesteps" in captured.err and "1,000" in captured.err
    assert "1 curve(s) from 2 run(s)" in captured.out
    assert (tmp_path / "x.svg").read_text().lstrip().startswith("<?xml")


def test_what_is_no_run_is_left_out_with_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "a", [0, 1000], [0, 1], seed=0)
    write_run(tmp_path / "runs" / "b", [0, 1000], [0, 3], seed=1)
    (write_run(tmp_path / "runs" / "begun", [1], [1]) / "log.csv").write_text("timesteps,episode_return\n5,nan\n")
    (tmp_path / "runs" / "backup").mkdir()
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "config.json").write_text('{"model": "bert"}')
    (tmp_path / "runs" / "notes.txt").write_text("x")
    given = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "runs").iterdir())
    assert main(["plot", *given, "--out", "x.png"]) == 0
    captured = capsys.readouterr()
    assert "1 curve(s) from 2 run(s)" in captured.out
    lines = captured.err.splitlines()
    assert len(lines) == 4 and all(line.startswith("kagent: Left out: ") for line in lines)
    for line, name in zip(lines, ("backup", "begun", "notes.txt", "other")):
        assert name in line
    with pytest.warns(UserWarning, match=r"Left out: Not a run folder.*backup"):
        found = plotting.plot(["runs/a", "runs/backup"], "y.png")
    assert [curve.seeds for curve in found] == [1]
    assert main(["plot", "runs/backup", "runs/other", "--out", "z.png"]) == 2
    assert "backup" in capsys.readouterr().err and not (tmp_path / "z.png").exists()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda run: (run / "config.json").unlink(), "no config.json"),
        (lambda run: (run / "log.csv").unlink(), "Not a readable run folder"),
        (lambda run: (run / "config.json").write_text("{"), "Not a readable run folder"),
        (lambda run: (run / "config.json").write_text('{"algorithm": "dqn"}'), "Not a readable run folder"),
        (lambda run: (run / "log.csv").write_text("epoch,loss\n0,1\n"), "episode_return"),
        (
            lambda run: (run / "log.csv").write_text("timesteps,episode_return\n5,nan\n"),
            "No finished episode",
        ),
    ],
)
def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path, capsys, spoil, message):
    run = write_run(tmp_path / "run", [1, 2], [1, 2])
    spoil(run)
    assert main(["plot", str(run), "--out", str(tmp_path / "x.png")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("kagent: error: ") and error.count("\n") == 1
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--out", "x.jpgg"], "Unknown image format"),
        (["--out", "x.png", "--smooth", "0"], "at least 1"),
        (["--out", "x.png", "--spread", "all"], "invalid choice"),
        (["--out", "x.png", "--x", "steps"], "invalid choice"),
        (["--out", "x.png", "--by", "seed"], "invalid choice"),
        ([], "--out"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", [1, 2], [1, 2])
    assert main(["plot", str(run), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_choices_of_the_command_are_those_of_the_functions():
    assert (plot.SPREADS, plot.X, plot.GROUPS) == (bands.SPREADS, curves.X, curves.GROUPS)
    assert all("seeds" in bands.caption(spread) for spread in bands.SPREADS)


def test_plotting_imports_neither_tensorflow_nor_pyplot(tmp_path):
    write_run(tmp_path / "a", [1, 2], [1, 2])
    program = (
        "import sys; from kagent.cli import main; "
        f"code = main(['plot', {str(tmp_path)!r}, '--out', {str(tmp_path / 'x.png')!r}]); "
        "assert not {'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules); sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_matplotlib_the_install_line_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "x.png")]) == 2
    assert "pip install 'kagent[plots]'" in capsys.readouterr().err


def recorded(folder, updates, returns):
    """A run of `kagent train --data`: its log counts gradient steps, and its returns are those of validations."""
    write_run(folder, updates, returns, algorithm="bc")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "data": "episodes"}))
    rows = [f"{index},0.5,{step},{value}" for index, (step, value) in enumerate(zip(updates, returns))]
    (folder / "log.csv").write_text("\n".join(["epoch,loss,updates,val_episode_return", *rows]))
    return folder


def test_runs_of_recorded_episodes_have_a_panel_of_gradient_steps(tmp_path):
    offline = recorded(tmp_path / "bc", [50, 100, 150], [20, "NA", 400])
    write_run(tmp_path / "dqn", [100, 200], [1, 2])
    one, other = plotting.plot([offline, tmp_path / "dqn"], tmp_path / "x.svg")
    assert one.environment == "CartPole-v1, recorded episodes" and other.environment == "CartPole-v1"
    assert (one.x.tolist(), one.line.tolist(), one.offline, other.offline) == ([50, 150], [20, 400], True, False)
    assert curves.unit_of("timesteps", 150.0, one.offline) == (1.0, "gradient steps")
    assert main(["report", str(offline), "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "150 gradient steps" in page and "and of validations where recorded episodes" in page
    (offline / "log.csv").write_text("epoch,loss,updates\n0,0.5,50\n")
    with pytest.raises(ValueError, match=r"No column \['val_episode_return'\].*has returns with --validation N"):
        plotting.read(offline)
