"""An open page on which nothing happens leaves the processor to the training."""

from __future__ import annotations

import time

import pytest

COUNTED = """
  const frame = window.requestAnimationFrame.bind(window);
  window.frames = 0;
  window.requestAnimationFrame = (then) => ((window.frames += 1), frame(then));
"""


@pytest.fixture(scope="module")
def app(quiet):
    return quiet


def test_no_clock_that_nobody_sees_is_set_in_every_frame(visit):
    page = visit()
    page.add_init_script(COUNTED)
    page.reload()
    page.wait_for_selector(".lab-head")
    assert page.evaluate("window.frames") > 10, "frames are counted from the first script on"

    def frames_of_two_seconds() -> int:
        before = page.evaluate("window.frames")
        page.wait_for_timeout(2000)
        return page.evaluate("window.frames") - before

    found, deadline = [frames_of_two_seconds()], time.monotonic() + 40
    while found[-1] > 5 and time.monotonic() < deadline:
        found.append(frames_of_two_seconds())
    assert found[-1] <= 5, found


def test_a_board_that_is_out_of_sight_is_looked_at_once_a_second(visit):
    page = visit("runs")
    page.wait_for_selector("#runs-curves", state="attached")
    asked: list[float] = []
    page.on("request", lambda request: asked.append(time.monotonic()) if "board-look" in request.url else None)
    page.wait_for_timeout(3500)
    assert 1 <= len(asked) <= 5, len(asked)
    asked.clear()
    page.click("#tab-rank-button")
    page.wait_for_timeout(6000)
    assert len(asked) > 8, "in sight, each token is shown as it comes"
