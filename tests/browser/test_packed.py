"""What the real app sends to a first visit and to a reload."""

from __future__ import annotations

import gzip
import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gradio.routes import BUILD_PATH_LIB

from lab.ui.curves import ASKED, PLOTLY
from lab.ui.theme import STATIC


def ask(app, path: str, **headers: str) -> tuple[int, dict, bytes]:
    link = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)
    link.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = link.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def test_the_page_travels_in_less_than_a_third_with_its_first_script_and_a_reload_costs_nothing(quiet):
    _, _, plain = ask(quiet, "/")
    status, headers, less = ask(quiet, "/", Accept_Encoding="gzip, deflate")
    assert (status, headers["content-encoding"], int(headers["content-length"])) == (200, "gzip", len(less))
    assert gzip.decompress(less) == plain and (STATIC / "early.js").read_bytes() in plain
    assert len(less) < len(plain) / 3
    assert "content-security-policy" in headers
    status, headers, nothing = ask(quiet, "/", Accept_Encoding="gzip", If_None_Match=headers["etag"])
    assert (status, nothing) == (304, b"") and "content-security-policy" in headers


@pytest.mark.parametrize("coding", ["gzip, deflate", "gzip, deflate, br, zstd", "identity", "br"])
def test_plotly_is_the_installed_one_and_is_kept_for_good(quiet, coding):
    status, headers, body = ask(quiet, f"/gradio_api/file={ASKED}", Accept_Encoding=coding)
    assert (status, headers["cache-control"]) == (200, "private, max-age=31536000, immutable")
    assert len(headers["vary"].split(",")) == 1
    if "gzip" in coding:
        assert gzip.decompress(body) == PLOTLY.read_bytes() and len(body) < 2_000_000
    elif coding == "identity":
        assert body == PLOTLY.read_bytes()


def test_a_script_of_gradios_is_kept_for_good_and_one_that_is_none_is_not(quiet):
    name = next(Path(BUILD_PATH_LIB).glob("Blocks-*.js")).name
    _, headers, body = ask(quiet, f"/assets/{name}", Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip" and "immutable" in headers["cache-control"]
    assert gzip.decompress(body) == (Path(BUILD_PATH_LIB) / name).read_bytes()
    status, headers, _ = ask(quiet, "/assets/Blocks-DphvyggX.js", Accept_Encoding="gzip")
    assert status == 404 and "cache-control" not in headers
