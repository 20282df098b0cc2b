"""Take the pictures of the chat in this folder: in light, in dark, and on a phone.

python docs/screenshots.py
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
QUESTIONS = ("How can I tell whether my model overfits?", "and how do I prevent it?")
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}
COLOURS = 128  # of a picture's palette: a screen of text needs no more


def main() -> None:
    """Serve the starter corpus, or use `--address`, and take the three pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="URL of a running chat (default: start one)")
    address = parser.parse_args().address
    command = [sys.executable, "-m", "ragqa", "demo", "--port", "0"]
    if address:
        take(address)
        return
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:  # noqa: S603
        try:
            line = server.stdout.readline() if server.stdout else ""
            take(re.findall(r"http://\S+", line)[0])
        finally:
            server.kill()


def take(address: str) -> None:
    """Take the pictures of the chat at this address."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = _open(browser, address, viewport=WIDE)
        for number, question in enumerate(QUESTIONS, 1):
            _ask(page, question, number)
        _save(page, "chat.png")
        page = _open(browser, address, viewport=WIDE, color_scheme="dark")
        page.get_by_role("button", name="Toggle Sidebar").click()
        page.get_by_label("Side by side").check()
        _ask(page, "How do I choose k in k-means?", 1)
        _save(page, "side-by-side.png")
        page = _open(browser, address, viewport=PHONE, is_mobile=True, has_touch=True, device_scale_factor=2)
        _ask(page, "What is the kernel trick?", 1)
        _save(page, "phone.png")
        browser.close()


def _open(browser: Browser, address: str, **options: object) -> Page:
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.goto(address)
    page.get_by_placeholder("Ask a question").wait_for()
    return page


def _ask(page: Page, question: str, number: int) -> None:
    page.get_by_placeholder("Ask a question").fill(question)
    page.keyboard.press("Enter")
    page.locator("#ragqa-chat .bot-row").nth(number - 1).wait_for()
    page.locator("#ragqa-ask .submit-button").wait_for()
    page.wait_for_timeout(1500)  # until the page has scrolled to it
    page.evaluate("document.activeElement.blur()")


def _save(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(HERE / name, optimize=True)
    print(f"{name}: {(HERE / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
