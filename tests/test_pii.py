"""Personal data: what is found and what is not, checksums, masks, bounds."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from cpu_time import assert_time_in_proportion
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.planning.fingerprint import identity
from pipeline.stage import Processed, Side, TextBatch
from stages.pii import Pii, checks
from stages.pii.secrets import SECRETS
from stages.pii.spans import KINDS, MAX_PHONE_CHECKS, Finder, Span, without_overlaps
from stages.pii.stage import METRICS

SECRET_EXAMPLES = {
    # Put together here, so that no file holds what looks like a secret to a scanner.
    "aws_access_key_id": "AKIA" + "IOSFODNN7EXAMPLE",
    "github_token": "ghp" + "_" + "a1B2" * 9,
    "github_fine_grained_token": "github" + "_pat_" + "a" * 22 + "_" + "B" * 59,
    "gitlab_token": "glpat" + "-" + "x" * 20,
    "slack_token": "xoxb" + "-123456789012-" + "a" * 24,
    "slack_webhook": "hooks.slack" + ".com/services/T" + "0" * 8 + "/B" + "0" * 8 + "/" + "x" * 24,
    "google_api_key": "AIza" + "Sy" + "x" * 33,
    "google_oauth_secret": "GOCSPX" + "-" + "y" * 28,
    "stripe_key": "sk" + "_live_" + "z" * 24,
    "sendgrid_key": "SG" + "." + "a" * 22 + "." + "b" * 43,
    "npm_token": "npm" + "_" + "c" * 36,
    "pypi_token": "pypi" + "-AgE" + "d" * 60,
    "hugging_face_token": "hf" + "_" + "e" * 34,
    "anthropic_key": "sk" + "-ant-api03-" + "f" * 95,
    "openai_key": "sk" + "-" + "g" * 20 + "T3Blbk" + "FJ" + "h" * 20,
    "digitalocean_token": "dop" + "_v1_" + "0123456789abcdef" * 4,
    "shopify_token": "shpat" + "_" + "0123456789abcdef" * 2,
    "json_web_token": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiIxMjM0In0." + "s" * 43,
    "private_key": "-----BEGIN " + "RSA PRIVATE KEY-----\n" + "MIIB" * 40
    + "\n-----END " + "RSA PRIVATE KEY-----",
}  # fmt: skip


def spans(text: str, *kinds: str, regions: tuple[str, ...] = ("US",)) -> list[tuple[str, str]]:
    """(kind, what it covers) of everything that is found in one text."""
    data = text.encode()
    found = Finder(frozenset(kinds or KINDS), regions).find(pa.array([text], pa.large_string()))
    return [(span.kind, data[span.start : span.end].decode()) for span in found.spans]


def processed(stage: Pii, texts: list[str | None], seed: int = 7) -> Processed:
    stage.check()
    ids = [f"{n:016}".encode() for n in range(len(texts))]
    columns = {"doc_id": pa.array(ids, pa.binary(16)), "text": pa.array(texts, pa.large_string())}
    return stage.process(TextBatch(pa.table(columns)), Side("pii", seed))


def masked(stage: Pii, *texts: str | None, seed: int = 7) -> list[str | None]:
    columns = processed(stage, list(texts), seed).columns
    return columns["text"].to_pylist() if columns else list(texts)


def metrics(stage: Pii, *texts: str) -> list[dict[str, Any]]:
    found = {
        name: pa.array(v).to_pylist() for name, v in processed(stage, [*texts]).metrics.items()
    }
    return [{name: values[row] for name, values in found.items()} for row in range(len(texts))]


# --- What is found -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        (
            "write to anna.lind+x@harbour-museum.example.org.",
            "anna.lind+x@harbour-museum.example.org",
        ),
        ("<josé@correo.example>", "josé@correo.example"),
        ("邮件shen@harbour.cn电话", "shen@harbour.cn"),
        ("'bo@a-b.museum'", "bo@a-b.museum"),
        ("mail=bo@harbour.example&x", "bo@harbour.example"),
        ("last: bo@harbour.example", "bo@harbour.example"),
        ("logo@2x.png and icon@3x.JPG", None),
        ("@anna and anna@home and a@b.", None),
        ("x" * 200 + "@harbour.example", None),
        ("anna@harbour..example", None),
    ],
)
def test_an_email_address_is_covered_from_end_to_end(text: str, covered: str | None) -> None:
    assert spans(text, "email") == ([("email", covered)] if covered else [])


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("from 8.8.4.4.", "8.8.4.4"),
        ("http://8.8.4.4:80/", "8.8.4.4"),
        ("the DNS server 8.8.4.4 is over", "8.8.4.4"),
        ("However: 8.8.4.4", "8.8.4.4"),
        ("8.8.4.4/24", "8.8.4.4"),
        ("2001:4860:4860::8844.", "2001:4860:4860::8844"),
        ("[2600:1f18:1:2:3:4:5:6]", "2600:1f18:1:2:3:4:5:6"),
        ("10.0.0.12, 127.0.0.1, 192.168.1.1, 172.16.3.4, 169.254.1.1, 100.64.0.1", None),
        ("192.0.2.1 and 203.0.113.9 and 239.1.1.1 and 255.255.255.255", None),
        ("1234.5.6.7 and 1.2.3.4.5 and 1.2.3.4567 and 8.8.4.444", None),
        ("v1.2.3.4, version 1.2.3.4, Section 7.8.2.1, Chrome/9.1.2.3", None),
        ("08.8.4.4", None),
        ("2001:db8::1 and fe80::1 and 2019:30 and 2001:4860", None),
    ],
)
def test_public_addresses_are_found_and_others_are_not(text: str, covered: str | None) -> None:
    assert spans(text, "ip") == ([("ip", covered)] if covered else [])


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("call (415) 600-3247 now", "(415) 600-3247"),
        ("call 1-510-657-8747.", "1-510-657-8747"),
        ("in London +44 20 7946 0958", "+44 20 7946 0958"),
        ("phone: 5106578747", "5106578747"),
        ("(1-510-657-8747)", "1-510-657-8747"),
        ("the order 5106578747 came", None),
        ("on 2021-05-04 12 at 10", None),
        ("12,480 of 1.234.567.890", None),
        ("94.44 14.86 -84.26 12.22", None),
        ("the value 21.0260698175 and 415.60032472", None),
        ("rows 100 200 300 400 500 600", None),
    ],
)
def test_telephone_numbers_are_told_from_other_numbers(text: str, covered: str | None) -> None:
    assert spans(text, "phone") == ([("phone", covered)] if covered else [])


def test_numbers_in_paths_and_queries_are_no_telephone_numbers() -> None:
    text = "text/shared/02/10100000.xhp and a.example/x-415-600-3247/ and ?id=415-600-3247&a"
    assert spans(text, "phone", regions=("US", "DE", "FR")) == []


def test_regions_decide_which_numbers_need_no_country_code() -> None:
    text = "Telefon 030 901820, Zürich 044 668 18 00"
    assert spans(text, "phone", regions=("CH",)) == [("phone", "044 668 18 00")]
    assert spans(text, "phone", regions=()) == []
    assert spans("+41 44 668 18 00", "phone", regions=()) == [("phone", "+41 44 668 18 00")]


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        # Test numbers that the networks and payment services publish.
        ("4111111111111111", "4111111111111111"),
        ("card: 4111 1111 1111 1111, 12/26", "4111 1111 1111 1111"),
        ("5555-5555-5555-4444", "5555-5555-5555-4444"),
        ("3782 822463 10005", "3782 822463 10005"),
        ("2223003122003222", "2223003122003222"),
        ("4111 1111 1111 1112", None),
        ("41111111111111111", None),
        ("0.4111111111111111", None),
        ("9111111111111111", None),
        ("0000 0000 0000 0000", None),
    ],
)
def test_a_card_number_has_an_issuer_and_a_check_digit(text: str, covered: str | None) -> None:
    assert spans(text, "credit_card") == ([("credit_card", covered)] if covered else [])


@given(st.text(alphabet="0123456789", min_size=11, max_size=18), st.integers(0, 10))
def test_luhn_refuses_every_single_wrong_digit(digits: str, at: int) -> None:
    whole = next(digits + c for c in "0123456789" if checks.luhn(digits + c))
    for wrong in "0123456789":
        assert checks.luhn(whole[:at] + wrong + whole[at + 1 :]) == (wrong == whole[at])


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        # Examples of the SWIFT registry.
        ("DE89370400440532013000.", "DE89370400440532013000"),
        ("to GB29 NWBK 6016 1331 9268 19 by", "GB29 NWBK 6016 1331 9268 19"),
        ("mt84malt011000012345mtlcast001s", "mt84malt011000012345mtlcast001s"),
        ("NO93 8601 1117 947", "NO93 8601 1117 947"),
        ("DE88370400440532013000", None),
        ("DE8937040044053201300", None),
        ("XDE89370400440532013000", None),
        ("DE893704004405320130001", None),
    ],
)
def test_an_iban_has_its_countrys_length_and_checksum(text: str, covered: str | None) -> None:
    assert spans(text, "iban") == ([("iban", covered)] if covered else [])


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.name)
def test_every_secret_is_covered_whole_and_not_inside_a_word(secret: Any) -> None:
    value = SECRET_EXAMPLES[secret.name]
    assert spans(f"key={value}\n", "secret") == [("secret", value)]
    assert spans(value, "secret") == [("secret", value)]
    assert spans(value[:-12], "secret") == [] or secret.name in ("pypi_token", "json_web_token",
        "anthropic_key", "slack_token", "openai_key")  # fmt: skip
    if secret.name not in ("private_key", "slack_webhook"):
        assert spans(f"abc{value}", "secret") == []


def test_a_secret_over_the_border_of_two_documents_is_none_and_hides_none() -> None:
    key = "AIza" + "Sy" + "x" * 33
    found = Finder(frozenset({"secret"}), ()).find(
        pa.array(["ends in AK", "I" + key[:3], "AK", "I", key], pa.large_string())
    )
    assert found.spans == [Span(4, 0, 39, "secret")]
    crossing = pa.array(["ends in AK", "I" + key], pa.large_string())
    assert Finder(frozenset({"secret"}), ()).find(crossing).spans == []
    crossing = pa.array(["ends in AK", "IA: " + key], pa.large_string())
    assert len(Finder(frozenset({"secret"}), ()).find(crossing).spans) == 1


def test_of_two_spans_that_overlap_the_more_certain_kind_holds() -> None:
    email, phone = Span(0, 0, 20, "email"), Span(0, 5, 15, "phone")
    assert without_overlaps([phone, email]) == [email]
    secret = Span(0, 10, 30, "secret")
    assert without_overlaps([email, secret]) == [secret]
    assert without_overlaps([Span(1, 5, 15, "phone"), email]) == [email, Span(1, 5, 15, "phone")]


# --- Masks, counts, rules ----------------------------------------------------------------------

MIXED = "Ask anna@harbour.example or 8.8.4.4, anna@harbour.example; é (415) 600-3247."


def test_masks_replace_spans_and_nothing_else() -> None:
    texts = ["no data", MIXED, None, "", "Bo: bo@harbour.example"]
    assert masked(Pii(), *texts) == [
        "no data",
        "Ask <EMAIL> or <IP_ADDRESS>, <EMAIL>; é <PHONE>.",
        None,
        "",
        "Bo: <EMAIL>",
    ]


def test_counts_are_by_type_and_null_where_nobody_looked() -> None:
    clean, mixed = metrics(Pii(types=("email", "phone")), "no data", MIXED)
    assert clean["emails"] == clean["phones"] == clean["spans"] == clean["text_changed"] == 0
    assert (mixed["emails"], mixed["phones"], mixed["ips"]) == (2, 1, None)
    assert (mixed["spans"], mixed["text_changed"]) == (3, 1)


def test_dropping_leaves_texts_alone_and_bounds_the_spans() -> None:
    stage = Pii(action="drop")
    assert processed(stage, [MIXED]).columns == {}
    assert metrics(stage, MIXED)[0]["spans"] == 4
    assert metrics(stage, MIXED)[0]["text_changed"] == 0
    bounds = {rule.name: rule.maximum for rule in stage.rules()}
    assert bounds == {"too_many_spans": 0, "too_many_numbers": 0}
    assert Pii(action="drop", max_spans=3).rules()[0].maximum == 3
    assert Pii(max_spans=5).rules()[0].maximum == 5
    assert [rule.name for rule in Pii().rules()] == ["too_many_numbers"]


def test_a_drawn_mask_depends_on_seed_document_and_value_and_not_on_order() -> None:
    stage = Pii(masks={"email": ("<A>", "<B>", "<C>", "<D>")})
    assert stage.draws
    assert not Pii().draws
    texts = [f"bo{n}@harbour.example and bo{n}@harbour.example" for n in range(40)]
    whole = masked(stage, *texts)
    assert whole[:7] == masked(stage, *texts[:7])
    assert all(text and text[:3] == text[-3:] for text in whole), "one value, one mask"
    assert {str(text)[:3] for text in whole} == {"<A>", "<B>", "<C>", "<D>"}
    assert whole != masked(stage, *texts, seed=8)


def test_a_span_that_is_a_mask_stays_and_does_not_count() -> None:
    stage = Pii(masks={"email": ("email@example.com",), "ip": ("22.214.171.124",)})
    [once] = masked(stage, "bo@harbour.example at 8.8.4.4")
    assert once == "email@example.com at 22.214.171.124"
    assert metrics(stage, once)[0]["spans"] == 0


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"types": ()}, "types is empty"),
        ({"types": ("emails",)}, "no type 'emails'.*email"),
        ({"masks": {"mail": ("x",)}}, "no type 'mail'"),
        ({"masks": {"email": ()}}, "no replacement"),
        ({"phone_regions": ("UK",)}, "no region 'UK'"),
    ],
)
def test_knobs_that_mean_nothing_are_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pii(**knobs).check()


VALUES = st.sampled_from(
    ["anna@harbour.example", "8.8.4.4", "(415) 600-3247", "4111 1111 1111 1111", "é漢", "\n",
     "DE89370400440532013000", SECRET_EXAMPLES["aws_access_key_id"], "a", "@", ".", "1", " "]
)  # fmt: skip


def joined(between: str) -> st.SearchStrategy[list[str]]:
    texts = st.lists(VALUES, max_size=10).map(between.join)
    return st.lists(texts, min_size=1, max_size=5)


@settings(deadline=None)
@given(joined(" "))
def test_a_document_is_masked_alone_as_among_others(texts: list[str]) -> None:
    assert [masked(Pii(), text)[0] for text in texts] == masked(Pii(), *texts)


@settings(deadline=None)
@given(joined(" and "))
def test_masking_twice_is_masking_once(texts: list[str]) -> None:
    once = masked(Pii(), *texts)
    assert masked(Pii(), *once) == once


# --- Nothing takes long ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece",
    ["@", "a.b@", "1", "1 ", "+1", "415-600-3247 ", "1.", "2001:", "eyJ", "-eyJ", "DE89 ", "ghp_",
     "-----BEGIN PRIVATE KEY-----", "a" * 99 + "@b.", "a.", "4111 1111 "],
)  # fmt: skip
def test_a_page_of_one_hostile_line_takes_time_by_its_length_alone(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    processed(Pii(), ["warm 415-600-3247"])
    assert_time_in_proportion(lambda part: processed(Pii(), [part]), text)


def test_all_numbers_of_a_long_list_are_found() -> None:
    numbers = [f"(415) 600-{n}" for n in range(3240, 3248)]
    assert spans(" / ".join(numbers), "phone") == [("phone", number) for number in numbers]


@pytest.mark.parametrize(
    ("knobs", "counts"),
    [
        ({}, False),
        ({"masks": {"email": ("a@b.example",)}}, False),
        ({"masks": {"email": ("a@b.example", "c@d.example")}}, True),
        ({"masks": {"email": ("a@b.example", "c@d.example")}, "types": ("phone",)}, False),
    ],
)
def test_the_seed_is_in_the_identity_only_where_a_mask_is_drawn(
    knobs: dict[str, Any], counts: bool
) -> None:
    assert (identity(Pii(**knobs), 1) != identity(Pii(**knobs), 2)) == counts


def test_ten_megabytes_of_numbers_are_dropped_and_not_studied() -> None:
    text = "(415) 600-3247, " * 625_000
    assert_time_in_proportion(lambda part: metrics(Pii(), part), text)
    [found] = metrics(Pii(), text)
    assert found["phones"] == MAX_PHONE_CHECKS
    assert found["unchecked"] > 0


def test_every_type_has_a_metric_that_is_declared() -> None:
    assert set(METRICS) == set(KINDS)
    assert set(Pii().metric_types()) == set(metrics(Pii(), "x")[0])
