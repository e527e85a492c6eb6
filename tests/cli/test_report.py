"""`kagent report`: one page with all in it, read as its reader's browser would."""

import html.parser
import json

import pytest
from run_folders import write_run

from kagent.cli import curves, main, report_page

VOID = {"meta", "img"}


class Page(html.parser.HTMLParser):
    """The tags of a page, its text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def evaluated(folder, mean, **config):
    (folder / "evaluation.json").write_text(json.dumps({"mean": mean, "std": 1.0, "episodes": 20}))
    (folder / "versions.json").write_text(json.dumps({"python": "3.11.7", "keras": "3.15.1"}))
    if config:
        whole = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**whole, **config}))
    return folder


@pytest.fixture()
def runs(tmp_path):
    for seed, mean in enumerate((100.0, 200.0, 300.0)):
        folder = write_run(tmp_path / "runs" / f"dqn-{seed}", [0, 500], [0, 10 * seed], seed=seed, batch_size=32)
        evaluated(folder, mean, command=f"kagent train dqn CartPole-v1 --seed {seed} --out x")
    evaluated(write_run(tmp_path / "runs" / "ppo", [0, 400], [5, 7], algorithm="ppo", seed=4), 50.0)
    return tmp_path / "runs"


def made(runs, tmp_path, *more):
    out = tmp_path / "report.html"
    assert main(["report", str(runs), "--out", str(out), *more]) == 0
    return out.read_text(encoding="utf-8")


def test_the_page_has_curves_scores_settings_versions_and_commands(runs, tmp_path):
    """Of 27 resamples of 100, 200 and 300 one has the mean 100 and three 133.3: 2.5 % lies at place 0.65 of 26."""
    text = made(runs, tmp_path)
    page = Page(text)
    assert text.startswith("<!doctype html>") and "<title>DQN and PPO on CartPole-v1</title>" in text
    assert (
        [tag for tag, _ in page.tags].count("svg") == 1 and text.count("<polyline") == 2 and text.count("<polygon") == 1
    )
    cells = "<td>DQN</td><td>CartPole-v1</td>" + "".join(
        f'<td class="n">{cell}</td>' for cell in ("3", "500", "200.0", "121.7 to 278.3", "100.0", "300.0", "—")
    )
    assert cells in text
    assert (
        '<td>PPO</td><td>CartPole-v1</td><td class="n">1</td><td class="n">400</td><td class="n">50.0</td><td class="n">—</td>'
        in text
    )
    assert "<td><code>batch_size</code></td><td>32</td><td>default</td>" in text
    assert "python 3.11.7, keras 3.15.1" in text
    assert "kagent train dqn CartPole-v1 --seed 2\n" in "".join(page.text)


def test_the_page_needs_no_network_and_no_script(runs, tmp_path):
    (runs / "ppo" / "film.gif").write_bytes(b"GIF89a")
    (runs / "ppo" / "long film.mp4").write_bytes(b"x" * 2000)
    text = made(runs, tmp_path, "--embed", "1000")
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    sources = [value for _, given in page.tags for name, value in given.items() if name in ("src", "href")]
    assert sources == ["data:image/gif;base64,R0lGODlh", "runs/ppo/long%20film.mp4"]
    assert "url(" not in text and "@import" not in text and "default-src 'none'" in text
    assert '<video controls src="data:video/mp4;base64,' in made(runs, tmp_path)


def test_what_files_say_stays_text(tmp_path):
    hostile = "<script>alert(1)</script>\"'&"
    folder = write_run(tmp_path / "runs" / "a", [1, 2], [1, 2], algorithm=hostile, environment=hostile, key=hostile)
    evaluated(folder, 1.0, command=f"kagent {hostile.replace(chr(39), '')}")
    (folder / "versions.json").write_text(json.dumps({hostile: hostile}))
    (folder / "evaluation.json").write_text(json.dumps({"mean": hostile, "std": 1, "episodes": 3}))
    (folder / "<b>.gif").write_bytes(b"x")
    text = made(tmp_path / "runs", tmp_path, "--title", hostile)
    Page(text)
    assert "<script" not in text and "<b>" not in text and "not evaluated" in text


def test_what_is_missing_or_unreadable_is_said(tmp_path, capsys):
    folder = write_run(tmp_path / "runs" / "a", [1, 2], [1, 2])
    (folder / "versions.json").write_text("{")
    (tmp_path / "runs" / "b").mkdir()
    (tmp_path / "runs" / "b" / "config.json").write_text("{}")
    text = made(tmp_path / "runs", tmp_path)
    assert "not evaluated" in text and text.count("not recorded") == 2
    assert "kagent: Left out: " in capsys.readouterr().err
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "x.pdf")]) == 2
    assert ".html" in capsys.readouterr().err and not (tmp_path / "x.pdf").exists()


def test_runs_of_several_versions_are_told_apart(runs, tmp_path):
    (runs / "ppo" / "versions.json").write_text(json.dumps({"keras": "3.16.0"}))
    text = made(runs, tmp_path)
    assert "3 of 4 runs: python 3.11.7, keras 3.15.1" in text and "1 of 4 runs: keras 3.16.0" in text


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("kagent train dqn E --out=a --seed=3", "kagent train dqn E --seed 7"),
        ("kagent train dqn E --ou a --set x=1 --seed 3 --steps 9", "kagent train dqn E --set x=1 --steps 9 --seed 7"),
        ("kagent train dqn E --seeds 5 --jobs 2 --seed 1", "kagent train dqn E --seeds 5 --jobs 2 --seed 7"),
        ("kagent train dqn E --wrapper 'A:{\"b\": 1}'", "kagent train dqn E --wrapper 'A:{\"b\": 1}' --seed 7"),
        ("", ""),
    ],
)
def test_the_command_that_repeats_a_run(command, expected):
    assert report_page.again({"command": command, "seed": 7}) == expected


def test_one_chart_for_each_environment_and_axis(runs, tmp_path):
    (runs / "dqn-0" / "log.csv").write_text(
        "timesteps,episode_return,steps_per_second,episodes\n100,1,50,3\n200,2,25,8\n"
    )
    write_run(runs / "other", [1, 2], [1, 2], environment="Pendulum-v1")
    found, _ = curves.read_all([runs])
    text = report_page.page(found, beside=tmp_path, smooth=2)
    assert text.count("<svg ") == 3 and "seconds of training" in text and "Smoothed over 2 epochs." in text
