"""A local server that speaks the protocol of Rekognition Custom Labels: JSON 1.1, `X-Amz-Target`, states, limits.

What it finds it measures in the very bytes that it is sent: the bright part of the picture. It refuses what the service
refuses: calls without a signature, versions in the wrong state, and pictures over the limits of AWS's page.
"""

import base64
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

PROJECT = "arn:aws:rekognition:eu-west-1:123456789012:project/parts/1600000000000"
ARN = "arn:aws:rekognition:eu-west-1:123456789012:project/parts/version/parts.2026-01-01T10.00.00/1700000000000"


class Refused(Exception):
    def __init__(self, code: str, status: int = 400) -> None:
        self.code, self.status = code, status


@dataclass
class Service:
    """One version's state, what was asked, and what is to go wrong.

    Attributes:
        arn: of the version.
        status: its.
        looks: how many DescribeProjectVersions a start or stop takes.
        log: the operations asked for, in order, refused ones too.
        faults: by operation what the next calls are refused with.
        pictures: (format, height, width, bytes) of each that came.
        labels: what is said of a picture, made of its pixels.
        on_start: called before a start is answered.
    """

    arn: str = ARN
    status: str = "STOPPED"
    looks: int = 1
    url: str = ""
    log: list[str] = field(default_factory=list)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: dict[str, list[Refused]] = field(default_factory=dict)
    pictures: list[tuple[str, int, int, int]] = field(default_factory=list)
    labels: Callable[[np.ndarray], list[dict[str, Any]]] = lambda pixels: bright(pixels)
    on_start: Callable[[], None] = lambda: None
    left: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.log.append(operation)
        self.asked[operation] = asked
        if self.faults.get(operation):
            raise self.faults[operation].pop(0)
        return getattr(self, operation)(asked)

    def DescribeProjects(self, asked: dict[str, Any]) -> dict[str, Any]:
        names = asked["ProjectNames"]
        return {"ProjectDescriptions": [{"ProjectArn": PROJECT, "Status": "CREATED"}] if "parts" in names else []}

    def DescribeProjectVersions(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["ProjectArn"] != PROJECT:
            raise Refused("ResourceNotFoundException")
        if self.status in ("STARTING", "STOPPING"):
            if self.left == 0:
                self.status = {"STARTING": "RUNNING", "STOPPING": "STOPPED"}[self.status]
            self.left -= 1
        found = [{"ProjectVersionArn": self.arn, "Status": self.status, "StatusMessage": "as it is"}]
        return {"ProjectVersionDescriptions": [one for one in found if self.arn.split("/")[3] in asked["VersionNames"]]}

    def StartProjectVersion(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.on_start()
        if self.status not in ("STOPPED", "TRAINING_COMPLETED"):
            raise Refused("ResourceInUseException")
        assert asked["ProjectVersionArn"] == self.arn
        assert asked["MinInferenceUnits"] >= 1
        self.status, self.left = "STARTING", self.looks
        return {"Status": self.status}

    def StopProjectVersion(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.status != "RUNNING":
            raise Refused("ResourceInUseException")
        self.status, self.left = "STOPPING", self.looks
        return {"Status": self.status}

    def DetectCustomLabels(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.status != "RUNNING":
            raise Refused("ResourceNotReadyException")
        data = base64.b64decode(asked["Image"]["Bytes"])
        kind = "PNG" if data.startswith(b"\x89PNG") else "JPEG" if data.startswith(b"\xff\xd8") else ""
        if not kind:
            raise Refused("InvalidImageFormatException")
        pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        height, width = pixels.shape[:2]
        self.pictures.append((kind, height, width, len(data)))
        if len(data) > 4_000_000 or max(height, width) > 4096:
            raise Refused("ImageTooLargeException")
        if min(height, width) < 64 or max(height, width) > 20 * min(height, width):
            raise Refused("InvalidParameterException")
        said = self.labels(pixels)
        return {"CustomLabels": [label for label in said if label["Confidence"] >= asked["MinConfidence"]]}


def bright(pixels: np.ndarray) -> list[dict[str, Any]]:
    """The box around what is bright, as shares of the picture."""
    ys, xs = np.where(pixels[:, :, 0] > 128)
    if not len(xs):
        return []
    height, width = pixels.shape[:2]
    box = {"Left": xs.min() / width, "Top": ys.min() / height}
    box |= {"Width": (xs.max() + 1 - xs.min()) / width, "Height": (ys.max() + 1 - ys.min()) / height}
    return [{"Name": "car", "Confidence": 87.5, "Geometry": {"BoundingBox": {k: float(v) for k, v in box.items()}}}]


@contextmanager
def serving(**state: Any) -> Iterator[Service]:
    service = Service(**state)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            room, _, operation = self.headers["X-Amz-Target"].partition(".")
            assert room == "RekognitionService"
            assert self.headers["Content-Type"] == "application/x-amz-json-1.1"
            try:
                if "AWS4-HMAC-SHA256 Credential=" not in self.headers.get("Authorization", ""):
                    raise Refused("MissingAuthenticationTokenException")
                with service.lock:
                    status, said = 200, service.answer(operation, asked)
            except Refused as error:
                status, said = error.status, {"__type": error.code, "Message": f"the server says {error.code}"}
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exc_info()[1], ConnectionError):  # of a client that was killed
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
