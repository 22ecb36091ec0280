import pytest

from serving.errors import FailedPrecondition, InvalidInput
from serving.servables.batching_parameters import (
    BatchingParameters,
    parse_batching_parameters,
    read_batching_parameters,
)


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


def test_batches_have_the_size_that_may_be_executed_where_requests_may_be_split():
    text = """
        max_batch_size { value: 100 }
        enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 16 }
        allowed_batch_sizes: 4
        allowed_batch_sizes: 16
        """
    assert parse_batching_parameters(text) == BatchingParameters(max_batch_size=16, allowed_batch_sizes=(4, 16))
    unsplit = text.replace("true", "false")
    with pytest.raises(InvalidInput, match="Last entry in allowed_batch_sizes must match max_batch_size"):
        parse_batching_parameters(unsplit)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("num_batch_threads { value: 0 }", "num_batch_threads must be 1 or more; received: 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be 0 or more; received: -1"),
        ("allowed_batch_sizes: 1000000000", "allowed_batch_sizes must be at most 65536; received: 1000000000"),
        (
            " ".join(f"allowed_batch_sizes: {n}" for n in range(1, 300)),
            "at most 256 allowed_batch_sizes; received: 299",
        ),
        (
            "max_batch_size { value: 4 } max_execution_batch_size { value: 8 } "
            "enable_large_batch_splitting { value: true }",
            r"max_execution_batch_size must not be above max_batch_size \(4\); received: 8",
        ),
    ],
)
def test_what_tf_serving_refuses_and_what_no_memory_holds_is_refused(text, problem):
    with pytest.raises(InvalidInput, match=problem):
        parse_batching_parameters(text)


def test_no_queue_means_the_shortest():
    assert parse_batching_parameters("max_enqueued_batches { value: 0 }").max_enqueued_batches == 1
