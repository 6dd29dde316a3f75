"""What in a spec looks like a password, a key or a token: a spec is stored, shown and copied about.

Found by the shapes that issuers give their tokens, by the names of keys and options, and, under
`environment`, by looking random. Names count by their last words: `db_password` is a secret's,
`password_dim` and `max_tokens` are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA|A3T[A-Z0-9])[0-9A-Z]{16}\b"  # AWS
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bgl(?:pat|dt|rt|ptt|soat|ft|cbt)-[\w-]{16,}"
    r"|\b(?:hf|api_org)_[A-Za-z0-9]{30,}"
    r"|\b(?:sk|rk|sess)-(?:[a-z0-9]+-){0,3}[A-Za-z0-9_]{16,}"  # OpenAI, Anthropic and their like
    r"|\b[srp]k_(?:live|test)_[0-9A-Za-z]{10,}|\bwhsec_[A-Za-z0-9]{20,}"
    r"|\bxox[a-z]-[\w-]{10,}|\bxapp-\d-[\w-]{10,}|hooks\.slack\.com/services/\w+/\w+/\w+"
    r"|discord(?:app)?\.com/api/webhooks/\d+/[\w-]+|\b\d{8,10}:AA[\w-]{30,}"
    r"|\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}"
    r"|\beyJ[A-Za-z0-9_+/=-]{16,}"  # JSON in base64, as JWTs begin
    r"|-----BEGIN|PuTTY-User-Key-File-|AGE-SECRET-KEY-1"
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bSK[0-9a-f]{32}\b|\bkey-[0-9a-f]{32}\b"
    r"|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{30,}|\bdckr_pat_[\w-]{20,}|\bdop_v1_[0-9a-f]{40,}"
    r"|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}|\bdapi[0-9a-f]{32}|\bhvs\.[\w-]{20,}|\btskey-[\w-]{16,}"
    r"|\b(?:gsk|r8|lin_api|secret|ntn|figd|sbp)_[A-Za-z0-9]{30,}|\b(?:nvapi|xai|pplx)-[\w-]{30,}"
    r"|\bATATT3[\w=-]{20,}|\bPMAK-[0-9a-f]{20,}|\bsq0[a-z]{3}-[\w-]{20,}"
    r"|(?:Account|SharedAccess)Key=[A-Za-z0-9+/=]{20,}|[?&](?:sig|X-Amz-Signature)=[\w%+/=-]{20,}"
)
_URL = re.compile(r"://[^\s/:@?#]*:([^\s/@?#]+)@")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_ALONE = frozenset(
    {"password", "passwd", "pwd", "passphrase", "passcode", "secret", "secrets", "apikey", "credential",
     "credentials"}
)  # fmt: skip
_KEYS = frozenset(
    {"api", "access", "secret", "private", "auth", "signing", "encryption", "account", "ssh", "master",
     "service"}
)  # fmt: skip
_TOKENS = frozenset(
    {"access", "api", "auth", "bearer", "bot", "deploy", "gh", "github", "gitlab", "hf", "huggingface",
     "personal", "refresh", "session", "slack", "wandb"}
)  # fmt: skip
_RANDOM_IF = frozenset(
    {"token", "tokens", "key", "auth", "jwt", "bearer", "pat", "authorization", "cookie"}
)
"""Last words of names that mean many things: a secret only if the value looks random."""
_ASSIGNED = re.compile(
    r"(?i)(?:passw(?:or)?d|pwd|passphrase|(?:api|access|secret|private|auth)[-_]?key|client[-_]?secret"
    r"|(?:auth|access|api|bearer|refresh)[-_]?token)[\"']?\s*[=:]\s*[\"']?([^\s\"'&;,=]{4,})"
)
_HEADER = re.compile(r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9+/_.=-]{16,})")
_PLACEHOLDER = re.compile(
    r"\$.*|<.*>|\{.*\}|%\(?\w+\)?s?%?|\*+|(?:env|file|vault|secret)[:(].*|os\.environ.*"
)
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_DENSE = re.compile(r"[A-Za-z0-9+/=]{20,}")
_SMALLEST_PIN = 1_000


def secrets_in(
    value: Any, path: str = "", name: str = "", environment: bool = False
) -> Iterator[str]:
    """A problem for each place of a spec that holds what looks like a secret.

    Args:
        value: what stands there.
        path: where that is.
        name: the key, or the option before it, that says what it is.
        environment: whether it is to be a program's environment.
    """
    if isinstance(value, str):
        if _is_secret(value, name, environment):
            yield _problem(path, environment)
    elif isinstance(value, int) and not isinstance(value, bool):
        words = _words(name)
        if words and words[-1] in _ALONE and abs(value) >= _SMALLEST_PIN:
            yield _problem(path, environment)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and _is_secret(key, "", False):
                yield _problem(f"{path} (a key)".strip(), environment)
                continue
            inner = name if key in _DISTRIBUTING else str(key)
            where = f"{path}.{key}" if path else str(key)
            yield from secrets_in(item, where, inner, environment or key == "environment")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            option = value[index - 1] if index else ""
            named = option if isinstance(option, str) and option.startswith("-") else name
            if named is not name and isinstance(item, str) and item.startswith("-"):
                named = name
            yield from secrets_in(item, f"{path}[{index}]", named, environment)


_DISTRIBUTING = frozenset(
    {"choice", "ordinal", "grid", "fixed", "value", "values", "points_to_evaluate"}
)
"""Keys below which a value is still that of the name above."""


def _problem(path: str, environment: bool) -> str:
    advice = (
        "write the name with null, which passes on the driver's own variable"
        if environment
        else "give the training code its secrets by its environment or a file"
    )
    return f"{path or 'the spec'}: holds what looks like a secret, and a spec is stored and shown; {advice}"


def _is_secret(text: str, name: str, environment: bool) -> bool:
    if _SHAPES.search(text) or any(not _placeholder(found) for found in _URL.findall(text)):
        return True
    if any(not _placeholder(found) for found in _ASSIGNED.findall(text)):
        return True
    if any(_looks_random(found) for found in _HEADER.findall(text)):
        return True
    words = _words(name)
    if not words or not text.strip() or _placeholder(text):
        return environment and _is_dense(text)
    if words[-1] in _ALONE or (words[-1] in ("key", "keys") and {*words[-3:-1]} & _KEYS):
        return True
    if words[-1] == "token" and {*words[-2:-1]} & _TOKENS:
        return True
    if words[-1] in _RANDOM_IF and _looks_random(text):
        return True
    return environment and _is_dense(text)


def _words(name: str) -> list[str]:
    """The words of a name in snake, kebab or camel case; a number behind them does not count."""
    found = [word.lower() for word in _WORDS.findall(name)]
    while found and found[-1].isdigit():
        found.pop()
    return found


def _placeholder(text: str) -> bool:
    """Whether a text stands for a value that is elsewhere: `$TOKEN`, `<your key>`, `***`."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


def _looks_random(text: str) -> bool:
    """Whether there is a long run of letters and digits mixed, as in no word."""
    return any(
        any(c.isdigit() for c in run) and any(c.isalpha() for c in run)
        for run in _RUN.findall(text)
    )


def _is_dense(text: str) -> bool:
    """Whether all of a text is one long run of both cases and digits."""
    if not _DENSE.fullmatch(text) or text.startswith("/") or text.count("/") > 3:
        return False  # the latter are paths
    digits = sum(c.isdigit() for c in text)
    return digits >= 3 and any(c.islower() for c in text) and any(c.isupper() for c in text)
