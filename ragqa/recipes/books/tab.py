"""The tab of the recipe in the demo: books that a reader likes in, a ranked shelf out."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from ragqa.demo.escaping import escape
from ragqa.demo.panel import render_notice
from ragqa.demo.respond import sentence_of
from ragqa.errors import InputError
from ragqa.recipes.books.library import Book, read_books, starter_file
from ragqa.recipes.books.recommend import MOST_FAVOURITES, Recommendation, Recommender
from ragqa.recipes.books.titles import name_of, plain, series_of, without_series

SHOWN = 10
_LONGEST = 280  # characters of a description

HINT = "Choose some books that you like; three are best."


def add_tab(events: Mapping[str, Any]) -> None:
    """Add the tab to the page that is being built. `events` are options for its events. The library loads on first use."""
    import gradio as gr

    books = read_books(starter_file())
    genres = sorted({genre for book in books.values() for genre in book.genres})
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            liked = gr.Dropdown(
                choices(books.values()),
                multiselect=True,
                max_choices=MOST_FAVOURITES,
                label="Books you like",
                info="Type part of a title or an author; Enter takes the first match.",
                elem_id="ragqa-liked",
            )
            wanted = gr.Dropdown(genres, multiselect=True, label="Genres", info="Only books of one of these genres.")
        with gr.Column(scale=3, min_width=280):
            shelf = gr.HTML(render_notice(HINT), elem_id="ragqa-shelf", apply_default_css=False)

    def recommend(chosen: Sequence[str], genres: Sequence[str]) -> str:
        if not chosen:
            return render_notice(HINT)
        try:
            return render_shelf(_recommender().recommend([books[number] for number in chosen], genres, SHOWN))
        except InputError as error:
            return render_notice(sentence_of(error))

    gr.on([liked.change, wanted.change], recommend, [liked, wanted], shelf, trigger_mode="always_last", **events)


def choices(books: Iterable[Book]) -> list[tuple[str, str]]:
    """Return names and ids of books, ordered so that the first name that contains the typed text is the likely one.

    Short titles come first, because a title is shorter than all titles that contain it. Later parts of series come last.
    """

    def rank(book: Book) -> tuple[bool, int, str]:
        title = plain(without_series(book.title))
        return min(series_of(book.title).values(), default="1") > "1", len(title), title

    return [(name_of(book), book.id) for book in sorted(books, key=rank)]


@cache
def _recommender() -> Recommender:
    return Recommender.open()


def render_shelf(found: Sequence[Recommendation]) -> str:
    """Render recommendations as a ranked list, each with its reasons and the start of its description."""
    cards = "".join(render_book(rank, one) for rank, one in enumerate(found, 1))
    return (
        f'<div class="ragqa" aria-live="polite"><ol>{cards}</ol></div>' if cards else render_notice("No other books.")
    )


def render_book(rank: int, one: Recommendation) -> str:
    """Render one recommendation."""
    return (
        f'<li class="card"><div class="head"><span class="rank">{rank}</span>'
        f'<span class="page">{escape(name_of(one.book))}</span></div>'
        f'<div class="facts">{escape("; ".join(one.reasons))}</div>'
        f'<div class="passage">{escape(shorten(one.book))}</div></li>'
    )


def shorten(book: Book) -> str:
    """Return the description of a book, cut between words if it is long."""
    text = book.description
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rsplit(' ', 1)[0]} …"
