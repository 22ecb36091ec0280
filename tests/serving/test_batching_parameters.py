import pytest

from serving.batching_parameters import BatchingParameters, read_batching_parameters
from serving.errors import FailedPrecondition


def test_a_file_written_for_tf_serving_is_read(tmp_path):
    (tmp_path / "batching_params.pbtxt").write_text(
        """
        max_batch_size { value: 32 }
        batch_timeout_micros { value: 1000 }
        max_enqueued_batches { value: 7 }
        num_batch_threads { value: 4 }
        thread_pool_name { value: "pool" }
        pad_variable_length_inputs: true
        allowed_batch_sizes: 8
        allowed_batch_sizes: 32
        """
    )
    expected = BatchingParameters(max_batch_size=32, max_enqueued_batches=7, allowed_batch_sizes=(8, 32))
    assert read_batching_parameters(tmp_path) == expected


def test_without_the_file_there_are_no_parameters(tmp_path):
    assert read_batching_parameters(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "max_batch_size: 32",
        "no_such_field { value: 1 }",
        "max_batch_size { value: 0 }",
        "allowed_batch_sizes: 4 allowed_batch_sizes: 2",
        "max_batch_size { value: 8 } allowed_batch_sizes: 4",
    ],
)
def test_a_file_that_is_wrong_says_so(tmp_path, text):
    (tmp_path / "batching_params.pbtxt").write_text(text)
    with pytest.raises(FailedPrecondition, match=r"batching_params\.pbtxt is not what it must be"):
        read_batching_parameters(tmp_path)
