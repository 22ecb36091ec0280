import io

import numpy as np

from training.sketchrnn import generate
from training.sketchrnn.plots import EXAMPLES, draw_classes, draw_confused, draw_curves, draw_ink


def test_plots_are_drawn() -> None:
    sketches = generate.sketches(train=1, valid=1, test=4)
    drawings = sketches.splits["test"]
    predicted = (drawings.labels + np.arange(len(drawings)) % 3) % len(sketches.classes)
    pairs = draw_confused(sketches.classes, drawings, predicted)
    assert len(pairs.axes) == 8 * EXAMPLES
    assert pairs.axes[0].lines
    assert "\u2192" in pairs.axes[0].get_title()
    shares = draw_classes(sketches.classes, predicted == drawings.labels, drawings.labels)
    assert len(shares.axes[1].patches) == len(sketches.classes)
    history = [{"accuracy": 0.1, "val_accuracy": 0.2}, {"accuracy": 0.3, "val_accuracy": 0.3}]
    curves = draw_curves({"one": history, "other": history[:1]})
    assert curves is not None
    np.testing.assert_allclose(curves.axes[0].lines[0].get_ydata(), [20, 30])
    for figure in (pairs, shares, curves):
        figure.savefig(io.BytesIO())


def test_ink_is_one_line_a_stroke() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    draw_ink(axes, np.array([[4, 0, 1], [0, 3, 0], [-4, 0, 1]], "float32"))
    drawn = [np.array(line.get_xydata()).tolist() for line in axes.lines if len(line.get_xdata())]
    assert drawn == [[[0, 0], [4, 0]], [[4, -3], [0, -3]]]


def test_models_without_a_history_have_no_curves() -> None:
    assert draw_curves({"one": [], "other": []}) is None
    curves = draw_curves({"one": [], "other": [{"accuracy": 0.1, "val_accuracy": 0.2}]})
    assert curves is not None
    assert curves.axes[0].lines[0].get_label() == "other"
