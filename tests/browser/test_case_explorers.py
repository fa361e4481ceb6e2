"""The explorers of chapters 08 to 11 as a reader sees them: move the sliders, choose from the lists, read what is said below.

One notebook holds all four, so that one server and one kernel serve these tests.
"""

import nbformat
import pytest
from pages import MARKS
from served import IDLE, ROOT, opened_page, run_all, served
from test_chapter_00 import PICTURE

from advcourse.course.notebooks import METADATA

pytestmark = MARKS

CELLS = (
    """
import torch
from advcourse import data, models
from advcourse.cases.driveby import road_tables
from advcourse.cases.faces import plain_frame
from advcourse.cases.malware import Detector
from advcourse.cases.signs import paste, plate_of
from advcourse.course.app_explorer import app_explorer
from advcourse.course.drive import drive_by_explorer
from advcourse.course.face_explorer import face_explorer
from advcourse.course.phone_explorer import phone_explorer
from advcourse.data.apps import TORCH, Vocabulary
""",
    """
road = data.load("signs")
x, y = road.images[:3], road.labels[:3]
phone_explorer(models.load("signs-phone"), {"clean": x, "black": 0 * x}, y, road.classes, strength=0.5)
""",
    """
face_explorer(models.load("faces-cnn"), {"bare": ("Kim", None), "black frame": ("Kim", plain_frame("black"))})
""",
    """
signs, stop = models.load("signs-cnn"), plate_of("stop")
plates = {"clean": stop, "blank": paste(stop, stop[3] > 0, torch.full((3, 1, 1), 0.5))}
tables = road_tables(signs, plates, "stop", distances=(4, 40), angles=(0, 45), views=4)
drive_by_explorer(signs, plates, tables, "stop")
""",
    # A detector that can be calculated by hand: hardware that the phone lacks makes an app look honest.
    """
net = torch.nn.Linear(2, 2)
net.weight.data = torch.tensor([[-3.0, 2.0], [0, 0]])
net.bias.data = torch.tensor([2.5, 0])
names = "permission::android.permission.SEND_SMS", "feature::android.hardware.fingerprint"
app_explorer(Detector("by hand", net, Vocabulary(names)), [TORCH], budget=1, additions=0)
""",
)
PHONE, FACE, DRIVE, APP = range(4)  # the explorers' places in the notebook
# Whether the picture inside an explorer is another one than `before`.
CHANGED = f"async ([selector, before]) => await ({PICTURE})(selector) !== before"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The notebook in JupyterLab, all of its cells run."""
    folder = tmp_path_factory.mktemp("explorers")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.strip()) for source in CELLS])
    book.metadata = nbformat.from_dict(METADATA)
    nbformat.write(book, folder / "explorers.ipynb")
    with served(folder, folder / "explorers.ipynb") as address, opened_page() as page:
        page.goto(address)
        run_all(page)
        yield page


class Explorer:
    """One explorer in the page: its controls, its picture, and what it says."""

    def __init__(self, page, place):
        self.page = page
        page.locator(".advcourse-explorer").nth(place).evaluate(f"one => one.id = 'explorer-{place}'")
        self.selector = f"#explorer-{place}"
        self.box = page.locator(self.selector)
        self.box.scroll_into_view_if_needed()

    def slide(self, name, key, times=1):
        """Press a key on the slider of that name."""
        handle = self.box.locator(f'.widget-inline-hbox:has-text("{name}") .noUi-handle')
        handle.focus()
        for _ in range(times):
            handle.press(key)

    def choose(self, option):
        """Choose from the explorer's only list of words."""
        self.box.locator("select").select_option(option)

    def picture(self):
        """Return the picture's bytes as text."""
        return self.page.evaluate(PICTURE, f"{self.selector} .widget-image")

    def draws_anew(self, before):
        """Wait until the picture differs from `before`, and return it."""
        self.page.wait_for_function(CHANGED, arg=[f"{self.selector} .widget-image", before])
        return self.picture()

    def says(self, words):
        """Wait for the words, and until the kernel has nothing left to do."""
        self.box.get_by_text(words).wait_for()
        self.page.locator(IDLE).wait_for()

    def keep(self, name):
        """Keep a picture of it in build/, to be looked at; nothing failed, and nothing sticks out to the right."""
        (ROOT / "build").mkdir(exist_ok=True)
        self.box.screenshot(path=ROOT / "build" / f"{name}.png")
        assert self.page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        assert self.box.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_a_sign_is_photographed_more_carelessly(page):
    """Checks that a key on the slider and another version of the sign each change the picture, and the words with it."""
    explorer = Explorer(page, PHONE)
    clean = explorer.picture()
    explorer.slide("carelessness", "ArrowRight", 10)
    explorer.says("Photographed at carelessness 1.00")
    careless = explorer.draws_anew(clean)
    explorer.choose("black")
    explorer.draws_anew(careless)
    explorer.keep("phone_explorer")


def test_a_head_turns_and_puts_glasses_on(page):
    """Checks that a bare head is named, and that turning it and putting glasses on it each change the picture."""
    explorer = Explorer(page, FACE)
    explorer.says("Kim is recognised")
    bare = explorer.picture()
    explorer.slide("yaw", "ArrowRight", 15)
    turned = explorer.draws_anew(bare)
    explorer.choose("black frame")
    explorer.draws_anew(turned)
    explorer.says("✓ Kim is recognised.")
    explorer.keep("face_explorer")


def test_a_car_drives_towards_another_plate(page):
    """Checks that the button of a plate and the slider of the distance change the picture, and that the words say both."""
    explorer = Explorer(page, DRIVE)
    explorer.says("clean, from 40 m, from the front: the network reads “stop”")
    far = explorer.picture()
    explorer.box.get_by_role("button", name="blank").click()
    blank = explorer.draws_anew(far)
    explorer.slide("distance", "Home")
    explorer.says("blank, from 4 m, from the front")
    explorer.slide("angle", "ArrowLeft", 30)
    explorer.says("blank, from 4 m, 30 degrees from the left")
    explorer.draws_anew(blank)
    explorer.keep("drive_explorer")


def test_the_install_button_refuses_with_the_reason(page):
    """Checks that a key on the slider makes the app pass, and that Install then gives the phone's reason."""
    explorer = Explorer(page, APP)
    explorer.says("is stopped as malicious")
    explorer.slide("additions", "ArrowRight")
    explorer.says("passes as benign")
    explorer.box.get_by_role("button", name="Install").click()
    explorer.says("the app requires android.hardware.fingerprint")
    explorer.keep("app_explorer")
