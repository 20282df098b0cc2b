"""Requests in, rankings, vectors and answers out, in the formats of Cohere, Jina, TEI, OpenAI and MCP.

config, access, keys, server, workers  where the server listens and who may use it; one process or several
sockets, connections, origin, limits,  what the chat's server (`demo`) shares
bodies
entry, sizes, shapes                   the checks that every request passes first, and errors in the format of each API
work, batching                         a bounded queue with time limits; texts of several requests in one run of a model
service, answering, token_counts       the models and the index, as the endpoints need them
ranking, embedding, searching, talking the endpoints; `app` joins them
arguments, tools, corpus_tools, mcp    functions as tools for language models; those of an index; `ragqa mcp`
logs, metrics                          JSON lines, numbers for Prometheus
"""

from ragqa.serve.config import ServeConfig
from ragqa.serve.keys import VARIABLE, read_keys
from ragqa.serve.mcp import McpConfig, serve_http, serve_stdio
from ragqa.serve.server import serve

__all__ = ["VARIABLE", "McpConfig", "ServeConfig", "read_keys", "serve", "serve_http", "serve_stdio"]
