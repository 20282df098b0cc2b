"""Other people's clients against a real server: openai, cohere, huggingface_hub, and requests as other programs send them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from demo_server import ANSWER, PASSAGES, QUESTION
from llm_server import run_llm

pytest.importorskip("prometheus_client", reason="pip install prometheus-client")

from serve_server import BAD, DOCUMENTS, GOOD, Running, running

KEY = "a-key"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("clients"), keys=(KEY,)) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[Any]:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def test_openai_embeds(client: Any) -> None:
    """The client asks for base64 unless told otherwise."""
    packed = client.embeddings.create(model="any", input=["a b", "c"])
    plain = client.embeddings.create(model="any", input=["a b", "c"], encoding_format="float")
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    assert len(packed.data[0].embedding) == 64


def test_openai_completes(client: Any) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    message = client.chat.completions.create(model="ragqa", messages=messages).choices[0].message
    assert message.content == ANSWER
    cited = message.annotations[0].url_citation
    assert (cited.url, message.content[cited.start_index : cited.end_index]) == (PASSAGES[1].url, ANSWER)
    chunks = list(client.chat.completions.create(model="ragqa", messages=messages, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER


def test_openai_responds(client: Any) -> None:
    response = client.responses.create(model="ragqa", input=QUESTION, instructions="Be brief.")
    assert (response.output_text, response.status) == (ANSWER, "completed")
    (cited,) = response.output[0].content[0].annotations
    assert (cited.type, cited.url, cited.start_index, cited.end_index) == (
        "url_citation",
        PASSAGES[1].url,
        0,
        len(ANSWER),
    )
    assert response.usage.total_tokens > 10


def test_openai_follows_the_events_of_a_response(client: Any) -> None:
    turns = [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]
    with client.responses.stream(model="ragqa", input=turns) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == ANSWER
    assert final.output[0].content[0].annotations[0].url == PASSAGES[1].url
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-5:] == [
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == ANSWER
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_a_language_model_writes_the_answer_and_supported_sentences_are_cited(tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    told = "No unit relies on another one [1]. Cats sleep all day [1]. Nothing is cited here."
    with run_llm() as llm:
        llm.pieces = [told]
        with (
            running(tmp_path, llm_base_url=llm.url, llm_model="small") as server,
            openai.OpenAI(base_url=f"{server.address}/v1", api_key="any", max_retries=0) as client,
        ):
            part = client.responses.create(model="ragqa", input=QUESTION).output[0].content[0]
            assert part.text == told
            assert [part.text[cited.start_index : cited.end_index] for cited in part.annotations] == [
                "No unit relies on another one [1]."
            ]
            assert part.annotations[0].url == PASSAGES[1].url
            llm.behaviour = "500"
            with pytest.raises(openai.APIStatusError, match="answered with HTTP 500") as caught:
                client.responses.create(model="ragqa", input=QUESTION)
            assert caught.value.status_code == 502


def test_openai_lists_models_and_reads_errors(client: Any, server: Running) -> None:
    import openai

    assert [model.id for model in client.models.list()] == ["ragqa", "relying", "words"]
    assert client.models.retrieve("words").owned_by == "ragqa"
    with pytest.raises(openai.UnprocessableEntityError, match="the question is empty"):
        client.responses.create(model="ragqa", input=" ")
    with (
        openai.OpenAI(base_url=f"{server.address}/v1", api_key="wrong", max_retries=0) as other,
        pytest.raises(openai.AuthenticationError, match="valid API key"),
    ):
        other.models.list()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as http:  # cohere's clients do not close their own
        yield http


def test_cohere_ranks(server: Running, http: httpx.Client) -> None:
    cohere = pytest.importorskip("cohere", reason="pip install cohere")
    client = cohere.ClientV2(KEY, base_url=server.address, httpx_client=http)
    spans = {"mode": "enabled", "threshold": 0.3}
    found = client.rerank(model="rerank-v4.0", query="why?", documents=DOCUMENTS, top_n=2, relevant_spans=spans)
    assert [(result.index, result.relevance_score) for result in found.results] == [
        (1, pytest.approx(GOOD)),
        (0, pytest.approx(BAD)),
    ]
    assert [(span.start, span.end) for span in found.results[0].relevant_spans] == [(0, 42)]
    with pytest.raises(cohere.UnprocessableEntityError, match=r"query is empty\."):
        client.rerank(model="x", query=" ", documents=DOCUMENTS)
    with pytest.raises(cohere.UnauthorizedError, match="valid API key"):
        cohere.ClientV2("wrong", base_url=server.address, httpx_client=http).rerank(
            model="x", query="x", documents=["y"]
        )
    old = cohere.Client(KEY, base_url=server.address, httpx_client=http)
    assert [result.index for result in old.rerank(model="x", query="why?", documents=DOCUMENTS).results] == [1, 0, 2]


def test_huggingface_hub_speaks_to_the_tei_endpoints(server: Running) -> None:
    hub = pytest.importorskip("huggingface_hub")
    with hub.InferenceClient(model=f"{server.address}/embed", token=KEY) as client:
        assert client.feature_extraction(["a b", "c"]).shape == (2, 64)
    asked = {"query": "why?", "texts": DOCUMENTS, "return_text": True}
    found = hub.get_session().post(
        f"{server.address}/rerank", headers=hub.utils.build_hf_headers(token=KEY), json=asked
    )
    hub.close_session()
    assert next((rank["index"], rank["text"]) for rank in found.json()) == (1, DOCUMENTS[1])


# The requests below are written as these programs send them, with what they read of the answer.


def test_open_webui_ranks(server: Running) -> None:
    """Its engine "external": the URL is given as a whole, all documents are wanted, and scores are sorted by index."""
    sent = {"model": "reranker", "query": "why?", "documents": DOCUMENTS, "top_n": len(DOCUMENTS)}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}", "X-OpenWebUI-User-Name": "Ada"}
    for path in ("/v1/rerank", "/v2/rerank", "/rerank"):
        answered = server.post(path, sent, **headers)
        answered.raise_for_status()
        by_index = sorted(answered.json()["results"], key=lambda result: result["index"])
        scores = [result["relevance_score"] for result in by_index]
        assert scores == [pytest.approx(score) for score in (BAD, GOOD, BAD)]


def jina(server: Running, documents: Sequence[str], top_n: int | None) -> list[tuple[int, Any]]:
    """JinaRerank of LangChain and LlamaIndex: without `results` they read `detail`."""
    headers = {"Authorization": f"Bearer {KEY}", "Accept-Encoding": "identity", "Content-type": "application/json"}
    sent = {"query": "why?", "documents": documents, "model": "jina-reranker-v1-base-en", "top_n": top_n}
    answered = server.post("/v1/rerank", sent, **headers).json()
    if "results" not in answered:
        raise RuntimeError(answered["detail"])
    return [(result["index"], result["relevance_score"]) for result in answered["results"]]


def test_jina_clients_of_langchain_and_llama_index_rank(server: Running) -> None:
    ((best, relevance),) = jina(server, DOCUMENTS, 1)
    assert (best, relevance) == (1, pytest.approx(GOOD))
    assert [index for index, _ in jina(server, DOCUMENTS, None)] == [1, 0, 2]
    with pytest.raises(RuntimeError, match="documents: List should have at least 1 item"):
        jina(server, [], None)


def test_cohere_client_of_langchain_ranks(server: Running) -> None:
    """It sends null for what is not set."""
    sent = {"query": "why?", "documents": DOCUMENTS, "model": "x", "top_n": None, "max_tokens_per_doc": None}
    answered = server.post("/v2/rerank", sent, Authorization=f"Bearer {KEY}").json()
    assert [result["index"] for result in answered["results"]] == [1, 0, 2]


def test_tei_client_of_llama_index_ranks(server: Running) -> None:
    """Its token is sent as it is, without "Bearer"; there must be one score for each text."""
    answered = server.post("/rerank", {"query": "why?", "texts": DOCUMENTS}, Authorization=KEY).json()
    assert len(answered) == len(DOCUMENTS)
    scores = {item["index"]: float(item["score"]) for item in answered}
    assert scores == {0: pytest.approx(BAD), 1: pytest.approx(GOOD), 2: pytest.approx(BAD)}
