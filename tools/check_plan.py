"""Tells whether a Terraform plan only rolls out code, which is all that the deployer may do.

The deployer's rights are in `terraform/deployer.tf`. A plan that needs more would be refused half
way through; here it is refused before anything changes.

Usage: python -m tools.check_plan build/plan.json (of `terraform show -json`)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# What the deployer may update: terraform/deployer.tf grants run.developer and
# cloudfunctions.developer on these.
ROLLED_OUT = ("google_cloud_run_v2_service", "google_cloudfunctions2_function")
_HARMLESS = (["no-op"], ["read"])


def structural_changes(plan: Mapping[str, Any]) -> list[str]:
    """Return what *plan* changes besides the code that runs, as "ADDRESS: ACTION" each."""
    return [
        f"{change['address']}: {' and '.join(actions)}"
        for change in plan.get("resource_changes", ())
        if (actions := change["change"]["actions"]) not in _HARMLESS
        and not (change["type"] in ROLLED_OUT and actions == ["update"])
    ]


def main() -> None:
    """Print the structural changes; the exit status is 1 when there are any."""
    parser = argparse.ArgumentParser(prog="python -m tools.check_plan")
    parser.add_argument("plan", type=Path, help="output of `terraform show -json PLAN`")
    plan = json.loads(parser.parse_args().plan.read_bytes())
    if found := structural_changes(plan):
        print("This changes more than the code that runs:", *found, sep="\n  ")
        sys.exit("The deployer may not do that. A person may: tools/first_deployment.sh")
    print("This rolls out code and changes nothing else.")


if __name__ == "__main__":
    main()
