"""Where the spans of a process go; unless told they go nowhere, and nothing of them is loaded."""

from __future__ import annotations

from imagesearch import telemetry
from imagesearch.compose.start import require
from imagesearch.settings import Settings


def export_spans(settings: Settings) -> None:
    """
    Have spans go where the settings say.

    Raises:
        InvalidRequest: they go to Cloud Trace, and no project is named.
    """
    if settings.traces == "console":
        from imagesearch.adapters.spans.console import Console

        telemetry.export_spans(Console())
    elif settings.traces == "cloud":
        require(settings, "google_cloud_project")
        from imagesearch.adapters.spans.cloud_trace import CloudTrace

        telemetry.export_spans(CloudTrace(settings.google_cloud_project))
