"""The report in Chromium, as `script/test-report` runs it: what only a browser can tell.

axe-core is the judge of accessibility; a server on loopback counts what the page asks for.
"""

import base64
import io
import json
import os
import shutil
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from converter.report.page import render_page

sys.path.append(os.environ["BROWSER_PACKAGES"])  # after this project's own

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

AXE = Path(os.environ["BROWSER_PACKAGES"]) / "axe_core_python/axe.min.js"
SHOTS = os.environ.get("SHOTS", "")
VIEWS = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def driver():
    folder = tempfile.mkdtemp()
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--hide-scrollbars", f"--user-data-dir={folder}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    running.set_script_timeout(300)  # of a machine that is busy with other work
    yield running
    running.quit()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def site(whole, before):
    """Serve the page; `site.asked` is what was asked for."""
    page = render_page(whole, before).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            self.send_response(200 if self.path == "/report.html" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.address = f"http://127.0.0.1:{server.server_port}/report.html"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def look(driver, site):
    """Open the page at a width and in a colour scheme, with everything unfolded or as it comes."""

    def at(width=1280, scheme="light", *, unfolded=True, height=844):
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        driver.get(site.address)
        if unfolded:
            driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
        # what is far below is laid out only when it is near
        driver.execute_script("document.querySelectorAll('.model').forEach(m => m.style.contentVisibility = 'visible')")
        return driver

    return at


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_page_fits_its_width(look, width, scheme):
    driver = look(width, scheme)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    outside = driver.execute_script(
        """return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && !e.closest('svg')
           && !e.matches('.unseen') && e.getBoundingClientRect().right > innerWidth + 1)
           .map(e => e.outerHTML.slice(0, 99))"""
    )
    assert outside == []


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_axe_finds_nothing(look, width, scheme):
    """WCAG 2.1 A and AA and axe's best practices: contrast, names, roles, headings, landmarks, tables."""
    driver = look(width, scheme)
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(done)"
    )
    said = [f"{v['id']}: {n['html'][:150]} {n['failureSummary']}" for v in found["violations"] for n in v["nodes"]]
    assert said == []
    passed = {rule["id"] for rule in found["passes"]}
    assert {"color-contrast", "heading-order", "image-alt", "landmark-one-main", "svg-img-alt"} <= passed


def test_nothing_is_asked_for_but_the_page(look, site):
    driver = look()
    driver.get_log("performance")
    driver.refresh()
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert {url for url in urls if not url.startswith("data:")} == {site.address}
    assert set(site.asked) == {"/report.html"}


def test_the_browser_complains_of_nothing(look):
    driver = look()
    assert [entry["message"] for entry in driver.get_log("browser")] == []


def test_the_policy_stops_what_is_put_into_the_page(look):
    """So that a hole in escaping would still ask for nothing and run nothing."""
    driver = look()
    driver.execute_script(
        """const image = new Image(); image.src = 'http://127.0.0.1:1/seen.png'; document.body.append(image);
           document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror="ran = 1"><b style="color:red">')"""
    )
    driver.execute_async_script("setTimeout(arguments[0], 200)")
    said = " ".join(entry["message"] for entry in driver.get_log("browser"))
    assert said.count("Content Security Policy") >= 3
    assert driver.execute_script("return window.ran") is None


def test_everything_can_be_reached_and_worked_by_keyboard(look):
    driver = look(unfolded=False)
    focusable = driver.execute_script("return document.querySelectorAll('a, summary, .scroll').length")
    hidden = driver.execute_script(
        "return [...document.querySelectorAll('details:not([open]) a, details:not([open]) .scroll, details:not([open]) "
        "details summary')].length"
    )
    seen = []
    for _ in range(focusable + 5):
        ActionChains(driver).send_keys(Keys.TAB).perform()
        focus = driver.execute_script(
            """const e = document.activeElement, s = getComputedStyle(e);
               if (e === document.body) return null;
               e.dataset.seen ??= String(document.querySelectorAll('[data-seen]').length);
               return [e.dataset.seen, e.tagName, s.outlineStyle, parseFloat(s.outlineWidth)]"""
        )
        if focus is None or (seen and focus[0] == seen[0][0]):
            break
        seen.append(focus)
    assert len({one[0] for one in seen}) == focusable - hidden
    assert {(one[2], one[3] >= 2) for one in seen} == {("solid", True)}


def test_every_disclosure_opens_and_closes_by_enter(look):
    driver = look(unfolded=False)
    for summary in driver.find_elements("css selector", "details > summary"):
        if not driver.execute_script("return arguments[0].checkVisibility()", summary):
            continue
        was = driver.execute_script("arguments[0].focus(); return arguments[0].parentElement.open", summary)
        ActionChains(driver).send_keys(Keys.ENTER).perform()
        assert driver.execute_script("return arguments[0].parentElement.open", summary) is not was


def test_a_link_of_the_table_leads_to_its_model(look):
    driver = look(390)
    link = driver.find_elements("css selector", "#models ~ .scroll a")[-1]
    link.send_keys(Keys.ENTER)
    top = driver.execute_script("return document.querySelector(':target').getBoundingClientRect().top")
    assert 0 <= top < 400
    assert driver.execute_script("return document.activeElement.id") == link.get_attribute("href").partition("#")[2]


def test_a_screen_reader_finds_landmarks_and_names(look):
    nodes = look().execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    told = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored")]
    roles = [role for role, _ in told]
    for landmark in ("banner", "main", "contentinfo"):
        assert roles.count(landmark) == 1
    assert ("rowheader", "mobilenet_v2.mlpackage.zip") in told
    assert not [role for role, name in told if role in ("image", "img", "link", "heading") and not name]


@pytest.mark.skipif(not SHOTS, reason="SHOTS names no folder for pictures")
@pytest.mark.parametrize(
    ("name", "width", "scheme", "top", "height"),
    [
        ("report", 1280, "light", "header", 1500),
        ("report-dark", 1280, "dark", "#model-mobilenet_v2", 1400),
        ("report-phone", 390, "light", "header", 1200),
        ("report-phone-dark", 390, "dark", "[id^=model-a_network]", 1300),
    ],
)
def test_pictures_are_taken(look, name, width, scheme, top, height):
    driver = look(width, scheme, unfolded=False, height=6000)
    y = driver.execute_script(
        "return Math.max(0, document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY - 40)", top
    )
    clip = {"x": 0, "y": y, "width": width, "height": height, "scale": 1}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip})
    folder = Path(SHOTS)
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(base64.b64decode(taken["data"]))) as picture:
        picture.convert("RGB").quantize(256).save(folder / f"{name}.png", optimize=True)
    assert (folder / f"{name}.png").stat().st_size < 200_000
