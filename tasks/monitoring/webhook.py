"""An alert sent to a webhook: one POST of JSON, signed, with a key by which the receiver knows a repeat.

A URL may hold a secret, and messages of libraries quote it: nothing here tells more of it than the host.
"""

import contextlib
import email.utils
import hashlib
import hmac
import json
import os
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from tasks.monitoring.alert_records import Alert
from tasks.params.alerts import Webhook

KEY_HEADER: Final = "Idempotency-Key"
SIGNATURE_HEADER: Final = "X-Stormglass-Signature"

LONGEST_WAIT_S: Final = 10**7
"""What a receiver may ask for; an alert is given up long before."""


class NotDelivered(Exception):
    """Why not, in words without secrets; `after_s`: what the receiver asks to wait."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


def post(hook: Webhook, alert: Alert, *, timeout_s: float) -> None:
    """Send an alert as JSON; 2xx is taken as delivered.

    The connection, name look-up included, is left behind after `timeout_s`, whatever the receiver does: should it
    succeed later, the receiver meets the same key again.

    Raises:
        NotDelivered: the receiver is not there, is too slow, or answers anything else; redirects are not followed.
    """
    url = address(hook)
    body = json.dumps(alert).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "stormglass",
        KEY_HEADER: alert["id"],
        **_signed(hook, secret(hook, url), body),
    }
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    failures: list[NotDelivered | None] = []
    sender = threading.Thread(target=lambda: failures.append(_send(request, timeout_s)), daemon=True)
    sender.start()
    sender.join(timeout_s)
    failure = failures[0] if failures else NotDelivered(f"no answer within {timeout_s:.1f} s")
    if failure is not None:
        raise NotDelivered(f"{_shown(url)} {failure}", failure.after_s)


def _send(request: urllib.request.Request, timeout_s: float) -> NotDelivered | None:
    """What went wrong: words of our own, for messages of libraries quote the URL."""
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=timeout_s):
            return None
    except urllib.error.HTTPError as error:
        with error:
            after_s = _after_s(error.headers.get("Retry-After"))
            aside = ", a redirect, which is not followed" if 300 <= error.code < 400 else ""
            return NotDelivered(f"answers {error.code}{aside}", after_s)
    except urllib.error.URLError as error:
        return NotDelivered(_words(error.reason))
    except Exception as error:  # OSError, http.client's and whatever headers that cannot be coded raise
        return NotDelivered(_words(error))


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Signed alerts go nowhere but where params say."""


def _words(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    told = error.strerror if isinstance(error, OSError) else None
    return f"cannot be reached ({told or type(error).__name__})"


def _after_s(given: str | None) -> float:
    """Retry-After in seconds: it is a number of them, or a date (RFC 9110, 10.2.3); 0 for neither."""
    if given is None:
        return 0.0
    with contextlib.suppress(ValueError):
        return float(min(max(int(given), 0), LONGEST_WAIT_S))
    try:
        at = email.utils.parsedate_to_datetime(given)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def address(hook: Webhook) -> str:
    """Where alerts are sent.

    Raises:
        NotDelivered: the environment does not say.
    """
    url = hook.address()
    if url is None:
        raise NotDelivered(f"the environment variable {hook.url_env} holds no URL such as https://host/path")
    return url


def secret(hook: Webhook, url: str) -> bytes | None:
    """What they are signed with; None: they are not.

    Raises:
        NotDelivered: the environment does not hold it, or `url` would carry it in the open.
    """
    if hook.secret_env is None:
        return None
    parts = urlsplit(url)
    if hook.sign == "bearer" and parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise NotDelivered("sign: bearer sends the secret itself, which needs https; use it, or sign: hmac")
    found = os.environ.get(hook.secret_env, "")
    if not found:
        raise NotDelivered(f"the environment variable {hook.secret_env} with its secret is not set")
    return found.encode()


def _signed(hook: Webhook, key: bytes | None, body: bytes) -> dict[str, str]:
    if key is None:
        return {}
    if hook.sign == "bearer":
        return {"Authorization": f"Bearer {key.decode()}"}
    return {SIGNATURE_HEADER: f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"}


def _shown(url: str) -> str:
    """Where a URL leads, without what may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}/..."
