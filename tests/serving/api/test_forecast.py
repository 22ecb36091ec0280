import threading
import time
from datetime import date

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from serving.api import public_holidays
from serving.api.forecast import MAX_SERIES, ForecastAnswer, ForecastReply, ForecastRequest, forecast
from serving.api.reading import read_json
from serving.errors import DeadlineExceeded, InvalidInput, NotFound

WEEK = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def ask(body: str | dict) -> ForecastRequest:
    return read_json(ForecastRequest, body.encode()) if isinstance(body, str) else ForecastRequest.model_validate(body)


async def test_one_series_is_answered_as_one_object(engine):
    answer = await forecast(engine, ask({"values": WEEK, "last_date": "2019-05-31"}), timeout=5)
    body = answer.model_dump(mode="json")
    assert list(body) == ["model", "version", "dates", "mean", "quantiles"]
    assert (body["model"], body["version"]) == ("forecaster", 1)
    assert body["dates"] == [f"2019-06-0{day}" for day in range(1, 8)]
    assert body["mean"] == [8.5, 9.5, 10.5, 11.5, 12.5, 13.5, 14.5]
    assert list(body["quantiles"]) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    assert body["quantiles"]["0.1"][0] == 8.496
    assert body["quantiles"]["0.5"] == body["mean"]
    assert all(len(days) == 7 for days in body["quantiles"].values())


async def test_without_a_date_there_are_no_dates(engine):
    answer = await forecast(engine, ask({"values": WEEK}), timeout=5)
    assert '"dates":null' in answer.model_dump_json()
    assert engine.requests[0].inputs["end_day"].tolist() == [-1]


async def test_gaps_travel_as_nan(engine):
    await forecast(engine, ask({"values": [None, *WEEK, None]}), timeout=5)
    assert np.array_equal(engine.requests[0].inputs["history"], [[np.nan, *WEEK, np.nan]], equal_nan=True)


async def test_with_a_country_the_holidays_go_along(engine):
    answer = await forecast(engine, ask({"values": WEEK, "last_date": "2019-05-24", "country": "US"}), timeout=5)
    (request,) = engine.requests
    assert request.signature == "with_holidays"
    assert request.inputs["holidays"].tolist() == [[0.0] * 9 + [1.0] + [0.0] * 4]  # Memorial Day, May 27th
    assert answer.mean == [8.5, 9.5, -89.5, 11.5, 12.5, 13.5, 14.5]


async def test_a_subdivision_has_holidays_of_its_own(engine):
    plain = {"values": WEEK, "last_date": "2019-02-07", "country": "US"}
    await forecast(engine, ask(plain), timeout=5)
    await forecast(engine, ask(plain | {"subdiv": "IL"}), timeout=5)
    assert [int(request.inputs["holidays"].sum()) for request in engine.requests] == [0, 1]  # Lincoln's Birthday


async def test_series_with_and_without_a_country_are_asked_for_apart_and_answered_in_order(engine):
    dated = {"values": WEEK, "last_date": "2019-05-24"}
    series = [dated, dated | {"country": "US"}, dated | {"country": "DE"}]
    answer = await forecast(engine, ask({"series": series}), timeout=5)
    assert [request.signature for request in engine.requests] == ["serving_default", "with_holidays"]
    assert [one.mean[2] for one in answer.forecasts] == [10.5, -89.5, 10.5]
    assert [one.mean[5] for one in answer.forecasts] == [13.5, 13.5, -86.5]  # Ascension Day, May 30th


async def test_calendars_are_made_beside_the_event_loop(engine, monkeypatch):
    threads = []

    def flags(*given):
        threads.append(threading.current_thread())
        return made(*given)

    made = public_holidays.flags
    monkeypatch.setattr(public_holidays, "flags", flags)
    await forecast(engine, ask({"values": WEEK, "last_date": "2019-05-24", "country": "US"}), timeout=5)
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


@pytest.mark.parametrize("last_date", ["1900-01-01", "2200-12-31"])
async def test_holidays_are_looked_up_on_every_date_that_is_taken(engine, last_date):
    body = {"values": [1.0] * 5000, "last_date": last_date, "country": "US"}
    await forecast(engine, ask(body), timeout=5)
    assert engine.requests[0].inputs["holidays"].shape == (1, 5007)


async def test_many_are_answered_in_order(engine):
    series = [{"values": [float(index)] * (7 + index % 300)} for index in range(500)]
    series[3]["last_date"] = "2020-02-26"
    answer = await forecast(engine, ask({"series": series}), timeout=5)
    body = answer.model_dump(mode="json")
    assert list(body) == ["model", "version", "forecasts"]
    assert [one["mean"][0] for one in body["forecasts"]] == [index + 1 + 0.5 * (index == 3) for index in range(500)]
    assert [one["dates"] for one in body["forecasts"]].count(None) == 499
    assert body["forecasts"][3]["dates"][2:5] == ["2020-02-29", "2020-03-01", "2020-03-02"]


async def test_series_of_one_length_are_asked_together(engine):
    lengths = [7, 65, 7, 1000, 65, 7]
    await forecast(engine, ask({"series": [{"values": [1.0] * length} for length in lengths]}), timeout=5)
    assert {request.inputs["history"].shape for request in engine.requests} == {(3, 7), (2, 65), (1, 1000)}


async def test_all_answers_are_of_one_version(engine):
    engine.versions = [1, 2]
    answer = await forecast(engine, ask({"series": [{"values": WEEK}, {"values": WEEK * 20}]}), timeout=5)
    assert answer.version == 2
    assert [request.version for request in engine.requests] == [None, None, 2, 2]


async def test_the_deadline_goes_along(engine):
    before = time.monotonic()
    await forecast(engine, ask({"values": WEEK}), timeout=3)
    assert before + 3 <= engine.requests[0].deadline <= time.monotonic() + 3


@pytest.mark.parametrize("failure", [NotFound("no such model"), DeadlineExceeded("late"), InvalidInput("too long")])
async def test_what_the_engine_raises_is_raised(engine, failure):
    engine.failure = failure
    with pytest.raises(type(failure), match=failure.message):
        await forecast(engine, ask({"values": WEEK}), timeout=5)


@pytest.mark.parametrize(
    ("day", "number"),
    [
        ("1970-01-01", 0),
        ("2019-05-31", 18047),
        ("2200-12-31", 84370),
        ("1969-12-31", -1),
        ("1969-12-30", -1),
        ("1900-01-01", -1),
    ],
)
async def test_days_are_counted_from_1970_and_unknown_before(engine, day, number):
    answer = await forecast(engine, ask({"values": WEEK, "last_date": day}), timeout=5)
    assert engine.requests[0].inputs["end_day"].tolist() == [number]
    assert [(ahead - date.fromisoformat(day)).days for ahead in answer.dates] == [1, 2, 3, 4, 5, 6, 7]


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, width=32)), max_size=60).map(lambda gaps: [*gaps, *WEEK]),
        min_size=1,
        max_size=8,
    )
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_an_answer_does_not_depend_on_the_others(engine, series):
    many = await forecast(engine, ask({"series": [{"values": values} for values in series]}), timeout=5)
    for values, among_others in zip(series, many.forecasts, strict=True):
        alone = await forecast(engine, ask({"values": values}), timeout=5)
        assert alone.model_dump(exclude={"model", "version"}) == among_others.model_dump()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "expected either values (one series) or series (many), got neither"),
        ('{"values": null}', "got neither"),
        ('{"values": [1,2,3,4,5,6,7], "series": [{"values": [1,2,3,4,5,6,7]}]}', "got both"),
        (
            '{"series": [{"values": [1,2,3,4,5,6,7]}], "last_date": "2019-05-31"}',
            "a last_date inside each of the series",
        ),
        (
            '{"series": [{"values": [1,2,3,4,5,6,7]}], "country": "US"}',
            "a country inside each of the series",
        ),
        ('{"values": [1,2,3,4,5,6,7], "country": "US"}', "expected last_date beside country"),
        ('{"series": [{"values": [1,2,3,4,5,6,7], "country": "US"}]}', "series[0]: expected last_date beside country"),
        (
            '{"values": [1,2,3,4,5,6,7], "last_date": "2019-05-31", "country": "Atlantis"}',
            "expected the code of a country whose holidays are known, such as US; got Atlantis",
        ),
        (
            '{"values": [1,2,3,4,5,6,7], "last_date": "2019-05-31", "country": "GB", "subdiv": "XX"}',
            "expected a subdivision of GB (ENG, NIR, SCT, WLS); got XX",
        ),
        (
            '{"values": [1,2,3,4,5,6,7], "last_date": "2019-05-31", "subdiv": "IL"}',
            "expected a country beside subdiv, got none",
        ),
        ('{"series": []}', "series: expected at least 1, got 0"),
        ('{"series": [{"last_date": "2019-05-31"}]}', "series[0].values: expected this field"),
        ('{"series": [[1,2,3,4,5,6,7]]}', "series[0]: expected a JSON object. Received: an array of 7"),
        ('{"values": []}', "values: expected at least 7 values that are not null, got 0 of 0"),
        ('{"values": [1,2,3,4,5,6,null]}', "expected at least 7 values that are not null, got 6 of 7"),
        ('{"series": [{"values": [1,2,3,4,5,6,7]}, {"values": [1]}]}', "series[1].values: expected at least 7"),
        ('{"values": [1,2,3,NaN,5,6,7]}', "values[3]: expected a finite number. Received: NaN"),
        ('{"values": [1,2,3,-Infinity,5,6,7]}', "values[3]: expected a finite number. Received: -Infinity"),
        ('{"values": [1,2,3,1e999,5,6,7]}', "values[3]: expected a finite number"),
        ('{"values": [1,2,3,1e300,5,6,7]}', "values[3]: expected less than or equal to"),
        ('{"values": [1,2,3,"4",5,6,7]}', 'values[3]: expected a valid number. Received: "4"'),
        ('{"values": [1,2,3,true,5,6,7]}', "values[3]: expected a valid number. Received: true"),
        ('{"values": [[1,2,3,4,5,6,7]]}', "values[0]: expected a valid number. Received: an array of 7"),
        ('{"values": {"0": 1}}', "values: expected a valid array. Received: an object"),
        ('{"values": 12}', "values: expected a valid array. Received: 12"),
        ('{"values": "1,2"}', 'values: expected a valid array. Received: "1,2"'),
        ('{"values": [1,2,3,4,5,6,7], "last_date": "2019-02-30"}', "last_date: expected a date that exists"),
        (
            '{"values": [1,2,3,4,5,6,7], "last_date": "31.05.2019"}',
            'YYYY-MM-DD, from 1900-01-01 to 2200-12-31. Received: "31.',
        ),
        ('{"values": [1,2,3,4,5,6,7], "last_date": "2019-05-31T00:00"}', "expected a date that exists"),
        ('{"values": [1,2,3,4,5,6,7], "last_date": "1899-12-31"}', "from 1900-01-01 to 2200-12-31"),
        ('{"values": [1,2,3,4,5,6,7], "last_date": "9999-12-31"}', "from 1900-01-01 to 2200-12-31"),
        ('{"values": [1,2,3,4,5,6,7], "last_date": 18047}', "last_date: expected a date that exists"),
        ('{"values": [1,2,3,4,5,6,7], "last_day": "2019-05-31"}', "last_day: expected no field of this name"),
        ("[1,2,3]", "expected a JSON object. Received: an array of 3"),
        ("", 'expected a JSON body (EOF while parsing a value at line 1 column 0). Received: ""'),
        ('{"values": [1,2', "expected a JSON body (EOF while parsing a list at line 1 column 15)"),
        ("values=1&values=2", 'Received: "values=1&values=2"'),
    ],
)
def test_bad_bodies_are_refused_with_what_was_expected_and_what_came(body, message):
    with pytest.raises(InvalidInput) as refused:
        ask(body)
    assert message in refused.value.message


def test_too_many_series_are_refused():
    with pytest.raises(ValidationError, match=f"at most {MAX_SERIES} items"):
        ask({"series": [{"values": WEEK}] * (MAX_SERIES + 1)})


def test_the_examples_of_the_documentation_are_true():
    for model in (ForecastRequest, ForecastAnswer):
        model.model_validate(model.model_config["json_schema_extra"]["example"])
    ForecastReply.model_validate(ForecastReply.model_json_schema()["example"])
