import datetime
from datetime import date

import numpy as np
import pandas as pd
import pytest

from seqserve_client import LEVELS, BadAnswer, InferResult, InvalidInput
from seqserve_client._series import forecasts_of, history_of_values

WEEKS = [float(value) for value in range(1, 22)]


def sent(server, name):
    """An input of the last request, as the server saw it."""
    request = server.peers.requests[-1]
    place = [tensor.name for tensor in request.inputs].index(name)
    tensor = request.inputs[place]
    dtype = {"FP32": np.float32, "INT32": np.int32}[tensor.datatype]
    return np.frombuffer(request.raw_input_contents[place], dtype).reshape(tensor.shape)


def test_numbers_in_a_forecast_out(client, server):
    forecast = client.forecast(WEEKS, last_date="2019-05-31")
    assert forecast.mean.tolist() == WEEKS[-7:]
    assert forecast.quantiles.shape == (7, 9)
    assert forecast.levels == LEVELS
    assert forecast.dates == tuple(date(2019, 6, day) for day in range(1, 8))
    assert (forecast.model, forecast.version) == ("forecaster", "1")
    assert sent(server, "end_day").tolist() == [(date(2019, 5, 31) - date(1970, 1, 1)).days]


def test_gaps_travel_as_nan(client, server):
    client.forecast([1, None, 3, float("nan"), 5, 6, 7])
    np.testing.assert_array_equal(sent(server, "history"), [[1, np.nan, 3, np.nan, 5, 6, 7]])


def test_without_a_date_the_day_is_unknown(client, server):
    forecast = client.forecast(np.array(WEEKS))
    assert forecast.dates is None
    assert sent(server, "end_day").tolist() == [-1]
    assert forecast.to_frame().index.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert forecast.to_frame().index.name == "step"


def test_with_a_country_the_holidays_are_sent(client, server):
    client.forecast(WEEKS, last_date="2019-05-24", country="US")
    assert server.peers.requests[-1].parameters["signature_name"].string_param == "with_holidays"
    flags = sent(server, "holidays")
    assert flags.shape == (1, 28)
    assert np.flatnonzero(flags[0]).tolist() == [23]  # Memorial Day, May 27th
    client.forecast(WEEKS, last_date="2019-05-24")
    assert not server.peers.requests[-1].parameters
    assert [tensor.name for tensor in server.peers.requests[-1].inputs] == ["history", "end_day"]


def test_holidays_of_many_series_are_padded_with_them(client, server):
    client.forecast_many([WEEKS, WEEKS[:7]], last_dates=["2019-02-07", "2019-05-24"], country="US", subdiv="IL")
    flags = sent(server, "holidays")
    assert [np.flatnonzero(row).tolist() for row in flags] == [[23], [3, 25]]  # the shorter travels first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"country": "US"}, "expected a date beside a country"),
        ({"last_date": "2019-05-24", "country": "Atlantis"}, "Received: 'Atlantis', None"),
        ({"last_date": "2019-05-24", "country": "US", "subdiv": "XX"}, "Received: 'US', 'XX'"),
        ({"last_date": "2019-05-24", "subdiv": "IL"}, "expected a country beside it"),
    ],
)
def test_holidays_that_nobody_knows_are_refused(client, server, options, message):
    with pytest.raises(InvalidInput, match=message):
        client.forecast(WEEKS, **options)
    assert server.peers.requests == []


@pytest.mark.parametrize(
    "day",
    [
        "2019-05-31",
        date(2019, 5, 31),
        datetime.datetime(2019, 5, 31, 23, 59),
        np.datetime64("2019-05-31T12:00"),
        pd.Timestamp("2019-05-31"),
    ],
)
def test_takes_dates_in_many_forms(client, day):
    assert client.forecast(WEEKS, last_date=day).dates[0] == date(2019, 6, 1)


@pytest.mark.parametrize("day", ["1959-12-31", "1969-12-30", "1969-12-31"])
def test_a_day_before_1970_is_unknown_to_the_model_and_still_answered_with_dates(client, server, day):
    forecast = client.forecast(WEEKS, last_date=day)
    assert [(ahead - date.fromisoformat(day)).days for ahead in forecast.dates] == [1, 2, 3, 4, 5, 6, 7]
    assert sent(server, "end_day").tolist() == [-1]


def test_only_the_last_days_of_a_long_history_are_sent(client, server):
    forecast = client.forecast(np.arange(3000), last_date="2019-05-31")
    assert sent(server, "history").tolist() == [list(range(1880, 3000))]
    assert forecast.dates[0] == date(2019, 6, 1)
    client.forecast_many([np.arange(3000), WEEKS])
    assert sent(server, "history").shape == (2, 1120)


def test_how_much_history_is_sent_is_an_option(server):
    with server.client(max_history=14) as client:
        client.forecast(WEEKS)
    assert sent(server, "history").tolist() == [WEEKS[-14:]]
    with server.client(max_history=None) as client:
        client.forecast(np.arange(3000))
    assert sent(server, "history").shape == (1, 3000)


def test_refuses_a_history_of_no_days(server):
    with pytest.raises(ValueError, match=r"max_history: expected 1 day or more, or None\. Received: 0"):
        server.client(max_history=0)


def test_many_series_of_many_lengths_keep_their_order(client, server):
    lengths = [7 + (i * 37) % 101 for i in range(150)]
    forecasts = client.forecast_many(
        [np.arange(n) + i for i, n in enumerate(lengths)], last_dates=["2020-01-01", None] * 75
    )
    assert [f.mean[-1] for f in forecasts] == [i + n - 1 for i, n in enumerate(lengths)]
    assert [f.dates is None for f in forecasts] == [False, True] * 75
    assert [request.inputs[0].shape[0] for request in server.peers.requests] == [64, 64, 22]


def test_shorter_series_are_padded_on_the_left(client, server):
    client.forecast_many([[1, 2], [1, 2, 3]])
    np.testing.assert_array_equal(sent(server, "history"), [[np.nan, 1, 2], [1, 2, 3]])


def test_a_series_in_a_frame_out(client, server):
    days = pd.date_range("2024-02-01", periods=21)
    frame = client.forecast(pd.Series(WEEKS, index=days))
    assert frame.index.tolist() == list(pd.date_range("2024-02-22", periods=7))
    assert frame.index.name == "date"
    assert list(frame.columns) == ["mean", *(f"0.{tenth}" for tenth in range(1, 10))]
    assert frame["mean"].tolist() == WEEKS[-7:]
    assert frame["0.5"].tolist() == frame["mean"].tolist()
    assert sent(server, "history").tolist() == [WEEKS]


def test_days_that_an_index_lacks_are_missing_and_order_does_not_matter(client, server):
    series = pd.Series(WEEKS, index=pd.date_range("2024-02-01", periods=21)).drop(pd.Timestamp("2024-02-05"))
    client.forecast(series.iloc[::-1])
    np.testing.assert_array_equal(sent(server, "history")[0], [1, 2, 3, 4, np.nan, *WEEKS[5:]])


@pytest.mark.parametrize(
    "index",
    [
        pd.period_range("2024-02-01", periods=21, freq="D"),
        pd.date_range("2024-02-01", periods=21, tz="America/Chicago"),
        pd.date_range("2024-02-01", periods=21, unit="s"),
    ],
    ids=["period", "zone", "seconds"],
)
def test_takes_daily_indexes_of_all_kinds(client, index):
    series = pd.Series(WEEKS, index=index, dtype="Float64")
    series.iloc[3] = pd.NA
    assert client.forecast(series).index[0] == pd.Timestamp("2024-02-22")


def test_any_other_index_is_not_looked_at(client):
    frame = client.forecast(pd.Series(WEEKS), last_date="2019-05-31")
    assert frame.index[0] == pd.Timestamp("2019-06-01")
    assert client.forecast(pd.Series(WEEKS)).index[0] == 1


def test_a_wide_frame_in_a_wide_frame_out(client):
    days = pd.date_range("2024-02-01", periods=21)
    wide = pd.DataFrame({"a": WEEKS, "b": [v * 2 for v in WEEKS]}, index=days)
    answer = client.forecast_many(wide)
    assert answer["b"]["mean"].tolist() == [v * 2 for v in WEEKS[-7:]]
    assert list(answer.columns.names) == ["series", "statistic"]
    assert answer.index[0] == pd.Timestamp("2024-02-22")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least one number"),
        ([[1.0, 2.0]], r"flat list .* Received: shape \[1, 2\]"),
        (["a"], "expected numbers"),
        ("1234567", "expected a list of numbers. Received: str"),
        ([1.0, float("inf")], r"finite float32 numbers or NaN. Received: inf at 1"),
        ([1e39], r"Received: 1e\+39 at 0"),
    ],
)
def test_refuses_values_that_are_no_series(client, server, values, message):
    with pytest.raises(InvalidInput, match=message):
        client.forecast(values)
    assert server.peers.requests == []


@pytest.mark.parametrize("day", ["31.5.2019", 17000, np.datetime64("NaT"), pd.NaT, "1850-01-01", "2019-02-30"])
def test_refuses_dates_that_are_none(client, day):
    with pytest.raises(InvalidInput, match="last_date: expected a date from 1900"):
        client.forecast(WEEKS, last_date=day)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (pd.date_range("2024-01-01", periods=21, freq="W"), "daily index. Received: 7 days"),
        (pd.date_range("2024-01-01", periods=21, freq="h"), r"without times of day. Received: 2024-01-01 01"),
        (pd.DatetimeIndex(["2024-01-01"] * 21), r"each day once. Received: 2024-01-01 twice"),
        (pd.period_range("2024-01-01", periods=21, freq="M"), r"daily index. Received: frequency 'M"),
        (pd.DatetimeIndex([pd.NaT] * 21), "expected an index of dates"),
    ],
)
def test_refuses_indexes_that_are_not_daily(client, index, message):
    with pytest.raises(InvalidInput, match=message):
        client.forecast(pd.Series(WEEKS, index=index, name="rail"))


def test_refuses_a_second_word_on_dates(client):
    series = pd.Series(WEEKS, index=pd.date_range("2024-02-01", periods=21))
    with pytest.raises(InvalidInput, match="no last_date beside an index of dates"):
        client.forecast(series, last_date="2024-02-21")


def test_refuses_lists_that_do_not_match(client):
    with pytest.raises(InvalidInput, match=r"one for each of 2 series\. Received: 1"):
        client.forecast_many([WEEKS, WEEKS], last_dates=["2020-01-01"])
    with pytest.raises(InvalidInput, match="series: expected at least one"):
        client.forecast_many([])
    with pytest.raises(InvalidInput, match="series 1: expected numbers"):
        client.forecast_many([WEEKS, ["a"]])


def test_another_kind_of_model_is_a_bad_answer():
    result = InferResult("sketchrnn", "1", {"probabilities": np.zeros((1, 3), np.float32)})
    with pytest.raises(BadAnswer, match="sketchrnn: expected an output 'mean'"):
        forecasts_of(result, [history_of_values(WEEKS, None)])
    result = InferResult("other", "1", {"mean": np.zeros((1, 7)), "quantiles": np.zeros((1, 7, 3))})
    with pytest.raises(BadAnswer, match=r"Received: \[1, 7\] and \[1, 7, 3\]"):
        forecasts_of(result, [history_of_values(WEEKS, None)])
