"""Dates as pages write them: what is understood, and what is rather no date at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.extract.dates import EARLIEST_YEAR, LATEST_YEAR, read_date


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2020-03-04", "2020-03-04 00:00:00"),
        ("2020-03-04T05:06:07Z", "2020-03-04 05:06:07"),
        ("2020-03-04T05:06:07.123456789+01:00", "2020-03-04 04:06:07"),
        ("2020-03-04T05:06:07+0530", "2020-03-03 23:36:07"),
        ('"2020-03-04T05:06:07Z"', "2020-03-04 05:06:07"),
        ("2020-03-04 05:06:07 +0100 +0100", "2020-03-04 04:06:07"),
        ("2020-03-04 05:06:07 +0000 UTC", "2020-03-04 05:06:07"),
        ("Wed Mar  4 05:06:07 2020", "2020-03-04 05:06:07"),
        ("2020-03-04T05:06-05", "2020-03-04 10:06:00"),
        ("2020-03-04 05:06:07 +0100", "2020-03-04 04:06:07"),
        ("2020-03-04 05:06:07 UTC", "2020-03-04 05:06:07"),
        ("2020-03-04T24:00:00Z", "2020-03-05 00:00:00"),
        ("2020/3/4", "2020-03-04 00:00:00"),
        ("20200304", "2020-03-04 00:00:00"),
        ("20200304T050607Z", "2020-03-04 05:06:07"),
        ("Wed, 04 Mar 2020 05:06:07 GMT", "2020-03-04 05:06:07"),
        ("Wed, 4 Mar 2020 05:06:07 EST", "2020-03-04 10:06:07"),
        ("04 Mar 2020 05:06 -0500", "2020-03-04 10:06:00"),
        ("Wed Mar 04 2020 05:06:07 GMT+0100 (Mitteleuropäische Zeit)", "2020-03-04 04:06:07"),
        ("Wed Mar 04 05:06:07 CET 2020", "2020-03-04 04:06:07"),
        ("March 4, 2020", "2020-03-04 00:00:00"),
        ("Wednesday, Mar. 4th, 2020 at 5:06 p.m.", "2020-03-04 17:06:00"),
        ("4 March 2020, 12:06 am", "2020-03-04 00:06:00"),
        ("4. März 2020, 17:06 Uhr", "2020-03-04 17:06:00"),
        ("04.03.2020", "2020-03-04 00:00:00"),
        ("4 de marzo de 2020", "2020-03-04 00:00:00"),
        ("4 février 2020", "2020-02-04 00:00:00"),
        ("13/04/2020", "2020-04-13 00:00:00"),
        ("04/13/2020", "2020-04-13 00:00:00"),
        ("04/04/2020", "2020-04-04 00:00:00"),
        ("2020年3月4日 05:06", "2020-03-04 05:06:00"),
        ("2020년 3월 4일", "2020-03-04 00:00:00"),
        ("1583298367", "2020-03-04 05:06:07"),
        ("1583298367123", "2020-03-04 05:06:07"),
        ("1851-09-18", "1851-09-18 00:00:00"),
    ],
)
def test_dates_in_common_forms_are_read_to_the_second_in_utc(text: str, instant: str) -> None:
    when = read_date(f" {text}\n")
    assert when is not None
    assert when.tzinfo is UTC
    assert f"{when:%Y-%m-%d %H:%M:%S}" == instant


@pytest.mark.parametrize(
    "text",
    [
        "", "2020", "2020-03", "March 2020", "03/04/2020", "yesterday", "3 hours ago", "now",
        "0000-00-00", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+02:00",
        "1900-01-01", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2020-02-30",
        "2020-03-04T25:00:00Z", "2020-03-04T05:61", "2020-03-04 13:00 pm", "0", "0000000000",
        "9999999999999", "2020-03-04+99:99", "2020-03-04T05:06:07+99:99", "{{ date }}",
        "2020-03-04 - 2020-03-09", "4 Nonsense 2020", "99.99.2020", "1" * 1000, "T" * 100,
    ],
)  # fmt: skip
def test_what_is_no_day_or_has_two_readings_is_no_date(text: str) -> None:
    assert read_date(text) is None


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2099, 12, 30)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_iso_dates_of_every_zone_mean_the_same_instant(when: datetime, ahead: timedelta) -> None:
    local = when.replace(tzinfo=UTC, microsecond=0).astimezone(timezone(ahead))
    read = {read_date(local.isoformat()), read_date(f"{local:%a, %d %b %Y %H:%M:%S %z}")}
    assert read == {local} or (when.year, when.month) == (LATEST_YEAR, 12)


@given(st.text("0123456789-/.:T+Z aApPmMJjnuary,年月日", max_size=40) | st.text(max_size=120))
def test_no_text_breaks_the_reading_of_dates(text: str) -> None:
    when = read_date(text)
    assert when is None or EARLIEST_YEAR <= when.year <= LATEST_YEAR
