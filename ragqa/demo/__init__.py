"""A retriever or index folders in, a web page out: a chat that quotes its answers and shows how their passages were ranked.

Text from passages, questions and models reaches the page only through `escaping`, and nothing is loaded from another host.

    corpora                                 what is searched; replaced when a new index is ready
    turns, respond                          a conversation, kept in the browser; a question into a turn, step by step
    formulas, escaping                      foreign text into harmless HTML and Markdown
    messages, movement, panel, rendering    turns into Markdown and HTML; templates, style and scripts are in `templates/`
    crawling, votes                         pages crawled from the page; likes and dislikes
    chat, corpus_tab, endpoints, page       the components of the page and their events
    gate                                    the checks that every request passes first, with those of `serve`
    mounting, server                        the page within an app, and the server
"""

from ragqa.demo.corpora import Corpus, begin_folder
from ragqa.demo.crawling import Crawler
from ragqa.demo.examples import EXAMPLES
from ragqa.demo.mounting import ServerConfig, mount, read_auth
from ragqa.demo.page import Features, build_demo
from ragqa.demo.server import launch, serve
from ragqa.demo.votes import find_feedback
from ragqa.serve.sockets import check_free

__all__ = [
    "EXAMPLES",
    "Corpus",
    "Crawler",
    "Features",
    "ServerConfig",
    "begin_folder",
    "build_demo",
    "check_free",
    "find_feedback",
    "launch",
    "mount",
    "read_auth",
    "serve",
]
