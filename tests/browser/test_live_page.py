"""A page that asks its server for new numbers while a run writes."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from losscape_mpi.figures.page.write import page_data, page_html
from losscape_mpi.store.reader import read_surface

pytestmark = pytest.mark.slow

POLL_S = 0.2
CAMERA = "plot => plot._fullLayout.scene._scene.getCamera().eye"


@pytest.fixture
def serve():
    """Serves texts by their path on the loopback address; the dictionary may change."""
    servers = []

    def start(texts):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                text = texts.get(self.path)
                self.send_response(200 if text else 404)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *words):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_new_numbers_come_without_losing_camera_scale_and_point(browser, make_file, serve):
    status = np.ones((5, 7))
    status[3:] = 0
    half = read_surface(make_file(status=status))
    half.path.unlink()
    whole = read_surface(make_file())
    texts = {"/": page_html([half], poll_s=POLL_S), "/data.json": page_data([half])}
    page = browser.new_page(reduced_motion="reduce")
    page.goto(serve(texts))
    solid = page.locator(".solid .plot")
    page.wait_for_function("Number(document.body.dataset.drawn ?? 0) > 0")
    assert "21 of 35 points done" in page.inner_text("summary .points")
    page.select_option("#scale", "linear")
    solid.press("ArrowRight")
    page.locator(".probe input").first.press("Home")
    camera, words = solid.evaluate(CAMERA), page.inner_text(".readout")
    texts["/data.json"] = page_data([whole])
    page.wait_for_function("document.querySelector('.points').textContent.startsWith('35 of 35')")
    page.wait_for_function(
        "document.querySelector('.solid .plot').data[0].z.flat().every(Number.isFinite)"
    )
    assert solid.evaluate(CAMERA) == pytest.approx(camera)
    assert page.input_value("#scale") == "linear"
    assert page.inner_text(".readout") == words
    texts.pop("/data.json")
    page.wait_for_function("message.textContent.includes('the server does not answer (404')")
    page.close()
