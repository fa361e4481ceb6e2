"""The explorer of apps as a reader sees it: move the slider, press Install, and read why the phone refuses."""

import nbformat
from pages import MARKS
from served import IDLE, ROOT, opened_page, run_all, served

pytestmark = MARKS

EXPLORER = ".advcourse-explorer"
# A detector that can be calculated by hand: hardware that the phone lacks makes an app look honest.
CELL = """
import torch
from advcourse.cases.malware import Detector
from advcourse.course.app_explorer import app_explorer
from advcourse.data.apps import TORCH, Vocabulary

net = torch.nn.Linear(2, 2)
net.weight.data = torch.tensor([[-3.0, 2.0], [0, 0]])
net.bias.data = torch.tensor([2.5, 0])
names = "permission::android.permission.SEND_SMS", "feature::android.hardware.fingerprint"
app_explorer(Detector("by hand", net, Vocabulary(names)), [TORCH], budget=1, additions=0)
"""


def test_the_install_button_refuses_with_the_reason(tmp_path):
    """Checks in Chromium that a key on the slider makes the app pass, and that Install then gives the phone's reason."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
    book.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(book, tmp_path / "explorer.ipynb")
    with served(tmp_path, tmp_path / "explorer.ipynb") as address, opened_page() as page:
        page.goto(address)
        run_all(page)
        explorer = page.locator(EXPLORER)
        explorer.get_by_text("is stopped as malicious").wait_for()
        handle = explorer.locator(".noUi-handle").first
        handle.scroll_into_view_if_needed()
        handle.focus()
        handle.press("ArrowRight")
        explorer.get_by_text("passes as benign").wait_for()
        explorer.get_by_role("button", name="Install").click()
        explorer.get_by_text("the app requires android.hardware.fingerprint").wait_for()
        page.locator(IDLE).wait_for()
        (ROOT / "build").mkdir(exist_ok=True)
        page.screenshot(path=ROOT / "build" / "app_explorer.png")
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
