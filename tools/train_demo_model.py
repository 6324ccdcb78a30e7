"""
Trains the demo's CLIP on captions of the demo's scenes and measures it; writes `models/demo/`.

The scenes themselves are `imagesearch.demo`; running a CLIP in the product is
`inference_service`. Usage: `python -m tools.train_demo_model` (or `--eval-only`).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import math
import multiprocessing
import random
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from torch.nn import functional
from transformers import AutoImageProcessor, AutoTokenizer, CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from imagesearch.demo import drawing, scenes, wording
from imagesearch.demo.scenes import PLACES, POSITIONS, THINGS, TIMES, Group, Scene
from tools import absent_words
from tools.absent_words import known_words, words_of
from tools.muon import Muon

FOLDER: Final = Path(__file__).resolve().parent.parent / "models" / "demo"
IMAGE_SIZE: Final = 96
HELD_OUT_EVERY: Final = 8
MAX_LOGIT_SCALE: Final = 100
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
ENGLISH_SHARE: Final = 0.3
"""How many of the captions are English; the others share the rest alike."""
PAIRS: Final = 0.25


@dataclass(frozen=True)
class Recipe:
    """
    The settings of a training.

    The learning rates warm up and fall by a cosine to zero; `inner_rate` is that of the matrices
    within the encoders, which Muon trains, and `rate` that of all else.

    For the first `helped` steps the helper heads count as much as all else, scenes are of anything,
    and half of the sentences say all of one. Then the helpers count half, what is learned of words
    double, and each pair of caption and picture is judged alone, too; of either half of the `batch`
    `alike` pictures show one of `keywords` things, as a keyword's pool does, and of the `sentences`
    `full` say all of a picture, and `false` ask for what there is not, as `strange` of the `words`
    do. For the last third the best picture of each caption is judged once more.

    But for the last `unmasked` steps the image encoder sees only `kept` patches of each picture,
    all of those that things cover first (after FLIP, Li et al. 2023).
    """

    steps: int = 2700
    helped: int = 600
    unmasked: int = 500
    batch: int = 192
    alike: int = 60
    keywords: int = 6
    sentences: int = 192
    full: int = 48
    false: int = 60
    kept: int = 24
    words: int = 240
    strange: int = 40
    rate: float = 1.5e-3
    inner_rate: float = 3e-3
    seed: int = 1
    patch: int = 16
    image_width: int = 192
    image_layers: int = 4
    text_width: int = 160
    text_layers: int = 3
    embedding_dim: int = 256
    vocabulary: int = 5000


# --- what captions and scenes say --------------------------------------------------------------

ARRANGEMENTS: Final = (*POSITIONS, "spread", "beside", "under", "amidst", "trio")
BITS: Final = tuple(
    [f"thing {name}" for name in THINGS]
    + [f"place {name}" for name in PLACES]
    + [f"time {name}" for name in TIMES]
    + [f"stands {name}" for name in ARRANGEMENTS]
    + [f"first {count}" for count in scenes.COUNTS]
)
"""What helper heads read off the encoders while training."""
_BIT: Final = {fact: row for row, fact in enumerate(BITS)}
_THING: Final = {name: row for row, name in enumerate(THINGS)}

Facts = frozenset[str]


def facts(scene: Scene) -> Facts:
    """Return all that is true of *scene*; a caption asks for some of these."""
    true = {f"place {scene.place}", f"time {scene.time}", f"stands {scene.arrangement}"}
    for group in scene.groups:
        true |= group_facts(group)
    true.add(relation(scene))
    true.add(f"first {scene.groups[0].count}")
    return frozenset(true)


def group_facts(group: Group) -> set[str]:
    """Return that the thing is there, and how many there are when there are several."""
    true = {f"thing {group.thing}"}
    if group.count > 1:
        true |= {f"{group.count} {group.thing}", f"many {group.thing}"}
    return true


def relation(scene: Scene) -> str:
    """Return how the things stand to each other."""
    return " ".join((scene.arrangement, *(group.thing for group in scene.groups)))


@dataclass(frozen=True)
class Caption:
    """Words, and the facts that a scene must have for them to be true of it."""

    text: str
    wanted: Facts


def subject_caption(scene: Scene, spoken: wording.Language, rng: random.Random) -> Caption:
    """Say the subject with its number, as it stands among the others, or only what is there."""
    wanted = set[str]().union(*map(group_facts, scene.groups))
    kind = rng.randrange(4) if len(scene.groups) > 1 else 0
    if kind == 0:  # as it stands
        return Caption(
            wording.subject(scene, spoken, rng.choice), frozenset({*wanted, relation(scene)})
        )
    groups = rng.sample(scene.groups, min(len(scene.groups), rng.choice((1, 2, 2))))
    if kind == 1:  # with numbers
        phrases = [wording.counted(group, spoken, rng.choice) for group in groups]
        wanted = set[str]().union(*map(group_facts, groups))
    else:  # by name
        phrases = [rng.choice(rng.choice(spoken.names[group.thing])) for group in groups]
        wanted = {f"thing {group.thing}" for group in groups}
    if len(phrases) == 1:
        return Caption(phrases[0], frozenset(wanted))
    joined = (*spoken.wording["beside"], "{a} {b}", "{a}, {b}", "{a} & {b}")
    text = rng.choice(joined).format(a=phrases[0], b=phrases[1])
    return Caption(text, frozenset(wanted))


def full_caption(scene: Scene, spoken: wording.Language, rng: random.Random) -> Caption:
    """Say everything, half of the time as `wording.describe` does by itself."""
    choose = wording.usual if rng.random() < 0.5 else rng.choice
    text = wording.sentence(wording.parts(scene, spoken, choose), spoken, choose)
    return Caption(text, facts(scene))


def partial_caption(scene: Scene, spoken: wording.Language, rng: random.Random) -> Caption:
    """Say some of it: the subject, or the landscape, or the subject and a part of the rest."""
    said = wording.parts(scene, spoken, rng.choice)
    true = {
        "position": f"stands {scene.arrangement}",
        "place": f"place {scene.place}",
        "time": f"time {scene.time}",
    }
    chosen = [name for name in true if name in said and rng.random() < 0.4]
    if len(chosen) == 1 and chosen != ["position"] and rng.random() < 0.2:
        key, value = chosen[0], getattr(scene, chosen[0])
        return Caption(rng.choice(spoken.wording[f"{key}_name"][value]), frozenset({true[key]}))
    subject = subject_caption(scene, spoken, rng)
    picked = {name: said[name] for name in chosen}
    text = wording.sentence({"subject": subject.text, **picked}, spoken, rng.choice)
    if picked and text.endswith(subject.text) and rng.random() < 0.15:  # "by the sea: an owl"
        text = f"{text.removesuffix(subject.text).rstrip(' ,、،')}: {subject.text}"
    return Caption(text, subject.wanted | {true[name] for name in chosen})


_NUMBERS: Final = {
    "ar": ("أربعة", "سبع", "ثمانية", "تسعة", "عشر", "عشرون", "مئة"),
    "de": ("vier", "sieben", "acht", "neun", "zehn", "zwölf", "zwanzig", "hundert"),
    "en": ("four", "seven", "eight", "nine", "ten", "a dozen", "twenty", "a hundred", "no"),
    "es": ("cuatro", "siete", "ocho", "nueve", "diez", "doce", "veinte", "cien"),
    "fr": ("quatre", "sept", "huit", "neuf", "dix", "douze", "vingt", "cent"),
    "hi": ("चार", "सात", "आठ", "नौ", "दस", "बारह", "बीस", "सौ"),
    "it": ("quattro", "sette", "otto", "nove", "dieci", "dodici", "venti", "cento"),
    "ja": ("四", "七", "八", "九", "十", "十二", "二十", "百"),
    "ko": ("네", "일곱", "여덟", "아홉", "열", "열두", "스무", "백"),
    "nl": ("vier", "zeven", "acht", "negen", "tien", "twaalf", "twintig", "honderd"),
    "pl": ("cztery", "siedem", "osiem", "dziewięć", "dziesięć", "dwanaście", "sto"),
    "pt": ("quatro", "sete", "oito", "nove", "dez", "doze", "vinte", "cem"),
    "ru": ("четыре", "семь", "восемь", "девять", "десять", "двенадцать", "сто"),
    "tr": ("dört", "yedi", "sekiz", "dokuz", "on", "on iki", "yirmi", "yüz"),
    "zh": ("四", "七", "八", "九", "十", "十二", "二十", "一百"),
}
_DIGITS: Final = ("4", "7", "8", "9", "10", "12", "20", "100")
"""Of which there are never so many, as the words for them."""

NOTHING: Final = "nothing"
"""A fact of no scene."""


def false_caption(scene: Scene, spoken: wording.Language, rng: random.Random) -> Caption:
    """Ask for a thing, a number, a place or anything else that no scene shows."""
    ways = {_strange_thing: 4, _strange_number: 2, _strange_place: 5, _strange_words: 3}
    [way] = rng.choices(list(ways), list(ways.values()))
    return way(scene, spoken, rng)


def _strange_thing(scene: Scene, spoken: wording.Language, rng: random.Random) -> Caption:
    """Call one of the things by an unknown word."""
    group, word = rng.choice(scene.groups), unknown_word(spoken, rng)
    strange = replace(spoken, names={**spoken.names, group.thing: ((word,),)})
    while True:
        said = partial_caption(scene, strange, rng)
        if word in said.text:
            unsaid = {*group_facts(group), relation(scene)}
            return Caption(said.text, said.wanted - unsaid | {NOTHING})


def _strange_number(scene: Scene, spoken: wording.Language, rng: random.Random) -> Caption:
    """Ask for more of a thing than there ever are, as five of it are asked for."""
    group = rng.choice(scene.groups)
    number = rng.choice(_DIGITS if rng.random() < 0.3 else _NUMBERS[spoken.code])
    ways = [way.replace("5", number) for way in spoken.wording["five"] if "5" in way]
    more = replace(spoken, wording={**spoken.wording, "five": ways})
    said = wording.counted(Group(group.thing, 5), more, rng.choice)
    if rng.random() < 0.3:
        said = " ".join((said, rng.choice(spoken.wording["place"][scene.place])))
    return Caption(said, frozenset({f"thing {group.thing}", NOTHING}))


def _strange_place(scene: Scene, spoken: wording.Language, rng: random.Random) -> Caption:
    """Add an unknown word to a true caption, mostly after "in", "with" or the like."""
    said, phrase = partial_caption(scene, spoken, rng), _strange_phrase(spoken, rng)
    order = (said.text, phrase) if rng.random() < 0.7 else (phrase, said.text)
    return Caption(" ".join(order), said.wanted | {NOTHING})


def _strange_words(_: Scene, spoken: wording.Language, rng: random.Random) -> Caption:
    words = [unknown_word(spoken, rng) for _ in range(rng.randrange(3))]
    return Caption(" ".join((_strange_phrase(spoken, rng), *words)), frozenset({NOTHING}))


def strange_word(spoken: wording.Language, rng: random.Random) -> Caption:
    """Ask for one unknown word, alone or as "a horse" is said."""
    word = unknown_word(spoken, rng)
    strange = replace(spoken, names={**spoken.names, "horse": ((word,),)})
    said = wording.counted(Group("horse"), strange, rng.choice) if rng.random() < 0.3 else word
    return Caption(said, frozenset({NOTHING}))


def _strange_phrase(spoken: wording.Language, rng: random.Random) -> str:
    """Say an unknown word as a place is said, or after "in", "with" or the like, or alone."""
    word, kind = unknown_word(spoken, rng), rng.random()
    places = _places(spoken.code)
    if kind < 0.45 and places:
        return rng.choice(places).format(word)
    return f"{rng.choice(spoken.wording['little'])} {word}" if kind < 0.8 else word


@functools.cache
def _places(code: str) -> tuple[str, ...]:
    """Return how places are said, with "{}" for the place: "in the {}"."""
    said = wording.language(code).wording
    return tuple(
        phrase.replace(name, "{}")
        for place, phrases in said["place"].items()
        for phrase in phrases
        for name in said["place_name"][place]
        if name in phrase
    )


def unknown_word(spoken: wording.Language, rng: random.Random) -> str:
    """
    Return a word for what no scene shows: mostly a real one, else one that no language here has.

    An invented one begins like one name and ends like another; where a sign is a word or a
    syllable, which would keep its meaning, each is one of those that stand about it in Unicode.
    """
    if rng.random() < 0.75:
        return rng.choice(_absent_words()[spoken.code])
    names = tuple(spoken.names.values())
    while True:
        first, last = (rng.choice(rng.choice(rng.choice(names))) for _ in range(2))
        word = (first[: rng.randint(1, 4)] + last[-rng.randint(2, 4) :]).lower()
        if spoken.code in ("ja", "ko", "zh"):
            word = "".join(chr(ord(sign) + rng.randint(1, 300)) for sign in word[:3])
        if words_of(word) == [word] and word not in known_words():
            return word


@functools.cache
def _absent_words() -> dict[str, list[str]]:
    return tomllib.loads(absent_words.FILE.read_text(encoding="utf-8"))


def any_language(rng: random.Random) -> wording.Language:
    """Return English or one of the others."""
    if rng.random() < ENGLISH_SHARE:
        return wording.language("en")
    others = [code for code in wording.LANGUAGES if code != "en"]
    return wording.language(rng.choice([*others, "hi"]))  # the hardest: its words are cut up small


def word_caption(thing: str, rng: random.Random) -> Caption:
    """Say one thing by one of its names, alone or as "a horse"."""
    spoken = any_language(rng)
    if rng.random() < 0.3:
        return Caption(
            wording.counted(Group(thing), spoken, rng.choice), frozenset({f"thing {thing}"})
        )
    return Caption(rng.choice(rng.choice(spoken.names[thing])), frozenset({f"thing {thing}"}))


# --- data --------------------------------------------------------------------------------------


def is_held_out(scene_id: int) -> bool:
    """Say whether what this scene shows is kept from training."""
    return scene_id < len(scenes.FEATURED) or scene_id % HELD_OUT_EVERY == 0


@functools.cache
def held_out() -> frozenset[Any]:
    """Return what is shown by the scenes that are kept from training."""
    ids = filter(is_held_out, range(scenes.SCENE_COUNT))
    return frozenset(scenes.scene(scene_id).shown for scene_id in ids)


def new_scene(rng: random.Random) -> Scene:
    """Compose a scene of anything."""
    return scene_of(rng.choice(tuple(THINGS)), rng, second=0.0)


def scene_of(thing: str, rng: random.Random, second: float = 0.4) -> Scene:
    """
    Compose a scene of *thing* as the gallery's are composed, of which there are many more.

    But two things stand side by side in `PAIRS` more of them, which is the hardest to learn. By the
    chance *second* it is the other of two that is *thing*, where it can be.
    """
    paired = rng.random() < PAIRS and not THINGS[thing].sky
    while True:
        scene = scenes.compose(rng.randrange(2**32), thing)
        if paired and scene.arrangement not in ("beside", "trio"):
            continue
        if rng.random() < second:
            scene = _in_second_place(scene)
        if scene.shown not in held_out():
            return scene


def _in_second_place(scene: Scene) -> Scene:
    among = scene.arrangement == "amidst" and THINGS[scene.groups[0].thing].field
    if scene.arrangement not in ("beside", "trio") and not among:
        return scene
    first, second, *others = scene.groups
    swapped = (replace(first, thing=second.thing), replace(second, thing=first.thing), *others)
    return replace(scene, groups=swapped)


def neighbour(scene: Scene, rng: random.Random) -> Scene:
    """Return a scene that differs in one respect."""
    for _ in range(10):
        other = _changed(scene, rng)
        if other.shown != scene.shown and other.shown not in held_out():
            return other
    return new_scene(rng)


def _changed(scene: Scene, rng: random.Random) -> Scene:
    kind = rng.randrange(5)
    groups = scene.groups
    if kind == 0:
        return replace(scene, place=rng.choice(PLACES))
    if kind == 1:
        return replace(scene, time=rng.choice(TIMES))
    if kind == 2:
        if scene.arrangement in POSITIONS:
            return replace(scene, arrangement=rng.choice(POSITIONS[:3]))
        if scene.arrangement == "spread":
            return replace(scene, groups=(replace(groups[0], count=rng.choice((2, 3, 5))),))
        if scene.arrangement != "trio":
            return replace(
                scene, groups=(replace(groups[0], count=rng.choice((1, 2, 3))), groups[1])
            )
    if kind == 3 and scene.arrangement in ("beside", "trio") and groups[0].count == 1:
        return replace(scene, groups=(groups[1], groups[0], *groups[2:]))
    at = rng.randrange(len(groups))
    old = THINGS[groups[at].thing]
    alike = [n for n, thing in THINGS.items() if (thing.sky, thing.field) == (old.sky, old.field)]
    if len(groups) > 1 and old.sky:
        alike = [name for name, thing in THINGS.items() if thing.sky]
    taken = {group.thing for group in groups}
    new = replace(groups[at], thing=rng.choice([name for name in alike if name not in taken]))
    return replace(scene, groups=(*groups[:at], new, *groups[at + 1 :]))


class Studio:
    """Draws scenes small and quickly: at twice the model's size, on landscapes drawn before."""

    VARIANTS: Final = 24

    def __init__(self) -> None:
        self.painter = drawing.Painter(2 * IMAGE_SIZE, sprites=10_000)
        self.landscapes = {
            (place, time_): [
                self.painter.landscape(place, time_, random.Random(i)) for i in range(self.VARIANTS)
            ]
            for place in PLACES
            for time_ in TIMES
        }

    def pixels(self, scene: Scene, rng: random.Random) -> np.ndarray[Any, Any]:
        """Return uint8 (96, 96, 3): the picture's central square."""
        canvas = rng.choice(self.landscapes[scene.place, scene.time]).copy()
        self.painter.put(canvas, scene, rng)
        left = (canvas.width - canvas.height) // 2
        return np.asarray(canvas.crop((left, 0, left + canvas.height, canvas.height)).reduce(2))


def patch_things(scene: Scene, patch: int) -> np.ndarray[Any, Any]:
    """Return int64 (patches,): the thing that covers most of each, when a quarter or more."""
    grid = IMAGE_SIZE // patch
    best = np.full((grid, grid), 0.25)
    label = np.full((grid, grid), len(THINGS))
    low = np.arange(grid) * patch / (IMAGE_SIZE / 2) - 1
    high, size = low + patch / (IMAGE_SIZE / 2), patch / (IMAGE_SIZE / 2)
    for thing, (x, y, radius) in drawing.spots(scene):
        r = radius * 0.9  # an emoji does not fill its corners
        wide = np.clip(np.minimum(high, x + r) - np.maximum(low, x - r), 0, None) / size
        tall = np.clip(np.minimum(high, y + r) - np.maximum(low, y - r), 0, None) / size
        share = tall[:, None] * wide[None]
        label[share >= best] = _THING[thing]
        best = np.maximum(best, share)
    return label.reshape(-1)


def kept_patches(
    covered: np.ndarray[Any, Any], kept: int, rng: random.Random
) -> np.ndarray[Any, Any]:
    """Return int64 (B, kept): those that show a thing, and others at random."""
    chance = np.random.default_rng(rng.randrange(2**32)).random(covered.shape)
    order = np.argsort(chance - (covered < len(THINGS)), axis=1)
    return np.sort(order[:, :kept], axis=1)


@dataclass(frozen=True)
class Batch:
    """
    Pictures and captions of one step.

    pixels uint8 (B, 96, 96, 3); patches int64 (B, n), kept int64 (B, k) of them; bits float (B, F);
    sentences int64 (S, t) and words int64 (W, t), each the shortest first; true bool (S, B) and
    (W, B); named int64 (W,), the words' things, or -1; asked float (S, F).
    """

    pixels: torch.Tensor
    patches: torch.Tensor
    kept: torch.Tensor
    bits: torch.Tensor
    sentences: torch.Tensor
    words: torch.Tensor
    true: torch.Tensor
    true_words: torch.Tensor
    named: torch.Tensor
    asked: torch.Tensor


def make_batch(recipe: Recipe, step: int, studio: Studio, tokenizer: CLIPTokenizer) -> Batch:
    """Return batch *step*, which follows from the seed and its number alone."""
    rng = random.Random(f"{recipe.seed}/{step}")
    if step < recipe.helped:
        recipe = replace(recipe, alike=0, full=recipe.sentences // 2, false=0, strange=0)
    shown = some_scenes(recipe, rng)
    captions = by_length(some_captions(recipe, shown, rng), tokenizer)
    words = by_length(some_words(recipe, rng), tokenizer)
    true = [facts(scene) for scene in shown]
    covered = np.stack([patch_things(scene, recipe.patch) for scene in shown])
    return Batch(
        torch.from_numpy(np.stack([studio.pixels(scene, rng) for scene in shown])),
        torch.from_numpy(covered),
        torch.from_numpy(kept_patches(covered, recipe.kept, rng)),
        bits(true),
        tokens(tokenizer, [caption.text for caption in captions]),
        tokens(tokenizer, [caption.text for caption in words]),
        torch.tensor([[caption.wanted <= those for those in true] for caption in captions]),
        torch.tensor([[caption.wanted <= those for those in true] for caption in words]),
        torch.tensor([_thing_of(caption) for caption in words]),
        bits([caption.wanted for caption in captions]),
    )


def some_scenes(recipe: Recipe, rng: random.Random) -> list[Scene]:
    """Return the scenes of a step: some of few things, some of any, and a neighbour of each."""
    named = rng.sample(tuple(THINGS), recipe.keywords)
    first = [scene_of(named[i % recipe.keywords], rng) for i in range(recipe.alike)]
    first += [new_scene(rng) for _ in range(recipe.batch // 2 - recipe.alike)]
    return [*first, *(neighbour(scene, rng) for scene in first)]


def some_captions(recipe: Recipe, shown: Sequence[Scene], rng: random.Random) -> list[Caption]:
    """Return the sentences of a step, each about one of the scenes, which it is mostly true of."""
    about = rng.sample(shown, recipe.sentences)
    kinds = {full_caption: recipe.full, false_caption: recipe.false}
    said = [kind for kind, count in kinds.items() for _ in range(count)]
    said += [partial_caption] * (recipe.sentences - len(said))
    return [say(scene, any_language(rng), rng) for say, scene in zip(said, about, strict=True)]


def some_words(recipe: Recipe, rng: random.Random) -> list[Caption]:
    """Return the words of a step, each of one thing, and some of none."""
    known = rng.choices(tuple(THINGS), k=recipe.words - recipe.strange)
    return [
        *(word_caption(thing, rng) for thing in known),
        *(strange_word(any_language(rng), rng) for _ in range(recipe.strange)),
    ]


def by_length(captions: Sequence[Caption], tokenizer: CLIPTokenizer) -> list[Caption]:
    """Return *captions* with the shortest first, so that few are read with much padding."""
    lengths = [len(ids) for ids in tokenizer([each.text for each in captions])["input_ids"]]
    return [captions[row] for row in np.argsort(lengths, kind="stable")]


def _thing_of(caption: Caption) -> int:
    """Return the number of the thing that a word names, or -1."""
    [fact] = caption.wanted
    return -1 if fact == NOTHING else _THING[fact.removeprefix("thing ")]


def bits(sets: Sequence[Facts]) -> torch.Tensor:
    """Return float (n, F): 1 where the set has the fact of `BITS`."""
    flags = torch.zeros(len(sets), len(BITS))
    for row, those in enumerate(sets):
        for fact in those:
            if fact in _BIT:
                flags[row, _BIT[fact]] = 1
    return flags


def tokens(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> torch.Tensor:
    """Return int64 (n, longest): padded with the end token."""
    encoded = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    ids: torch.Tensor = encoded["input_ids"]
    return ids


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Return float (B, 3, 96, 96) as `CLIPImageProcessor` scales it, from uint8 (B, 96, 96, 3)."""
    scaled = pixels.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (scaled - mean) / std


def _prepare(recipe: Recipe, first: int, folder: str, ready: Any) -> None:
    torch.set_num_threads(1)
    studio, tokenizer = Studio(), CLIPTokenizer.from_pretrained(folder)
    for step in range(first, recipe.steps):
        batch = make_batch(recipe, step, studio, tokenizer)
        ready.put({name: value.numpy() for name, value in vars(batch).items()})


def batches(recipe: Recipe, first: int, folder: Path) -> Iterator[Batch]:
    """Yield the batches from *first* on, made by a process beside this."""
    context = multiprocessing.get_context("spawn")
    ready = context.Queue(3)
    worker = context.Process(target=_prepare, args=(recipe, first, str(folder), ready), daemon=True)
    worker.start()
    for _ in range(first, recipe.steps):
        while worker.is_alive() and ready.empty():
            time.sleep(0.01)
        arrays = ready.get(timeout=10)  # queue.Empty when the worker broke
        yield Batch(**{name: torch.from_numpy(value) for name, value in arrays.items()})


# --- model -------------------------------------------------------------------------------------


def train_tokenizer(recipe: Recipe) -> CLIPTokenizer:
    """Train a byte-level BPE on captions; every byte is in its vocabulary, so any text encodes."""
    rng = random.Random(recipe.seed)
    texts = []
    for code in wording.LANGUAGES:
        spoken = wording.language(code)
        texts += [form for names in spoken.names.values() for name in names for form in name] * 4
        for _ in range(3000):
            texts.append(partial_caption(new_scene(rng), spoken, rng).text)
    like_clip = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = like_clip.normalizer, like_clip.pre_tokenizer
    letters = sorted(ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary,
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    known = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    specials = ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(dict.fromkeys([*known, *specials]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def new_model(recipe: Recipe, tokenizer: CLIPTokenizer) -> CLIPModel:
    """Return an untrained CLIP."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.text_width,
        "intermediate_size": 3 * recipe.text_width,
        "num_hidden_layers": recipe.text_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": recipe.embedding_dim,
        "hidden_act": "gelu",
    }
    vision = {
        "projection_dim": recipe.embedding_dim,
        "hidden_size": recipe.image_width,
        "intermediate_size": 3 * recipe.image_width,
        "num_hidden_layers": recipe.image_layers,
        "num_attention_heads": 6,
        "image_size": IMAGE_SIZE,
        "patch_size": recipe.patch,
        "hidden_act": "gelu",
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=recipe.embedding_dim)
    return CLIPModel(config)


class Heads(nn.Module):
    """Helpers that read what is shown and asked off the encoders; not part of the model."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.image = nn.Linear(recipe.image_width, len(BITS))
        self.text = nn.Linear(recipe.text_width, len(BITS))
        self.patch = nn.Linear(recipe.image_width, len(THINGS) + 1)
        # From which cosine on a caption is true of a picture, and how surely.
        self.log_sureness = nn.Parameter(torch.tensor(math.log(20.0)))
        self.true_from = nn.Parameter(torch.tensor(0.35))


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Return *vectors* at length one."""
    return functional.normalize(vectors, dim=-1)


def contrast(true: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """
    Return the mean cross-entropy of each true pair of a row against all untrue ones of the row.

    From bool and float (n, m). A row's true pairs do not compete with each other; each row that
    has any counts alike.
    """
    untrue = logits.masked_fill(true, -1e9).logsumexp(1, keepdim=True)  # (n, 1)
    each = functional.softplus(untrue - logits) * true  # (n, m)
    count = true.sum(1)
    return (each.sum(1)[count > 0] / count[count > 0]).mean()


def judge(heads: Heads, true: torch.Tensor, cosines: torch.Tensor) -> torch.Tensor:
    """
    Return the loss of saying of each pair alone whether it is true, a row's pairs added up.

    From bool and float (n, m). It holds cosines of one query against those of another, which
    tells a query that nothing answers (after SigLIP, Zhai et al. 2023).
    """
    surely = heads.log_sureness.exp() * (cosines - heads.true_from)
    return functional.softplus(torch.where(true, -surely, surely)).sum() / len(cosines)


def judge_best(heads: Heads, true: torch.Tensor, cosines: torch.Tensor) -> torch.Tensor:
    """
    Return the loss of saying of each row's best true and best untrue pair whether it is true.

    From bool and float (n, m). A query's strength is that of its best picture.
    """
    best_true, best_untrue = (cosines.masked_fill(~of, -1).amax(1) for of in (true, ~true))
    surely, any_true = heads.log_sureness.exp(), true.any(1)
    return (
        functional.softplus(-surely * (best_true[any_true] - heads.true_from)).mean()
        + functional.softplus(surely * (best_untrue - heads.true_from)).mean()
    )


def read(model: CLIPModel, ids: torch.Tensor) -> torch.Tensor:
    """Return (n, width): what the text encoder makes of int64 (n, t), the shortest first."""
    end, parts = model.config.text_config.eos_token_id, []
    for rows in ids.chunk(8):
        longest = int((rows == end).int().argmax(1).max()) + 1
        parts.append(model.text_model(input_ids=rows[:, :longest]).pooler_output)
    return torch.cat(parts)


def see(model: CLIPModel, pixels: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
    """Return (B, 1 + k, width): what the image encoder makes of the class token and k patches."""
    vision = model.vision_model
    states: torch.Tensor = vision.embeddings(normalised(pixels))
    if kept is not None:
        rows = torch.cat([torch.zeros_like(kept[:, :1]), kept + 1], dim=1)
        states = states.gather(1, rows[..., None].expand(-1, -1, states.shape[2]))
    states = vision.pre_layrnorm(states)
    for layer in vision.encoder.layers:
        states = layer(states, None)
    return states


HELPERS: Final = ("image_bits", "word_things", "text_bits", "patches")
"""Parts of the loss that the helper heads have."""


def losses(
    model: CLIPModel, heads: Heads, batch: Batch, *, masked: bool
) -> dict[str, torch.Tensor]:
    """Return the parts of the loss, each a scalar."""
    states = see(model, batch.pixels, batch.kept if masked else None)
    patches = batch.patches.gather(1, batch.kept) if masked else batch.patches
    image = model.vision_model.post_layernorm(states[:, 0])
    text, word = read(model, batch.sentences), read(model, batch.words)
    images = unit(model.visual_projection(image))  # (B, d)
    texts, words = unit(model.text_projection(text)), unit(model.text_projection(word))
    cosines, word_cosines = texts @ images.T, words @ images.T  # (S, B), (W, B)
    scale = model.logit_scale.exp()
    logits, word_logits = scale * cosines, scale * word_cosines
    flat = functional.binary_cross_entropy_with_logits
    return {
        "text": contrast(batch.true, logits),
        "image": contrast(batch.true.T, logits.T),
        "word": contrast(batch.true_words, word_logits),
        "things": contrast(batch.true_words.T, word_logits.T),
        "pairs": judge(heads, batch.true, cosines),
        "word_pairs": judge(heads, batch.true_words, word_cosines),
        "best": judge_best(heads, batch.true, cosines),
        "word_best": judge_best(heads, batch.true_words, word_cosines),
        "image_bits": 20 * flat(heads.image(image), batch.bits),
        "word_things": functional.cross_entropy(
            heads.text(word)[:, : len(THINGS)], batch.named, ignore_index=-1
        ),
        "text_bits": 20 * flat(heads.text(text), batch.asked),
        "patches": functional.cross_entropy(
            heads.patch(states[:, 1:]).flatten(0, 1), patches.flatten()
        ),
    }


# --- training ----------------------------------------------------------------------------------


def share_of_rate(recipe: Recipe, step: int) -> float:
    """Return which share of its highest rate *step* has: up for a twentieth of them, then down."""
    warm = 0.05 * recipe.steps
    part = step / warm - 1 if step < warm else (step - warm) / (recipe.steps - warm)
    return (1 + math.cos(math.pi * part)) / 2


def origin(recipe: Recipe) -> str:
    """Return a digest of all that a training follows from."""
    digest = hashlib.sha256(repr(recipe).encode())
    files = (file for kind in ("*.py", "**/*.toml") for file in scenes.FOLDER.glob(kind))
    for file in (
        Path(__file__),
        absent_words.FILE,
        Path(__file__).with_name("muon.py"),
        *sorted(files),
    ):
        digest.update(file.read_bytes())
    return digest.hexdigest()


class Trainer:
    """
    The state of a training, kept in *work* so that a run that was stopped goes on where it was.

    Batch number i follows from the seed and i alone: stopping changes nothing about the result.
    """

    def __init__(self, recipe: Recipe, work: Path) -> None:
        started = time.monotonic()
        self.recipe, self.work, self.origin = recipe, work, origin(recipe)
        torch.manual_seed(recipe.seed)
        if self._checkpoint.exists():
            self.tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        else:
            self.tokenizer = train_tokenizer(recipe)
            self.tokenizer.save_pretrained(work / "tokenizer")
        self.model = new_model(recipe, self.tokenizer)
        self.heads = Heads(recipe)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        encoders = (self.model.text_model.encoder, self.model.vision_model.encoder)
        inner = [each for part in encoders for each in part.parameters() if each.ndim == 2]
        others = [each for each in self.parameters if all(each is not other for other in inner)]
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            Muon(inner, lr=recipe.inner_rate, momentum=0.95, weight_decay=0.05),
            torch.optim.AdamW(
                others, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
            ),
        )
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(each, functools.partial(share_of_rate, recipe))
            for each in self.optimisers
        ]
        self.done, self.seconds = 0, time.monotonic() - started
        if self._checkpoint.exists():
            self._load()

    def _weight(self, part: str) -> float:
        if part in ("best", "word_best"):
            return 0.5 if 3 * self.done >= 2 * self.recipe.steps else 0.0
        if self.done < self.recipe.helped:
            return 0.0 if part in ("pairs", "word_pairs") else 1.0
        return {"word": 2.0, "things": 2.0, **dict.fromkeys(HELPERS, 0.5)}.get(part, 1.0)

    @property
    def _checkpoint(self) -> Path:
        return self.work / "checkpoint.pt"

    def run(self) -> None:
        """Train to the recipe's end."""
        started = time.monotonic() - self.seconds
        for batch in batches(self.recipe, self.done, self.work / "tokenizer"):
            parts = self._step(batch)
            self.done, self.seconds = self.done + 1, time.monotonic() - started
            if self.done % 25 == 0:
                figures = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
                print(f"step {self.done}, {self.seconds:.0f} s: {figures}", flush=True)
            if self.done % 100 == 0:
                self._save()
        self._save()

    def _step(self, batch: Batch) -> dict[str, float]:
        masked = self.done < self.recipe.steps - self.recipe.unmasked
        parts = losses(self.model, self.heads, batch, masked=masked)
        self.model.zero_grad()
        self.heads.zero_grad()
        weighted = [self._weight(name) * value for name, value in parts.items()]
        torch.stack(weighted).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        for schedule in self.schedules:
            schedule.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        return {name: value.item() for name, value in parts.items()}

    def _stateful(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "heads": self.heads,
            **{f"optimiser {row}": each for row, each in enumerate(self.optimisers)},
            **{f"schedule {row}": each for row, each in enumerate(self.schedules)},
        }

    def _save(self) -> None:
        state: dict[str, Any] = {"step": self.done, "spent": self.seconds, "origin": self.origin}
        state |= {name: part.state_dict() for name, part in self._stateful().items()}
        draft = self._checkpoint.with_suffix(".new")
        torch.save(state, draft)
        draft.replace(self._checkpoint)

    def _load(self) -> None:
        state = torch.load(self._checkpoint)
        if state["origin"] != self.origin:
            sys.exit(
                f"{self._checkpoint} is of another recipe, program or language file:"
                " delete it, or name another folder by --work"
            )
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])
        self.done, self.seconds = state["step"], state["spent"]

    def export(self, folder: Path) -> None:
        """Write the model in float16, its tokenizer and its image processor to *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        half = CLIPModel(self.model.config)
        half.load_state_dict(self.model.state_dict())
        half.half().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        CLIPImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE},
            crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        ).save_pretrained(folder)


# --- evaluation --------------------------------------------------------------------------------


class Searcher:
    """A saved model with its own tokenizer and image processor, as the product loads them."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor: Any = AutoImageProcessor.from_pretrained(folder)

    @torch.inference_mode()
    def images(self, shown: Sequence[Scene]) -> torch.Tensor:
        """Return unit embeddings (B, d) of *shown*, from JPEG bytes through the processor."""
        parts = []
        for start in range(0, len(shown), 100):
            those = shown[start : start + 100]
            pictures = [Image.open(io.BytesIO(drawing.jpeg(scene))) for scene in those]
            pixels = self.processor(pictures, return_tensors="pt")["pixel_values"]
            parts.append(unit(self.model.get_image_features(pixels).pooler_output))
        return torch.cat(parts)

    @torch.inference_mode()
    def texts(self, queries: Sequence[str]) -> torch.Tensor:
        """Return unit embeddings (T, d) of *queries*."""
        order = sorted(range(len(queries)), key=lambda row: len(queries[row].encode()))
        embeddings = torch.empty(len(queries), self.model.config.projection_dim)
        for start in range(0, len(order), 100):  # few are padded to the length of the longest
            rows = order[start : start + 100]
            ids = tokens(self.tokenizer, [queries[row] for row in rows])
            embeddings[rows] = unit(self.model.get_text_features(ids).pooler_output)
        return embeddings


def unseen_scenes(count: int, seed: int) -> list[Scene]:
    """Return *count* scenes that differ in what they show, from each other and from training's."""
    first = len(scenes.FEATURED)
    ids = [i for i in range(first, scenes.SCENE_COUNT) if is_held_out(i)]
    random.Random(seed).shuffle(ids)
    shown = {scene.shown: scene for scene in map(scenes.scene, ids)}
    return list(shown.values())[:count]


@dataclass(frozen=True)
class Figures:
    """
    What a model finds among unseen scenes; shares between 0 and 1, by language.

    `first`: of the first `scenes` scenes, how often a complete description finds its own first, in
    the usual wording and in free wording (synonyms, other order). `precision`: of the names of
    things that are in five of 1,000 scenes or more, the mean share of the first five that show it.
    """

    scenes: int
    first: dict[str, float]
    first_free: dict[str, float]
    precision: dict[str, float]


def evaluate(folder: Path, described: int = 300, named: int = 1000) -> Figures:
    """Measure the model in *folder* on unseen scenes: so many described, so many named."""
    seed = 7
    searcher, shown, rng = Searcher(folder), unseen_scenes(named, seed), random.Random(seed)
    images = searcher.images(shown)
    things = [frozenset(scene.things) for scene in shown]
    right = {thing: torch.tensor([thing in those for those in things]) for thing in THINGS}
    first_of = shown[:described]
    first: dict[str, float] = {}
    free: dict[str, float] = {}
    precision: dict[str, float] = {}
    for code in wording.LANGUAGES:
        spoken = wording.language(code)
        usual = [wording.describe(scene, code) for scene in first_of]
        freely = [
            wording.sentence(wording.parts(scene, spoken, rng.choice), spoken, rng.choice)
            for scene in first_of
        ]
        first[code] = first_share(searcher, images[:described], usual)
        free[code] = first_share(searcher, images[:described], freely)
        precision[code] = word_precision(searcher, images, right, spoken)
    return Figures(described, first, free, precision)


def first_share(searcher: Searcher, images: torch.Tensor, queries: Sequence[str]) -> float:
    """Return how often query i ranks image i first."""
    best = (searcher.texts(queries) @ images.T).argmax(1)
    return (best == torch.arange(len(queries))).float().mean().item()


def word_precision(
    searcher: Searcher,
    images: torch.Tensor,
    right: Mapping[str, torch.Tensor],
    spoken: wording.Language,
) -> float:
    """
    Return the mean precision@5 of the things' usual names that have five right answers.

    `right` has for each thing bool (B,): which images show it.
    """
    scores = searcher.texts([names[0][0] for names in spoken.names.values()]) @ images.T
    precisions = [
        right[thing][row.topk(5).indices].float().mean().item()
        for thing, row in zip(spoken.names, scores, strict=True)
        if right[thing].sum() >= 5
    ]
    return sum(precisions) / len(precisions)


# --- the model card ----------------------------------------------------------------------------


def write_card(folder: Path, trainer: Trainer, figures: Figures) -> None:
    """Write the model card, every figure of which comes from this run."""
    recipe, config = trainer.recipe, trainer.model.config.to_dict()
    vision, text = config["vision_config"], config["text_config"]
    weights = (folder / "model.safetensors").stat().st_size
    rows = "\n".join(
        f"| {code} | {figures.first[code]:.3f} | {figures.first_free[code]:.3f} | "
        f"{figures.precision[code]:.3f} |"
        for code in ("en", *(code for code in wording.LANGUAGES if code != "en"))
    )
    (folder / "README.md").write_text(
        f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: zero-shot-image-classification
language: [{", ".join(wording.LANGUAGES)}]
---

# The demo's CLIP

A small CLIP (Radford et al. 2021) that knows nothing but the pictures of this project's demo
gallery: {len(THINGS)} emoji, one to three kinds in a picture, counted, placed, in {len(PLACES)}
landscapes at {len(TIMES)} times of day, said in {len(wording.LANGUAGES)} languages. It is here so
that the whole search runs with no network and no API key. It is of no use for photographs.

## Made by

`python -m tools.train_demo_model`, which trains from a seed.

| | |
|---|---|
| image encoder | ViT, {vision["num_hidden_layers"]} layers of width {vision["hidden_size"]}, \
{vision["image_size"]} px, patches of {vision["patch_size"]} px |
| text encoder | {text["num_hidden_layers"]} layers of width {text["hidden_size"]}, \
{text["max_position_embeddings"]} tokens, byte-level BPE of {text["vocab_size"]:,} |
| embedding_dim | {config["projection_dim"]} |
| parameters | {trainer.model.num_parameters():,} |
| weights | {weights:,} bytes, float16 |
| learned logit scale | {trainer.model.logit_scale.exp().item():.1f} |
| training | {recipe.steps:,} steps of {recipe.batch} pictures, \
{recipe.sentences} sentences and {recipe.words} words, all composed anew for every step, \
Muon and AdamW, seed {recipe.seed} |
| time | {trainer.seconds / 60:,.0f} minutes on 2 CPU cores, shared with other work |

The loss is CLIP's, with one change: a caption that is true of several pictures of the batch has
them all as targets, which do not compete with each other. A second loss, SigLIP's, says of each
pair alone whether it is true, so that the scores of different queries compare; {recipe.false}
of the sentences and {recipe.strange} of the words ask for what no picture shows, mostly by CLDR's
words for other emoji. In the last third of the steps the best picture of each query is judged once
more. But for the last {recipe.unmasked:,} steps the image encoder sees {recipe.kept} \
of its {(IMAGE_SIZE // recipe.patch) ** 2} patches.
While training, helper heads also read what is shown and asked off both encoders; they are not part
of the model. Half of each batch differs from the other half in one respect, and most of it shows
one of {recipe.keywords} things, as a keyword's pool does.

## Measured

On scenes drawn at random from those held out: nothing that shows the same was seen in training.
Pictures go through JPEG and the image processor.

- **description**: of {figures.scenes} scenes, how often a complete description finds its own first;
- **free wording**: the same with synonyms and in other orders;
- **word**: precision@5 of the names of things that are in 5 of 1,000 scenes or more.

| language | description | free wording | word |
|---|---|---|---|
{rows}

`python -m tools.train_demo_model --eval-only` measures again.
""".replace("\\\n", ""),
        encoding="utf-8",
    )


# --- command line ------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--eval-only", action="store_true", help="measure the saved model")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the model's folder")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.gettempdir()) / "imagesearch-demo-model",
        help="where the checkpoint is kept; delete it to start afresh",
    )
    return parser.parse_args()


def main() -> None:
    """Train, export, measure and write the card; or only measure."""
    arguments = parse_arguments()
    torch.set_num_threads(2)
    if not arguments.eval_only:
        arguments.work.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(Recipe(), arguments.work)
        trainer.run()
        trainer.export(arguments.out)
    figures = evaluate(arguments.out)
    if not arguments.eval_only:
        write_card(arguments.out, trainer, figures)
    print(json.dumps(asdict(figures), indent=2))


if __name__ == "__main__":
    main()
