"""What a server tells of itself at /metrics: the use of its cache while it works."""

import time

import pytest

from quantbench.serving.http import Server
from quantbench.serving.metrics import cache_share, peak_cache_share
from tests.serving.fake_server import fake_server

PAGE = 'vllm:kv_cache_usage_perc{{engine="0",model_name="m"}} {}\n'


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (PAGE.format(0.125), 0.125),
        ("vllm:gpu_cache_usage_perc 0.5\n", 0.5),
        ('sglang:token_usage{model_name="m"} 0.01\n', 0.01),
        (PAGE.format(0.1) + PAGE.format(0.3), 0.3),
        ("process_cpu_seconds_total 5\n", None),
    ],
)
def test_the_share_of_the_cache_is_read(text: str, share: float | None) -> None:
    assert cache_share(text) == share


def test_the_peak_is_the_largest_share_while_work_runs() -> None:
    with fake_server(kind="vllm", metrics=PAGE.format(0.0)) as (url, be):

        def work() -> None:
            for share in (0.2, 0.7, 0.1):
                be.metrics = PAGE.format(share)
                time.sleep(0.1)

        assert peak_cache_share(Server(url), work) == 0.7


def test_a_server_that_tells_no_share_has_none() -> None:
    with fake_server(kind="other") as (url, _):
        assert peak_cache_share(Server(url), lambda: pytest.fail("nothing may be run for it")) is None
