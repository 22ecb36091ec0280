"""SavedModels as TensorFlow 1 wrote them: by a builder, from a graph and its session, with tf.Example parsing."""

from pathlib import Path

import tensorflow as tf

v1 = tf.compat.v1
_info = v1.saved_model.build_tensor_info
REGRESS, CLASSIFY, PREDICT = (f"tensorflow/serving/{method}" for method in ("regress", "classify", "predict"))


def save_half_plus_two(path: Path) -> None:
    """Half of a float in a tf.Example, and more: y = x / 2 + 2, y2 = x / 2 + 3, y3 = x2 / 2 + 4; every method.

    classify_words has string classes and two scores a row; classify_classes_only has no scores.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        features = {
            "x": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
            "x2": tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0]),
        }
        parsed = tf.io.parse_example(serialized, features)
        x = tf.identity(parsed["x"], name="x")
        half = v1.get_variable("a", initializer=0.5, use_resource=False)  # as graphs of 2016 have them
        y = tf.add(half * x, v1.get_variable("b", initializer=2.0, use_resource=False), name="y")
        y2 = tf.add(half * x, v1.get_variable("c", initializer=3.0), name="y2")
        y3 = tf.add(half * parsed["x2"], 4.0, name="y3")
        words = tf.tile(tf.constant([["low", "high"]]), [tf.shape(serialized)[0], 1])
        scores = tf.concat([-y, y], axis=1)
        examples = _info(serialized)
        signatures = {
            "serving_default": _signature({"x": _info(x)}, {"y": _info(y)}, PREDICT),
            "regress_x_to_y": _signature({"inputs": examples}, {"outputs": _info(y)}, REGRESS),
            "regress_x_to_y2": _signature({"inputs": examples}, {"outputs": _info(y2)}, REGRESS),
            "regress_x2_to_y3": _signature({"inputs": examples}, {"outputs": _info(y3)}, REGRESS),
            "classify_x_to_y": _signature({"inputs": examples}, {"scores": _info(y)}, CLASSIFY),
            "classify_words": _signature(
                {"inputs": examples}, {"classes": _info(words), "scores": _info(scores)}, CLASSIFY
            ),
            "classify_classes_only": _signature({"inputs": examples}, {"classes": _info(words)}, CLASSIFY),
            "predict_examples": _signature({"examples": examples}, {"y": _info(y), "y2": _info(y2)}, PREDICT),
        }
        session.run(v1.global_variables_initializer())
        _save(path, session, signatures)


def save_legacy(path: Path) -> None:
    """A table from an asset file that a legacy_init_op fills; a second graph, for training, lies beside."""
    words = path.parent / "colours.txt"
    words.parent.mkdir(parents=True, exist_ok=True)
    words.write_text("red\ngreen\nblue\n")
    with tf.Graph().as_default(), v1.Session() as session:
        asset = tf.constant(str(words), name="vocabulary")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        initializer = tf.lookup.TextFileInitializer(
            asset,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
        )
        table = tf.lookup.StaticHashTable(initializer, default_value="?")
        index = v1.placeholder(tf.int64, [None], name="index")
        colour = table.lookup(index)
        v1.get_variable("unused", initializer=1.0)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(path))
        signature = _signature({"index": _info(index)}, {"colour": _info(colour)}, PREDICT)
        builder.add_meta_graph_and_variables(session, ["train"], {"train": signature})
        builder.add_meta_graph(
            ["serve"],
            {"serving_default": signature},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            legacy_init_op=v1.tables_initializer(),
        )
        builder.save(as_text=True)
    words.unlink()


def save_sparse(path: Path) -> None:
    """A signature with a sparse tensor, which no protocol carries, beside one with that tensor's parts."""
    with tf.Graph().as_default(), v1.Session() as session:
        indices = v1.placeholder(tf.int64, [None, 2], name="indices")
        values = v1.placeholder(tf.float32, [None], name="values")
        shape = v1.placeholder(tf.int64, [2], name="dense_shape")
        dense = tf.sparse.to_dense(tf.sparse.SparseTensor(indices, values, shape))
        parts = {"indices": _info(indices), "values": _info(values), "dense_shape": _info(shape)}
        sparse = _info(tf.sparse.SparseTensor(indices, values, shape))
        signatures = {
            "serving_default": _signature(parts, {"dense": _info(dense)}, PREDICT),
            "sparse": _signature({"x": sparse}, {"dense": _info(dense)}, PREDICT),
        }
        _save(path, session, signatures)


def example(**values: float) -> tf.train.Example:
    """A tf.Example of one float a feature."""
    feature = {key: tf.train.Feature(float_list=tf.train.FloatList(value=[value])) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature))


def _signature(inputs, outputs, method):
    return v1.saved_model.build_signature_def(inputs, outputs, method)


def _save(path, session, signatures):
    builder = v1.saved_model.Builder(str(path))
    builder.add_meta_graph_and_variables(session, ["serve"], signatures)
    builder.save()
