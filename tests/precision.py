"""In which precision OpenVINO computes: in bfloat16, of 8 bits, where the processor has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openvino
import pytest

from inference_service.model import Model


def has_bfloat16() -> bool:
    """Return whether this processor computes in bfloat16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(scope="module", autouse=True)
def computing_in_float32() -> Iterator[None]:
    """Have the models that tests of the module load compute alike on every processor."""
    load = Model.load

    def load_exactly(folder: Path, device: str, **_: bool) -> Model:
        return load(folder, device, in_float32=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "load", load_exactly)
        yield
