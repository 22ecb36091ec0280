import pytest

from loadtests.thresholds import DEFAULT_FILE, Limits, Row, Thresholds, read

GOOD = Row("a", requests=100, failures=0, p95_ms=10)


@pytest.fixture
def thresholds():
    return Thresholds(Limits(p95_ms=100, error_rate=0.01), {"slow": Limits(p95_ms=500, error_rate=0)})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (GOOD, None),
        (Row("a", 100, 1, 100), None),
        (Row("a", 100, 2, 10), "a: expected at most 1.00% errors, got 2.00% (2 of 100)"),
        (Row("a", 100, 0, 101), "a: expected p95 of at most 100 ms, got 101 ms"),
        (Row("a", 0, 0, 0), "a: expected 1 requests or more, got 0"),
        (Row("slow", 100, 0, 400), None),
        (Row("slow", 100, 1, 400), "slow: expected at most 0.00% errors, got 1.00% (1 of 100)"),
    ],
)
def test_says_which_limit_was_broken(thresholds, row, words):
    assert thresholds.broken_by([GOOD, row]) == ([] if words is None else [words])


def test_every_broken_limit_is_named(thresholds):
    assert len(thresholds.broken_by([Row("a", 10, 10, 1000), Row("slow", 10, 10, 1000)])) == 4


def test_a_row_that_is_absent_had_no_requests(thresholds):
    assert thresholds.broken_by([GOOD], ["a", "b"]) == ["b: expected 1 requests or more, got 0"]


def test_a_rows_table_adds_to_the_default(tmp_path):
    file = tmp_path / "limits.toml"
    file.write_text('[default]\np95_ms = 50\nerror_rate = 0.1\n[rows."x y"]\np95_ms = 70\n')
    limits = read(file)
    assert limits.default == Limits(50, 0.1)
    assert limits.rows["x y"] == Limits(70, 0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[default]\np95_ms = 50\n", r"default: expected p95_ms and error_rate. Received: \['p95_ms'\]"),
        ("[default]\np95 = 50\nerror_rate = 0\n", r"default: expected only .* Received: \['p95'\]"),
        ("[other]\n", r"the file: expected only .* Received: \['other'\]"),
    ],
)
def test_refuses_a_file_that_it_does_not_understand(tmp_path, text, words):
    file = tmp_path / "limits.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        read(file)


def test_the_shipped_file_is_read():
    assert read(DEFAULT_FILE).default.error_rate < 0.01
