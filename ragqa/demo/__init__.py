"""A page to ask questions on: a Gradio chat that quotes the answer and shows how the passages it comes from were ranked.

What a passage, a question or a model holds reaches the page only through `markup`, and nothing is loaded from another host.

    corpora   what is asked, swapped when a new index is there
    turns     a conversation as data, kept in the browser
    converse  a question into a turn, step by step
    formulas  where the formulas are in a text
    markup, messages, chart, panel   turns as Markdown and HTML
    extras    a writer, a file for likes, crawls: what a demo may have beside the chat
    growth    pages crawled and indexed meanwhile
    details   what opens below a hit
    chat, corpus_tab, api, page      the components and their events
    limits, origin, gate      what every request passes first
    tools     the endpoints for language models
    door, mounting, protocol, listen, serve      the page within an app, and the server
"""

from ragqa.demo.corpora import Corpus, begin_folder
from ragqa.demo.door import Door, check_door, read_auth
from ragqa.demo.extras import Extras, find_feedback
from ragqa.demo.growth import Growth
from ragqa.demo.listen import check_free
from ragqa.demo.mounting import mount
from ragqa.demo.page import EXAMPLES, build_demo
from ragqa.demo.serve import launch, serve

__all__ = [
    "EXAMPLES",
    "Corpus",
    "Door",
    "Extras",
    "Growth",
    "begin_folder",
    "build_demo",
    "check_door",
    "check_free",
    "find_feedback",
    "launch",
    "mount",
    "read_auth",
    "serve",
]
