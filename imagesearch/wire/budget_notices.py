"""Cloud Billing's notices of a budget, as Pub/Sub has them.

Source: https://cloud.google.com/billing/docs/how-to/budgets-programmatic-notifications
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from imagesearch.domain.work import BudgetNotice
from imagesearch.wire.validation import well_formed


class _Notice(BaseModel):
    model_config = ConfigDict(defer_build=True, allow_inf_nan=False)
    costAmount: float = Field(ge=0)  # noqa: N815 - Cloud Billing's own spelling
    budgetAmount: float = Field(gt=0)  # noqa: N815


def budget_notice_of(data: bytes) -> BudgetNotice:
    """Return the notice that *data* is; MalformedMessage where it is none."""
    with well_formed(BudgetNotice.__name__):
        said = _Notice.model_validate_json(data)
    return BudgetNotice(said.costAmount, said.budgetAmount)
