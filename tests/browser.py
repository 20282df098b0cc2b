"""A real browser on the chat, which records its requests and its error messages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, Page

QUIET = ["background-networking", "component-update", "sync", "gpu"]


@contextmanager
def open_browser(*more: str) -> Iterator["Browser"]:
    """Start Chromium without a window, with `more` arguments; skip the test if it or Playwright is missing."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed: make debian")
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET), *more]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@dataclass
class Visit:
    """An open page with all its requests and complaints."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def ask(self, question: str) -> None:
        """Ask and wait for the whole reply."""
        asked = self.page.locator("#ragqa-chat .user-row").count()
        self.page.get_by_placeholder("Ask a question").fill(question)
        self.page.keyboard.press("Enter")
        self.wait_for_reply(asked + 1)

    def wait_for_reply(self, number: int) -> None:
        """Wait until this many questions are answered and the next can be asked."""
        self.page.wait_for_function(
            """number => document.querySelectorAll("#ragqa-chat .user-row").length === number
              && document.querySelectorAll("#ragqa-chat .bot-row").length === number
              && document.querySelector("#ragqa-ask .submit-button")""",
            arg=number,
        )

    def refuse(self, dialog: "Dialog") -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def said(self) -> list[str]:
        """Return the replies of the chat, one text per question."""
        return self.page.locator("#ragqa-chat .bot-row").all_inner_texts()

    def cards(self) -> "Locator":
        return self.page.locator("#ragqa-side .card")

    def open_settings(self) -> None:
        self.page.get_by_role("button", name="Toggle Sidebar").click()
        self.page.locator(".sidebar.open").wait_for()


@contextmanager
def visiting(browser: "Browser", address: str, **options: Any) -> Iterator[Visit]:
    """Open the demo in a new context; fail if the page contacts another host or complains."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy disk can hold an index for many seconds
    visit = Visit(page)
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("console", lambda message: visit.complaints.append(f"{message.type}: {message.text}"))
    page.on("dialog", visit.refuse)
    try:
        page.goto(address)
        page.get_by_placeholder("Ask a question").wait_for()
        yield visit
        page.wait_for_timeout(100)
        assert visit.requests
        assert [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))] == []
        assert visit.complaints == [], visit.complaints
    finally:
        context.close()
