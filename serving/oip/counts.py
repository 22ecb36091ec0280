"""What a version has answered, as Triton's statistics extension spells it.

Source: Triton's docs/protocol/extension_statistics.md.
"""

from dataclasses import asdict
from typing import Any

from serving.servables.statistics import BatchStatistics, Duration, ModelStatistics


def model_stats(statistics: ModelStatistics) -> dict[str, Any]:
    """One entry of model_stats, as its JSON has it. There is no response cache here, so that its counts stay 0."""
    return {
        "name": statistics.name,
        "version": str(statistics.version),
        "last_inference": statistics.last_inference,
        "inference_count": statistics.inference_count,
        "execution_count": statistics.execution_count,
        "inference_stats": {
            "success": asdict(statistics.success),
            "fail": asdict(statistics.fail),
            "queue": asdict(statistics.queue),
            **_compute(statistics.compute),
            "cache_hit": asdict(Duration()),
            "cache_miss": asdict(Duration()),
        },
        "batch_stats": [{"batch_size": rows, **_compute(batch)} for rows, batch in sorted(statistics.batches.items())],
        "memory_usage": [],
        "response_stats": {},
    }


def _compute(batch: BatchStatistics) -> dict[str, Any]:
    return asdict(batch)
