"""The server of `watch`: a real one on a free port, asked as a browser asks, and as an attacker."""

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from losscape_mpi import watch
from losscape_mpi.command import COMPLETE, RESUMABLE
from losscape_mpi.errors import UserError
from losscape_mpi.live import source as source_module
from losscape_mpi.live.server import served
from losscape_mpi.live.source import Source
from losscape_mpi.point.column import columns_from_names
from losscape_mpi.store.create import create_surface
from losscape_mpi.store.layout import FORMAT, to_json
from losscape_mpi.store.writer import SurfaceWriter

MANIFEST = {
    "format": FORMAT,
    "study": {
        "problem": {"model": "mlp", "data": {"name": "spirals"}},
        "plane": {"kind": "random", "normalize": "filter", "ignore": "biasbn", "seed": 4},
        "grid": {"alpha": [-1, 1, 3], "beta": [-1, 1, 2]},
    },
    "splits": {"train": {"samples": 40, "available": 40}},
    "fingerprint": "f" * 64,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.h5"


def create(path):
    """Write a file of 3 x 2 points without a value."""
    axes = {"alpha": np.array([-1.0, 0.0, 1.0]), "beta": np.array([-1.0, 1.0])}
    columns = columns_from_names(["train/loss"])
    create_surface(path, to_json(MANIFEST), to_json({"name": "small"}), axes, columns, {})
    with SurfaceWriter(path) as writer:
        writer.start_run(1000.0, "node1", 41, "")
        writer.add_worker("node1", "CPU")


def compute(path, count):
    """Write so many of the missing points."""
    with SurfaceWriter(path) as writer:
        index = writer.pending[:count]
        ones = np.ones(len(index))
        loss = 0.5 + index[:, None].astype("f8")
        writer.write(index, loss, ones.astype("u1"), ones, 0, ones.astype("u1"))


@pytest.fixture
def source(path):
    return Source([path], 2.0)


@pytest.fixture
def port(source):
    with served(source, 0) as port:
        yield port


def ask(port, path="/", method="GET", **headers):
    """Return status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=names)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read().decode()
    connection.close()
    return found


def data(port):
    return json.loads(ask(port, "/data.json")[2])


def test_the_page_shows_the_file_and_asks_for_its_data(port, source, path):
    create(path)
    compute(path, 2)
    source.look()
    status, headers, text = ask(port)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "2 of 6" in text
    assert '<meta name="poll" content="2.0">' in text
    assert "connect-src 'self'" in text


def test_new_points_come_with_the_next_look(port, source, path):
    create(path)
    source.look()
    before = data(port)
    compute(path, 3)
    assert data(port) == before
    assert source.look()
    after = data(port)
    assert before["surfaces"]["files"][0]["points"].startswith("0 of 6")
    assert after["surfaces"]["files"][0]["points"].startswith("3 of 6")
    assert "3 of 6" in ask(port)[2]


def test_a_file_is_read_once_for_each_change_however_many_ask(port, source, path, monkeypatch):
    reads = []
    genuine = source_module.read_surface
    monkeypatch.setattr(
        source_module, "read_surface", lambda path: reads.append(path) or genuine(path)
    )
    create(path)
    for _ in range(5):
        source.look()
        ask(port)
        data(port)
    assert len(reads) == 1
    compute(path, 1)
    assert [source.look(), source.look()] == [True, False]
    assert len(reads) == 2


def test_what_has_not_changed_is_not_sent_again(port, source, path):
    create(path)
    source.look()
    mark = ask(port, "/data.json")[1]["ETag"]
    status, _, text = ask(port, "/data.json", If_None_Match=mark)
    assert (status, text) == (304, "")
    compute(path, 1)
    source.look()
    assert ask(port, "/data.json", If_None_Match=mark)[0] == 200


def test_a_file_that_is_not_there_is_waited_for_and_its_name_is_text(tmp_path):
    path = tmp_path / "<b>&.h5"
    source = Source([path], 2.0)
    with served(source, 0) as port:
        source.look()
        status, _, text = ask(port)
        assert status == 200
        assert "&lt;b&gt;&amp;.h5: not there, waiting for it" in text
        assert 'http-equiv="refresh" content="2"' in text
        create(path)
        source.look()
        assert '<meta name="poll"' in ask(port)[2]


@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(b"no surface"), lambda p: p.unlink()])
def test_a_file_that_breaks_is_told_and_the_last_numbers_stay(port, source, path, harm, caplog):
    create(path)
    compute(path, 2)
    source.look()
    ask(port)
    caplog.clear()
    harm(path)
    source.look()
    source.look()
    assert data(port)["message"].startswith(f"No new numbers: {path}")
    assert "2 of 6" in ask(port)[2]
    assert len(caplog.records) == 1
    path.unlink(missing_ok=True)
    create(path)
    compute(path, 4)
    source.look()
    assert data(port)["surfaces"]["files"][0]["points"].startswith("4 of 6")


def test_the_terminal_is_told_when_a_file_is_there_and_when_it_is_complete(source, path, caplog):
    caplog.set_level(logging.INFO)
    for change in (lambda: None, lambda: create(path), *[lambda: compute(path, 2)] * 3):
        change()
        source.look()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: not there, waiting for it",
        f"{path}: 0 of 6 done, 6 pending",
        f"{path}: 6 of 6 done",
    ]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9000", 200),  # through ssh -L 9000:...
        ("LOCALHOST", 200),
        ("attacker.example", 403),
        ("attacker.example:8421", 403),
        ("127.0.0.1.attacker.example", 403),
        ("localhost.attacker.example", 403),
        ("127.0.0.1@attacker.example", 403),
        ("attacker.example#127.0.0.1", 403),
        ("[::1", 403),
        ("0.0.0.0", 403),
        ("", 403),
    ],
)
@pytest.mark.parametrize("path_asked", ["/", "/data.json"])
def test_another_sites_name_is_refused(port, source, path, host, status, path_asked):
    create(path)
    source.look()
    found = ask(port, path_asked, Host=host)
    assert found[0] == status
    assert ("s.h5" in found[2]) == (status == 200)


def raw(port, text):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: attacker.example\r\n"])
def test_a_request_without_one_host_is_refused(port, hosts):
    assert b" 403 " in raw(port, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n").splitlines()[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_get_alone_is_answered(port, method):
    status, headers, _ = ask(port, method=method)
    assert (status, headers["Allow"]) == (405, "GET")
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "wrong", ["/s.h5", "/..", "/../etc/passwd", "//etc/passwd", "/data.json/", "/DATA.JSON", "/%2e"]
)
def test_no_other_path_is_there(port, source, path, wrong):
    create(path)
    source.look()
    assert ask(port, wrong)[0] == 404


def test_a_browser_may_not_lend_the_page_to_another_site(port):
    headers = ask(port)[1]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_loopback_address_alone_is_listened_on(port):
    addresses = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)}
    for address in addresses - {"127.0.0.1", "::1"}:
        with (
            pytest.raises((ConnectionError, TimeoutError)),
            socket.create_connection((address, port), timeout=2),
        ):
            pass
    with open("/proc/net/tcp") as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert f"0100007F:{port:04X}" in listening
    assert f"00000000:{port:04X}" not in listening


def test_a_reader_that_leaves_is_no_traceback(port, source, path, capfd):
    create(path)
    source.look()
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # a reset instead of an end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert ask(port)[0] == 200
    assert capfd.readouterr().err == ""


def test_a_port_in_use_is_one_line(port, path):
    with pytest.raises(UserError, match=f"port {port} is in use, expected a free one"):
        watch.main([str(path), "--port", str(port)])


@pytest.mark.parametrize("text", ["-1", "65536", "80.5", "x", "", "1e3", "inf"])
def test_a_port_that_is_none_is_refused(path, text):
    with pytest.raises(UserError, match="--port: found"):
        watch.main([str(path), f"--port={text}"])


def test_a_study_in_the_place_of_a_surface_file_is_one_line(tmp_path):
    study = tmp_path / "small.yaml"
    study.write_text("problem: {model: mlp}\noutput: runs/small.h5\n")
    with pytest.raises(UserError, match=r"is a study or a recipe .* name runs/small.h5"):
        watch.main([str(study), "--port=0"])


def test_ctrl_c_ends_with_the_code_of_the_file(path, monkeypatch, capsys, caplog):
    caplog.set_level(logging.INFO)

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupt)
    assert watch.main([str(path), "--port=0"]) == RESUMABLE
    create(path)
    compute(path, 6)
    assert watch.main([str(path), "--port=0"]) == COMPLETE
    assert f"{path}: 6 of 6 done" in caplog.text
    assert capsys.readouterr().out.count("http://127.0.0.1:") == 2


def test_over_ssh_the_tunnel_is_told(path, monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupt)
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 5 10.0.0.2 22")
    watch.main([str(path), "--port=0"])
    assert "ssh -L " in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_stops_at_sigint_without_a_trace(path, tmp_path):
    create(path)
    words = [sys.executable, "-m", "losscape_mpi.watch", str(path), "--port", "0", "--every", "60"]
    with (tmp_path / "err.txt").open("w") as stderr:
        process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            # A shell lets what it starts in the background ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
    port = int(process.stdout.readline().split(":")[2].split("/")[0])
    idle = socket.create_connection(("127.0.0.1", port))  # says nothing, and holds nobody up
    deadline = time.monotonic() + 60
    while "poll" not in ask(port)[2]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(20) == RESUMABLE
    idle.close()
    process.stdout.close()
    assert (tmp_path / "err.txt").read_text() == f"{path}: 0 of 6 done, 6 pending\n"
