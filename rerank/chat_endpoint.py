"""An OpenAI-compatible endpoint: messages in, the answer's text out, with bounded patience."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ..core.errors import BadArguments, FailedWhileRunning

if TYPE_CHECKING:
    from collections.abc import Sequence

_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_LONGEST_ANSWER = 1 << 20  # bytes
_LONGEST_PAUSE = 30.0  # seconds


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class ChatEndpoint:
    """``url`` is the base (``http://localhost:8000/v1``), ``model`` what is to answer there.

    ``key`` names the environment variable that holds the key, "" for none. A request waits
    ``timeout`` seconds and is repeated ``retries`` times at most, after pauses of 1, 2, 4 ...
    seconds or what the endpoint asks for, never more than 30. BadArguments for what is no URL and
    for a variable that is not set.
    """

    url: str
    model: str
    key: str = ""
    timeout: float = 60.0
    retries: int = 2
    _opener: Any = field(default_factory=lambda: build_opener(_NoRedirect), repr=False)

    def __post_init__(self) -> None:
        if not _is_base(self.url):
            raise BadArguments(
                f"url is {self.url!r}; expected the base of an OpenAI-compatible endpoint, as "
                f"http://localhost:8000/v1, without a name or password in it"
            )
        if self.timeout <= 0 or self.retries < 0:
            raise BadArguments(
                f"timeout is {self.timeout} and retries {self.retries}; expected more than 0 "
                f"seconds, and 0 or more"
            )
        self._headers()

    def answer(self, messages: Sequence[dict[str, str]]) -> str | None:
        """The text of the first choice; None where the reply has none.

        FailedWhileRunning when the endpoint refuses or does not answer, after the last retry.
        """
        body = {"model": self.model, "messages": list(messages), "temperature": 0}
        raw = self._posted(json.dumps(body).encode("utf-8"))
        try:
            text = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            return None
        return text if isinstance(text, str) else None

    def _headers(self) -> dict[str, str]:
        if not self.key:
            return {"Content-Type": "application/json"}
        secret = os.environ.get(self.key, "").strip()
        if not secret:
            raise BadArguments(
                f"the environment variable {self.key!r} is not set; it should hold the key for "
                f"{self.url}"
            )
        if not (secret.isascii() and secret.isprintable()):  # never shown, not even in part
            raise BadArguments(
                f"the environment variable {self.key!r} holds what no key holds, such as a line "
                f"break; expected one line of ASCII"
            )
        return {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}

    def _posted(self, body: bytes) -> bytes:
        goal = f"{self.url.rstrip('/')}/chat/completions"
        for left in range(self.retries, -1, -1):
            request = Request(goal, body, self._headers(), method="POST")  # noqa: S310
            try:
                with self._opener.open(request, timeout=self.timeout) as reply:
                    raw: bytes = reply.read(_LONGEST_ANSWER + 1)
                    return raw if len(raw) <= _LONGEST_ANSWER else b""
            except HTTPError as failure:
                with failure:
                    said = f"HTTP {failure.code} {failure.reason}"
                    asked = failure.headers.get("Retry-After", "")
                if failure.code not in _AGAIN:
                    raise self._failed(said) from None
            except (URLError, OSError, HTTPException) as failure:
                said, asked = str(getattr(failure, "reason", failure)), ""
            if not left:
                raise self._failed(f"{said}, {self.retries + 1} times")
            time.sleep(_pause(asked, self.retries - left))
        raise AssertionError

    def _failed(self, said: str) -> FailedWhileRunning:
        return FailedWhileRunning(
            f"the endpoint {self.url} did not answer for {self.model!r}: {said}; check url, model "
            f"and key, or leave the stage out"
        )


def _is_base(url: str) -> bool:
    """An address of http or https without a name or password in it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that no address ends
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username


def _pause(asked: str, tries: int) -> float:
    """Seconds until the next try."""
    wanted = float(asked) if asked.isdecimal() else 2.0**tries
    return min(wanted, _LONGEST_PAUSE)
