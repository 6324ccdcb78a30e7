"""Prints what imagesearch costs on Google Cloud: a month in which nobody asks, and 1,000 searches.

The formulas are in `cost_model.py`, the prices and assumptions in `costs.toml`. `docs/costs.md`
holds what this prints, and a test compares the two. `tools/first_deployment.sh` asks for the few
lines about the profiles, to choose one by.

Usage: python -m tools.costs [--write | --profiles]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tools.cost_model import (
    HOUR_SECONDS,
    PICTURES,
    PROFILES,
    SEARCHES,
    WEEKS_A_MONTH,
    Case,
    Costs,
    load,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "costs.md"
BEGIN = "<!-- printed by python -m tools.costs -->"
END = "<!-- end of what is printed -->"

STORED = (100_000, 1_000_000)

# In the words of costs.toml: prices as they are, counts of a search in italics.
FORMULAS = (
    (
        "billed by the request",
        "requests × (`request` + seconds, rounded up to 0.1, × (vCPUs × `request_cpu` + "
        "GiB × `request_memory`)), and for each start as much as a request of that length",
    ),
    (
        "GPU awake",
        "(starts × (`service_start_seconds` + `linger_seconds`) + the hour, or the time to embed "
        "if that is longer) × (`l4` + 4 × `instance_cpu` + 16 × `instance_memory`)",
    ),
    (
        "embedding on CPUs",
        "*images stored* / (`cpu_images_per_second` × 4) seconds, in *messages* − 1 requests",
    ),
    (
        "Firestore",
        "*reads* × `firestore_read` + *writes* × `firestore_write` + *deletes* × "
        "`firestore_delete`; a new keyword waits, and reads each second",
    ),
    (
        "Cloud Storage",
        "*images stored* × `class_a` + (*images looked up* + `images_shown`) × `class_b`; without "
        "Memorystore each stored image is read once more",
    ),
    ("Pub/Sub", "*messages*, published and delivered, × `message_bytes` × `pubsub`"),
    (
        "a collection's pages",
        "pictures / `page_pictures`, each after the one before; the fetch function takes "
        "`picture_seconds` for each new picture, or waits until it is embedded; every operation as "
        "below is counted, and a listing besides",
    ),
    (
        "to the callers",
        "(`answer_bytes` + `images_shown` × `image_bytes`) × `data_out`; with a domain the images "
        "at `cdn_data_out`, with `cdn_lookup`, `load_balancer_data` and `armor_request` besides; "
        "private images cost a request of the query function each, and no CDN keeps them",
    ),
    (
        "Artifact Registry, at most",
        "(`registry_versions` × (image + `function_images_gib`) + `registry_caches` × image − "
        "0.5 GiB) × `registry`, as if no two images had a layer in common",
    ),
)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its numbers to the right."""
    are_numbers = [all(_is_number(row[i]) for row in rows) for i in range(len(header))]
    rule = ["---:" if right else "---" for right in are_numbers]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def _is_number(text: str) -> bool:
    bare = text.strip("*< ").replace(",", "").replace(".", "", 1).lstrip("-+")
    return bare.isdigit() or bare == "unknown"


def _usd(dollars: float) -> str:
    if dollars == 0:
        return "0"
    return f"{dollars:.3f}" if dollars >= 0.001 else "< 0.001"


def _by_part(costs: Costs, kind: str) -> str:
    cases = [Case(profile, kind) for profile in PROFILES]
    parts = [costs.searches(case) for case in cases]
    rows = [
        [name, *(_usd(part[name]) for part in parts)]
        for name in parts[0]
        if any(part[name] for part in parts)
    ]
    total = [f"**{_usd(costs.total(case))}**" for case in cases]
    return table(["part", *PROFILES], [*rows, ["**together**", *total]])


def _by_distance(costs: Costs) -> str:
    kinds = {"warm": "on a ready pool", "new": "of a new keyword", "renewed": "on a pool a day old"}
    rows = []
    for kind, said in kinds.items():
        for apart, when in ((False, "within an hour"), (True, "each finds all asleep")):
            cases = [Case(profile, kind, apart) for profile in PROFILES]
            rows.append([f"{said}, {when}", *(_usd(costs.total(case)) for case in cases)])
    return table(["1,000 searches", *PROFILES], rows)


def _at_the_limits(costs: Costs) -> str:
    keywords = f"{costs.value('new_keywords_per_day'):,.0f} new keywords"
    days = (costs.day_at_the_limit(profile) for profile in PROFILES)
    rows = [[f"{keywords}, spread so that one GPU never sleeps", *(f"{day:.2f}" for day in days)]]
    searches = costs.value("catalog_searches_per_day")
    for images in STORED:
        day = searches / SEARCHES * costs.searches_over_everything(images)
        said = f"reads of {searches:,.0f} searches over {images:,} images in Firestore"
        rows.append([said, *[f"{day:.2f}"] * len(PROFILES)])
    most = costs.value("dollars_per_day")
    asked = 24 * 60 * costs.value("requests_per_minute")
    refused = asked / 1e6 * costs.refused()
    instances = costs.value("query_instances")
    everywhere, busy = instances * refused, costs.instances_for_a_day()
    at_once = 100 * 24 * HOUR_SECONDS / 1e6 * costs.a_million_came()
    rows.append([f"**of all of these together, at most {most:g}**", *[f"**{most:.2f}**"] * 3])
    rows.append([f"{asked:,.0f} requests of one client, all refused", *[f"{refused:.2f}"] * 3])
    each = f"as many of each of {instances:.0f} instances, without Memorystore"
    rows.append([each, *[f"{everywhere:.2f}"] * 3])
    flood = f"a flood that keeps {instances:.0f} instances busy, at most, and 100 requests a second"
    rows.append([flood, *[f"{busy + at_once:.2f}"] * 3])
    return (
        f"{table(['a day', *PROFILES], rows)}\n\nThe first lines are of counts alone: what all "
        "clients ask for is charged with its price, and refused once the day's dollars are spent "
        "([decision 0085](decisions/0085-a-day-has-so-many-dollars.md)). A refusal costs, too: "
        f"{costs.refused():.2f} a million. In a flood many share an instance: "
        f"`instances.query.max` has the time of all instances cost {busy:.2f} a day at most, and "
        f"each million that comes costs {costs.a_million_came():.2f} besides, for requests and "
        "lines, which nothing of the program bounds. Only a `domain` with Cloud Armor refuses "
        "before the function. Images that are read from the bucket without a search "
        "are counted by nobody, unless they are private: then each is charged."
    )


def _differences(costs: Costs) -> str:
    rows = []
    for name, change in (
        ("with Memorystore", {"memorystore": True}),
        ("with a domain", {"domain": True}),
        ("with private images", {"private_images": True}),
        ("with both", {"domain": True, "private_images": True}),
    ):
        for kind in ("warm", "new"):
            case = Case("cpu", kind)  # the same in each profile
            more = costs.total(replace(case, **change)) - costs.total(case)  # type: ignore[arg-type]
            rows.append([f"{name}, {kind}", f"{more:+.3f}"])
    return table(["1,000 searches within an hour", "more or less"], rows)


def by_profile(costs: Costs) -> str:
    """Return what each profile costs idle, for a search and for a new keyword, for a terminal."""
    idle = {False: "a month in which nobody asks", True: "the same with Memorystore"}
    rows: list[tuple[str, ...]] = [("US dollars, before free quotas", *PROFILES)]
    for memorystore, said in idle.items():
        months = (
            costs.idle(memorystore=memorystore, domain=False, profile=profile)
            for profile in PROFILES
        )
        rows.append((said, *(f"{sum(month.values()):.2f}" for month in months)))
    for kind, said in (("warm", "a search"), ("new", "a new keyword")):
        for apart, when in ((True, "when all is asleep"), (False, "of 1,000 within an hour")):
            each = (costs.total(Case(profile, kind, apart)) / SEARCHES for profile in PROFILES)
            rows.append((f"{said}, {when}", *(f"{usd:.4f}" for usd in each)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _idle(costs: Costs) -> str:
    options = {
        "as it comes": {"memorystore": False, "domain": False},
        "with Memorystore": {"memorystore": True, "domain": False},
        "with that and a domain": {"memorystore": True, "domain": True},
    }
    columns = [costs.idle(**option, profile="split") for option in options.values()]
    rows = [[name, *(f"{column[name]:.2f}" for column in columns)] for name in columns[0]]
    rows.append(["services, topics and Firestore, asleep", *(["0.00"] * len(columns))])
    rows.append(["the uptime check itself", *(["unknown"] * len(columns))])
    rows.append(["the job of Cloud Scheduler that forgets", *(["unknown"] * len(columns))])
    totals = [sum(column.values()) for column in columns]
    rows.append(
        ["**together, but for the unknown and alerts**", *(f"**{one:.2f}**" for one in totals)]
    )
    conditions = costs.value("alert_conditions")
    key, alerts = costs.price("kms_key"), conditions * costs.price("alert_condition")
    rows.append(
        [f"{conditions:.0f} conditions of alerts, unverified", *[f"{alerts:.2f}"] * len(columns)]
    )
    with_alerts = [f"**{one + alerts:.2f}**" for one in totals]
    less = costs.idle(memorystore=False, domain=False, profile="cpu")
    saved = columns[0]["Artifact Registry, at most"] - less["Artifact Registry, at most"]
    text = table(["a month", *options], [*rows, ["**and with these**", *with_alerts]])
    return (
        f"{text}\n\nThe profile `cpu` has smaller images: {saved:.2f} less. With `kms_key` each "
        f"version of the key that is not destroyed costs {key:.2f} more, and "
        "what it encrypts and decrypts besides. Alerts are most of an idle month from the day that "
        "Google charges for their conditions, if the price is still that."
    )


def _prices(costs: Costs) -> str:
    rows = [
        [
            f"`{name}`",
            f"{price['usd']:.10f}".rstrip("0").rstrip(".") if "usd" in price else "unknown",
            price["unit"],
            price["source"] + (f" ({price['certainty']})" if "certainty" in price else ""),
            price["read"],
        ]
        for name, price in costs.tables["prices"].items()
    ]
    return table(["price", "USD", "for a", "source", "read"], rows)


def _free(costs: Costs) -> str:
    rows = [
        [f"{price['amount']:,}", price["unit"], price["for_each"], price["source"]]
        for price in costs.tables["free"].values()
    ]
    return table(["free a month", "of", "once for each", "source"], rows)


def _assumptions(costs: Costs) -> str:
    rows = [
        [f"`{name}`", f"{assumption['value']:,}", assumption["unit"], assumption["from"]]
        for name, assumption in costs.tables["assumptions"].items()
    ]
    return table(["assumption", "value", "of", "from"], rows)


def _collection(costs: Costs) -> str:
    by_profile = [costs.collection(profile) for profile in PROFILES]
    week = costs.collection_week()
    rows = [
        [name, *(_usd(month[name]) for month in by_profile), _usd(week.get(name, 0))]
        for name in by_profile[0]
    ]
    totals = [*(sum(month.values()) for month in by_profile), sum(week.values())]
    rows.append(["**together**", *(f"**{_usd(total)}**" for total in totals)])
    head = ["part", *(f"added, {profile}" for profile in PROFILES), "a weekly look"]
    hours = max(costs.collection_seconds(profile) for profile in PROFILES) / HOUR_SECONDS
    kept, looks = _usd(costs.collection_kept()), _usd(WEEKS_A_MONTH * totals[-1])
    return (
        f"{table(head, rows)}\n\nIts pages come one after the other: it takes {hours:.1f} hours, "
        f"in which a GPU is awake. A month of it costs {kept} for previews, embeddings and files, "
        f"and {looks} for a look each week. Reading a bucket of another region is billed besides."
    )


def _counts(counts: Mapping[str, Mapping[str, int]], head: str) -> str:
    rows = [
        [name.replace("_", " "), *(str(counts[kind][name]) for kind in counts)]
        for name in next(iter(counts.values()))
    ]
    return table([head, *counts], rows)


def page(costs: Costs) -> str:
    """Return the tables in Markdown."""
    images = SEARCHES * costs.value("images_per_pool")
    build = costs.value("roll_out_minutes") * costs.price("build_minute")
    update = costs.value("update_minutes") * costs.price("build_minute")
    scans = costs.value("scanned_images") * costs.price("image_scan")
    return "\n\n".join(
        [
            "## A month in which nobody asks",
            _idle(costs),
            "## 1,000 searches on ready pools, within an hour",
            _by_part(costs, "warm"),
            "## 1,000 searches of new keywords, within an hour",
            _by_part(costs, "new"),
            f"Their images take one instance {costs.embedding_hours(gpu=False):.1f} hours on CPUs, "
            f"and {costs.embedding_hours(gpu=True):.1f} on a GPU. What they leave behind, "
            f"{images:,.0f} images and embeddings, costs {_usd(costs.left_behind())} a month.",
            "## By how they are spread",
            _by_distance(costs),
            f"An hour of a GPU that is awake costs {costs.hour_of_gpu():.3f}.",
            "## A day at the limits",
            _at_the_limits(costs),
            f"## A collection of {PICTURES:,} pictures in a bucket",
            _collection(costs),
            "## Other ways to run it",
            _differences(costs),
            f"A roll-out by Cloud Build costs {build:.2f}, and with `scan_images` at most "
            f"{scans:.2f} more, {costs.price('image_scan'):.2f} for each image that is new. "
            f"An update by `update_schedule` costs {update:.2f} each time.",
            f"An hour in which a window of the [web app](app.md) is open costs "
            f"{costs.hour_of_window():.3f}, and a day of it {24 * costs.hour_of_window():.2f}: a "
            "window holds a connection, and the one instance is billed while there is any. However "
            "many are open at a time, it is the same.",
            "## Formulas",
            table(["part", "for 1,000 searches or a month"], FORMULAS),
            "## Prices",
            _prices(costs),
            "## Free quotas",
            _free(costs),
            "## What a search makes the services do",
            _counts(costs.tables["counts"], "one search makes"),
            _counts(
                costs.tables["pages"],
                f"a page of {costs.value('page_pictures'):.0f} pictures makes",
            ),
            "## Assumptions",
            _assumptions(costs),
        ]
    )


def written(text: str, printed: str) -> str:
    """Return the page *text* with *printed* between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{printed}\n\n{END}{after}"


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.costs")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--write", action="store_true", help=f"write them into {PAGE.name}")
    which.add_argument("--profiles", action="store_true", help="print what to choose a profile by")
    arguments, costs = parser.parse_args(), load()
    if arguments.write:
        PAGE.write_text(written(PAGE.read_text(), page(costs)))
    else:
        print(by_profile(costs) if arguments.profiles else page(costs))


if __name__ == "__main__":
    main()
