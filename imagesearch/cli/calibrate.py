"""`imagesearch calibrate`: from which score on a hit of a model is a match."""

from __future__ import annotations

from rich.markup import escape

from imagesearch.cli.captioned import opened_set
from imagesearch.cli.options import (
    CaptionedPath,
    CollectionName,
    DataDir,
    ModelName,
    PicturesFolder,
    Split,
    settings_with,
)
from imagesearch.cli.terminal import err, note, out, shown, told_misfits
from imagesearch.domain.printable import printable

EXAMPLES = (
    "Examples:\n\n\b\n"
    "  imagesearch calibrate ~/captioned\n"
    "  imagesearch calibrate ~/captioned --model best\n"
    "  imagesearch calibrate dataset_coco.json --pictures ~/coco\n"
)


def calibrate(
    captioned_set: CaptionedPath = None,
    collection: CollectionName = None,
    pictures: PicturesFolder = None,
    split: Split = "val",
    model: ModelName = None,
    data_dir: DataDir = None,
) -> None:
    """Measure the model on captioned pictures, and keep beside it what is a match."""
    settings = settings_with(clip_model=model, data_dir=data_dir)
    from imagesearch.evaluation.calibration import calibrate  # only here: they import numpy
    from inference_service.calibrate import calibrating  # and load a model

    loading = f"Loading the model {escape(printable(settings.model))}"
    with (
        opened_set(settings, captioned_set, collection, pictures, split) as captioned,
        err.status(loading) as status,
        calibrating(settings.model, note) as (encoder, keep),
    ):
        calibration, misfits = calibrate(
            encoder, captioned, lambda done, what: status.update(f"{done} {what} embedded")
        )
        file = keep(calibration.thresholds)
    told_misfits(misfits)
    levels = calibration.thresholds
    lines = (
        f"{calibration.pictures} pictures, {calibration.searches} searches of each kind.",
        f"AUROC {calibration.auroc:.3f}: so often one that a picture answers scores higher.",
        f"{calibration.refused:.0%} of those that nothing answers are refused, where 95% of the"
        " others are kept.",
        f"Hits are ranked by their cosine less {levels.hubness_share:g} of their hubness."
        f" {levels.phrase_share:g} of that is their score for the least of a sentence's phrases.",
        f"The first is right in {calibration.first_right:.1%} of those that a picture answers.",
        "Scores are compared "
        + ("by their query's spread." if levels.per_spread else "as they are."),
        f"A match is strong from {levels.strong:.3f}, fair from {levels.fair:.3f},"
        f" weak from {levels.weak:.3f}.",
        f"Wrote {file}",
    )
    for line in lines:
        out.print(shown(line), soft_wrap=True)
