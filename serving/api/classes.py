"""The answer of every classifier: which model spoke, and its best classes."""

from pydantic import BaseModel, ConfigDict, Field

from serving.api.answer import Answer
from serving.engine import InferResult

OUTPUTS = ("top_classes", "top_scores")


class ClassScore(BaseModel):
    """One class and how sure the model is of it."""

    label: str
    score: float = Field(description="Probability, 0 to 1; those of all classes sum to 1.", ge=0, le=1)


class ClassAnswer(Answer):
    """The best classes, most probable first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": "sketchrnn",
                "version": 1,
                "classes": [{"label": "cat", "score": 0.93}, {"label": "dog", "score": 0.04}],
            }
        }
    )

    classes: list[ClassScore] = Field(description="The five best classes (fewer where the model knows fewer).")


def class_answer(result: InferResult) -> ClassAnswer:
    """Answer with the first row of `top_classes` (bytes) and `top_scores`."""
    labels, scores = (result.outputs[name][0] for name in OUTPUTS)
    return ClassAnswer.model_construct(
        model=result.model,
        version=result.version,
        classes=[
            # Six digits say all that a float32 probability knows.
            ClassScore.model_construct(label=label.decode(), score=round(float(score), 6))
            for label, score in zip(labels, scores, strict=True)
        ],
    )
