"""Stand-in of the Hugging Face Hub: the part of its HTTP API that uploads and downloads of a model use."""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Server with one branch of any number of models.

    Attributes:
        files: Content of each file, by `OWNER/NAME/PATH`.
        objects: Large files by their SHA-256.
        downloads: Path of each requested file.
        token: Token that may write.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.token = "hf_s3cret"  # noqa: S105 - of the stand-in

    @property
    def address(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.server_port}"

    def of_model(self, name: str) -> dict[str, bytes]:
        """Return the files of a model by path."""
        return {path.removeprefix(f"{name}/"): data for path, data in self.files.items() if path.startswith(f"{name}/")}


class Handler(BaseHTTPRequestHandler):
    """Answers to requests of huggingface_hub."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        """Describe a file."""
        self._file()

    def do_GET(self) -> None:
        """Send a file, or the description of a model."""
        if "/resolve/" in self.path:
            self._file()
        elif self._is_allowed():
            files = [_entry(path, data) for path, data in self.server.of_model(self._model()).items()]
            siblings = [{"rfilename": file["path"]} for file in files]
            self._json(files if "/tree/" in self.path else {"id": self._model(), "sha": COMMIT, "siblings": siblings})

    def do_PUT(self) -> None:
        """Store a large file."""
        self.server.objects[self.path.rpartition("/")[2]] = self._body()
        self._json({})

    def do_POST(self) -> None:
        """Create a model, or store files."""
        body = self._body()
        if not self._is_allowed():
            return
        actions = {"preupload": self._preupload, "batch": self._batch, "commit": self._commit, "create": self._create}
        action = next((actions[part] for part in self.path.split("/") if part in actions), self._validate)
        action(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _model(self) -> str:
        return "/".join(self.path.removeprefix("/api/models").split("/")[1:3])

    def _is_allowed(self) -> bool:
        """Return whether the request has the token; answer it if not."""
        allowed = self.headers.get("Authorization") == f"Bearer {self.server.token}"
        if not allowed:
            self._json({"error": "Invalid username or password."}, 401)
        return allowed

    def _validate(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def _create(self, body: bytes) -> None:
        request = json.loads(body)
        name = f"{request['organization']}/{request['name']}"
        self._json({"url": f"{self.server.address}/{name}", "name": name})

    def _preupload(self, body: bytes) -> None:
        self._json({"files": [_mode(file) for file in json.loads(body)["files"]]})

    def _file(self) -> None:
        name, _, place = unquote(urlsplit(self.path).path).strip("/").partition("/resolve/")
        path = place.partition("/")[2]
        self.server.downloads.append(path)
        content = self.server.files.get(f"{name}/{path}")
        if content is None:
            code = "EntryNotFound" if self.server.of_model(name) else "RepoNotFound"
            self._json({}, 404, {"X-Error-Code": code})
        else:
            etag = hashlib.sha256(content).hexdigest()
            self._send(content, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def _batch(self, body: bytes) -> None:
        upload = [
            {**item, "actions": {"upload": {"href": f"{self.server.address}/objects/{item['oid']}"}}}
            for item in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": upload})

    def _commit(self, body: bytes) -> None:
        name = self._model()
        for line in body.splitlines():
            entry = json.loads(line)
            value, place = entry["value"], f"{name}/{entry['value'].get('path', '')}"
            if entry["key"] == "file":
                self.server.files[place] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.server.files[place] = self.server.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                self.server.files.pop(place)
        address = f"{self.server.address}/{name}/commit/{COMMIT}"
        self._json({"success": True, "commitOid": COMMIT, "commitUrl": address, "hookOutput": ""})

    def _json(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha256(content).hexdigest()}
