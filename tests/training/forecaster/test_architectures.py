import keras
import numpy as np
import pytest
from keras import ops

from training.forecaster import architectures, data, model
from training.forecaster.architectures import encoder_decoder, lstm
from training.forecaster.features import HORIZON
from training.forecaster.generated import generate

TRAINED = [name for name in architectures.ARCHITECTURES if name != "seasonal_naive"]
DAY = np.array([17000], "int32")


@pytest.fixture(scope="module")
def windows() -> data.Windows:
    spans, _, _ = data.split(generate(4, days=(200, 300), kind="transport"), {})
    return data.Windows(spans)


def _small(name: str, **options: object) -> keras.Model:
    keras.utils.set_random_seed(0)
    return architectures.build(name, model.ForecasterConfig(architecture=name, units=8, dropout=0.0, **options))


@pytest.mark.parametrize("name", TRAINED)
def test_steps_lower_the_loss(name: str, windows: data.Windows) -> None:
    inputs, targets = windows.collate(np.arange(8), np.random.default_rng(0))
    made = _small(name)
    made.compile(keras.optimizers.Adam(0.01), loss=model.forecast_loss, run_eagerly=True)  # tracing takes longer
    losses = [made.train_on_batch(inputs, targets) for _ in range(3)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", architectures.ARCHITECTURES)
def test_all_take_and_give_the_same(name: str) -> None:
    made = _small(name)
    assert set(made.input) == {"history", "end_day", "holidays"}
    for history in (np.arange(7.0), np.full(200, np.nan), np.full(50, 3.0), np.random.default_rng(0).normal(size=900)):
        answer = ops.convert_to_numpy(model.answer(made, history[None].astype("float32"), DAY))
        assert answer.shape == (1, HORIZON, 11)
        assert np.isfinite(answer).all()
        assert (np.diff(answer[0, :, 1:-1], axis=1) >= 0).all()


@pytest.mark.parametrize("name", architectures.ARCHITECTURES)
def test_each_is_made_again_from_its_configuration(name: str) -> None:
    made = _small(name)
    again = keras.Model.from_config(made.get_config())
    again.set_weights(made.get_weights())
    history = np.random.default_rng(0).normal(size=(1, 100)).astype("float32")
    np.testing.assert_array_equal(model.answer(again, history, DAY), model.answer(made, history, DAY))


def test_the_lstm_has_the_weights_that_it_says() -> None:
    core = lstm.core(model.ForecasterConfig())
    assert core.count_params() == 30_567
    assert core.input_shape == (None, 10, 5)
    assert sum(int(np.prod(v.shape)) for v in _small("lstm").trainable_variables) == 30_567


def test_the_naive_forecast_is_last_week_again() -> None:
    history = np.random.default_rng(0).uniform(10, 20, (1, 120)).astype("float32")
    history[0, -3] = np.nan
    answer = ops.convert_to_numpy(model.answer(_small("seasonal_naive"), history, DAY))[0]
    expected = np.where(np.isnan(history[0, -7:]), history[0, -14:-7], history[0, -7:])
    np.testing.assert_allclose(answer[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(answer[:, 5], expected, rtol=1e-5)


def test_the_naive_quantiles_hold_as_many_past_changes_as_they_say() -> None:
    history = np.random.default_rng(0).normal(100, 10, (1, 112)).astype("float32")
    answer = ops.convert_to_numpy(model.answer(_small("seasonal_naive"), history, DAY))[0]
    changes = np.abs(history[0, 7:] - history[0, :-7])
    reach = (answer[0, 9] - answer[0, 1]) / 2
    assert np.mean(changes <= reach) == pytest.approx(0.8, abs=0.02)


def test_a_constant_series_has_no_width() -> None:
    answer = ops.convert_to_numpy(model.answer(_small("seasonal_naive"), np.full((1, 60), 5.0, "float32"), DAY))[0]
    np.testing.assert_allclose(answer[:, :-1], 5.0, rtol=1e-4)


@pytest.mark.parametrize("name", ["weekly", "encoder_decoder"])
def test_cells_may_be_chosen(name: str) -> None:
    lstms, grus = (_small(name, cell=cell).count_params() for cell in ("lstm", "gru"))
    assert grus < lstms


def test_gradients_may_be_cut_short() -> None:
    whole, cut = _small("encoder_decoder"), _small("encoder_decoder", bptt=14)
    cut.set_weights(whole.get_weights())
    history = np.random.default_rng(0).normal(size=(1, 112)).astype("float32")
    expected = model.answer(whole, history, DAY)
    np.testing.assert_allclose(model.answer(cut, history, DAY), expected, rtol=1e-4, atol=1e-5)


def test_each_day_sees_what_was_emitted_for_the_day_before() -> None:
    layer = encoder_decoder.OneByOne("gru", 4)
    days, state = np.zeros((1, HORIZON, 3), "float32"), [np.zeros((1, 4), "float32")]
    before = ops.convert_to_numpy(layer(days, state))
    layer.emit.bias.assign_add(np.ones(10, "float32"))
    after = ops.convert_to_numpy(layer(days, state))
    assert np.abs(after[:, 0] - before[:, 0] - 1).max() < 1e-6
    assert np.abs(after[:, 1] - before[:, 1] - 1).max() > 1e-3


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="among weekly, lstm, encoder_decoder, conv_gru, seasonal_naive"):
        architectures.build("transformer")
    with pytest.raises(ValueError, match="Expected a cell among lstm, gru"):
        _small("weekly", cell="rnn")
