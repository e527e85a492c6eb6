"""The built documentation and a report in a headless browser: nothing runs over, no error, light and dark, search works.

    python -m sphinx -W docs docs/_build && pytest -m browser -n 0      # pictures go to $KAGENT_SCREENSHOTS, if it is set

`KAGENT_DOCS` names a folder where the documentation was built, `KAGENT_BROWSER` the program of a browser.
"""

import functools
import http.server
import io
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_folders import write_run

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
PAGES = (
    "index.html",
    "algorithms/ppo.html",
    "api/kagent.memories.html",
    "tutorials/cartpole.html",
    "learning.html",
    "guides/evaluating.html",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Contrast of two colours as WCAG defines it; 4.5 is its limit for text.
CONTRAST = """
([text, page]) => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
  }
  const [high, low] = [light(text), light(page)].sort((a, b) => b - a)
  return (high + 0.05) / (low + 0.05)
}
"""


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("playwright is missing: pip install 'kagent[browser]'")
    program = os.environ.get("KAGENT_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.fail("no browser: apt-get install chromium, or set KAGENT_BROWSER")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site():
    """The address of the documentation, served on this machine alone."""
    folder = Path(os.environ.get("KAGENT_DOCS", ROOT / "docs" / "_build"))
    if not (folder / "index.html").exists():
        pytest.fail(f"the documentation is not built in {folder}: python -m sphinx -W docs docs/_build")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=os.fspath(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Visit:
    """A page in a window of its own, and all that it complained about or asked others for."""

    def __init__(self, browser, address, width=1400, scheme="light"):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page, self.wrong = self.context.new_page(), []
        home = address.split("/")[2]
        self.page.on("console", lambda said: said.type == "error" and self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", self._fail)
        self.page.on("request", lambda request: self._look(request.url, home))
        self.page.goto(address, wait_until="networkidle")

    def _fail(self, request):
        # A page that is left breaks its own requests off; they failed for nobody.
        if request.failure != "net::ERR_ABORTED":
            self.wrong.append(f"failed: {request.url}: {request.failure}")

    def _look(self, url, home):
        if not url.startswith(("data:", "blob:")) and url.split("/")[2] != home:
            self.wrong.append(f"from elsewhere: {url}")

    def check(self, scheme, name):
        """Asserts all that is asserted of every page."""
        if folder := os.environ.get("KAGENT_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
        assert self.wrong == []
        width, inner = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= inner, f"{width - inner} pixels run over"
        broken = "[...document.images].filter((one) => !one.complete || !one.naturalWidth).map((one) => one.src)"
        assert self.page.evaluate(broken) == []
        page, text = self.colours("body")
        assert self.page.evaluate(CONTRAST, [text, page]) > 7
        assert (self.page.evaluate(CONTRAST, [page, "rgb(0, 0, 0)"]) < 3) == (scheme == "dark")
        if self.page.locator("svg[role=img]").count():
            _, text = self.colours("svg[role=img] text")
            assert self.page.evaluate(CONTRAST, [text, page]) > 4.5

        for picture in self.page.locator(".cell_output img").all():
            grey = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("L"))
            assert (np.median(grey) < 64) == (scheme == "dark"), "a picture of a notebook is of the other theme"

    def colours(self, selector):
        """Background of the page, and colour of an element's text."""
        script = "(css) => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector(css)).color]"
        return self.page.evaluate(script, selector)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_over_nowhere_and_follows_the_readers_theme(browser, site, path, width, scheme):
    visit = Visit(browser, site + path, width, scheme)
    visit.check(scheme, f"{path.removesuffix('.html').replace('/', '-')}-{width}-{scheme}")
    visit.context.close()


def test_the_theme_can_be_chosen_and_charts_follow(browser, site):
    visit = Visit(browser, site + "index.html")
    assert visit.page.locator("svg[role=img]").count() == 1
    before = visit.colours("svg[role=img] text")
    visit.page.locator(".theme-toggle:visible").first.click()  # from the system's light to dark
    page, text = visit.colours("svg[role=img] text")
    assert (page, text) != before and visit.page.evaluate(CONTRAST, [page, text]) > 4.5
    visit.check("dark", "index-chosen-dark")
    visit.context.close()


def test_search_finds_and_leads_there(browser, site):
    visit = Visit(browser, site + "index.html")
    visit.page.locator("input[name=q]:visible").first.fill("prioritized replay")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("#search-results li a", timeout=20_000)
    # A page of each result is read for its summary; until then the list grows.
    visit.page.wait_for_load_state("networkidle")
    assert visit.page.locator("#search-results li").count() >= 3
    visit.check("light", "search")
    visit.page.locator("#search-results li a").first.click()
    visit.page.wait_for_url(lambda url: "search.html" not in url, wait_until="networkidle")
    assert "rioritized" in visit.page.content() and visit.wrong == []
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_a_report_is_read_anywhere(browser, tmp_path, width, scheme):
    from kagent.cli import main

    for name in ("dqn", "ppo"):
        for seed in range(3):
            folder = write_run(tmp_path / "runs" / f"{name}-{seed}", [0, 50_000], [0, 100 + 90 * seed], name, seed=seed,
                               network={"type": "mlp", "units": [256, 256]})  # fmt: skip
            (folder / "evaluation.json").write_text(json.dumps({"mean": 400.0 + seed, "std": 3.0, "episodes": 20}))
            (folder / "versions.json").write_text(json.dumps({"python": "3.11.7", "keras": "3.15.1"}))
    out = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "runs"), "--out", str(out)]) == 0
    visit = Visit(browser, out.as_uri(), width, scheme)
    visit.check(scheme, f"report-{width}-{scheme}")
    visit.context.close()
