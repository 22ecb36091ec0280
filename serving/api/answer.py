"""What every typed answer begins with."""

from pydantic import BaseModel, Field


class Answer(BaseModel):
    """An answer that tells who gave it."""

    model: str = Field(description="Name of the model that answered.")
    version: int = Field(description="Version of that model.")
