"""The report as a reader sees it: opened from disk in a real browser without a network, wide, narrow and on paper."""

from dataclasses import replace

import pytest
from pages import MARKS, OUTSIDE
from reports import LEAST, LINF, LONG, matrix, measured

from advcourse.evaluation import Outcome, report

pytestmark = MARKS

# Scrolling boxes that cannot be scrolled to the end of what they hold.
CUT_OFF = """() => [...document.querySelectorAll(".scroll, figure div")]
    .filter(one => one.scrollWidth > one.clientWidth && getComputedStyle(one).overflowX !== "auto").length"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report with many models, long names, failures, and an attack that never succeeds."""
    folder = tmp_path_factory.mktemp("report")
    outcome = matrix()
    records = [*outcome.records, measured([0, 0], LONG * 2, attack="x" * 200, threat=LINF)]
    records += [measured([1, 0], f"net {i} {LONG}", attack=LONG, threat=LEAST) for i in range(9)]
    records += [
        measured([1, 0], "tall", attack=f"attack {i}", threat=LINF) for i in range(40)
    ]  # a tall figure
    failures = [replace(outcome.failures[0], error="y" * 300)]
    return report.write(Outcome(records, failures, 0), folder, "A report " + "z" * 100).as_uri()


@pytest.mark.parametrize("width", [1200, 420])
def test_the_report_opens_without_a_network(browser, address, width):
    """Checks in Chromium: no error, no request but the page's own, all pictures are there, nothing sticks out of the page."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    assert errors == []
    assert [url for url in requests if not url.startswith("data:")] == [address]
    widths = page.evaluate("() => [...document.images].map(image => image.naturalWidth)")
    assert len(widths) > 8 and min(widths) > 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == [] and page.evaluate(CUT_OFF) == 0
    context.close()


def test_a_dark_desktop_gets_a_light_page(browser, address):
    """Checks the colours that Chromium computes where the reader has asked for dark ones: the page says that it is light."""
    page = browser.new_page(color_scheme="dark")
    page.goto(address)
    colours = page.evaluate(
        "() => ['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
    )
    assert colours == ["rgb(27, 27, 27)", "rgb(255, 255, 255)"]
    page.close()


def test_without_scripts_links_lead_to_their_sections(browser, address):
    """Checks that the contents work where the reader has turned scripts off."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("navigation").get_by_role("link", name="Robustness").click()
    assert page.url == f"{address}#robustness"
    context.close()


def test_it_can_be_printed(browser, address, tmp_path):
    """Checks that Chromium makes a PDF of it, that on paper no table is a box that scrolls, and that each picture fits a page."""
    page = browser.new_page()
    page.goto(address)
    page.emulate_media(media="print")
    kinds = page.evaluate(
        "() => [...document.querySelectorAll('.scroll')].map(one => getComputedStyle(one).overflowX)"
    )
    assert set(kinds) == {"visible"}
    heights = page.evaluate("() => [...document.images].map(one => one.getBoundingClientRect().height)")
    assert page.evaluate("() => Math.max(...[...document.images].map(one => one.naturalHeight))") > 700
    assert max(heights) < (210 - 2 * 12) * 96 / 25.4  # A4 across, less its margins, in CSS pixels
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.close()
