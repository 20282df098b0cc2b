"""The recipe's tab in a real browser, in the demo as the command starts it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from browser import open_browser, visiting

from ragqa.recipes.books import Recommendation, read_books
from ragqa.recipes.books.library import starter_file
from ragqa.recipes.books.tab import render_shelf


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [sys.executable, "-m", "ragqa", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        assert demo.stdout is not None
        told = demo.stdout.readline()
        try:
            match = re.search(r"http://\S+", told)
            assert match, told
            yield match[0]
        finally:
            demo.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("width", [1100, 360])
def test_favourites_are_picked_and_a_shelf_comes_out(address: str, width: int) -> None:
    with open_browser() as browser, visiting(browser, address, viewport={"width": width, "height": 900}) as visit:
        page = visit.page
        page.get_by_role("tab", name="Books").click()
        page.get_by_text("Choose some books that you like").wait_for()
        for part in ("The Hobbit", "Emma", "Dracula"):
            page.get_by_label("Books you like").fill(part)
            page.get_by_role("option").first.click()
        page.get_by_label("Books you like").blur()  # closes the list of books
        cards = page.locator("#ragqa-shelf .card")
        cards.nth(9).wait_for()
        cards.filter(has_text="Dracula").wait_for(state="hidden")
        assert cards.count() == 10
        assert not any("The Hobbit by" in text for text in cards.all_inner_texts())
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_what_books_are_called_is_text() -> None:
    book = next(iter(read_books(starter_file()).values()))
    hostile = replace(book, title="<b>x</b>", description="<b>x</b>")
    shown = render_shelf([Recommendation(hostile, 1.0, ("<i>y</i>",))])
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert render_shelf([]) == '<p class="ragqa hint" role="status">No other books.</p>'
