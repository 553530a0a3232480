"""Keys and tokens that say by their form what they are, each with the public page that fixes it.

A prefix is looked for by ahocorasick_rs in all texts at once; only where one stands a pattern is
asked. No pattern has a repeat inside a repeat, every repeat is bounded, and none crosses a dash of
a PEM line, so a text takes time in proportion to its length. Secrets without a form of their own
(an AWS secret access key, a password) are not found: that takes guesses about the words around.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Secret:
    """One kind of secret."""

    name: str
    prefixes: tuple[str, ...]
    pattern: str
    """What the whole secret matches, from the prefix on."""
    source: str
    behind: int = 0
    """The pattern begins up to so many bytes before the prefix, which is then a mark within."""


SECRETS = (
    Secret(
        "aws_access_key_id",
        ("AKIA", "ASIA"),
        r"A[KS]IA[A-Z2-7]{16}",
        "docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html: unique IDs",
    ),
    Secret(
        "github_token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        r"gh[pousr]_[A-Za-z0-9]{36,251}",
        "github.blog/2021-04-05-behind-githubs-new-authentication-token-formats",
    ),
    Secret(
        "github_fine_grained_token",
        ("github_pat_",),
        r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        "docs.github.com: about authentication to GitHub, token formats",
    ),
    Secret(
        "gitlab_token",
        ("glpat-",),
        r"glpat-[A-Za-z0-9_-]{20,300}(?:\.[A-Za-z0-9_.]{1,20})?",
        "docs.gitlab.com/security/tokens: token prefixes",
    ),
    Secret(
        "slack_token",
        ("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"),
        r"(?:xox[abpres]|xapp)-[0-9][A-Za-z0-9-]{20,200}",
        "docs.slack.dev/authentication/tokens: token types",
    ),
    Secret(
        "slack_webhook",
        ("hooks.slack.com/services/",),
        r"hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,30}",
        "docs.slack.dev: sending messages using incoming webhooks",
    ),
    Secret(
        "google_api_key",
        ("AIza",),
        r"AIza[0-9A-Za-z_-]{35}",
        "cloud.google.com/docs/authentication/api-keys: 39 characters",
    ),
    Secret(
        "google_oauth_secret",
        ("GOCSPX-",),
        r"GOCSPX-[A-Za-z0-9_-]{28}",
        "developers.google.com/identity/protocols/oauth2: client secrets",
    ),
    Secret(
        "stripe_key",
        ("sk_live_", "sk_test_", "rk_live_", "rk_test_"),
        r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,247}",
        "docs.stripe.com/keys: prefixes of secret and restricted keys",
    ),
    Secret(
        "sendgrid_key",
        ("SG.",),
        r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
        "docs.sendgrid.com: API keys, 69 characters",
    ),
    Secret(
        "npm_token",
        ("npm_",),
        r"npm_[A-Za-z0-9]{36}",
        "github.blog/2021-09-23-announcing-npms-new-access-token-format",
    ),
    Secret(
        "pypi_token",
        ("pypi-AgE",),
        r"pypi-AgE[A-Za-z0-9_-]{50,400}",
        "warehouse.pypa.io: API tokens are macaroons with the prefix pypi-",
    ),
    Secret(
        "hugging_face_token",
        ("hf_",),
        r"hf_[A-Za-z0-9]{34}",
        "huggingface.co/docs/hub/security-tokens",
    ),
    Secret(
        "anthropic_key",
        ("sk-ant-",),
        r"sk-ant-[a-z]{2,6}[0-9]{2}-[A-Za-z0-9_-]{80,120}",
        "docs.github.com: supported secret scanning patterns, Anthropic",
    ),
    Secret(
        "openai_key",
        ("T3BlbkFJ",),
        r"sk-(?:[a-z]{2,12}-)?[A-Za-z0-9_-]{20,74}T3BlbkFJ[A-Za-z0-9_-]{20,74}",
        "docs.github.com: supported secret scanning patterns, OpenAI (OpenAI in base64)",
        behind=96,
    ),
    Secret(
        "digitalocean_token",
        ("dop_v1_", "doo_v1_", "dor_v1_"),
        r"do[por]_v1_[a-f0-9]{64}",
        "docs.digitalocean.com/reference/api: token prefixes",
    ),
    Secret(
        "shopify_token",
        ("shpat_", "shpca_", "shppa_", "shpss_"),
        r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
        "shopify.dev changelog: length and prefixes of access tokens",
    ),
    Secret(
        "json_web_token",
        ("eyJ",),
        r"(?<!-)eyJ[A-Za-z0-9_-]{10,2000}+\.eyJ[A-Za-z0-9_-]{10,8000}+\.[A-Za-z0-9_-]{16,1400}+",
        "RFC 7519 and RFC 7515, section 3.1: two JSON objects and a signature in base64url",
    ),
    Secret(
        "private_key",
        ("-----BEGIN ",),
        r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----[^-]{64,16384}+"
        r"-----END (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----",
        "RFC 7468, section 2; RFC 9580, section 6.2: armour of private keys",
    ),
)
"""All count as `secret`; their names are for readers."""

_EDGE = rb"(?<![A-Za-z0-9_])"
_END = rb"(?![A-Za-z0-9_])"


@functools.cache
def _finder() -> tuple[Any, tuple[tuple[re.Pattern[bytes], int], ...]]:
    """The automaton over all prefixes, and for each its pattern and how far it begins before."""
    from ahocorasick_rs import BytesAhoCorasick, MatchKind

    prefixes: list[bytes] = []
    patterns: list[tuple[re.Pattern[bytes], int]] = []
    for secret in SECRETS:
        armour = secret.name == "private_key"
        pattern = re.compile(
            secret.pattern.encode() if armour else _EDGE + secret.pattern.encode() + _END
        )
        for prefix in secret.prefixes:
            prefixes.append(prefix.encode())
            patterns.append((pattern, secret.behind))
    # This kind of match is the one for which the library searches in wide registers: 3.8 GB/s
    # where the standard kind does 0.5.
    return BytesAhoCorasick(prefixes, matchkind=MatchKind.LeftmostFirst), tuple(patterns)


def prefixes_in(data: Any) -> list[tuple[int, int, int]]:
    """(number of the prefix, start, end) of every prefix in the bytes; none overlap."""
    found: list[tuple[int, int, int]] = _finder()[0].find_matches_as_indexes(data)
    return found


def secret_at(text: memoryview, prefix: int, at: int) -> tuple[int, int] | None:
    """(start, end) of the secret whose prefix stands at `at` of one text; None if there is none."""
    pattern, behind = _finder()[1][prefix]
    if not behind:
        found = pattern.match(text, at)
        return found.span() if found else None
    spans: Iterator[tuple[int, int]] = (
        found.span() for found in pattern.finditer(text, max(0, at - behind), at + 96)
    )
    return next((span for span in spans if span[0] <= at < span[1]), None)
