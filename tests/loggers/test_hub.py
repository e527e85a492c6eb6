"""push_to_hub and from_hub with huggingface_hub itself, against a server on this machine that speaks the hub's HTTP."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

import kagent
from kagent import hub

pytestmark = pytest.mark.loggers


class Hub(BaseHTTPRequestHandler):
    """One repository, as far as uploads of small files and downloads go."""

    def log_message(self, *arguments):
        pass

    def _answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content):
        self._answer(200, json.dumps(content).encode(), Content_Type="application/json")

    def do_POST(self):
        server, path = self.server, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.requests.append((path, self.headers.get("Authorization")))
        if path == "/api/repos/create":
            server.created.append(json.loads(body))
            return self._json({"url": f"{server.address}/me/ppo"})
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if "/preupload/" in path:
            names = [file["path"] for file in json.loads(body)["files"]]
            return self._json({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        if "/commit/" in path:
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    server.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                elif entry["key"] == "header":
                    server.messages.append(entry["value"]["summary"])
            address = f"{server.address}/me/ppo/commit/{'a' * 40}"
            return self._json({"commitUrl": address, "commitOid": "a" * 40, "pullRequestUrl": None, "success": True})
        return self._answer(404)

    def do_GET(self):
        server, path = self.server, urlsplit(self.path).path
        server.requests.append((path, self.headers.get("Authorization")))
        if path.startswith("/api/models/"):
            return self._json(
                {"id": "me/ppo", "sha": "a" * 40, "siblings": [{"rfilename": name} for name in server.files]}
            )
        name = path.partition("/resolve/")[2].partition("/")[2]
        content = server.files.get(name)
        if content is None:
            return self._answer(404, X_Error_Code="EntryNotFound")
        etag = hashlib.sha1(content).hexdigest()
        return self._answer(200, content, ETag=f'"{etag}"', X_Repo_Commit="a" * 40, Accept_Ranges="bytes")

    do_HEAD = do_GET


@pytest.fixture
def server(tmp_path, monkeypatch):
    import huggingface_hub.constants
    import huggingface_hub.file_download

    made = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    made.requests, made.created, made.files, made.messages = [], [], {}, []
    made.address = f"http://127.0.0.1:{made.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", made.address)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        made.address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    for name, value in (("HF_HUB_CACHE", str(tmp_path / "cache")), ("HF_HUB_DISABLE_XET", True)):
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_there_and_back(server):
    agent = kagent.PPO("CartPole-v1", network={"type": "mlp", "units": [8]}, seed=0)
    agent.fit("CartPole-v1", steps=40, verbose=0)
    result = agent.evaluate("CartPole-v1", episodes=2)
    address = hub.push_to_hub(
        agent, "me/ppo", environment="CartPole-v1", evaluation=result, token="hf_test", message="First", private=True
    )
    assert address.endswith("/commit/" + "a" * 40) and server.messages == ["First"]
    (created,) = server.created
    assert created["name"] == "ppo" and (created.get("visibility") == "private" or created.get("private") is True)
    assert all(given == "Bearer hf_test" for path, given in server.requests if path.startswith("/api/models"))
    assert set(server.files) >= {"agent.keras", "README.md"} and b"# PPO on CartPole-v1" in server.files["README.md"]
    assert kagent.inspect(hub.download("me/ppo")).counters["timesteps"] == 40
    same = hub.from_hub("me/ppo", env="CartPole-v1")
    assert same.timesteps == 40
    for one, other in zip(agent.get_weights(), same.get_weights(), strict=True):
        assert (one == other).all()


def test_what_the_hub_lacks(server):
    server.files["README.md"] = b"# nothing"
    with pytest.raises(OSError, match=r"404|not found|Not Found"):
        hub.from_hub("me/ppo")


def test_a_damaged_file_from_the_hub_is_refused(server):
    server.files["agent.keras"] = b"PK\x03\x04 nothing of an agent"
    with pytest.raises(ValueError, match="is damaged"):
        hub.from_hub("me/ppo")
