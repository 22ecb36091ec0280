import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from training.__main__ import FAMILIES
from training.report import LARGEST_PLOT, Section, bootstrap, facts, markdown_table, model_columns, publish, write

from .tiny import export_tiny

PAGE = """# Accuracy

## One

<!-- one -->
old
<!-- /one -->

by hand

<!-- two -->
<!-- /two -->
"""


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "accuracy.md").write_text(PAGE)
    return tmp_path


def noise() -> Figure:
    """What compresses worst."""
    figure = Figure(figsize=(6, 4))
    figure.subplots().imshow(np.random.default_rng(0).normal(size=(400, 600)))
    return figure


def test_a_section_replaces_the_one_before_and_nothing_else(docs: Path) -> None:
    for text in ("first\n", "new | figures"):
        write(Section(family="one", markdown=text), docs)
    assert (docs / "accuracy.md").read_text() == PAGE.replace("old\n", "\nnew | figures\n\n")
    assert not (docs / "accuracy").exists()


def test_plots_are_small_and_named_for_the_family(docs: Path) -> None:
    write(Section(family="two", markdown="![fans](accuracy/two-fans.png)", plots={"fans": noise()}), docs)
    plot = (docs / "accuracy" / "two-fans.png").read_bytes()
    assert plot[:4] == b"\x89PNG"
    assert len(plot) < LARGEST_PLOT


@pytest.mark.parametrize("text", ["<!-- two -->\n", "<!-- /one -->\n<!-- one -->\n", "<!-- one -->\n" * 2])
def test_a_page_without_the_place_is_left_alone(docs: Path, text: str) -> None:
    (docs / "accuracy.md").write_text(text)
    with pytest.raises(ValueError, match=r"Expected the lines <!-- one --> and <!-- /one --> once each.*Received"):
        write(Section(family="one", markdown="new"), docs)
    assert (docs / "accuracy.md").read_text() == text


def test_a_section_is_printed_and_saved_where_asked(docs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(Section(family="one", markdown="new"), None)
    assert capsys.readouterr().out == "new\n"
    assert (docs / "accuracy.md").read_text() == PAGE
    publish(Section(family="one", markdown="new"), docs)
    assert "new" in (docs / "accuracy.md").read_text()


def test_a_table_has_the_columns_of_all_rows() -> None:
    rows = [{"model": "naive", "MAE": 63148.2}, {"model": "ours", "parameters": 30567, "MAE": np.float64(0.65123)}]
    assert markdown_table(rows).splitlines() == [
        "| model | MAE | parameters |",
        "| --- | --- | --- |",
        "| naive | 6.315e+04 | – |",
        "| ours | 0.6512 | 30,567 |",
    ]


def test_an_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(5.0, 2.0, 400)
    low, high = bootstrap(values, rng)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_values_that_depend_on_their_neighbours_are_drawn_in_blocks() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=40), 7)
    (low, high), (lower, higher) = bootstrap(values, rng), bootstrap(values, rng, block=7)
    assert higher - lower > 1.8 * (high - low)


def test_missing_values_do_not_count_and_any_statistic_will_do() -> None:
    rng = np.random.default_rng(0)
    low, high = bootstrap([1.0, np.nan, 3.0], rng)
    assert 1 <= low <= high <= 3
    assert bootstrap([4.0, 4.0], rng, statistic=np.nanmedian) == (4.0, 4.0)
    for values, block in (([], 1), ([1.0], 2)):
        with pytest.raises(ValueError, match="Expected values, in blocks"):
            bootstrap(values, rng, block=block)


def test_many_values_take_no_more_memory_than_a_few_of_their_size() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    tracemalloc.start()
    bootstrap(values, np.random.default_rng(0), rounds=200, statistic=np.mean)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20 * values.nbytes


def test_a_models_row_begins_with_what_it_is_and_costs(tmp_path: Path) -> None:
    said = {"architecture": "sum", "parameters": 18, "seconds_per_epoch": 0.5}
    version = export_tiny(tmp_path, facts=said)
    columns = model_columns(version, {"points": np.ones((1, 3, 2), "float32")})
    assert columns["architecture"] == "sum"
    assert columns["parameters"] == 18
    assert columns["s an epoch"] == 0.5
    assert float(columns["ms at batch 1"]) > 0
    assert facts(tmp_path) == {}


def test_the_documentation_has_a_place_for_every_family(tmp_path: Path) -> None:
    (tmp_path / "accuracy.md").write_bytes((Path(__file__).parents[2] / "docs" / "accuracy.md").read_bytes())
    for family in FAMILIES:
        write(Section(family=family, markdown="figures"), tmp_path)
