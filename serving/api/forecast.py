"""POST /forecast: the next seven days of one daily series, or of many."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from serving.api import public_holidays
from serving.api.answer import Answer
from serving.api.reading import StopAtFirst
from serving.engine import Engine, InferRequest, InferResult
from serving.signature import DEFAULT_SIGNATURE

MODEL = "forecaster"
WITH_HOLIDAYS = "with_holidays"
HORIZON = 7
MIN_OBSERVED = 7
MAX_SERIES = 1024
MAX_VALUE = 1e15
FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2200, 12, 31)
LEVELS = tuple(f"{tenth / 10:.1f}" for tenth in range(1, 10))

_EPOCH = date(1970, 1, 1)
_UNKNOWN_DAY = -1
_MOST_FLAGGED = 3653  # days: ten years


def _enough_observed(values: list[float | None] | None) -> list[float | None] | None:
    if values is None:
        return None
    observed = len(values) - values.count(None)
    if observed < MIN_OBSERVED:
        raise PydanticCustomError(
            "too_few",
            "expected at least {least} values that are not null, got {observed} of {length}",
            {"least": MIN_OBSERVED, "observed": observed, "length": len(values)},
        )
    return values


def _written_date(value: Any) -> date:
    try:
        day = value if isinstance(value, date) else date.fromisoformat(value) if len(value) == 10 else None
    except (TypeError, ValueError):
        day = None
    if day is None or not FIRST_DATE <= day <= LAST_DATE:
        raise PydanticCustomError(
            "date",
            "expected a date that exists, written YYYY-MM-DD, from {first} to {last}",
            {"first": FIRST_DATE.isoformat(), "last": LAST_DATE.isoformat()},
        )
    return day


def _known_place(country: str | None, subdivision: str | None, last_date: date | None) -> None:
    """Refuse holidays that nobody could look up."""
    if country is None:
        if subdivision is not None:
            raise PydanticCustomError("place", "expected a country beside subdiv, got none")
        return
    if last_date is None:
        raise PydanticCustomError("place", "expected last_date beside country: holidays are on dates; got none")
    try:
        public_holidays.check(country, subdivision)
    except public_holidays.UnknownPlace as error:
        raise PydanticCustomError("place", "{reason}", {"reason": str(error)}) from None


Value = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, ge=-MAX_VALUE, le=MAX_VALUE),
]
Values = list[Value | None]
_VALUES_SCHEMA = WithJsonSchema(
    {"type": "array", "items": {"type": "number", "nullable": True}, "minItems": MIN_OBSERVED}
)
LastDate = Annotated[date, BeforeValidator(_written_date), WithJsonSchema({"type": "string", "format": "date"})]

_VALUES = "Daily values, oldest first, null where one is missing; at least seven are not null."
_LAST_DATE = (
    "The day of the last value. Without it the model cannot know weekdays, and answers no dates. "
    "What the model knows of the calendar covers 1970 to 2099; on other days it forecasts as if without a date."
)
_COUNTRY = (
    "ISO 3166 code of the country whose public holidays the series feels, such as US; needs last_date. "
    "Without it the model still expects what it saw on the same holidays of earlier years."
)
_SUBDIV = "ISO 3166-2 code of its state or province, such as IL, for holidays of its own; the country's alone without."
_WEEK = [312.0, 298.5, 305.0, 310.0, 341.5, 402.0, 388.0]
_EXAMPLE: dict[str, Any] = {"values": [*_WEEK, *_WEEK, 318.0, None, *_WEEK[2:]], "last_date": "2019-05-31"}


class Series(BaseModel):
    """One daily series."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    values: Annotated[Values, StopAtFirst(), _VALUES_SCHEMA] = Field(description=_VALUES)
    last_date: LastDate | None = Field(default=None, description=_LAST_DATE)
    country: str | None = Field(default=None, description=_COUNTRY)
    subdiv: str | None = Field(default=None, description=_SUBDIV)

    _observed = field_validator("values")(_enough_observed)

    @model_validator(mode="after")
    def _place(self) -> "Series":
        _known_place(self.country, self.subdiv, self.last_date)
        return self


class ForecastRequest(BaseModel):
    """Either one series (`values`; `last_date` and `country` if they are known), or many in `series`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _EXAMPLE})

    values: Annotated[Values | None, StopAtFirst(), _VALUES_SCHEMA] = Field(default=None, description=_VALUES)
    last_date: LastDate | None = Field(default=None, description=_LAST_DATE)
    country: str | None = Field(default=None, description=_COUNTRY)
    subdiv: str | None = Field(default=None, description=_SUBDIV)
    series: Annotated[list[Series] | None, StopAtFirst()] = Field(
        default=None,
        description=f"Up to {MAX_SERIES:,} series, of any lengths; answered in the same order.",
        min_length=1,
        max_length=MAX_SERIES,
    )

    _observed = field_validator("values")(_enough_observed)

    @model_validator(mode="after")
    def _one_form(self) -> "ForecastRequest":
        if (self.values is None) == (self.series is None):
            came = "neither" if self.values is None else "both"
            raise PydanticCustomError("one_form", f"expected either values (one series) or series (many), got {came}")
        if self.series is not None:
            for name in ("last_date", "country", "subdiv"):
                if getattr(self, name) is not None:
                    raise PydanticCustomError(
                        "one_form", "expected a {name} inside each of the series, got one beside them", {"name": name}
                    )
        else:
            _known_place(self.country, self.subdiv, self.last_date)
        return self

    def every(self) -> Sequence[Series]:
        """Give the series of either form as one sequence."""
        if self.series:
            return self.series
        return [
            Series.model_construct(
                values=self.values or [], last_date=self.last_date, country=self.country, subdiv=self.subdiv
            )
        ]


class Forecast(BaseModel):
    """The seven days after the last value."""

    dates: list[date] | None = Field(description="The days forecast; null where last_date was not given.")
    mean: list[float] = Field(description="The expected value of each day.")
    quantiles: dict[str, list[float]] = Field(
        description='For each level "0.1" to "0.9" the value that the day stays below with that probability.'
    )


_DAYS = [(date(2019, 6, 1) + timedelta(days=day)).isoformat() for day in range(7)]
_FORECAST_EXAMPLE: dict[str, Any] = {
    "dates": _DAYS,
    "mean": _WEEK,
    "quantiles": {level: [value + 8 * (float(level) - 0.5) for value in _WEEK] for level in LEVELS},
}


class ForecastAnswer(Forecast, Answer):
    """The forecast of one series."""

    model_config = ConfigDict(json_schema_extra={"example": {"model": MODEL, "version": 1, **_FORECAST_EXAMPLE}})


class ForecastsAnswer(Answer):
    """The forecasts of many series, in the order in which they were given."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"model": MODEL, "version": 1, "forecasts": [_FORECAST_EXAMPLE]}}
    )

    forecasts: list[Forecast]


def _one_of(schema: dict[str, Any]) -> None:
    schema["oneOf"] = schema.pop("anyOf")  # BentoML's page keeps only the first of anyOf
    schema["example"] = {"model": MODEL, "version": 1, **_FORECAST_EXAMPLE}


class ForecastReply(RootModel[ForecastAnswer | ForecastsAnswer]):
    """One forecast for `values`; a list of them for `series`. For documentation."""

    model_config = ConfigDict(json_schema_extra=_one_of)


async def forecast(engine: Engine, request: ForecastRequest, *, timeout: float) -> ForecastAnswer | ForecastsAnswer:
    """Forecast the seven days after each series.

    timeout: seconds that the answer may take.
    Raises ServingError.
    """
    every = request.every()
    results = await _infer(engine, every, time.monotonic() + timeout)
    answers = {
        index: _forecast(every[index], result, row) for rows, result in results for row, index in enumerate(rows)
    }
    _, first = results[0]
    if request.series is None:
        one = answers[0]
        return ForecastAnswer.model_construct(
            model=first.model, version=first.version, dates=one.dates, mean=one.mean, quantiles=one.quantiles
        )
    in_order = [answers[index] for index in range(len(every))]
    return ForecastsAnswer.model_construct(model=first.model, version=first.version, forecasts=in_order)


async def _infer(engine: Engine, every: Sequence[Series], deadline: float) -> list[tuple[list[int], InferResult]]:
    """Ask for all the series, those of one length together; the engine pads and merges where that is worth it.

    Those with a country are asked for with its holidays, by another signature of the same weights. All answers come
    from one version, also when another takes over in between.
    """
    groups: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for index, series in enumerate(every):
        signature = DEFAULT_SIGNATURE if series.country is None else WITH_HOLIDAYS
        groups[len(series.values), signature].append(index)
    inputs = [await _made([every[row] for row in rows], signature) for (_, signature), rows in groups.items()]

    async def ask(version: int | None) -> list[InferResult]:
        requests = [
            InferRequest(MODEL, given, version=version, signature=signature, deadline=deadline)
            for (_, signature), given in zip(groups, inputs, strict=True)
        ]
        try:
            async with asyncio.TaskGroup() as group:  # where one fails, the others need not be computed
                tasks = [group.create_task(engine.infer(request)) for request in requests]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    results = await ask(None)
    if len({result.version for result in results}) > 1:
        results = await ask(max(result.version for result in results))
    return list(zip(groups.values(), results, strict=True))


async def _made(group: Sequence[Series], signature: str) -> dict[str, NDArray[Any]]:
    """Give the inputs of a group; calendars take milliseconds a year, in which others are answered."""
    if signature == WITH_HOLIDAYS:
        return await asyncio.to_thread(_inputs, group, signature)
    return _inputs(group, signature)


def _inputs(group: Sequence[Series], signature: str) -> dict[str, NDArray[Any]]:
    """Give history float32 [batch, time], NaN where a value is null, and end_day int32 [batch].

    With holidays, also holidays float32 [batch, time + 7].
    """
    inputs: dict[str, NDArray[Any]] = {
        "history": np.array([series.values for series in group], np.float32),
        "end_day": np.array([_end_day(series.last_date) for series in group], np.int32),
    }
    if signature == WITH_HOLIDAYS:
        inputs["holidays"] = np.stack([_holidays(series) for series in group])
    return inputs


def _holidays(series: Series) -> NDArray[np.float32]:
    """Give the flags of the last days of the history, as many as a forecaster could use, and of the seven after it."""
    length = len(series.values)
    if series.country is None or series.last_date is None:
        return np.zeros(length + HORIZON, np.float32)
    known = min(length, _MOST_FLAGGED)
    flags = public_holidays.flags(series.country, series.subdiv, series.last_date, known, HORIZON)
    return np.pad(flags, (length - known, 0))


def _end_day(day: date | None) -> int:
    """Count days since 1970-01-01, -1 for unknown, as an earlier day is: the forecaster knows 1970 to 2099."""
    return _UNKNOWN_DAY if day is None or day < _EPOCH else (day - _EPOCH).days


def _forecast(series: Series, result: InferResult, row: int) -> Forecast:
    mean = _shortest(result.outputs["mean"][row])
    dates = None
    if series.last_date is not None:
        dates = [series.last_date + timedelta(days=ahead) for ahead in range(1, len(mean) + 1)]
    by_level = result.outputs["quantiles"][row].T
    quantiles = {level: _shortest(days) for level, days in zip(LEVELS, by_level, strict=True)}
    return Forecast.model_construct(dates=dates, mean=mean, quantiles=quantiles)


def _shortest(values: NDArray[np.float32]) -> list[float]:
    """Give the shortest decimals that are these float32: 0.1 rather than 0.10000000149011612."""
    return [float(text) for text in values.astype("U")]
