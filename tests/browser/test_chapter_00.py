"""Chapter 00 as a reader sees it: `advcourse lab`, a real browser, run all, move the slider, look at the picture."""

from pages import MARKS
from served import CHAPTER, IDLE, ROOT, opened_page, run_all, served

pytestmark = MARKS

EXPLORER = ".advcourse-explorer"

# Reads the bytes of the picture at a CSS selector as text; the address of the picture is a blob of the page's own. A widget
# that draws anew gives its picture another address and takes back the first one: what was being read then is read again.
PICTURE = """async selector => {
    for (;;) {
        const picture = document.querySelector(selector), address = picture.src;
        try {
            await picture.decode();
            const bytes = new Uint8Array(await (await fetch(address)).arrayBuffer());
            return Array.from(bytes).join(",");
        } catch (error) {
            if (document.querySelector(selector).src === address) throw error;
        }
    }
}"""


def test_the_slider_changes_the_picture(tmp_path):
    """Checks in Chromium that chapter 00 runs without an error and that keys on its slider change the picture's bytes."""
    with served(tmp_path, ROOT / CHAPTER) as address, opened_page() as page:
        page.goto(address)
        run_all(page)
        handle = page.locator(f"{EXPLORER} .noUi-handle").first
        handle.scroll_into_view_if_needed()
        before = page.evaluate(PICTURE, f"{EXPLORER} .widget-image")
        handle.focus()
        for _ in range(3):
            handle.press("ArrowRight")
        changed = f"async ([selector, before]) => await ({PICTURE})(selector) !== before"
        page.wait_for_function(changed, arg=[f"{EXPLORER} .widget-image", before])
        page.locator(IDLE).wait_for()
        after = page.evaluate(PICTURE, f"{EXPLORER} .widget-image")
        (ROOT / "build").mkdir(exist_ok=True)
        page.screenshot(path=ROOT / "build" / "chapter_00.png")
        assert after != before
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0  # no question about news, no warning
