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
from ragqa.recipes.books.tab import choices, render_shelf
from ragqa.recipes.books.titles import series_of, without_series

pytestmark = pytest.mark.browser


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
        cards.nth(9).wait_for(timeout=60_000)
        cards.locator(".page", has_text="Dracula").wait_for(state="hidden")
        assert cards.count() == 10
        assert not any("The Hobbit by" in text for text in cards.all_inner_texts())
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_enter_takes_the_best_known_match_and_genres_choose(address: str) -> None:
    with open_browser() as browser, visiting(browser, address) as visit:
        page = visit.page
        page.get_by_role("tab", name="Books").click()
        for number, (typed, title) in enumerate(
            {"harry potter": "Harry Potter and the Sorcerer", "it": "It by"}.items()
        ):
            page.get_by_label("Books you like").click()
            page.keyboard.type(typed)
            page.get_by_role("option").first.filter(has_text=title).wait_for()
            page.keyboard.press("Enter")
            assert page.locator("#ragqa-liked .token").nth(number).inner_text().startswith(title)
        cards = page.locator("#ragqa-shelf .card")
        cards.nth(9).wait_for(timeout=60_000)
        assert not all("crime" in text for text in cards.locator(".facts").all_inner_texts())
        page.get_by_label("Genres").fill("crime")
        page.get_by_role("option", name="crime", exact=True).click()
        every = (
            "[...document.querySelectorAll('#ragqa-shelf .facts')].every(facts => facts.textContent.includes('crime'))"
        )
        page.wait_for_function(every, timeout=60_000)
        assert cards.count() == 10


def test_the_first_that_holds_a_title_is_the_one_with_this_title() -> None:
    titles = ("Later (Cycle, #2)", "It", "Item", "With it", "Little", "Sooner or Later (Cycle, #1)")
    book = next(iter(read_books(starter_file()).values()))
    ordered = [number for _, number in choices([replace(book, id=title, title=title) for title in titles])]
    assert next(title for title in ordered if "it" in title.casefold()) == "It"
    assert next(title for title in ordered if "cycle" in title.casefold()) == "Sooner or Later (Cycle, #1)"
    every = choices(read_books(starter_file()).values())
    for book in read_books(starter_file()).values():
        title = without_series(book.title).casefold()
        first = next(number for name, number in every if title in name.casefold())
        assert first == book.id or series_of(book.title)


def test_what_books_are_called_is_text() -> None:
    book = next(iter(read_books(starter_file()).values()))
    hostile = replace(book, title="<b>x</b>", description="<b>x</b>")
    shown = render_shelf([Recommendation(hostile, 1.0, ("<i>y</i>",))])
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert render_shelf([]) == '<p class="ragqa hint" role="status">No other books.</p>'
