"""A stand-in for the hub of Hugging Face: the parts of its API that an upload and a download of small files use."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse


@dataclass
class Hub:
    """What the hub holds: the files of each commit, by repository and commit, newest last; and what it was asked."""

    address: str = ""
    commits: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    def files(self, repo: str, revision: str = "main") -> tuple[str, dict[str, bytes]] | None:
        """The commit of a revision and its files."""
        commits = self.commits.get(repo)
        if not commits:
            return None
        commit = [*commits][-1] if revision == "main" else revision
        return (commit, commits[commit]) if commit in commits else None


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: object, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def _missing(self) -> None:
        self._answer(404, b"", X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")

    def do_POST(self) -> None:
        """Make a repository, or add a commit to it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.tokens.add(self.headers.get("Authorization"))
        path = unquote(urlparse(self.path).path)
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.hub.created.append(asked)
            self.hub.commits.setdefault(repo, {"0" * 40: {}})
            self._json({"url": f"{self.hub.address}/{repo}", "id": repo})
        elif path == "/api/validate-yaml":
            self._json({"warnings": [], "errors": []})
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", path):
            self._json(self._commit(found[1], [json.loads(line) for line in body.splitlines() if line.strip()]))
        else:
            self._missing()

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        files = dict((self.hub.files(repo) or ("", {}))[1])
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        commit = hashlib.sha1(b"".join(files.values())).hexdigest()
        self.hub.commits[repo][commit] = files
        return {"success": True, "commitOid": commit, "commitUrl": f"{self.hub.address}/{repo}/commit/{commit}"}

    def do_HEAD(self) -> None:
        """Describe a file."""
        self.do_GET()

    def do_GET(self) -> None:
        """Describe a repository, or send a file of it."""
        path = unquote(urlparse(self.path).path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            there = self.hub.files(found[1], found[2] or "main")
            if there is None:
                return self._missing()
            siblings = [{"rfilename": name} for name in there[1]]
            return self._json({"id": found[1], "sha": there[0], "siblings": siblings, "private": False, "tags": []})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/(.+)", path):
            there = self.hub.files(found[1], found[2])
            if there is None:
                return self._missing()
            return self._json(
                [{"type": "file", "path": n, "size": len(c), "oid": _oid(c)} for n, c in there[1].items()]
            )
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            there = self.hub.files(found[1], found[2])
            if there is None or found[3] not in there[1]:
                return self._missing()
            content = there[1][found[3]]
            return self._answer(200, content, ETag=f'"{_oid(content)}"', X_Repo_Commit=there[0])
        return self._missing()


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub at an address of this machine, for the time of the context."""
    hub = Hub()
    handler = type("HubHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
