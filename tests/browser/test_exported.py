"""Exported chapters on a wide screen and on a phone: nothing sticks out, pictures can be read, and a fold opens."""

import pytest
from pages import MARKS
from served import ROOT

from advcourse.course.exporting import as_page

pytestmark = MARKS

CHAPTERS = ("00_start_here", "01_why_they_exist", "02_one_step", "03_many_steps")
CHAPTERS += ("08_phone_camera", "09_faces", "10_road_signs", "11_malware")
# The part of its own width that each picture has on the page, 1 or less.
SHARES = """() => [...document.querySelectorAll(".jp-OutputArea-output img")]
    .map(one => one.getBoundingClientRect().width / one.getAttribute("width"))"""
OPEN = """() => document.querySelectorAll("details").forEach(fold => { fold.open = true; })"""


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_fits_its_screen(browser, tmp_path, chapter):
    """Checks at 1400 and at 390 dots that the page does not scroll sideways, and that no picture shrinks below six tenths."""
    path = tmp_path / "page.html"
    path.write_text(as_page(ROOT / "chapters" / f"{chapter}.ipynb"), encoding="utf-8")
    for width, least in ((1400, 0.9), (390, 0.6)):
        page = browser.new_page(viewport={"width": width, "height": 844})
        page.route("http*://**", lambda route: route.abort())
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        assert not page.get_by_text("The answer: “").first.is_visible()
        assert not page.locator(".folded .jp-InputArea").first.is_visible()
        page.locator(".folded > summary").first.click()
        assert page.locator(".folded .jp-InputArea").first.is_visible()
        page.evaluate(OPEN)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shares = page.evaluate(SHARES)
        assert len(shares) > 10 and min(shares) > least
        page.close()
