"""The endpoints, on a real server with quick models."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from demo_server import ANSWER, PASSAGES, QUESTION, SENTENCE

pytest.importorskip("prometheus_client", reason="pip install prometheus-client")

from serve_server import BAD, DOCUMENTS, GOOD, Running, open_small, running

from ragqa.answers.answer import as_dict, hits_as_dicts
from ragqa.search.retriever import Retriever
from ragqa.serve.answering import reply

NEW = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("serve")) as server:
        yield server


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server without models."""
    with running(tmp_path_factory.mktemp("plain"), models=False) as server:
        yield server


def ok(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()


def test_cohere_gets_probabilities_best_first(server: Running) -> None:
    asked = {"model": "rerank-v3.5", "query": "why?", "documents": DOCUMENTS, "top_n": 2}
    found = ok(server.post("/v2/rerank", asked))
    assert [result["index"] for result in found["results"]] == [1, 0]
    assert [result["relevance_score"] for result in found["results"]] == [pytest.approx(GOOD), pytest.approx(BAD)]
    assert found["id"]
    assert all("relevant_spans" not in result for result in found["results"])


def test_cohere_gets_the_sentences_that_are_relevant(server: Running) -> None:
    asked = {"query": "why?", "documents": DOCUMENTS, "relevant_spans": {"mode": "enabled", "threshold": 0.3}}
    best, *others = ok(server.post("/v2/rerank", asked))["results"]
    (span,) = best["relevant_spans"]
    assert DOCUMENTS[1][span["start"] : span["end"]] == "No unit can end up relying on another one."
    assert 0.3 < span["score"] < 1
    assert all("relevant_spans" not in result for result in others)
    every = asked | {"relevant_spans": {"mode": "enabled", "threshold": 0, "max_spans": 1}}
    assert [len(result["relevant_spans"]) for result in ok(server.post("/v2/rerank", every))["results"]] == [1, 1, 1]
    off = asked | {"relevant_spans": {"mode": "disabled"}}
    assert "relevant_spans" not in ok(server.post("/v2/rerank", off))["results"][0]


def test_cohere_documents_are_cut_after_tokens(server: Running) -> None:
    asked = {"query": "why?", "documents": [DOCUMENTS[1]]}
    for most, relevance in ((5, BAD), (6, GOOD), (4096, GOOD)):
        (result,) = ok(server.post("/v2/rerank", asked | {"max_tokens_per_doc": most}))["results"]
        assert result["relevance_score"] == pytest.approx(relevance)


def test_jina_gets_documents_unless_it_declines_them(server: Running) -> None:
    documents = [DOCUMENTS[0], {"text": DOCUMENTS[1], "id": 7}]
    found = ok(server.post("/v1/rerank", {"query": "why?", "documents": documents}))
    assert [(result["index"], result["document"]) for result in found["results"]] == [
        (1, {"text": DOCUMENTS[1]}),
        (0, {"text": DOCUMENTS[0]}),
    ]
    assert found["model"] == "relying"
    assert found["usage"]["total_tokens"] > 20
    bare = ok(
        server.post("/v1/rerank", {"query": "why?", "documents": documents, "return_documents": False, "top_n": 1})
    )
    assert bare["results"] == [{"index": 1, "relevance_score": pytest.approx(GOOD)}]
    assert len(ok(server.post("/v1/rerank", {"query": "?", "documents": documents, "top_n": 0}))["results"]) == 2


def test_tei_gets_probabilities_or_logits(server: Running) -> None:
    asked = {"query": "why?", "texts": DOCUMENTS}
    assert ok(server.post("/rerank", asked))[0] == {"index": 1, "score": pytest.approx(GOOD)}
    told = ok(server.post("/rerank", asked | {"raw_scores": True, "return_text": True, "truncate": True}))
    assert told[0] == {"index": 1, "score": 2.0, "text": DOCUMENTS[1]}
    assert [rank["index"] for rank in told] == [1, 0, 2]


def test_tei_refuses_what_it_may_not_cut(server: Running) -> None:
    asked = {"query": "why?", "texts": ["short", "long " * 600]}
    assert len(ok(server.post("/rerank", asked))) == 2
    refused = server.post("/rerank", asked | {"truncate": False})
    assert (refused.status_code, refused.json()["error_type"]) == (413, "Validation")
    assert refused.json()["error"].startswith("texts[1] and the query have more than 512 tokens")
    left = server.post("/rerank", asked | {"truncation_direction": "Left"})
    assert left.status_code == 422


def test_tei_endpoint_takes_jinas_requests_too(server: Running) -> None:
    found = ok(server.post("/rerank", {"query": "why?", "documents": DOCUMENTS, "top_n": 1}))
    assert found["results"][0]["index"] == 1


def test_openai_embeddings_are_the_same_in_both_encodings(server: Running) -> None:
    plain = ok(server.post("/v1/embeddings", {"input": ["a b", "c"], "model": "any"}))
    assert [item["index"] for item in plain["data"]] == [0, 1]
    packed = ok(server.post("/v1/embeddings", {"input": ["a b", "c"], "encoding_format": "base64"}))
    for item, other in zip(plain["data"], packed["data"], strict=True):
        raw = base64.b64decode(other["embedding"])
        assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == item["embedding"]
    assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] > 4
    one = ok(server.post("/v1/embeddings", {"input": "a b"}))["data"]
    assert one[0]["embedding"] == plain["data"][0]["embedding"]
    assert ok(server.post("/embed", {"inputs": "a b"})) == [one[0]["embedding"]]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"input": [1, 2]}, "input holds token ids"),
        ({"input": [[1], [2]]}, "input holds token ids"),
        ({"input": []}, "input is empty"),
        ({"input": "a", "dimensions": 3}, "dimensions is 3; the model gives vectors of 64 numbers."),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format: Input should be 'float' or 'base64'"),
    ],
)
def test_embeddings_say_what_they_cannot_do(server: Running, body: Any, reason: str) -> None:
    refused = server.post("/v1/embeddings", body)
    assert refused.status_code == 422
    assert refused.json()["error"]["message"].startswith(reason)
    assert refused.json()["error"]["type"] == "invalid_request_error"


def test_search_and_ask_return_what_python_returns(server: Running) -> None:
    retriever = open_small()
    found = ok(server.post("/v1/search", {"question": QUESTION, "k": 2}))
    assert found == {"question": QUESTION, "hits": json.loads(json.dumps(hits_as_dicts(retriever.search(QUESTION, 2))))}
    answer = ok(server.post("/v1/ask", {"question": QUESTION, "k": 2}))
    assert answer == json.loads(json.dumps(as_dict(retriever.ask(QUESTION, 2))))
    assert answer["text"] == ANSWER
    assert ok(server.post("/v1/ask", {"question": QUESTION, "threshold": 1}))["abstained"]


def test_a_completion_quotes_the_corpus(server: Running) -> None:
    asked = {"model": "gpt-5", "messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]}
    found = ok(server.post(NEW, asked))
    message = found["choices"][0]["message"]
    assert message["content"] == ANSWER
    assert message["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": 0,
                "end_index": len(ANSWER),
                "title": "Dropout › Why it helps",
                "url": PASSAGES[1].url,
            },
        }
    ]
    assert found["usage"]["total_tokens"] == sum(found["usage"].values()) / 2


def test_a_stream_has_the_same_text_and_annotations(server: Running) -> None:
    asked = {"messages": [{"role": "user", "content": QUESTION}]}
    whole = ok(server.post(NEW, asked))["choices"][0]["message"]
    streamed = server.post(NEW, asked | {"stream": True, "stream_options": {"include_usage": True}})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *lines, end = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
    assert end == "[DONE]"
    *chunks, usage = map(json.loads, lines)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == whole["content"]
    assert sum(bool(delta.get("content")) for delta in deltas) > 3
    assert [delta["annotations"] for delta in deltas if "annotations" in delta] == [whole["annotations"]]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]["completion_tokens"] > 5) == ([], True)


def test_a_question_without_an_answer_gets_the_nearest_passages_and_no_citation(server: Running) -> None:
    asked = {"messages": [{"role": "user", "content": "weather and dropout?"}]}
    message = ok(server.post(NEW, asked))["choices"][0]["message"]
    assert message["content"].startswith("The corpus has no good answer")
    assert "\n1. " in message["content"]
    assert message["annotations"] == []


def test_thanks_get_a_friendly_line(server: Running) -> None:
    message = ok(server.post(NEW, {"messages": [{"role": "user", "content": "thank you!"}]}))["choices"][0]["message"]
    assert "welcome" in message["content"]


def test_a_follow_up_is_understood_from_the_conversation(tmp_path: Path, server: Running) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is dropout?"},
        {"role": "assistant", "content": "It switches units off."},
        {"role": "user", "content": "does a unit end up relying on another in it?"},
    ]
    message = ok(server.post(NEW, {"messages": turns}))["choices"][0]["message"]
    assert message["content"] == SENTENCE
    alone = ok(server.post(NEW, {"messages": turns[-1:]}))["choices"][0]["message"]
    assert alone["annotations"]


def test_thanks_are_no_topic_of_a_follow_up(starter: Retriever) -> None:
    question, follow_up = "What is dropout?", "what about its disadvantages?"
    alone = reply(starter, [question, follow_up])
    assert alone.citations
    assert reply(starter, ["hi", question, "thank you", follow_up]) == alone


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"messages": [{"role": "user", "content": "a \ud800 b?"}]}, "messages[0] holds half of a surrogate pair"),
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"messages": [{"role": "system", "content": "x"}]}, "There is no message of the user."),
        ({"messages": [{"role": "user", "content": ""}]}, "the question is empty"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "The user's message holds a part of type",
        ),
        ({"messages": [{"role": "user", "content": "dropout?"}], "n": 2}, "n is 2"),
    ],
)
def test_conversations_that_cannot_be_answered(server: Running, body: Any, reason: str) -> None:
    refused = server.post(NEW, body)
    assert (refused.status_code, refused.json()["error"]["message"].startswith(reason)) == (422, True), refused.text


def test_responses_are_not_stored(server: Running) -> None:
    refused = server.post("/v1/responses", {"input": QUESTION, "previous_response_id": "resp_1"})
    assert refused.status_code == 422
    assert "send the whole conversation" in refused.json()["error"]["message"]


def test_models_are_listed(server: Running) -> None:
    assert [model["id"] for model in ok(server.get("/v1/models"))["data"]] == ["ragqa", "relying", "words"]
    assert ok(server.get("/v1/models/relying"))["owned_by"] == "ragqa"
    missing = server.get("/v1/models/other")
    assert missing.status_code == 404
    assert "ragqa, relying, words" in missing.json()["error"]["message"]


def test_the_api_describes_itself(server: Running) -> None:
    described = ok(server.get("/openapi.json"))
    assert {
        "/v2/rerank",
        "/v1/rerank",
        "/rerank",
        "/v1/embeddings",
        "/embed",
        "/v1/search",
        "/v1/ask",
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/models",
        "/v1/models/{name}",
        "/health",
        "/ready",
        "/metrics",
    } == set(described["paths"])
    assert all(one.get("summary") for path in described["paths"].values() for one in path.values())


def test_a_server_without_models_says_so(plain: Running) -> None:
    for path, body in (("/v2/rerank", {"query": "x", "documents": ["y"]}), ("/v1/embeddings", {"input": "x"})):
        refused = plain.post(path, body)
        assert refused.status_code == 422
        assert "--bm25-only" in refused.text
    message = ok(plain.post(NEW, {"messages": [{"role": "user", "content": QUESTION}]}))["choices"][0]["message"]
    assert message["content"] in {passage.text for passage in PASSAGES}
    assert message["annotations"][0]["url_citation"]["end_index"] == len(message["content"])
    assert [model["id"] for model in ok(plain.get("/v1/models"))["data"]] == ["ragqa"]


def test_a_filter_limits_search_and_ask(server: Running) -> None:
    retriever = open_small()
    title = retriever.search(QUESTION, 1)[0].passage.title
    for where in ({"title": title}, {"title!=": [title]}):
        found = ok(server.post("/v1/search", {"question": QUESTION, "where": where}))
        assert [hit["passage"]["id"] for hit in found["hits"]] == [
            hit.passage.id for hit in retriever.search(QUESTION, where=where)
        ]
    nothing = ok(server.post("/v1/ask", {"question": QUESTION, "where": {"title": "No such page"}}))
    assert (nothing["hits"], nothing["note"]) == ([], "No passage meets the filter: title = No such page.")
    refused = server.post("/v1/search", {"question": QUESTION, "where": {"titel": title}})
    assert refused.status_code == 422
    assert "where: no passage has the key 'titel'; there are title" in refused.json()["error"]["message"]
