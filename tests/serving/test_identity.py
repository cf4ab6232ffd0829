"""A server is known by its name and by how it splits text; another model behind it is refused."""

from typing import Any

import pytest

from quantbench.errors import ServerError, UsageError
from quantbench.serving.http import Server, parse_url
from quantbench.serving.identity import SAMPLE, check_tokens, identify
from tests.decoders import byte_level
from tests.model_folders import tiny_source
from tests.serving.fake_server import VOCABULARY, fake_server


def source(**config: Any) -> Any:
    return tiny_source(**{"vocab_size": VOCABULARY, **config})


@pytest.mark.parametrize(
    ("kind", "name"), [("llamacpp", "llama.cpp"), ("vllm", "vllm"), ("other", "endpoint")]
)
def test_the_kind_of_a_server_is_found(kind: str, name: str) -> None:
    with fake_server(kind=kind) as (url, _):
        assert identify(Server(url), source(), None).dialect.name == name


@pytest.mark.parametrize("ids", [True, False])
def test_whether_a_server_takes_ids_is_tried(ids: bool) -> None:
    with fake_server(kind="other", takes_ids=ids) as (url, _):
        assert identify(Server(url), source(), None).takes_ids is ids


def test_a_model_of_another_name_is_refused_with_the_way_to_say_that_it_is_the_same() -> None:
    with (
        fake_server(names=("gpt",)) as (url, _),
        pytest.raises(ServerError, match=r"serves 'gpt', none of which.*--served-name gpt"),
    ):
        identify(Server(url), source(), None)


def test_one_of_several_models_is_named() -> None:
    with fake_server(names=("a", "b")) as (url, _):
        assert identify(Server(url), source(), "b").name == "b"
        with pytest.raises(ServerError, match="has no model 'c'"):
            identify(Server(url), source(), "c")


def test_a_file_and_a_folder_are_known_by_their_last_part() -> None:
    with fake_server(names=("/models/Tiny.gguf",)) as (url, _):
        assert identify(Server(url), source(), None).name == "/models/Tiny.gguf"


def test_another_vocabulary_is_another_model() -> None:
    with fake_server() as (url, _):
        found = identify(Server(url), source(), None)
        with pytest.raises(ServerError, match="has 64 tokens, but 'tiny' has 80"):
            check_tokens(Server(url), found, source(vocab_size=80), None)


def test_other_tokens_of_a_text_are_another_model() -> None:
    with fake_server() as (url, _):
        found = identify(Server(url), source(), None)
        assert byte_level().encode(SAMPLE).ids
        with pytest.raises(ServerError, match="splits text into other tokens"):
            check_tokens(Server(url), found, source(), byte_level())


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://a", "http://", "http://a:b", "http://a/?x=1", "http://[a"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        parse_url(url)


def test_an_address_with_a_password_is_refused_since_records_keep_it() -> None:
    with pytest.raises(UsageError, match="set QUANTBENCH_API_KEY instead") as error:
        parse_url("http://me:secret@host")
    assert "secret" not in str(error.value)


def test_an_address_may_end_in_v1() -> None:
    assert parse_url("https://host/x/v1/") == ("https", "host", 443, "/x")
