"""The page of `watch` in a real browser: from waiting to numbers, through damage, and on."""

import shutil

import numpy as np
import pytest

from losscape_mpi.live.server import served
from losscape_mpi.live.source import Source

pytestmark = pytest.mark.slow

EVERY_S = 0.3


def test_a_page_goes_from_waiting_to_numbers_and_through_damage(browser, make_file, tmp_path):
    status = np.ones((5, 7))
    status[3:] = 0
    half, whole = make_file("half.h5", status=status), make_file("whole.h5")
    path = tmp_path / "s.h5"
    source = Source([path], EVERY_S)
    page = browser.new_page(reduced_motion="reduce")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    with served(source, 0) as port:
        source.look()
        page.goto(f"http://localhost:{port}/")
        assert "not there, waiting for it" in page.inner_text("body")

        shutil.copy(half, path)
        source.look()
        page.wait_for_function("Number(document.body.dataset.drawn ?? 0) > 0", timeout=120_000)
        assert "21 of 35 points done" in page.inner_text("summary .points")
        page.select_option("#scale", "linear")

        path.write_bytes(b"no surface file")
        source.look()
        page.wait_for_function("message.textContent.includes('is not a readable HDF5 file')")

        path.unlink()
        shutil.copy(whole, path)
        source.look()
        page.wait_for_function(
            "document.querySelector('.points').textContent.startsWith('35 of 35')"
        )
        page.wait_for_function("message.hidden")
        assert page.input_value("#scale") == "linear"
    page.wait_for_function("message.textContent.includes('the server does not answer')")
    assert {url.split(":")[1] for url in asked if url.startswith("http")} == {"//localhost"}
    page.close()
